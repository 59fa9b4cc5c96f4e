// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Requests for predictions from a completed job, counted on chain.
/// @notice A request id stands in for the round in the uplinks that belong to it. Who asks, when and how often is
/// public; about whom is not.
interface IInferenceRouter {
    /// @dev The numbers from 1 on are the outcomes given to {close}.
    enum RequestStatus {
        Open,
        Done,
        Rejected,
        Expired
    }

    /// @notice `requester` opened a request.
    event RequestOpened(bytes32 indexed jobId, uint32 indexed requestId, address indexed requester);
    /// @notice `by` closed a request with outcome 1 done, 2 rejected or 3 expired.
    event RequestClosed(bytes32 indexed jobId, uint32 indexed requestId, address indexed by, uint8 outcome);

    /// @notice There is no such request.
    error UnknownRequest(bytes32 jobId, uint32 requestId);
    /// @notice The request was closed before.
    error RequestNotOpen(bytes32 jobId, uint32 requestId);
    /// @notice Only the requester or the active party closes.
    error NotRequesterOrActiveParty(bytes32 jobId, address caller);
    /// @notice An outcome is 1, 2 or 3.
    error OutcomeInvalid(uint8 outcome);

    /// @notice Opens a request; ids start at 2**31 and count up per job.
    /// Requirements: the caller is on the roster and Accredited, phase Completed. Emits {RequestOpened}.
    function open(bytes32 jobId) external returns (uint32 requestId);

    /// @notice Closes a request, once. Requirements: the caller is Accredited and the requester or the active party.
    /// Emits {RequestClosed}.
    /// @param jobId the job.
    /// @param requestId the request.
    /// @param outcome 1 done, 2 rejected, 3 expired.
    function close(bytes32 jobId, uint32 requestId, uint8 outcome) external;

    /// @notice Whether the request exists and is open.
    function isOpen(bytes32 jobId, uint32 requestId) external view returns (bool);

    /// @notice Whether the request was ever opened.
    function exists(bytes32 jobId, uint32 requestId) external view returns (bool);

    /// @notice A request; `status` is 0 open, otherwise its outcome; `closedBlock` is 0 while open.
    /// Requirements: it exists.
    function requestOf(bytes32 jobId, uint32 requestId)
        external
        view
        returns (address requester, RequestStatus status, uint64 openedBlock, uint64 closedBlock);

    /// @notice How many requests were opened for the job.
    function requestCount(bytes32 jobId) external view returns (uint256);
}
