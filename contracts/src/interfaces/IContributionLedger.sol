// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title What each party contributed to a job's model.
/// @notice Shares and utilities are public, in millionths; the contract checks that they add up, not that they are true.
interface IContributionLedger {
    /// @notice The active party `by` recorded the shares, in the order of the roster.
    event ContributionRecorded(
        bytes32 indexed jobId,
        address indexed by,
        address[] roster,
        int64[] sharesE6,
        int64 utilityFullE6,
        int64 utilityEmptyE6
    );

    /// @notice The job's contributions were recorded before.
    error AlreadyRecorded(bytes32 jobId);
    /// @notice Not one share per roster party.
    error ShareCountInvalid(uint256 expected, uint256 found);
    /// @notice The shares do not sum to the full utility minus the empty one.
    error SharesDoNotSum(int256 expected, int256 found);
    /// @notice Not an accepted contribution uplink of this job by the caller.
    error NotContributionUplink(bytes32 jobId, bytes32 uplinkId);

    /// @notice Records the shares. Requirements: active party, Accredited, phase Evaluating, once, one share per roster party,
    /// sum(sharesE6) == utilityFullE6 - utilityEmptyE6. Emits {ContributionRecorded}.
    /// @param jobId the job.
    /// @param uplinkId the caller's accepted contribution uplink of this job.
    /// @param sharesE6 utility attributed to each roster party, scaled by 1e6.
    /// @param utilityFullE6 utility of all parties together, scaled by 1e6.
    /// @param utilityEmptyE6 utility of none, scaled by 1e6.
    function record(
        bytes32 jobId,
        bytes32 uplinkId,
        int64[] calldata sharesE6,
        int64 utilityFullE6,
        int64 utilityEmptyE6
    ) external;

    /// @notice What was recorded; `blockNumber` is 0 and `sharesE6` empty if nothing was.
    function contributionOf(bytes32 jobId)
        external
        view
        returns (
            address[] memory roster,
            int64[] memory sharesE6,
            int64 utilityFullE6,
            int64 utilityEmptyE6,
            uint64 blockNumber
        );
}
