// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Kinds} from "./Kinds.sol";
import {PayloadDigest} from "./PayloadDigest.sol";
import {IInferenceRouter} from "./interfaces/IInferenceRouter.sol";
import {IJobManager} from "./interfaces/IJobManager.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {IUplinkLedger} from "./interfaces/IUplinkLedger.sol";

/// @title UplinkLedger
/// @notice See {IUplinkLedger}. An accepted uplink writes three slots: verdict, slot digest, counts.
contract UplinkLedger is IUplinkLedger {
    uint16 private constant SCHEMA = 1;
    uint256 private constant SHARD_DIGEST_BYTES = 32;
    uint256 private constant MAX_LEAVES = 256;

    struct Counts {
        uint64 accepted;
        uint64 rejected;
    }

    /// @notice Who is accredited; takes the strikes.
    IParticipantRegistry public immutable registry;
    /// @notice The jobs that uplinks belong to; takes the shard digests.
    IJobManager public immutable jobs;
    /// @notice Who may wire the router.
    address public immutable deployer;
    /// @notice The requests that uplinks belong to after completion.
    IInferenceRouter public router;

    mapping(bytes32 uplinkId => Verdict) private _verdicts;
    mapping(bytes32 slot => bytes32 digest) private _slots;
    mapping(bytes32 jobId => Counts) private _counts;
    mapping(bytes32 uplinkId => bytes32 jobId) private _contributionJobs;

    /// @notice Takes the contracts it reads and calls; the router is wired later.
    constructor(IParticipantRegistry registry_, IJobManager jobs_) {
        registry = registry_;
        jobs = jobs_;
        deployer = msg.sender;
    }

    /// @inheritdoc IUplinkLedger
    function setRouter(address router_) external {
        if (msg.sender != deployer) revert NotDeployer(msg.sender);
        if (address(router) != address(0) || router_ == address(0)) revert RouterAlreadySet(address(router));
        router = IInferenceRouter(router_);
        emit RouterSet(router_);
    }

    /// @inheritdoc IUplinkLedger
    function submit(Envelope calldata envelope, bytes calldata payload)
        external
        returns (bytes32 uplinkId, Reason reason)
    {
        IJobManager.JobContext memory job = jobs.contextOf(envelope.jobId, msg.sender, envelope.recipient);
        return _submit(envelope, payload, job, _requireAccreditedOnce());
    }

    /// @inheritdoc IUplinkLedger
    function submitBatch(bytes32 jobId, uint32 round, uint16 attempt, uint16 schema, Leaf[] calldata leaves)
        external
        returns (bytes32[] memory uplinkIds, Reason[] memory reasons)
    {
        uint256 count = leaves.length;
        if (count == 0 || count > MAX_LEAVES) revert BatchSizeInvalid(count, MAX_LEAVES);
        uplinkIds = new bytes32[](count);
        reasons = new Reason[](count);
        Envelope memory envelope;
        envelope.jobId = jobId;
        envelope.round = round;
        envelope.attempt = attempt;
        envelope.schema = schema;
        IParticipantRegistry.Status status = _requireAccreditedOnce();
        // no leaf changes the job: shard digests are never by reference
        IJobManager.JobContext memory job = jobs.contextOf(jobId, msg.sender, address(0));
        address[] memory roster = jobs.rosterOf(jobId);
        for (uint256 i = 0; i < count; ++i) {
            Leaf calldata leaf = leaves[i];
            envelope.step = leaf.step;
            envelope.kind = leaf.kind;
            if (leaf.recipient != envelope.recipient) {
                envelope.recipient = leaf.recipient;
                job.recipientIndex = _indexOf(leaf.recipient, roster);
            }
            envelope.digest = leaf.digest;
            envelope.size = leaf.size;
            (uplinkIds[i], reasons[i]) = _submit(envelope, msg.data[:0], job, status);
            if (reasons[i] != Reason.Accepted) status = registry.statusOf(msg.sender); // perhaps its third strike
        }
    }

    /// @inheritdoc IUplinkLedger
    function verdictOf(bytes32 uplinkId) external view returns (Verdict memory verdict) {
        return _verdicts[uplinkId];
    }

    /// @inheritdoc IUplinkLedger
    function slotDigest(bytes32 slot) external view returns (bytes32 digest) {
        return _slots[slot];
    }

    /// @inheritdoc IUplinkLedger
    function countsOf(bytes32 jobId) external view returns (uint64 accepted, uint64 rejected) {
        Counts storage counts = _counts[jobId];
        return (counts.accepted, counts.rejected);
    }

    /// @inheritdoc IUplinkLedger
    function contributionJobOf(bytes32 uplinkId) external view returns (bytes32 jobId) {
        return _contributionJobs[uplinkId];
    }

    function _requireAccreditedOnce() private view returns (IParticipantRegistry.Status status) {
        status = registry.statusOf(msg.sender);
        if (status < IParticipantRegistry.Status.Accredited) revert CallerNotAccredited(msg.sender);
    }

    /// @dev As in {IJobManager-JobContext}: type(uint8).max if not on the roster, as the zero address never is.
    function _indexOf(address party, address[] memory roster) private pure returns (uint8) {
        for (uint256 i = 0; i < roster.length; ++i) {
            // forge-lint: disable-next-line(unsafe-typecast)
            if (roster[i] == party) return uint8(i); // at most 8
        }
        return type(uint8).max;
    }

    function _submit(
        Envelope memory envelope,
        bytes calldata payload,
        IJobManager.JobContext memory job,
        IParticipantRegistry.Status status
    ) private returns (bytes32 uplinkId, Reason reason) {
        uplinkId = keccak256(abi.encode(block.chainid, address(this), msg.sender, envelope));
        Verdict storage earlier = _verdicts[uplinkId];
        if (earlier.known && earlier.reason == Reason.Accepted) return (uplinkId, Reason.Accepted);

        bool suspended = status == IParticipantRegistry.Status.Suspended;
        bytes32 slot = _slotOf(envelope);
        reason = suspended ? Reason.SenderSuspended : _judge(envelope, payload, job, slot);
        _verdicts[uplinkId] = Verdict(msg.sender, reason, envelope.kind, uint64(block.number), true);
        if (reason == Reason.Accepted) {
            _slots[slot] = envelope.digest;
            ++_counts[envelope.jobId].accepted;
            emit UplinkJudged(envelope.jobId, msg.sender, uplinkId, reason, envelope, payload);
            _act(uplinkId, envelope, payload);
        } else {
            ++_counts[envelope.jobId].rejected;
            emit UplinkJudged(envelope.jobId, msg.sender, uplinkId, reason, envelope, "");
            if (!suspended && !_isOvertaken(envelope, job, reason)) {
                registry.strike(msg.sender, envelope.jobId, uint8(reason));
            }
        }
    }

    /// @dev While an uplink is on its way another party may abort the job, close the inference request, or in a pipelined
    /// job retry a round: it is recorded as rejected, but nobody's fault. Any other reason would have been one before, too.
    function _isOvertaken(Envelope memory envelope, IJobManager.JobContext memory job, Reason reason)
        private
        view
        returns (bool)
    {
        if (job.phase == IJobManager.Phase.Aborted) return reason == Reason.WrongPhase;
        if (job.phase == IJobManager.Phase.Completed) {
            return reason == Reason.WrongRound && Kinds.isKnown(envelope.kind)
                && router.exists(envelope.jobId, envelope.round);
        }
        if (!job.pipelined || job.phase != IJobManager.Phase.Training || envelope.attempt >= job.attempt) return false;
        return reason == Reason.WrongRound || reason == Reason.WrongAttempt;
    }

    /// @dev What an accepted uplink sets in motion beyond its own record.
    function _act(bytes32 uplinkId, Envelope memory envelope, bytes calldata payload) private {
        if (envelope.kind == Kinds.SHARD_DIGEST) {
            bytes32 digest = bytes32(payload[payload.length - SHARD_DIGEST_BYTES:]);
            jobs.recordShard(envelope.jobId, msg.sender, digest);
        } else if (envelope.kind == Kinds.CONTRIBUTION) {
            _contributionJobs[uplinkId] = envelope.jobId;
        }
    }

    /// @dev The rules, in the order of {Reason}.
    function _judge(Envelope memory envelope, bytes calldata payload, IJobManager.JobContext memory job, bytes32 slot)
        private
        view
        returns (Reason)
    {
        if (job.phase == IJobManager.Phase.None) return Reason.UnknownJob;
        if (job.senderIndex == type(uint8).max) return Reason.NotOnRoster;
        if (Kinds.isKnown(envelope.kind) && !Kinds.belongsTo(envelope.kind, job.phase)) return Reason.WrongPhase;
        if (!_isRound(envelope, job)) return Reason.WrongRound;
        if (envelope.attempt != job.attempt) return Reason.WrongAttempt;
        if (!_isKindAllowed(envelope, job)) return Reason.KindNotAllowed;
        if (envelope.recipient != address(0) && job.recipientIndex == type(uint8).max) {
            return Reason.RecipientNotOnRoster;
        }
        if (envelope.schema != SCHEMA) return Reason.SchemaUnsupported;
        if (!_isSize(envelope, payload.length, job)) return Reason.SizeOutOfBounds;
        if (!_isDigest(envelope, payload)) return Reason.DigestMismatch;
        if (_slots[slot] != 0) return Reason.SlotTaken;
        if (envelope.kind == Kinds.SHARD_DIGEST && job.senderHasShard) return Reason.SlotTaken;
        if (!_isStatistic(envelope, job.maxStatisticE6)) return Reason.StatisticOutOfPolicy;
        return Reason.Accepted;
    }

    function _isRound(Envelope memory envelope, IJobManager.JobContext memory job) private view returns (bool) {
        if (job.phase == IJobManager.Phase.Completed) return router.isOpen(envelope.jobId, envelope.round);
        if (job.phase == IJobManager.Phase.Training) {
            if (envelope.round == 0 || job.round == 0) return false;
            // the next round of a pipelined job may be open before the uplinks of this one are committed
            if (job.pipelined && uint256(envelope.round) + 1 == job.round) return true;
        }
        return envelope.round == job.round; // zero while aligning
    }

    function _isKindAllowed(Envelope memory envelope, IJobManager.JobContext memory job) private view returns (bool) {
        if (!Kinds.isKnown(envelope.kind)) return false;
        if (job.phase != IJobManager.Phase.Completed) return Kinds.roleAllows(envelope.kind, job.senderIndex == 0);
        if (envelope.kind != Kinds.PREDICT_REQUEST) return true;
        (address requester,,,) = router.requestOf(envelope.jobId, envelope.round);
        return requester == msg.sender;
    }

    /// @dev Inline up to the limit, by reference above it; in the training of a pipelined job by reference at any size,
    /// too. A shard_digest must be inline and hold at least its 32 bytes.
    function _isSize(Envelope memory envelope, uint256 length, IJobManager.JobContext memory job)
        private
        pure
        returns (bool)
    {
        uint256 size = envelope.size;
        if (size == 0 || size > job.maxPayloadBytes) return false;
        bool isInline = length == size && size <= PayloadDigest.INLINE_LIMIT;
        if (envelope.kind == Kinds.SHARD_DIGEST) return isInline && size >= SHARD_DIGEST_BYTES;
        if (isInline) return true;
        bool mayStay = size > PayloadDigest.INLINE_LIMIT || (job.pipelined && job.phase == IJobManager.Phase.Training);
        return length == 0 && mayStay;
    }

    /// @dev A digest of zero is refused: it would leave the slot looking free.
    function _isDigest(Envelope memory envelope, bytes calldata payload) private view returns (bool) {
        if (payload.length == 0) return envelope.digest != 0;
        return PayloadDigest.rootOf(payload) == envelope.digest;
    }

    function _isStatistic(Envelope memory envelope, uint256 max) private pure returns (bool) {
        return envelope.kind == Kinds.CONTRIBUTION ? envelope.statisticE6 <= max : envelope.statisticE6 == 0;
    }

    function _slotOf(Envelope memory envelope) private view returns (bytes32) {
        return keccak256(
            abi.encode(
                envelope.jobId,
                envelope.round,
                envelope.attempt,
                envelope.step,
                msg.sender,
                envelope.recipient,
                envelope.kind
            )
        );
    }

    /// @inheritdoc IUplinkLedger
    function verdictOf(address party, Envelope calldata envelope) external view returns (Verdict memory verdict) {
        return _verdicts[uplinkIdOf(party, envelope)];
    }

    /// @inheritdoc IUplinkLedger
    function isAccepted(address party, Envelope calldata envelope) external view returns (bool) {
        Verdict storage verdict = _verdicts[uplinkIdOf(party, envelope)];
        return verdict.known && verdict.reason == Reason.Accepted;
    }

    /// @inheritdoc IUplinkLedger
    function slotOf(address party, Envelope calldata e) external pure returns (bytes32 slot) {
        return keccak256(abi.encode(e.jobId, e.round, e.attempt, e.step, party, e.recipient, e.kind));
    }

    /// @inheritdoc IUplinkLedger
    function uplinkIdOf(address party, Envelope calldata envelope) public view returns (bytes32 uplinkId) {
        return keccak256(abi.encode(block.chainid, address(this), party, envelope));
    }
}
