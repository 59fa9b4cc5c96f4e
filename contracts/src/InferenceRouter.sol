// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IInferenceRouter} from "./interfaces/IInferenceRouter.sol";
import {IJobManager} from "./interfaces/IJobManager.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";

/// @title InferenceRouter
/// @notice See {IInferenceRouter}. A request is one storage slot.
contract InferenceRouter is IInferenceRouter {
    /// @notice The first request of every job; larger than any round in practice.
    uint32 public constant FIRST_REQUEST_ID = 2 ** 31;

    struct Request {
        address requester;
        RequestStatus status;
        uint40 openedBlock;
        uint40 closedBlock;
    }

    /// @notice Who is accredited.
    IParticipantRegistry public immutable registry;
    /// @notice The jobs that requests belong to.
    IJobManager public immutable jobs;

    mapping(bytes32 jobId => Request[]) private _requests;

    /// @notice Takes the contracts it reads.
    constructor(IParticipantRegistry registry_, IJobManager jobs_) {
        registry = registry_;
        jobs = jobs_;
    }

    /// @inheritdoc IInferenceRouter
    function open(bytes32 jobId) external returns (uint32 requestId) {
        IJobManager.Phase phase = jobs.phaseOf(jobId);
        if (phase == IJobManager.Phase.None) revert IJobManager.UnknownJob(jobId);
        (address party, IParticipantRegistry.Status status) = registry.identify(msg.sender);
        if (jobs.rosterIndexOf(jobId, party) == type(uint256).max) {
            revert IJobManager.NotOnRoster(jobId, msg.sender);
        }
        _requireAccredited(party, status);
        if (phase != IJobManager.Phase.Completed) revert IJobManager.WrongPhase(IJobManager.Phase.Completed, phase);

        Request[] storage requests = _requests[jobId];
        requestId = FIRST_REQUEST_ID + uint32(requests.length);
        requests.push(Request(party, RequestStatus.Open, uint40(block.number), 0));
        emit RequestOpened(jobId, requestId, party);
    }

    /// @inheritdoc IInferenceRouter
    function close(bytes32 jobId, uint32 requestId, uint8 outcome) external {
        if (!exists(jobId, requestId)) revert UnknownRequest(jobId, requestId);
        Request storage request = _requests[jobId][requestId - FIRST_REQUEST_ID];
        (address party, IParticipantRegistry.Status status) = registry.identify(msg.sender);
        if (request.requester != party && jobs.rosterIndexOf(jobId, party) != 0) {
            revert NotRequesterOrActiveParty(jobId, msg.sender);
        }
        _requireAccredited(party, status);
        if (outcome == 0 || outcome > uint8(type(RequestStatus).max)) revert OutcomeInvalid(outcome);
        if (request.status != RequestStatus.Open) revert RequestNotOpen(jobId, requestId);
        request.status = RequestStatus(outcome);
        request.closedBlock = uint40(block.number);
        emit RequestClosed(jobId, requestId, party, outcome);
    }

    /// @inheritdoc IInferenceRouter
    function isOpen(bytes32 jobId, uint32 requestId) external view returns (bool) {
        if (!exists(jobId, requestId)) return false;
        return _requests[jobId][requestId - FIRST_REQUEST_ID].status == RequestStatus.Open;
    }

    /// @inheritdoc IInferenceRouter
    function requestOf(bytes32 jobId, uint32 requestId)
        external
        view
        returns (address requester, RequestStatus status, uint64 openedBlock, uint64 closedBlock)
    {
        if (!exists(jobId, requestId)) revert UnknownRequest(jobId, requestId);
        Request storage request = _requests[jobId][requestId - FIRST_REQUEST_ID];
        return (request.requester, request.status, request.openedBlock, request.closedBlock);
    }

    /// @inheritdoc IInferenceRouter
    function requestCount(bytes32 jobId) external view returns (uint256) {
        return _requests[jobId].length;
    }

    /// @inheritdoc IInferenceRouter
    function exists(bytes32 jobId, uint32 requestId) public view returns (bool) {
        return requestId >= FIRST_REQUEST_ID && requestId - FIRST_REQUEST_ID < _requests[jobId].length;
    }

    function _requireAccredited(address party, IParticipantRegistry.Status status) private pure {
        if (status != IParticipantRegistry.Status.Accredited) revert IJobManager.PartyNotAccredited(party);
    }
}
