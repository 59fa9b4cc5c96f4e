// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IInferenceRouter} from "./interfaces/IInferenceRouter.sol";
import {IJobManager} from "./interfaces/IJobManager.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {IUplinkLedger} from "./interfaces/IUplinkLedger.sol";

/// @title InferenceRouter
/// @notice See {IInferenceRouter}. A request is one storage slot, and so is all that is counted of a requester in a job.
contract InferenceRouter is IInferenceRouter {
    /// @notice The first request of every job; larger than any round in practice.
    uint32 public constant FIRST_REQUEST_ID = 2 ** 31;
    /// @notice At most this many requests in one call of {ask} or {closeMany}.
    uint256 public constant MAX_REQUESTS = 64;
    /// @notice At most this many bytes in a strict request's body.
    uint256 public constant MAX_BODY_BYTES = 4096;
    /// @notice At most this many serials in one reservation.
    uint32 public constant MAX_RESERVED = 2 ** 24;
    /// @notice The largest quota.
    uint64 public constant MAX_QUOTA = 2 ** 40;
    /// @notice The shortest window; its number then fits 32 bits.
    uint32 public constant MIN_WINDOW = 60;
    /// @notice The longest window, and the longest time for an answer.
    uint32 public constant MAX_SECONDS = 366 days;

    /// @param openedBlock when it was opened or asked.
    /// @param moment of an open one the last second of its time, 0 if it has no end; of a closed one the block of its end.
    /// @param reason Accepted, or why it was rejected at once.
    struct Request {
        address requester;
        RequestStatus status;
        uint40 openedBlock;
        uint40 moment;
        IUplinkLedger.Reason reason;
    }

    /// @param next the first serial that is not reserved.
    /// @param used rows that count in `window`, at most the quota.
    /// @param window the latest in which anything was counted.
    /// @param anchored serials that the anchors are about.
    /// @param anchors how many there are.
    struct Usage {
        uint64 next;
        uint48 used;
        uint32 window;
        uint64 anchored;
        uint32 anchors;
    }

    /// @dev What the requests of one call of {ask} share.
    /// @param placed the first rule that all break, whatever their content.
    /// @param deadline the last second of their time.
    struct Asking {
        bytes32 jobId;
        address party;
        IUplinkLedger.Reason placed;
        uint64 quota;
        uint40 deadline;
    }

    /// @notice Who is accredited.
    IParticipantRegistry public immutable registry;
    /// @notice The jobs that requests belong to.
    IJobManager public immutable jobs;

    mapping(bytes32 jobId => Request[]) private _requests;
    mapping(bytes32 jobId => Terms) private _terms;
    mapping(bytes32 jobId => mapping(address requester => Usage)) private _usage;
    mapping(bytes32 jobId => mapping(address requester => mapping(uint32 index => bytes32))) private _anchors;

    /// @notice Takes the contracts it reads.
    constructor(IParticipantRegistry registry_, IJobManager jobs_) {
        registry = registry_;
        jobs = jobs_;
    }

    /// @inheritdoc IInferenceRouter
    function setTerms(bytes32 jobId, uint64 quota, uint32 windowSeconds, uint32 answerSeconds) external {
        (address party, uint256 index, IJobManager.Phase phase) = _requireOnRoster(jobId);
        if (index != 0) revert IJobManager.NotActiveParty(jobId, party);
        if (phase > IJobManager.Phase.Aligning) revert TermsTooLate(jobId);
        if (_terms[jobId].quota != 0) revert TermsAlreadySet(jobId);
        if (quota == 0 || quota > MAX_QUOTA) revert TermsInvalid();
        if (windowSeconds < MIN_WINDOW || windowSeconds > MAX_SECONDS) revert TermsInvalid();
        if (answerSeconds == 0 || answerSeconds > MAX_SECONDS) revert TermsInvalid();
        _terms[jobId] = Terms(quota, windowSeconds, answerSeconds);
        emit TermsSet(jobId, party, quota, windowSeconds, answerSeconds);
    }

    /// @inheritdoc IInferenceRouter
    function reserve(bytes32 jobId, uint32 count) external returns (uint64 first) {
        address party = _requireOnRosterOfCompleted(jobId);
        if (count == 0 || count > MAX_RESERVED) revert CountInvalid(count, MAX_RESERVED);
        Terms memory terms = _terms[jobId];
        if (terms.quota == 0) revert TermsMissing(jobId);
        Usage memory usage = _usageNow(jobId, party, terms);
        uint64 left = terms.quota - usage.used;
        if (count > left) revert QuotaExceeded(party, left, (uint64(usage.window) + 1) * terms.windowSeconds);
        first = usage.next;
        usage.next = first + count;
        usage.used += count;
        _usage[jobId][party] = usage;
        emit Reserved(jobId, party, first, count, usage.window);
    }

    /// @inheritdoc IInferenceRouter
    function anchor(bytes32 jobId, bytes32 root, uint32 count) external returns (uint32 index) {
        (address party,,) = _requireOnRoster(jobId);
        if (root == 0) revert RootInvalid();
        Usage memory usage = _usage[jobId][party];
        uint64 open_ = usage.next - usage.anchored;
        if (count == 0 || count > open_) revert CountInvalid(count, open_);
        index = usage.anchors;
        usage.anchors = index + 1;
        usage.anchored += count;
        _usage[jobId][party] = usage;
        _anchors[jobId][party][index] = root;
        emit ReceiptsAnchored(jobId, party, index, root, count);
    }

    /// @inheritdoc IInferenceRouter
    function open(bytes32 jobId) external returns (uint32 requestId) {
        address party = _requireOnRosterOfCompleted(jobId);
        requestId = _push(jobId, party, RequestStatus.Open, 0, IUplinkLedger.Reason.Accepted);
        emit RequestOpened(jobId, requestId, party);
    }

    /// @inheritdoc IInferenceRouter
    function ask(bytes32 jobId, bytes32[] calldata digests, bytes[] calldata bodies)
        external
        returns (uint32 firstRequestId)
    {
        _requireLists(digests.length, bodies.length);
        (address party, IParticipantRegistry.Status status) = registry.identify(msg.sender);
        if (status < IParticipantRegistry.Status.Accredited) revert IUplinkLedger.CallerNotAccredited(msg.sender);
        firstRequestId = FIRST_REQUEST_ID + uint32(_requests[jobId].length);

        Asking memory asking;
        Terms memory terms = _terms[jobId];
        asking.jobId = jobId;
        asking.party = party;
        asking.placed = _judgePlace(jobId, party, status);
        asking.quota = terms.quota;
        asking.deadline = uint40(block.timestamp) + terms.answerSeconds;
        Usage memory usage = _usageNow(jobId, party, terms);
        uint48 usedBefore = usage.used;
        for (uint256 i = 0; i < digests.length; ++i) {
            if (_ask(asking, usage.used, digests[i], bodies[i])) ++usage.used;
        }
        if (usage.used != usedBefore) _usage[jobId][party] = usage;
    }

    /// @inheritdoc IInferenceRouter
    function close(bytes32 jobId, uint32 requestId, uint8 outcome) external {
        Request storage request = _requireRequest(jobId, requestId);
        (address party, IParticipantRegistry.Status status) = registry.identify(msg.sender);
        bool isActive = request.requester != party && jobs.rosterIndexOf(jobId, party) == 0;
        _requireMayClose(jobId, request, party, isActive);
        _requireAccredited(party, status);
        _requireOutcome(outcome);
        if (request.status != RequestStatus.Open) revert RequestNotOpen(jobId, requestId);
        _close(jobId, requestId, request, party, outcome);
    }

    /// @inheritdoc IInferenceRouter
    function closeMany(bytes32 jobId, uint32[] calldata requestIds, uint8[] calldata outcomes)
        external
        returns (uint256 closed)
    {
        _requireLists(requestIds.length, outcomes.length);
        (address party, IParticipantRegistry.Status status) = registry.identify(msg.sender);
        bool isActive = jobs.rosterIndexOf(jobId, party) == 0;
        for (uint256 i = 0; i < requestIds.length; ++i) {
            Request storage request = _requireRequest(jobId, requestIds[i]);
            _requireMayClose(jobId, request, party, isActive);
            _requireAccredited(party, status);
            _requireOutcome(outcomes[i]);
            if (request.status != RequestStatus.Open) continue;
            _close(jobId, requestIds[i], request, party, outcomes[i]);
            ++closed;
        }
    }

    /// @inheritdoc IInferenceRouter
    function expire(bytes32 jobId, uint32 requestId) external {
        Request storage request = _requireRequest(jobId, requestId);
        (address party,,) = _requireOnRoster(jobId);
        if (request.status != RequestStatus.Open) revert RequestNotOpen(jobId, requestId);
        uint40 deadline = request.moment;
        if (deadline == 0) revert RequestWithoutDeadline(jobId, requestId);
        // an answer has minutes: what a block's proposer can move its time by does not matter
        // forge-lint: disable-next-line(block-timestamp)
        if (block.timestamp <= deadline) revert IJobManager.DeadlineNotReached(deadline, uint64(block.timestamp));
        _close(jobId, requestId, request, party, uint8(RequestStatus.Expired));
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
        Request storage request = _requireRequest(jobId, requestId);
        (requester, status, openedBlock) = (request.requester, request.status, request.openedBlock);
        closedBlock = status == RequestStatus.Open ? 0 : request.moment;
    }

    /// @inheritdoc IInferenceRouter
    function reasonOf(bytes32 jobId, uint32 requestId) external view returns (IUplinkLedger.Reason reason) {
        return _requireRequest(jobId, requestId).reason;
    }

    /// @inheritdoc IInferenceRouter
    function deadlineOf(bytes32 jobId, uint32 requestId) external view returns (uint64 deadline) {
        Request storage request = _requireRequest(jobId, requestId);
        return request.status == RequestStatus.Open ? request.moment : 0;
    }

    /// @inheritdoc IInferenceRouter
    function requestCount(bytes32 jobId) external view returns (uint256) {
        return _requests[jobId].length;
    }

    /// @inheritdoc IInferenceRouter
    function termsOf(bytes32 jobId) external view returns (Terms memory terms) {
        return _terms[jobId];
    }

    /// @inheritdoc IInferenceRouter
    function reservationOf(bytes32 jobId, address requester)
        external
        view
        returns (uint64 next, uint64 usedInWindow, uint32 window)
    {
        Usage memory usage = _usageNow(jobId, requester, _terms[jobId]);
        return (usage.next, usage.used, usage.window);
    }

    /// @inheritdoc IInferenceRouter
    function anchorsOf(bytes32 jobId, address requester) external view returns (uint32 count, uint64 serials) {
        Usage storage usage = _usage[jobId][requester];
        return (usage.anchors, usage.anchored);
    }

    /// @inheritdoc IInferenceRouter
    function anchorOf(bytes32 jobId, address requester, uint32 index) external view returns (bytes32 root) {
        return _anchors[jobId][requester][index];
    }

    /// @inheritdoc IInferenceRouter
    function isAnchored(bytes32 jobId, address requester, uint32 index, bytes32 root) external view returns (bool) {
        return root != 0 && _anchors[jobId][requester][index] == root;
    }

    /// @inheritdoc IInferenceRouter
    function exists(bytes32 jobId, uint32 requestId) public view returns (bool) {
        return requestId >= FIRST_REQUEST_ID && requestId - FIRST_REQUEST_ID < _requests[jobId].length;
    }

    function _ask(Asking memory asking, uint48 used, bytes32 digest, bytes calldata body)
        private
        returns (bool accepted)
    {
        IUplinkLedger.Reason reason = asking.placed;
        if (reason == IUplinkLedger.Reason.Accepted) reason = _judgeContent(digest, body, used < asking.quota);
        accepted = reason == IUplinkLedger.Reason.Accepted;
        if (accepted) {
            uint32 taken = _push(asking.jobId, asking.party, RequestStatus.Open, asking.deadline, reason);
            emit RequestAsked(asking.jobId, taken, asking.party, digest, body);
        } else {
            uint32 refused = _push(asking.jobId, asking.party, RequestStatus.Rejected, uint40(block.number), reason);
            emit RequestRefused(asking.jobId, refused, asking.party, digest, reason);
        }
    }

    function _push(bytes32 jobId, address party, RequestStatus status, uint40 moment, IUplinkLedger.Reason reason)
        private
        returns (uint32 requestId)
    {
        Request[] storage requests = _requests[jobId];
        requestId = FIRST_REQUEST_ID + uint32(requests.length);
        requests.push(Request(party, status, uint40(block.number), moment, reason));
    }

    function _close(bytes32 jobId, uint32 requestId, Request storage request, address party, uint8 outcome) private {
        request.status = RequestStatus(outcome);
        request.moment = uint40(block.number);
        emit RequestClosed(jobId, requestId, party, outcome);
    }

    /// @dev As stored, but what counts in an earlier window counts no more.
    function _usageNow(bytes32 jobId, address party, Terms memory terms) private view returns (Usage memory usage) {
        usage = _usage[jobId][party];
        if (terms.windowSeconds == 0) return usage;
        // a window takes minutes: what a block's proposer can move its time by does not matter
        // forge-lint: disable-next-line(unsafe-typecast)
        uint32 window = uint32(block.timestamp / terms.windowSeconds);
        if (window != usage.window) (usage.window, usage.used) = (window, 0);
    }

    /// @dev The first rules, in the order of {IUplinkLedger-Reason}: who asks, and what.
    function _judgePlace(bytes32 jobId, address party, IParticipantRegistry.Status status)
        private
        view
        returns (IUplinkLedger.Reason)
    {
        if (status != IParticipantRegistry.Status.Accredited) return IUplinkLedger.Reason.SenderSuspended;
        IJobManager.Phase phase = jobs.phaseOf(jobId);
        if (phase == IJobManager.Phase.None) return IUplinkLedger.Reason.UnknownJob;
        if (jobs.rosterIndexOf(jobId, party) == type(uint256).max) return IUplinkLedger.Reason.NotOnRoster;
        if (phase != IJobManager.Phase.Completed) return IUplinkLedger.Reason.WrongPhase;
        return IUplinkLedger.Reason.Accepted;
    }

    /// @dev The others, in the order of {IUplinkLedger-Reason}.
    function _judgeContent(bytes32 digest, bytes calldata body, bool hasRoom)
        private
        pure
        returns (IUplinkLedger.Reason)
    {
        if (body.length == 0 || body.length > MAX_BODY_BYTES) return IUplinkLedger.Reason.SizeOutOfBounds;
        if (sha256(body) != digest) return IUplinkLedger.Reason.DigestMismatch;
        return hasRoom ? IUplinkLedger.Reason.Accepted : IUplinkLedger.Reason.RateExceeded;
    }

    function _requireOnRoster(bytes32 jobId)
        private
        view
        returns (address party, uint256 index, IJobManager.Phase phase)
    {
        phase = jobs.phaseOf(jobId);
        if (phase == IJobManager.Phase.None) revert IJobManager.UnknownJob(jobId);
        IParticipantRegistry.Status status;
        (party, status) = registry.identify(msg.sender);
        index = jobs.rosterIndexOf(jobId, party);
        if (index == type(uint256).max) revert IJobManager.NotOnRoster(jobId, msg.sender);
        _requireAccredited(party, status);
    }

    function _requireOnRosterOfCompleted(bytes32 jobId) private view returns (address party) {
        IJobManager.Phase phase;
        (party,, phase) = _requireOnRoster(jobId);
        if (phase != IJobManager.Phase.Completed) revert IJobManager.WrongPhase(IJobManager.Phase.Completed, phase);
    }

    function _requireRequest(bytes32 jobId, uint32 requestId) private view returns (Request storage request) {
        if (!exists(jobId, requestId)) revert UnknownRequest(jobId, requestId);
        return _requests[jobId][requestId - FIRST_REQUEST_ID];
    }

    function _requireMayClose(bytes32 jobId, Request storage request, address party, bool isActive) private view {
        if (request.requester != party && !isActive) revert NotRequesterOrActiveParty(jobId, msg.sender);
    }

    function _requireLists(uint256 length, uint256 other) private pure {
        if (length == 0 || length > MAX_REQUESTS || length != other) revert ListsInvalid(length, other, MAX_REQUESTS);
    }

    function _requireOutcome(uint8 outcome) private pure {
        if (outcome == 0 || outcome > uint8(type(RequestStatus).max)) revert OutcomeInvalid(outcome);
    }

    function _requireAccredited(address party, IParticipantRegistry.Status status) private pure {
        if (status != IParticipantRegistry.Status.Accredited) revert IJobManager.PartyNotAccredited(party);
    }
}
