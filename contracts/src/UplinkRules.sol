// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Kinds} from "./Kinds.sol";
import {PayloadDigest} from "./PayloadDigest.sol";
import {Tally} from "./Tally.sol";
import {Uplinks} from "./Uplinks.sol";
import {IInferenceRouter} from "./interfaces/IInferenceRouter.sol";
import {IJobManager} from "./interfaces/IJobManager.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {IUplinkLedger} from "./interfaces/IUplinkLedger.sol";

/// @title The rules by which an uplink is judged, in the order of {IUplinkLedger-Reason}.
/// @notice They read, and change nothing; {UplinkLedger} keeps the verdicts.
abstract contract UplinkRules is IUplinkLedger {
    uint16 internal constant SCHEMA = 1;
    uint256 internal constant SHARD_DIGEST_BYTES = 32;

    /// @dev What the uplinks of one call share, so that each leaf of a batch pays for its own alone.
    /// @param job as the job manager has it.
    /// @param status the sender's standing.
    /// @param tally the job's, but for what was accepted since it was stored.
    /// @param accepted how many that is.
    /// @param room how many uplinks of the sender are accepted in this round and attempt, beyond those in `tally`.
    /// @param last the last rule: DeadlineMissed or Accepted.
    /// @param placed the first rule that uplinks of the kind and to the recipient at hand break, whatever their content.
    /// @param leastByReference from which size on they may be sent without payload.
    /// @param roster the job's, empty until it is needed.
    /// @param reported which reasons were reported that are reported once per call, as bits.
    /// @param attended whether the uplinks are late, and their sender had said in time that it waits for others.
    struct Session {
        IJobManager.JobContext job;
        IParticipantRegistry.Status status;
        Tally tally;
        uint256 accepted;
        uint256 room;
        Reason last;
        Reason placed;
        uint256 leastByReference;
        address[] roster;
        uint256 reported;
        bool attended;
    }

    /// @notice The requests that uplinks belong to after completion.
    IInferenceRouter public router;

    /// @dev Whether others may have made an uplink wrong after its sender made it: then it is recorded as rejected, but
    /// nobody's fault. While it is on its way they may abort or expire the job, close the inference request, or begin and retry
    /// rounds; and whoever delivers late what it follows from makes it late, so who said in time that it waits is not to blame.
    /// A round or attempt that is over may be what its sender knew, however long ago that was, unless it has uplinks in the
    /// one in force (a party's transactions come in the order in which it sent them) or another one in this very slot. Any
    /// other reason would have been one before, too.
    function _isOvertaken(Uplinks.Uplink memory uplink, Session memory session, Reason reason, bool isTaken_)
        internal
        view
        returns (bool)
    {
        IJobManager.JobContext memory job = session.job;
        if (job.phase > IJobManager.Phase.Completed) return reason == Reason.WrongPhase;
        if (job.phase == IJobManager.Phase.Completed) {
            return
                reason == Reason.WrongRound && Kinds.isKnown(uplink.kind) && router.exists(uplink.jobId, uplink.round);
        }
        if (job.phase != IJobManager.Phase.Training) return false;
        if (reason == Reason.DeadlineMissed) return session.attended;
        if (reason != Reason.WrongRound && reason != Reason.WrongAttempt) return false;
        if (isTaken_ || session.tally.uplinksOf(job.senderIndex) != 0) return false;
        return _wasInForce(uplink, job) && _judgeForm(uplink, job) == Reason.Accepted;
    }

    /// @dev Whether a round and attempt that are not in force, an uplink's, may have been before. A strict job counts attempts
    /// anew in each round; in a pipelined one they go on, and each goes back by one round at most.
    function _wasInForce(Uplinks.Uplink memory uplink, IJobManager.JobContext memory job) internal pure returns (bool) {
        (uint256 round, uint256 attempt) = (uplink.round, uplink.attempt);
        if (round == 0) return false;
        if (!job.pipelined) return round < job.round || (round == job.round && attempt < job.attempt);
        return attempt <= job.attempt && round + attempt <= uint256(job.round) + job.attempt;
    }

    /// @dev The first rules, in the order of {Reason}: those on where the uplink belongs.
    function _judgePlace(Uplinks.Uplink memory uplink, IJobManager.JobContext memory job)
        internal
        view
        returns (Reason)
    {
        if (job.phase == IJobManager.Phase.None) return Reason.UnknownJob;
        if (job.senderIndex == type(uint8).max) return Reason.NotOnRoster;
        if (Kinds.isKnown(uplink.kind) && !Kinds.belongsTo(uplink.kind, job.phase)) return Reason.WrongPhase;
        if (!_isRound(uplink, job)) return Reason.WrongRound;
        if (uplink.attempt != job.attempt) return Reason.WrongAttempt;
        return _judgeForm(uplink, job);
    }

    /// @dev Of the first rules those after phase, round and attempt.
    function _judgeForm(Uplinks.Uplink memory uplink, IJobManager.JobContext memory job)
        internal
        view
        returns (Reason)
    {
        if (!_isKindAllowed(uplink, job)) return Reason.KindNotAllowed;
        if (uplink.recipient != address(0) && job.recipientIndex == type(uint8).max) {
            return Reason.RecipientNotOnRoster;
        }
        if (uplink.schema != SCHEMA) return Reason.SchemaUnsupported;
        return Reason.Accepted;
    }

    /// @dev The others, in the order of {Reason}; `isTaken_`: another uplink has the slot.
    function _judgeContent(Uplinks.Uplink memory uplink, bytes calldata payload, Session memory session, bool isTaken_)
        internal
        view
        returns (Reason)
    {
        if (!_isSize(uplink, payload.length, session)) return Reason.SizeOutOfBounds;
        if (!_isDigest(uplink, payload)) return Reason.DigestMismatch;
        if (isTaken_) return Reason.SlotTaken;
        if (uplink.kind == Kinds.SHARD_DIGEST && session.job.senderHasShard) return Reason.SlotTaken;
        if (uplink.statisticE6 != 0 && !_isStatistic(uplink, session.job.maxStatisticE6)) {
            return Reason.StatisticOutOfPolicy;
        }
        if (session.accepted >= session.room) return Reason.RateExceeded;
        return session.last;
    }

    function _isRound(Uplinks.Uplink memory uplink, IJobManager.JobContext memory job) internal view returns (bool) {
        if (job.phase == IJobManager.Phase.Completed) return router.isOpen(uplink.jobId, uplink.round);
        if (job.phase == IJobManager.Phase.Training) {
            if (uplink.round == 0 || job.round == 0) return false;
            // the next round of a pipelined job may be open before the uplinks of this one are committed
            if (job.pipelined && uint256(uplink.round) + 1 == job.round) return true;
        }
        return uplink.round == job.round; // zero while aligning
    }

    function _isKindAllowed(Uplinks.Uplink memory uplink, IJobManager.JobContext memory job)
        internal
        view
        returns (bool)
    {
        if (!Kinds.isKnown(uplink.kind)) return false;
        if (job.phase != IJobManager.Phase.Completed) return Kinds.roleAllows(uplink.kind, job.senderIndex == 0);
        if (uplink.kind != Kinds.PREDICT_REQUEST) return true;
        (address requester,,,) = router.requestOf(uplink.jobId, uplink.round);
        return requester == uplink.party;
    }

    /// @dev Inline up to the limit; without payload from a least size on. A shard_digest holds at least its 32 bytes.
    function _isSize(Uplinks.Uplink memory uplink, uint256 length, Session memory session)
        internal
        pure
        returns (bool)
    {
        uint256 size = uplink.size;
        if (size > session.job.maxPayloadBytes) return false;
        if (length == 0) return size >= session.leastByReference;
        if (length != size || size > PayloadDigest.INLINE_LIMIT) return false;
        return uplink.kind != Kinds.SHARD_DIGEST || size >= SHARD_DIGEST_BYTES;
    }

    /// @dev Above the inline limit; in the training of a pipelined job at any size. A shard_digest is always inline.
    function _leastByReference(uint8 kind, IJobManager.JobContext memory job) internal pure returns (uint256) {
        if (kind == Kinds.SHARD_DIGEST) return type(uint256).max;
        return job.pipelined && job.phase == IJobManager.Phase.Training ? 1 : PayloadDigest.INLINE_LIMIT + 1;
    }

    /// @dev A digest of zero is refused: no payload has it.
    function _isDigest(Uplinks.Uplink memory uplink, bytes calldata payload) internal view returns (bool) {
        if (payload.length == 0) return uplink.digest != 0;
        return PayloadDigest.rootOf(payload) == uplink.digest;
    }

    function _isStatistic(Uplinks.Uplink memory uplink, uint64 max) internal pure returns (bool) {
        return Kinds.declaresStatistic(uplink.kind) && uplink.statisticE6 <= max;
    }
}
