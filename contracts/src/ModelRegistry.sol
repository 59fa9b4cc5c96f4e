// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IJobManager} from "./interfaces/IJobManager.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";

/// @title ModelRegistry
/// @notice See {IModelRegistry}. Only a name's history says which version is in use, so there is never a second one.
contract ModelRegistry is IModelRegistry {
    uint256 private constant MAX_NAME_BYTES = 64;

    /// @dev First slot: the job; second: all the rest but the digests. Bit i of `approved` belongs to the party at
    /// position i of the roster, `everyone` has all of them set.
    struct Version {
        bytes32 jobId;
        address proposer;
        uint8 approved;
        uint8 everyone;
        uint40 frozenAt;
        uint40 activatedAt;
        bytes32[] digests;
    }

    /// @dev `history` is a stack: its last entry is in use, the ones before were when it was activated.
    struct Model {
        string name;
        address holder;
        uint32 versions;
        uint32[] history;
        mapping(uint32 version => Version) versionAt;
    }

    /// @notice Who is accredited.
    IParticipantRegistry public immutable registry;
    /// @notice The jobs whose models are registered.
    IJobManager public immutable jobs;

    mapping(bytes32 nameHash => Model) private _models;
    bytes32[] private _nameHashes;
    /// @dev Where a job's model was proposed, and as what it is frozen; zero if it was not, or is not.
    mapping(bytes32 jobId => mapping(bytes32 nameHash => uint32 version)) private _proposedAs;
    mapping(bytes32 jobId => bytes32 nameHash) private _frozenAs;

    /// @notice Takes the contracts it reads.
    constructor(IParticipantRegistry registry_, IJobManager jobs_) {
        registry = registry_;
        jobs = jobs_;
    }

    /// @inheritdoc IModelRegistry
    function propose(string calldata name, bytes32 jobId) external returns (uint32 version) {
        _requireName(bytes(name));
        IJobManager.Phase phase = jobs.phaseOf(jobId);
        if (phase == IJobManager.Phase.None) revert IJobManager.UnknownJob(jobId);
        (address party,) = _requireOnRoster(jobId);
        if (phase != IJobManager.Phase.Completed) revert IJobManager.WrongPhase(IJobManager.Phase.Completed, phase);

        bytes32 nameHash = keccak256(bytes(name));
        Model storage model = _models[nameHash];
        address[] memory roster = jobs.rosterOf(jobId);
        _requireFree(model, jobId, roster[0]);
        uint32 earlier = _proposedAs[jobId][nameHash];
        if (earlier != 0) revert JobProposedBefore(jobId, earlier);

        if (model.versions == 0) {
            model.name = name;
            _nameHashes.push(nameHash);
        }
        version = model.versions + 1;
        model.versions = version;
        _proposedAs[jobId][nameHash] = version;
        bytes32[] memory digests = new bytes32[](roster.length);
        for (uint256 i = 0; i < roster.length; ++i) {
            digests[i] = jobs.shardDigestOf(jobId, roster[i]);
        }
        Version storage stored = model.versionAt[version];
        stored.jobId = jobId;
        stored.proposer = party;
        // forge-lint: disable-next-line(unsafe-typecast, incorrect-shift)
        stored.everyone = uint8((1 << roster.length) - 1); // a roster has at most 8 parties
        stored.digests = digests;
        emit ModelProposed(nameHash, version, jobId, name, party, roster, digests);
    }

    /// @inheritdoc IModelRegistry
    function approve(string calldata name, uint32 version) external {
        (bytes32 nameHash, Model storage model, Version storage stored) = _requireVersion(name, version);
        (address party, uint256 index) = _requireOnRoster(stored.jobId);
        State state = _stateOf(model, version);
        if (state != State.Proposed) revert WrongModelState(version, State.Proposed, state);
        address activeParty = jobs.rosterOf(stored.jobId)[0];
        _requireFree(model, stored.jobId, activeParty);
        _record(stored, version, party, index);
        emit ModelApproved(
            nameHash, version, stored.jobId, name, party, _count(stored.approved), _count(stored.everyone)
        );
        if (stored.approved != stored.everyone) return;
        stored.frozenAt = uint40(block.number);
        model.holder = activeParty;
        _frozenAs[stored.jobId] = nameHash;
        emit ModelFrozen(nameHash, version, stored.jobId, name);
    }

    /// @inheritdoc IModelRegistry
    function activate(string calldata name, uint32 version) external {
        (bytes32 nameHash, Model storage model, Version storage stored) = _requireVersion(name, version);
        address party = _requireActiveParty(stored.jobId);
        State state = _stateOf(model, version);
        if (state != State.Frozen && state != State.Retired) revert WrongModelState(version, State.Frozen, state);
        uint32 replaced = _inUse(model);
        model.history.push(version);
        stored.activatedAt = uint40(block.number);
        emit ModelActivated(nameHash, version, stored.jobId, name, party, replaced);
    }

    /// @inheritdoc IModelRegistry
    function rollBack(string calldata name) external {
        bytes32 nameHash = keccak256(bytes(name));
        Model storage model = _models[nameHash];
        uint32 withdrawn = _inUse(model);
        if (withdrawn == 0) revert NothingToRollBackTo(0);
        address party = _requireActiveParty(model.versionAt[withdrawn].jobId);
        if (model.history.length == 1) revert NothingToRollBackTo(withdrawn);
        model.history.pop();
        uint32 version = _inUse(model);
        Version storage stored = model.versionAt[version];
        stored.activatedAt = uint40(block.number);
        emit ModelRolledBack(nameHash, version, stored.jobId, name, party, withdrawn);
    }

    /// @inheritdoc IModelRegistry
    function versionOf(string calldata name, uint32 version) external view returns (VersionView memory found) {
        Model storage model = _modelOf(name);
        Version storage stored = model.versionAt[version];
        found.state = _stateOf(model, version);
        if (found.state == State.None) return found;
        found.jobId = stored.jobId;
        found.activeParty = jobs.rosterOf(stored.jobId)[0];
        found.proposer = stored.proposer;
        found.approvals = _count(stored.approved);
        found.approvalsNeeded = _count(stored.everyone);
        found.frozenAt = stored.frozenAt;
        found.activatedAt = stored.activatedAt;
    }

    /// @inheritdoc IModelRegistry
    function activeVersion(string calldata name) external view returns (uint32 version) {
        return _inUse(_modelOf(name));
    }

    /// @inheritdoc IModelRegistry
    function shardDigestsOf(string calldata name, uint32 version)
        external
        view
        returns (address[] memory roster, bytes32[] memory digests)
    {
        Version storage stored = _modelOf(name).versionAt[version];
        return (jobs.rosterOf(stored.jobId), stored.digests);
    }

    /// @inheritdoc IModelRegistry
    function approvalsOf(string calldata name, uint32 version)
        external
        view
        returns (address[] memory roster, bool[] memory approved)
    {
        Version storage stored = _modelOf(name).versionAt[version];
        roster = jobs.rosterOf(stored.jobId);
        approved = new bool[](roster.length);
        for (uint256 i = 0; i < roster.length; ++i) {
            approved[i] = (stored.approved >> i) & 1 == 1;
        }
    }

    /// @inheritdoc IModelRegistry
    function versionCount(string calldata name) external view returns (uint32 versions) {
        return _modelOf(name).versions;
    }

    /// @inheritdoc IModelRegistry
    function holderOf(string calldata name) external view returns (address holder) {
        return _modelOf(name).holder;
    }

    /// @inheritdoc IModelRegistry
    function proposalOf(string calldata name, bytes32 jobId) external view returns (uint32 version) {
        return _proposedAs[jobId][keccak256(bytes(name))];
    }

    /// @inheritdoc IModelRegistry
    function registrationOf(bytes32 jobId) external view returns (string memory name, uint32 version) {
        bytes32 nameHash = _frozenAs[jobId];
        return (_models[nameHash].name, _proposedAs[jobId][nameHash]);
    }

    /// @inheritdoc IModelRegistry
    function nameCount() external view returns (uint256 count) {
        return _nameHashes.length;
    }

    /// @inheritdoc IModelRegistry
    function nameAt(uint256 index) external view returns (string memory name) {
        return _models[_nameHashes[index]].name;
    }

    /// @dev Sets the bit of the party at position `index`.
    function _record(Version storage stored, uint32 version, address party, uint256 index) private {
        // forge-lint: disable-next-line(unsafe-typecast, incorrect-shift)
        uint8 bit = uint8(1 << index); // a position on a roster is at most 7
        uint8 approved = stored.approved;
        if (approved & bit != 0) revert AlreadyApproved(version, party);
        stored.approved = approved | bit;
    }

    /// @dev The caller's party and its position on the roster.
    function _requireOnRoster(bytes32 jobId) private view returns (address party, uint256 index) {
        IParticipantRegistry.Status status;
        (party, status) = registry.identify(msg.sender);
        index = jobs.rosterIndexOf(jobId, party);
        if (index == type(uint256).max) revert IJobManager.NotOnRoster(jobId, msg.sender);
        if (status != IParticipantRegistry.Status.Accredited) revert IJobManager.PartyNotAccredited(party);
    }

    function _requireActiveParty(bytes32 jobId) private view returns (address party) {
        uint256 index;
        (party, index) = _requireOnRoster(jobId);
        if (index != 0) revert IJobManager.NotActiveParty(jobId, party);
    }

    function _requireVersion(string calldata name, uint32 version)
        private
        view
        returns (bytes32 nameHash, Model storage model, Version storage stored)
    {
        nameHash = keccak256(bytes(name));
        model = _models[nameHash];
        if (version == 0 || version > model.versions) revert UnknownVersion(version, model.versions);
        stored = model.versionAt[version];
    }

    /// @dev Neither the name nor the job may have been bound otherwise by a freeze.
    function _requireFree(Model storage model, bytes32 jobId, address activeParty) private view {
        address holder = model.holder;
        if (holder != address(0) && holder != activeParty) revert ModelNameTaken(holder, activeParty);
        bytes32 frozenAs = _frozenAs[jobId];
        if (frozenAs != 0) revert JobRegistered(jobId, _models[frozenAs].name, _proposedAs[jobId][frozenAs]);
    }

    function _modelOf(string calldata name) private view returns (Model storage model) {
        return _models[keccak256(bytes(name))];
    }

    function _inUse(Model storage model) private view returns (uint32 version) {
        uint256 length = model.history.length;
        return length == 0 ? 0 : model.history[length - 1];
    }

    function _stateOf(Model storage model, uint32 version) private view returns (State) {
        if (version == 0 || version > model.versions) return State.None;
        if (version == _inUse(model)) return State.Active;
        Version storage stored = model.versionAt[version];
        if (stored.activatedAt != 0) return State.Retired;
        return stored.frozenAt != 0 ? State.Frozen : State.Proposed;
    }

    /// @dev How many bits are set.
    function _count(uint8 mask) private pure returns (uint8 bits) {
        for (; mask != 0; mask &= mask - 1) {
            ++bits;
        }
    }

    function _requireName(bytes calldata name) private pure {
        if (name.length == 0 || name.length > MAX_NAME_BYTES) revert ModelNameInvalid(name.length, MAX_NAME_BYTES);
        for (uint256 i = 0; i < name.length; ++i) {
            bytes1 c = name[i];
            bool allowed = (c >= "a" && c <= "z") || (c >= "0" && c <= "9") || c == "_" || c == "-";
            if (!allowed) revert ModelNameInvalid(name.length, MAX_NAME_BYTES);
        }
    }
}
