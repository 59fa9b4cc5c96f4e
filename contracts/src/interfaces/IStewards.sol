// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title The stewards: who they are, and their votes.
/// @notice Their votes are public.
interface IStewards {
    /// @notice `steward` voted for `motion`, which the contract `domain` computes.
    event VoteCast(
        address indexed domain, bytes32 indexed motion, address indexed steward, uint32 votes, uint32 threshold
    );
    /// @notice `motion` has enough votes.
    event MotionCarried(address indexed domain, bytes32 indexed motion);
    /// @notice The stewards are others now; all open votes are void.
    event StewardsChanged(address[] stewards, uint32 threshold, uint64 epoch);

    /// @notice `caller` is no steward.
    error NotSteward(address caller);
    /// @notice `steward` has voted for this motion.
    error AlreadyVoted(address steward, bytes32 motion);
    /// @notice There are 1..32 distinct stewards other than zero, and the threshold is 1..count.
    error StewardsInvalid(uint256 count, uint32 threshold);

    /// @notice A vote of `steward` in the domain of the calling contract; true when it carries the motion.
    function vote(address steward, bytes32 motion) external returns (bool carried);

    /// @notice A steward's vote for another set.
    function change(address[] calldata stewards, uint32 threshold) external returns (bool carried);

    /// @notice Whether `account` is a steward.
    function isSteward(address account) external view returns (bool);

    /// @notice All stewards.
    function stewards() external view returns (address[] memory);

    /// @notice Votes that carry a motion.
    function threshold() external view returns (uint32);

    /// @notice Counts the changes of the set.
    function epoch() external view returns (uint64);

    /// @notice Votes for an open motion.
    function votesOf(address domain, bytes32 motion) external view returns (uint32);
}
