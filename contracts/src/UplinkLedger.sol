// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Kinds} from "./Kinds.sol";
import {PayloadDigest} from "./PayloadDigest.sol";
import {Reports} from "./Reports.sol";
import {Tally} from "./Tally.sol";
import {Uplinks} from "./Uplinks.sol";
import {IAnomalyRecord} from "./interfaces/IAnomalyRecord.sol";
import {IInferenceRouter} from "./interfaces/IInferenceRouter.sol";
import {IJobManager} from "./interfaces/IJobManager.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {IUplinkLedger} from "./interfaces/IUplinkLedger.sol";

/// @title UplinkLedger
/// @notice See {IUplinkLedger}. An accepted uplink writes one new storage slot, its verdict, and the job's tally. That a
/// slot takes one uplink does the work of a set of seen digests.
contract UplinkLedger is IUplinkLedger {
    using Uplinks for Uplinks.Uplink;

    uint16 private constant SCHEMA = 1;
    uint256 private constant SHARD_DIGEST_BYTES = 32;
    uint256 private constant MAX_LEAVES = 256;

    struct Contribution {
        bytes32 jobId;
        address party;
    }

    /// @notice Who is accredited.
    IParticipantRegistry public immutable registry;
    /// @notice The jobs that uplinks belong to; takes the shard digests.
    IJobManager public immutable jobs;
    /// @notice Takes the faults and the declared statistics.
    IAnomalyRecord public immutable anomalies;
    /// @notice Who may wire the router.
    address public immutable deployer;
    /// @notice The requests that uplinks belong to after completion.
    IInferenceRouter public router;

    /// @dev The first 192 bits of the uplink's id, then 64 bits of block number: all that a terminal verdict has to say.
    /// Who wants a second uplink for the same word would have to find two ids of a slot that agree in 192 bits.
    mapping(bytes32 slot => uint256) private _accepted;
    /// @dev The latest rejection: block number << 8 | reason, zero if there is none.
    mapping(bytes32 uplinkId => uint256) private _rejected;
    mapping(bytes32 jobId => Tally) private _tallies;
    mapping(bytes32 uplinkId => Contribution) private _contributions;

    /// @notice Takes the contracts it reads and calls; the router is wired later.
    constructor(IParticipantRegistry registry_, IJobManager jobs_, IAnomalyRecord anomalies_) {
        registry = registry_;
        jobs = jobs_;
        anomalies = anomalies_;
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
        (address party, IParticipantRegistry.Status status) = _identify();
        Uplinks.Uplink memory uplink = Uplinks.sentBy(party, envelope);
        return _submit(uplink, payload, jobs.contextOf(uplink.jobId, party, uplink.recipient), status);
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
        Uplinks.Uplink memory uplink;
        IParticipantRegistry.Status status;
        (uplink.party, status) = _identify();
        uplink.chainId = block.chainid;
        uplink.ledger = address(this);
        uplink.jobId = jobId;
        uplink.round = round;
        uplink.attempt = attempt;
        uplink.schema = schema;
        // no leaf changes the job: shard digests are never by reference
        IJobManager.JobContext memory job = jobs.contextOf(jobId, uplink.party, address(0));
        address[] memory roster = jobs.rosterOf(jobId);
        for (uint256 i = 0; i < count; ++i) {
            Leaf calldata leaf = leaves[i];
            _place(uplink, leaf.place);
            uplink.digest = leaf.digest;
            job.recipientIndex = _indexOf(uplink.recipient, roster);
            (uplinkIds[i], reasons[i]) = _submit(uplink, msg.data[:0], job, status);
            if (reasons[i] != Reason.Accepted) status = registry.statusOf(uplink.party); // perhaps suspended now
        }
    }

    /// @inheritdoc IUplinkLedger
    function verdictOf(address party, Envelope calldata envelope) external view returns (Verdict memory verdict) {
        // forge-lint: disable-start(unsafe-typecast)
        Uplinks.Uplink memory uplink = Uplinks.sentBy(party, envelope);
        bytes32 uplinkId = uplink.idOf();
        uint256 word = _accepted[uplink.slotOf()];
        if (_isSame(word, uplinkId)) return Verdict(Reason.Accepted, uint64(word), true);
        word = _rejected[uplinkId];
        if (word != 0) return Verdict(Reason(uint8(word)), uint64(word >> 8), true);
        // forge-lint: disable-end(unsafe-typecast)
    }

    /// @inheritdoc IUplinkLedger
    function uplinkIdOf(address party, Envelope calldata envelope) external view returns (bytes32 uplinkId) {
        return Uplinks.sentBy(party, envelope).idOf();
    }

    /// @inheritdoc IUplinkLedger
    function slotOf(address party, Envelope calldata envelope) external view returns (bytes32 slot) {
        return Uplinks.sentBy(party, envelope).slotOf();
    }

    /// @inheritdoc IUplinkLedger
    function isAccepted(address party, Envelope calldata envelope) external view returns (bool) {
        Uplinks.Uplink memory uplink = Uplinks.sentBy(party, envelope);
        return _isSame(_accepted[uplink.slotOf()], uplink.idOf());
    }

    /// @inheritdoc IUplinkLedger
    function isTaken(bytes32 slot) external view returns (bool) {
        return _accepted[slot] != 0;
    }

    /// @inheritdoc IUplinkLedger
    function countsOf(bytes32 jobId) external view returns (uint64 accepted, uint64 rejected) {
        return _tallies[jobId].counts();
    }

    /// @inheritdoc IUplinkLedger
    function contributionOf(bytes32 uplinkId) external view returns (bytes32 jobId, address party) {
        Contribution storage contribution = _contributions[uplinkId];
        return (contribution.jobId, contribution.party);
    }

    /// @inheritdoc IUplinkLedger
    function roundOf(bytes32 jobId)
        external
        view
        returns (uint32 round, uint16 attempt, uint8 acceptedMask, uint8 rejectedMask)
    {
        Tally tally = _tallies[jobId];
        (round, attempt) = tally.place();
        (acceptedMask, rejectedMask) = tally.masks();
    }

    /// @inheritdoc IUplinkLedger
    function uplinksOf(bytes32 jobId, uint8 index) external view returns (uint16) {
        return _tallies[jobId].uplinksOf(index);
    }

    /// @dev Suspended and banned parties are judged, too: everything they send is rejected, and stays on the record.
    function _identify() private view returns (address party, IParticipantRegistry.Status status) {
        (party, status) = registry.identify(msg.sender);
        if (status < IParticipantRegistry.Status.Accredited) revert CallerNotAccredited(msg.sender);
    }

    /// @dev Takes a leaf's first word apart; see {Leaf}.
    function _place(Uplinks.Uplink memory uplink, uint256 place) private pure {
        // forge-lint: disable-start(unsafe-typecast)
        uplink.recipient = address(uint160(place >> 96));
        uplink.step = uint32(place >> 64);
        uplink.size = uint56(place >> 8);
        uplink.kind = uint8(place);
        // forge-lint: disable-end(unsafe-typecast)
    }

    /// @dev Whether a slot's word is that of the uplink.
    function _isSame(uint256 word, bytes32 uplinkId) private pure returns (bool) {
        return word >> 64 == uint256(uplinkId) >> 64;
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
        Uplinks.Uplink memory uplink,
        bytes calldata payload,
        IJobManager.JobContext memory job,
        IParticipantRegistry.Status status
    ) private returns (bytes32 uplinkId, Reason reason) {
        uplinkId = uplink.idOf();
        bytes32 slot = uplink.slotOf();
        uint256 taken = _accepted[slot];
        if (_isSame(taken, uplinkId)) return (uplinkId, Reason.Accepted);

        Tally tally = _tallies[uplink.jobId].at(job.round, job.attempt);
        reason = status == IParticipantRegistry.Status.Accredited
            ? _judge(uplink, payload, job, taken != 0, tally)
            : Reason.SenderSuspended;
        if (reason == Reason.Accepted) {
            _accepted[slot] = ((uint256(uplinkId) >> 64) << 64) | block.number;
            _tallies[uplink.jobId] = tally.withAccepted(job.senderIndex);
            emit UplinkJudged(
                uplink.jobId, uplink.party, uplinkId, uplink.placeOf(), uplink.measureOf(), uplink.digest, payload
            );
            _act(uplinkId, uplink, payload, job.round);
        } else {
            _rejected[uplinkId] = (block.number << 8) | uint8(reason);
            _tallies[uplink.jobId] = tally.withRejected(job.senderIndex);
            emit UplinkJudged(
                uplink.jobId,
                uplink.party,
                uplinkId,
                uplink.placeOf() | uint8(reason),
                uplink.measureOf(),
                uplink.digest,
                ""
            );
            if (!_isOvertaken(uplink, job, reason)) {
                Reports.report(anomalies, uplink.party, uplink.jobId, job.round, uint8(reason), uplinkId);
            }
        }
    }

    /// @dev While an uplink is on its way others may abort or expire the job, close the inference request, or in a pipelined
    /// job retry a round: it is recorded as rejected, but nobody's fault. Any other reason would have been one before, too.
    function _isOvertaken(Uplinks.Uplink memory uplink, IJobManager.JobContext memory job, Reason reason)
        private
        view
        returns (bool)
    {
        if (job.phase > IJobManager.Phase.Completed) return reason == Reason.WrongPhase;
        if (job.phase == IJobManager.Phase.Completed) {
            return
                reason == Reason.WrongRound && Kinds.isKnown(uplink.kind) && router.exists(uplink.jobId, uplink.round);
        }
        if (!job.pipelined || job.phase != IJobManager.Phase.Training || uplink.attempt >= job.attempt) return false;
        return reason == Reason.WrongRound || reason == Reason.WrongAttempt;
    }

    /// @dev What an accepted uplink sets in motion beyond its own record.
    function _act(bytes32 uplinkId, Uplinks.Uplink memory uplink, bytes calldata payload, uint32 round) private {
        if (uplink.kind == Kinds.SHARD_DIGEST) {
            bytes32 digest = bytes32(payload[payload.length - SHARD_DIGEST_BYTES:]);
            jobs.recordShard(uplink.jobId, uplink.party, digest);
        } else if (uplink.kind == Kinds.CONTRIBUTION) {
            _contributions[uplinkId] = Contribution(uplink.jobId, uplink.party);
        }
        if (Kinds.declaresStatistic(uplink.kind)) {
            Reports.observe(anomalies, uplink.party, uplink.jobId, round, uplink.kind, uplinkId, uplink.statisticE6);
        }
    }

    /// @dev The rules, in the order of {Reason}. `isTaken_`: another uplink has the slot; `tally` is the job's, with the
    /// counters of the round and attempt in force.
    function _judge(
        Uplinks.Uplink memory uplink,
        bytes calldata payload,
        IJobManager.JobContext memory job,
        bool isTaken_,
        Tally tally
    ) private view returns (Reason) {
        if (job.phase == IJobManager.Phase.None) return Reason.UnknownJob;
        if (job.senderIndex == type(uint8).max) return Reason.NotOnRoster;
        if (Kinds.isKnown(uplink.kind) && !Kinds.belongsTo(uplink.kind, job.phase)) return Reason.WrongPhase;
        if (!_isRound(uplink, job)) return Reason.WrongRound;
        if (uplink.attempt != job.attempt) return Reason.WrongAttempt;
        if (!_isKindAllowed(uplink, job)) return Reason.KindNotAllowed;
        if (uplink.recipient != address(0) && job.recipientIndex == type(uint8).max) {
            return Reason.RecipientNotOnRoster;
        }
        if (uplink.schema != SCHEMA) return Reason.SchemaUnsupported;
        if (!_isSize(uplink, payload.length, job)) return Reason.SizeOutOfBounds;
        if (!_isDigest(uplink, payload)) return Reason.DigestMismatch;
        if (isTaken_) return Reason.SlotTaken;
        if (uplink.kind == Kinds.SHARD_DIGEST && job.senderHasShard) return Reason.SlotTaken;
        if (!_isStatistic(uplink, job.maxStatisticE6)) return Reason.StatisticOutOfPolicy;
        if (job.phase != IJobManager.Phase.Completed && tally.uplinksOf(job.senderIndex) >= job.maxUplinksPerRound) {
            return Reason.RateExceeded;
        }
        // rounds take minutes: what a block's proposer can move its time by does not matter
        // forge-lint: disable-next-line(block-timestamp)
        if (job.phase == IJobManager.Phase.Training && block.timestamp > job.deadline) return Reason.DeadlineMissed;
        return Reason.Accepted;
    }

    function _isRound(Uplinks.Uplink memory uplink, IJobManager.JobContext memory job) private view returns (bool) {
        if (job.phase == IJobManager.Phase.Completed) return router.isOpen(uplink.jobId, uplink.round);
        if (job.phase == IJobManager.Phase.Training) {
            if (uplink.round == 0 || job.round == 0) return false;
            // the next round of a pipelined job may be open before the uplinks of this one are committed
            if (job.pipelined && uint256(uplink.round) + 1 == job.round) return true;
        }
        return uplink.round == job.round; // zero while aligning
    }

    function _isKindAllowed(Uplinks.Uplink memory uplink, IJobManager.JobContext memory job)
        private
        view
        returns (bool)
    {
        if (!Kinds.isKnown(uplink.kind)) return false;
        if (job.phase != IJobManager.Phase.Completed) return Kinds.roleAllows(uplink.kind, job.senderIndex == 0);
        if (uplink.kind != Kinds.PREDICT_REQUEST) return true;
        (address requester,,,) = router.requestOf(uplink.jobId, uplink.round);
        return requester == uplink.party;
    }

    /// @dev Inline up to the limit, by reference above it; in the training of a pipelined job by reference at any size,
    /// too. A shard_digest must be inline and hold at least its 32 bytes.
    function _isSize(Uplinks.Uplink memory uplink, uint256 length, IJobManager.JobContext memory job)
        private
        pure
        returns (bool)
    {
        uint256 size = uplink.size;
        if (size == 0 || size > job.maxPayloadBytes) return false;
        bool isInline = length == size && size <= PayloadDigest.INLINE_LIMIT;
        if (uplink.kind == Kinds.SHARD_DIGEST) return isInline && size >= SHARD_DIGEST_BYTES;
        if (isInline) return true;
        bool mayStay = size > PayloadDigest.INLINE_LIMIT || (job.pipelined && job.phase == IJobManager.Phase.Training);
        return length == 0 && mayStay;
    }

    /// @dev A digest of zero is refused: no payload has it.
    function _isDigest(Uplinks.Uplink memory uplink, bytes calldata payload) private view returns (bool) {
        if (payload.length == 0) return uplink.digest != 0;
        return PayloadDigest.rootOf(payload) == uplink.digest;
    }

    function _isStatistic(Uplinks.Uplink memory uplink, uint256 max) private pure returns (bool) {
        return Kinds.declaresStatistic(uplink.kind) ? uplink.statisticE6 <= max : uplink.statisticE6 == 0;
    }
}
