// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Where the contracts of a consortium are, by version.
/// @notice Contracts are immutable; what changes is which of them new jobs use. The directory maps names to addresses.
/// k of n stewards propose another version, which takes effect no earlier than a fixed delay later, so that every party
/// can look at it and leave. Every earlier version stays readable: a job lives in the contracts that it was proposed in.
/// A name is the contract's, in ASCII, left-aligned in 32 bytes.
interface IDirectory {
    /// @notice Version `version` will give `names` these `addresses`, from the second `notBefore` (Unix time) on.
    event ChangeProposed(uint64 indexed version, bytes32[] names, address[] addresses, uint64 notBefore);
    /// @notice The pending change to `version` will not happen.
    event ChangeCancelled(uint64 indexed version);
    /// @notice Version `version` is in force.
    event ChangeApplied(uint64 indexed version, bytes32[] names, address[] addresses);

    /// @notice The caller did not deploy the directory.
    error NotDeployer(address caller);
    /// @notice The first version was set already, or (`version` 0) not yet.
    error FirstVersion(uint64 version);
    /// @notice The delay is longer than `max` seconds.
    error DelayInvalid(uint64 delay, uint64 max);
    /// @notice A change names 1..`max` contracts and as many addresses.
    error ChangeSizeInvalid(uint256 names, uint256 addresses, uint256 max);
    /// @notice The name is empty, or stands twice in the change.
    error NameInvalid(bytes32 name);
    /// @notice There is no contract at the address.
    error NotContract(bytes32 name, address found);
    /// @notice One change is pending; it is applied or cancelled before another.
    error ChangePending(uint64 version);
    /// @notice No change is pending.
    error NoChangePending();
    /// @notice The change takes effect at `notBefore` (Unix time in seconds), later than now.
    error TooEarly(uint64 notBefore, uint256 timestamp);
    /// @notice There is no such version yet.
    error UnknownVersion(uint64 version, uint64 current);

    /// @notice Sets version 1, without delay. Requirements: the deployer, once.
    /// Emits {ChangeApplied}. Reverts with {NotDeployer}, {FirstVersion} and as {propose}.
    /// @param names 1..32 distinct names, none empty.
    /// @param addresses as many, each with code.
    function setFirst(bytes32[] calldata names, address[] calldata addresses) external;

    /// @notice A steward's vote to give names other addresses; when carried, the change is pending for the delay.
    /// Names that it does not mention keep their addresses. Votes for it are void once another change
    /// was applied or cancelled.
    /// Requirements: version 1 was set, no change is pending, the caller is a steward who has not voted for it.
    /// Emits (in {IStewards}) VoteCast and, when it carries, {ChangeProposed}.
    /// Reverts with {FirstVersion}, {ChangePending}, {ChangeSizeInvalid}, {NameInvalid}, {NotContract}.
    /// @param names 1..32 distinct names, none empty; new names are allowed.
    /// @param addresses as many, each with code.
    /// @return carried whether this vote carried the proposal.
    function propose(bytes32[] calldata names, address[] calldata addresses) external returns (bool carried);

    /// @notice A steward's vote to drop the pending change. Requirements: a change is pending (also when its delay is over).
    /// Emits (in {IStewards}) VoteCast and, when it carries, {ChangeCancelled}. Reverts with {NoChangePending}.
    /// @return carried whether this vote carried the cancellation.
    function cancel() external returns (bool carried);

    /// @notice Puts the pending change into force. Anybody may.
    /// Requirements: a change is pending and its delay is over.
    /// Emits {ChangeApplied}. Reverts with {NoChangePending}, {TooEarly}.
    function applyChange() external;

    /// @notice The address of `name` in the version in force; zero if it has none.
    function addressOf(bytes32 name) external view returns (address);

    /// @notice The address that `name` had in `version`; zero if it had none. Reverts with {UnknownVersion} beyond the
    /// version in force. Version 0 is empty.
    function addressAt(bytes32 name, uint64 version) external view returns (address);

    /// @notice The version in force, from 1; 0 before {setFirst}. It grows by one with each change.
    function version() external view returns (uint64);

    /// @notice The pending change; `version` is 0 when there is none. `notBefore` is Unix time in seconds.
    function pending()
        external
        view
        returns (uint64 version, uint64 notBefore, bytes32[] memory names, address[] memory addresses);

    /// @notice Seconds between a proposal and the first moment at which it may be applied; fixed, at most a year.
    function delay() external view returns (uint64);

    /// @notice The motion (of this contract, see {IStewards}) that {propose} votes on now.
    function proposalMotionOf(bytes32[] calldata names, address[] calldata addresses)
        external
        view
        returns (bytes32 motion);

    /// @notice The motion (of this contract, see {IStewards}) that {cancel} votes on now.
    function cancellationMotion() external view returns (bytes32 motion);
}
