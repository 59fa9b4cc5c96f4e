// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Which model is in use: versions under a name, each frozen by the approval of all who trained it.
/// @notice A version is the model of one completed job: one shard per party, of which the chain knows the digest alone.
/// Names, digests, and who proposed, approved and activated what and when, are public; a shard never is.
///
/// Who may do what, if Accredited: any party on the roster of a completed job proposes its model under a name; each
/// party on that roster approves it, and the last approval freezes it; the roster's active party, which holds the
/// labels and answers for what the model is used for, activates a frozen version and rolls back to an earlier one.
///
/// Nothing is reserved by a proposal, which one party alone can make. The freeze, which needs all, binds two things for
/// ever: the name to the active party of its first frozen version, so that later versions are trained with that party
/// in the lead, by whatever partners; and the job to that one name. A partner of an earlier version that is not on the
/// new job's roster has no say in it: none who left, or was banned, can hold up a successor. A member who is suspended
/// cannot approve until it is reinstated, so a version that lacks its approval stays Proposed.
interface IModelRegistry {
    /// @dev Active is the version in use, at most one per name; Retired was in use earlier and may be again.
    enum State {
        None,
        Proposed,
        Frozen,
        Active,
        Retired
    }

    /// @param state see {State}; None if there is no such version, and all else is zero then.
    /// @param jobId the completed job whose model it is.
    /// @param activeParty the first on the job's roster.
    /// @param proposer who proposed it.
    /// @param approvals how many on the roster approved.
    /// @param approvalsNeeded how many are on the roster, 2..8.
    /// @param frozenAt block of the last approval, 0 before.
    /// @param activatedAt block at which it last came into use, by activation or by rolling back; 0 if never.
    struct VersionView {
        State state;
        bytes32 jobId;
        address activeParty;
        address proposer;
        uint8 approvals;
        uint8 approvalsNeeded;
        uint64 frozenAt;
        uint64 activatedAt;
    }

    /// @notice `proposer` proposed the model of `jobId` as `version` of `name`; `shardDigests` are in the roster's order.
    event ModelProposed(
        bytes32 indexed nameHash,
        uint32 indexed version,
        bytes32 indexed jobId,
        string name,
        address proposer,
        address[] roster,
        bytes32[] shardDigests
    );
    /// @notice `party` approved the version; `approvals` of `needed` are there.
    event ModelApproved(
        bytes32 indexed nameHash,
        uint32 indexed version,
        bytes32 indexed jobId,
        string name,
        address party,
        uint8 approvals,
        uint8 needed
    );
    /// @notice All on the roster approved the version.
    event ModelFrozen(bytes32 indexed nameHash, uint32 indexed version, bytes32 indexed jobId, string name);
    /// @notice `by` put the version into use, in place of version `replaced` (0: of none).
    event ModelActivated(
        bytes32 indexed nameHash,
        uint32 indexed version,
        bytes32 indexed jobId,
        string name,
        address by,
        uint32 replaced
    );
    /// @notice `by` took version `withdrawn` out of use; `version`, in use before it, is in use again.
    event ModelRolledBack(
        bytes32 indexed nameHash,
        uint32 indexed version,
        bytes32 indexed jobId,
        string name,
        address by,
        uint32 withdrawn
    );

    /// @notice The name is not `1..max` bytes of a-z, 0-9, '_' or '-'.
    error ModelNameInvalid(uint256 length, uint256 max);
    /// @notice The name belongs to models that `expected` leads; the job's active party is `found`.
    error ModelNameTaken(address expected, address found);
    /// @notice The job's model is frozen as `version` of `name`.
    error JobRegistered(bytes32 jobId, string name, uint32 version);
    /// @notice The job's model is proposed under this name already, as `version`.
    error JobProposedBefore(bytes32 jobId, uint32 version);
    /// @notice There is no such version; the name has `versions` of them.
    error UnknownVersion(uint32 version, uint32 versions);
    /// @notice The version's state does not permit the call.
    error WrongModelState(uint32 version, State expected, State found);
    /// @notice `party` approved the version before.
    error AlreadyApproved(uint32 version, address party);
    /// @notice No version of the name was in use before `version` (0: none is in use).
    error NothingToRollBackTo(uint32 version);

    /// @notice Proposes the model of a completed job as the next version of a name. It approves nothing by itself.
    /// @param name 1..64 bytes of [a-z0-9_-].
    /// @param jobId the job; its shard digests are copied here.
    /// @return version the version's number, from 1 on; numbers are not used again.
    /// Requirements: the caller is on the job's roster and Accredited; the job is Completed, and not frozen under any name
    /// nor proposed under this one; a name with a frozen version belongs to the job's active party.
    /// Reverts with {ModelNameInvalid}, {ModelNameTaken}, {JobRegistered}, {JobProposedBefore}, IJobManager.UnknownJob,
    /// NotOnRoster, PartyNotAccredited or WrongPhase. Emits {ModelProposed}.
    function propose(string calldata name, bytes32 jobId) external returns (uint32 version);

    /// @notice Approves a version: the caller keeps the shard whose digest is its own there. The last approval freezes.
    /// @param name the model's name.
    /// @param version its number.
    /// Requirements: the caller is on the roster of the version's job and Accredited; the version is Proposed; once per
    /// party; the job is not frozen under another name, nor the name by another active party, meanwhile.
    /// Reverts with {UnknownVersion}, {WrongModelState}, {AlreadyApproved}, {ModelNameTaken}, {JobRegistered},
    /// IJobManager.NotOnRoster or PartyNotAccredited. Emits {ModelApproved} and, at the last, {ModelFrozen}.
    function approve(string calldata name, uint32 version) external;

    /// @notice Puts a version into use; the one in use so far is Retired.
    /// @param name the model's name.
    /// @param version its number.
    /// Requirements: the caller is the active party of the version's job and Accredited; the version is Frozen or Retired.
    /// Reverts with {UnknownVersion}, {WrongModelState}, IJobManager.NotOnRoster, NotActiveParty or PartyNotAccredited.
    /// Emits {ModelActivated}.
    function activate(string calldata name, uint32 version) external;

    /// @notice Takes the version in use out of use and puts the one that was in use before it into use again: each call
    /// undoes one activation, back to the first.
    /// @param name the model's name.
    /// Requirements: the caller is the active party of the version in use and Accredited; another version was in use
    /// before. Reverts with {NothingToRollBackTo}, IJobManager.NotOnRoster, NotActiveParty or PartyNotAccredited.
    /// Emits {ModelRolledBack}.
    function rollBack(string calldata name) external;

    /// @notice A version; state None if there is none of this number.
    function versionOf(string calldata name, uint32 version) external view returns (VersionView memory found);

    /// @notice The version in use, 0 if there is none.
    function activeVersion(string calldata name) external view returns (uint32 version);

    /// @notice The digest of each party's shard, in the order of the roster; both empty if there is no such version.
    function shardDigestsOf(string calldata name, uint32 version)
        external
        view
        returns (address[] memory roster, bytes32[] memory digests);

    /// @notice Who approved, in the order of the roster; both empty if there is no such version.
    function approvalsOf(string calldata name, uint32 version)
        external
        view
        returns (address[] memory roster, bool[] memory approved);

    /// @notice How many versions of a name were proposed; 0 for an unknown name.
    function versionCount(string calldata name) external view returns (uint32 versions);

    /// @notice The active party that a name belongs to; zero until a version of it is frozen.
    function holderOf(string calldata name) external view returns (address holder);

    /// @notice As which version a job's model is proposed under a name, 0 if it is not; frozen or not.
    function proposalOf(string calldata name, bytes32 jobId) external view returns (uint32 version);

    /// @notice As what a job's model is frozen; an empty name and 0 if it is not.
    function registrationOf(bytes32 jobId) external view returns (string memory name, uint32 version);

    /// @notice How many names were proposed.
    function nameCount() external view returns (uint256 count);

    /// @notice The name proposed as number `index`, counted from 0.
    function nameAt(uint256 index) external view returns (string memory name);
}
