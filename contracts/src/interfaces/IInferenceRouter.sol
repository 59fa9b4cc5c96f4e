// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IUplinkLedger} from "./IUplinkLedger.sol";

/// @title Who asks a completed job's model, how often, and that it was answered.
/// @notice There are three ways to ask, all counted here. Who asks, when and how often is public; about whom is not.
///
/// A request ({open}) has an id that stands in for the round in the uplinks that belong to it. A strict request ({ask}) is
/// one whose sealed body stands in the event that opens it: it is judged like an uplink, and the verdict is state.
/// Everything else is asked past the chain: the requester reserves serial numbers ({reserve}), one for each row, shows them
/// to who answers, and anchors the receipts that it gets ({anchor}).
///
/// Rows that are reserved, and strict requests, count against a quota: the terms that the active party sets ({setTerms}),
/// so many per requester and window. A window is a span of the chain's time, block.timestamp / windowSeconds, the same for
/// everybody: within any windowSeconds at most twice the quota can be asked.
interface IInferenceRouter {
    /// @dev The numbers from 1 on are the outcomes given to {close}.
    enum RequestStatus {
        Open,
        Done,
        Rejected,
        Expired
    }

    /// @param quota rows that one requester may reserve and ask in one window, 1..2**40.
    /// @param windowSeconds length of a window, 60 to 31,622,400 (366 days).
    /// @param answerSeconds how long a strict request may stay open before anybody on the roster may end it, 1..31,622,400.
    struct Terms {
        uint64 quota;
        uint32 windowSeconds;
        uint32 answerSeconds;
    }

    /// @notice The active party set the job's terms, once and for ever.
    event TermsSet(bytes32 indexed jobId, address indexed by, uint64 quota, uint32 windowSeconds, uint32 answerSeconds);
    /// @notice `requester` opened a request.
    event RequestOpened(bytes32 indexed jobId, uint32 indexed requestId, address indexed requester);
    /// @notice `requester` asked strictly, and the request is open. `digest` is sha256(body); `body` is sealed by the sender.
    event RequestAsked(
        bytes32 indexed jobId, uint32 indexed requestId, address indexed requester, bytes32 digest, bytes body
    );
    /// @notice `requester` asked strictly, and the request was rejected; `digest` is the one it claimed.
    event RequestRefused(
        bytes32 indexed jobId,
        uint32 indexed requestId,
        address indexed requester,
        bytes32 digest,
        IUplinkLedger.Reason reason
    );
    /// @notice `by` closed a request with outcome 1 done, 2 rejected or 3 expired.
    event RequestClosed(bytes32 indexed jobId, uint32 indexed requestId, address indexed by, uint8 outcome);
    /// @notice `requester` reserved the serials `first`..`first + count - 1`; they count in `window`.
    event Reserved(bytes32 indexed jobId, address indexed requester, uint64 first, uint32 count, uint32 window);
    /// @notice `requester` anchored receipts for `count` of its serials, as its anchor number `index`.
    event ReceiptsAnchored(bytes32 indexed jobId, address indexed requester, uint32 index, bytes32 root, uint32 count);

    /// @notice There is no such request.
    error UnknownRequest(bytes32 jobId, uint32 requestId);
    /// @notice The request was closed before.
    error RequestNotOpen(bytes32 jobId, uint32 requestId);
    /// @notice Only the requester or the active party closes.
    error NotRequesterOrActiveParty(bytes32 jobId, address caller);
    /// @notice An outcome is 1, 2 or 3.
    error OutcomeInvalid(uint8 outcome);
    /// @notice The request was opened, not asked: only who may close it ends it.
    error RequestWithoutDeadline(bytes32 jobId, uint32 requestId);
    /// @notice Terms are set while the job is Proposed or Aligning.
    error TermsTooLate(bytes32 jobId);
    /// @notice Terms are set once.
    error TermsAlreadySet(bytes32 jobId);
    /// @notice A term is out of its bounds; see {Terms}.
    error TermsInvalid();
    /// @notice The job has no terms: nothing can be reserved.
    error TermsMissing(bytes32 jobId);
    /// @notice `requester` may have `left` more rows until `windowEnds`, in seconds since 1970.
    error QuotaExceeded(address requester, uint64 left, uint64 windowEnds);
    /// @notice A count is `1..max`.
    error CountInvalid(uint256 count, uint256 max);
    /// @notice A root is not zero.
    error RootInvalid();
    /// @notice Lists of one call are of the same length, `1..max`.
    error ListsInvalid(uint256 length, uint256 other, uint256 max);

    /// @notice Sets a job's terms. Requirements: the caller is the active party and Accredited, phase Proposed or
    /// Aligning, once. Emits {TermsSet}.
    /// @param jobId the job.
    /// @param quota see {Terms}.
    /// @param windowSeconds see {Terms}.
    /// @param answerSeconds see {Terms}.
    function setTerms(bytes32 jobId, uint64 quota, uint32 windowSeconds, uint32 answerSeconds) external;

    /// @notice Reserves serial numbers for as many rows; they count up from 0 per job and requester, and are counted in the
    /// window in force, used or not. Requirements: the caller is on the roster and Accredited, phase Completed, the job has
    /// terms, and the quota leaves room. Emits {Reserved}.
    /// @param jobId the job.
    /// @param count rows, 1..2**24.
    /// @return first the first serial.
    function reserve(bytes32 jobId, uint32 count) external returns (uint64 first);

    /// @notice Anchors the receipts of answers: whoever has one then proves that it is older than this block.
    /// Requirements: the caller is on the roster and Accredited; all its anchors together are about no more serials than it
    /// reserved. Emits {ReceiptsAnchored}.
    /// @param jobId the job.
    /// @param root of the SHA-256 Merkle tree over the receipts, not zero.
    /// @param count how many serials these receipts are about, however many parties answered each; at least 1.
    /// @return index the anchor's number, counted from 0 per job and requester.
    function anchor(bytes32 jobId, bytes32 root, uint32 count) external returns (uint32 index);

    /// @notice Opens a request; ids start at 2**31 and count up per job.
    /// Requirements: the caller is on the roster and Accredited, phase Completed. Emits {RequestOpened}.
    function open(bytes32 jobId) external returns (uint32 requestId);

    /// @notice Asks strictly, 1..64 requests in one transaction. Each gets an id, one after the other, as {open} gives them.
    /// Each is judged as an uplink is, by the same reasons in the same order: SenderSuspended, UnknownJob, NotOnRoster,
    /// WrongPhase, SizeOutOfBounds (a body has 1..4096 bytes), DigestMismatch, RateExceeded (no terms, or the quota of this
    /// window is used up). One that is in order is open and counts as one row; any other is Rejected from the beginning.
    /// Requirements: the caller is the signer of a party that is Accredited, Suspended or Banned. Emits {RequestAsked} or
    /// {RequestRefused} for each.
    /// @param jobId the job.
    /// @param digests sha256 of each body.
    /// @param bodies what is asked, sealed by the sender to whom it concerns.
    /// @return firstRequestId the id of the first.
    function ask(bytes32 jobId, bytes32[] calldata digests, bytes[] calldata bodies)
        external
        returns (uint32 firstRequestId);

    /// @notice Closes a request, once. Requirements: the caller is Accredited and the requester or the active party.
    /// Emits {RequestClosed}.
    /// @param jobId the job.
    /// @param requestId the request.
    /// @param outcome 1 done, 2 rejected, 3 expired.
    function close(bytes32 jobId, uint32 requestId, uint8 outcome) external;

    /// @notice Closes up to 64 requests, each as {close} does; those that are closed are passed over, as somebody else was
    /// faster. Requirements: as for {close}, for each. Emits {RequestClosed} for each that it closes.
    /// @param jobId the job.
    /// @param requestIds the requests.
    /// @param outcomes of each, as for {close}.
    /// @return closed how many this call closed.
    function closeMany(bytes32 jobId, uint32[] calldata requestIds, uint8[] calldata outcomes)
        external
        returns (uint256 closed);

    /// @notice Ends a strict request that stayed open for longer than the terms' answerSeconds. Requirements: the caller is
    /// on the roster and Accredited, the request is open and was asked. Emits {RequestClosed} with outcome 3.
    function expire(bytes32 jobId, uint32 requestId) external;

    /// @notice Whether the request exists and is open.
    function isOpen(bytes32 jobId, uint32 requestId) external view returns (bool);

    /// @notice Whether the request was ever opened or asked.
    function exists(bytes32 jobId, uint32 requestId) external view returns (bool);

    /// @notice A request; `status` is 0 open, otherwise its outcome; `closedBlock` is 0 while open.
    /// Requirements: it exists.
    function requestOf(bytes32 jobId, uint32 requestId)
        external
        view
        returns (address requester, RequestStatus status, uint64 openedBlock, uint64 closedBlock);

    /// @notice How a request was judged when it was asked: Accepted, or why it was rejected then; one that was opened is
    /// Accepted. Requirements: it exists.
    function reasonOf(bytes32 jobId, uint32 requestId) external view returns (IUplinkLedger.Reason reason);

    /// @notice The last second in which only the requester and the active party may end an open strict request, in seconds
    /// since 1970; 0 if the request is closed, or was opened. Requirements: it exists.
    function deadlineOf(bytes32 jobId, uint32 requestId) external view returns (uint64 deadline);

    /// @notice How many requests were opened and asked for the job.
    function requestCount(bytes32 jobId) external view returns (uint256);

    /// @notice A job's terms, all zero if it has none.
    function termsOf(bytes32 jobId) external view returns (Terms memory terms);

    /// @notice What a requester has of its quota.
    /// @return next the first serial that it has not reserved: it reserved all below.
    /// @return usedInWindow rows that count in `window`.
    /// @return window the window in force now; 0 without terms.
    function reservationOf(bytes32 jobId, address requester)
        external
        view
        returns (uint64 next, uint64 usedInWindow, uint32 window);

    /// @notice How many anchors a requester has, and how many serials they are about together.
    function anchorsOf(bytes32 jobId, address requester) external view returns (uint32 count, uint64 serials);

    /// @notice An anchor's root, zero if there is none.
    function anchorOf(bytes32 jobId, address requester, uint32 index) external view returns (bytes32 root);

    /// @notice Whether the requester's anchor `index` is `root`.
    function isAnchored(bytes32 jobId, address requester, uint32 index, bytes32 root) external view returns (bool);
}
