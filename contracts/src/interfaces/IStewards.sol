// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title k of n: the stewards of a consortium, and what they vote on.
/// @notice A contract that lets stewards decide asks {vote} at each call of a steward: it passes on who called it and
/// what is decided (the motion, a hash that it computes), and acts when told that the motion is carried. The votes of
/// one contract (the domain) never count for another's. Everything here is public: who voted for what, and when.
/// Anybody may call {vote} in its own name; a reader of the events takes those alone whose `domain` it knows.
interface IStewards {
    /// @notice `steward` voted for `motion` of the contract `domain`: `votes` of the `threshold` needed are cast.
    event VoteCast(
        address indexed domain, bytes32 indexed motion, address indexed steward, uint32 votes, uint32 threshold
    );
    /// @notice `motion` of the contract `domain` has its votes; it may be put anew.
    event MotionCarried(address indexed domain, bytes32 indexed motion);
    /// @notice These are the stewards from now on; every open vote is void.
    event StewardsChanged(address[] stewards, uint32 threshold, uint64 epoch);

    /// @notice The caller, or who is said to have called, is no steward.
    error NotSteward(address caller);
    /// @notice The steward's vote for the motion is counted already.
    error AlreadyVoted(address steward, bytes32 motion);
    /// @notice Stewards are 1..32 distinct addresses other than zero; the threshold is 1..`count`.
    error StewardsInvalid(uint256 count, uint32 threshold);

    /// @notice Counts a vote for a motion of the calling contract; the vote that reaches the threshold carries it.
    /// Votes do not lapse with time, only with the stewards: a motion must hold whatever would make it another one.
    /// Requirements: `steward` is a steward and has not voted for this motion since it was last carried.
    /// Emits {VoteCast} and, when it carries, {MotionCarried}. Reverts with {NotSteward}, {AlreadyVoted}.
    /// @param steward who called the calling contract.
    /// @param motion what is decided, in the calling contract's own terms.
    /// @return carried whether this vote carries the motion; its votes are then cleared.
    function vote(address steward, bytes32 motion) external returns (bool carried);

    /// @notice A steward's vote for another set of stewards. When carried, the set and the threshold are replaced at once,
    /// the epoch grows by one and all open votes, also of other contracts, are void.
    /// Requirements: the caller is a steward who has not voted for this very change (order of addresses included).
    /// Emits {VoteCast} with this contract as domain and, when it carries, {MotionCarried} and {StewardsChanged}.
    /// Reverts with {StewardsInvalid}, {NotSteward}, {AlreadyVoted}.
    /// @param stewards 1..32 distinct addresses other than zero.
    /// @param threshold how many votes carry a motion, 1..the number of stewards.
    /// @return carried whether this vote carried the change.
    function change(address[] calldata stewards, uint32 threshold) external returns (bool carried);

    /// @notice Whether `account` is a steward now.
    function isSteward(address account) external view returns (bool);

    /// @notice The stewards, in the order given.
    function stewards() external view returns (address[] memory);

    /// @notice How many votes carry a motion.
    function threshold() external view returns (uint32);

    /// @notice The number of the present set of stewards, from 1.
    function epoch() external view returns (uint64);

    /// @notice The votes that count now for `motion` of the contract `domain`; 0 once it is carried.
    function votesOf(address domain, bytes32 motion) external view returns (uint32);

    /// @notice Whether the vote of `steward` for `motion` of the contract `domain` counts now.
    function hasVoted(address domain, bytes32 motion, address steward) external view returns (bool);

    /// @notice The motion, in this contract's own domain, that {change} votes on.
    function changeMotionOf(address[] calldata stewards, uint32 threshold) external pure returns (bytes32 motion);
}
