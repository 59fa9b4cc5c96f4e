// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Kinds} from "./Kinds.sol";
import {Reports} from "./Reports.sol";
import {Tally} from "./Tally.sol";
import {UplinkRules} from "./UplinkRules.sol";
import {Uplinks} from "./Uplinks.sol";
import {IAnomalyRecord} from "./interfaces/IAnomalyRecord.sol";
import {IInferenceRouter} from "./interfaces/IInferenceRouter.sol";
import {IJobManager} from "./interfaces/IJobManager.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {IUplinkLedger} from "./interfaces/IUplinkLedger.sol";

/// @title UplinkLedger
/// @notice See {IUplinkLedger}. An accepted uplink writes one new storage slot, its verdict, and the job's tally. That a
/// slot takes one uplink does the work of a set of seen digests.
contract UplinkLedger is UplinkRules {
    using Uplinks for Uplinks.Uplink;
    uint256 private constant MAX_LEAVES = 256;

    /// @dev Of a leaf's first word: recipient and kind.
    uint256 private constant RECIPIENT_AND_KIND = ~uint256(type(uint96).max) | type(uint8).max;

    struct Contribution {
        bytes32 jobId;
        address party;
        uint40 acceptedAt;
        uint48 blockNumber;
    }

    /// @notice Who is accredited.
    IParticipantRegistry public immutable registry;
    /// @notice The jobs that uplinks belong to; takes the shard digests.
    IJobManager public immutable jobs;
    /// @notice Takes the faults and the declared statistics.
    IAnomalyRecord public immutable anomalies;
    /// @notice Who may wire the router.
    address public immutable deployer;

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
        Session memory session;
        address party;
        (party, session.status) = _identify();
        Uplinks.Uplink memory uplink = Uplinks.sentBy(party, envelope);
        _open(session, uplink);
        _turnTo(session, uplink);
        (uplinkId, reason) = _submit(uplink, payload, session);
        if (session.accepted != 0) _settle(session, uplink.jobId);
    }

    /// @inheritdoc IUplinkLedger
    function submitBatch(bytes32 jobId, uint32 round, uint16 attempt, uint16 schema, Leaf[] calldata leaves)
        external
        returns (bytes32[] memory uplinkIds, Reason[] memory reasons)
    {
        if (leaves.length == 0 || leaves.length > MAX_LEAVES) {
            revert BatchSizeInvalid(leaves.length, MAX_LEAVES);
        }
        uint256[2] memory head; // lies before the two arrays, so that all three are what is returned
        uplinkIds = new bytes32[](leaves.length);
        reasons = new Reason[](leaves.length);
        Session memory session;
        Uplinks.Uplink memory uplink;
        (uplink.party, session.status) = _identify();
        uplink.chainId = block.chainid;
        uplink.ledger = address(this);
        uplink.jobId = jobId;
        uplink.round = round;
        uplink.attempt = attempt;
        uplink.schema = schema;
        uint256 place = leaves[0].place;
        uplink.setLeaf(place, leaves[0].digest);
        // no leaf changes the job: shard digests are never by reference
        _open(session, uplink);
        _turnTo(session, uplink);
        for (uint256 i = 0; i < leaves.length; ++i) {
            Leaf calldata leaf = leaves[i];
            uint256 next = leaf.place;
            uplink.setLeaf(next, leaf.digest);
            // most leaves of a batch are of one kind and to one recipient
            if ((place ^ next) & RECIPIENT_AND_KIND != 0) {
                _seekRecipient(session, uplink);
                _turnTo(session, uplink);
            }
            place = next;
            (uplinkIds[i], reasons[i]) = _submit(uplink, msg.data[:0], session);
        }
        if (session.accepted != 0) _settle(session, jobId);
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            let size := add(32, mul(32, mload(uplinkIds)))
            mstore(head, 64)
            mstore(add(head, 32), add(64, size))
            return(head, add(64, mul(2, size)))
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
    function contributionOf(bytes32 uplinkId)
        external
        view
        returns (bytes32 jobId, address party, uint64 acceptedAt, uint64 blockNumber)
    {
        Contribution storage contribution = _contributions[uplinkId];
        return (contribution.jobId, contribution.party, contribution.acceptedAt, contribution.blockNumber);
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

    function _open(Session memory session, Uplinks.Uplink memory uplink) private view {
        IJobManager.JobContext memory job = jobs.contextOf(uplink.jobId, uplink.party, uplink.recipient);
        session.job = job;
        Tally tally = _tallies[uplink.jobId].at(job.round, job.attempt);
        session.tally = tally;
        session.room = type(uint256).max;
        if (job.senderIndex != type(uint8).max && job.phase != IJobManager.Phase.Completed) {
            uint16 uplinks = tally.uplinksOf(job.senderIndex);
            session.room = uplinks < job.maxUplinksPerRound ? job.maxUplinksPerRound - uplinks : 0;
        }
        // rounds take minutes: what a block's proposer can move its time by does not matter
        // forge-lint: disable-next-line(block-timestamp)
        bool isLate = job.phase == IJobManager.Phase.Training && block.timestamp > job.deadline;
        if (!isLate) return;
        session.last = Reason.DeadlineMissed;
        session.attended = jobs.hasAttended(uplink.jobId, uplink.party);
    }

    /// @dev Judges what depends on the uplink's kind and recipient alone.
    function _turnTo(Session memory session, Uplinks.Uplink memory uplink) private view {
        session.placed = _judgePlace(uplink, session.job);
        session.leastByReference = _leastByReference(uplink.kind, session.job);
    }

    /// @dev Stores the tally, with what was accepted since: at last, and before anything that may read it is called.
    function _settle(Session memory session, bytes32 jobId) private {
        Tally tally = session.tally.withAccepted(session.job.senderIndex, session.accepted);
        _tallies[jobId] = tally;
        session.tally = tally;
        if (session.room != type(uint256).max) session.room -= session.accepted;
        session.accepted = 0;
    }

    /// @dev Whether a slot's word is that of the uplink.
    function _isSame(uint256 word, bytes32 uplinkId) private pure returns (bool) {
        return word >> 64 == uint256(uplinkId) >> 64;
    }

    /// @dev The recipient's index as in {IJobManager-JobContext}: type(uint8).max if not on the roster, as zero never is.
    function _seekRecipient(Session memory session, Uplinks.Uplink memory uplink) private view {
        if (session.roster.length == 0) session.roster = jobs.rosterOf(uplink.jobId);
        address[] memory roster = session.roster;
        session.job.recipientIndex = type(uint8).max;
        for (uint256 i = 0; i < roster.length; ++i) {
            // forge-lint: disable-next-line(unsafe-typecast)
            if (roster[i] == uplink.recipient) session.job.recipientIndex = uint8(i); // at most 8
        }
    }

    function _submit(Uplinks.Uplink memory uplink, bytes calldata payload, Session memory session)
        private
        returns (bytes32 uplinkId, Reason reason)
    {
        uplinkId = uplink.idOf();
        bytes32 slot = uplink.slotOf();
        uint256 taken = _accepted[slot];
        if (_isSame(taken, uplinkId)) return (uplinkId, Reason.Accepted);

        if (session.status != IParticipantRegistry.Status.Accredited) reason = Reason.SenderSuspended;
        else if (session.placed != Reason.Accepted) reason = session.placed;
        else reason = _judgeContent(uplink, payload, session, taken != 0);
        if (reason != Reason.Accepted) {
            _reject(uplink, uplinkId, reason, session, taken != 0);
            return (uplinkId, reason);
        }
        _accepted[slot] = ((uint256(uplinkId) >> 64) << 64) | block.number;
        unchecked {
            ++session.accepted;
        }
        uplink.publish(uplinkId, Reason.Accepted, payload);
        if (Kinds.setsInMotion(uplink.kind)) _act(uplink, uplinkId, payload, session);
    }

    /// @dev What is nobody's fault is nothing from its sender either: it does not keep it from being missing.
    function _reject(
        Uplinks.Uplink memory uplink,
        bytes32 uplinkId,
        Reason reason,
        Session memory session,
        bool isTaken_
    ) private {
        _rejected[uplinkId] = (block.number << 8) | uint8(reason);
        bool isOvertaken = _isOvertaken(uplink, session, reason, isTaken_);
        session.tally = session.tally.withRejected(isOvertaken ? type(uint8).max : session.job.senderIndex);
        _settle(session, uplink.jobId);
        uplink.publish(uplinkId, reason, msg.data[:0]);
        if (isOvertaken || _isReported(session, reason)) return;
        Reports.report(anomalies, uplink.party, uplink.jobId, session.job.round, uint8(reason), uplinkId);
        session.status = registry.statusOf(uplink.party); // perhaps suspended now
    }

    /// @dev A batch that is late, or has too many leaves, or whose sender was suspended, is that once, whatever its number of
    /// leaves; other faults are of a leaf, and the third suspends. So a batch has few reports, and a bound for its gas.
    function _isReported(Session memory session, Reason reason) private pure returns (bool before) {
        bool isOfTheCall =
            reason == Reason.SenderSuspended || reason == Reason.RateExceeded || reason == Reason.DeadlineMissed;
        if (!isOfTheCall) return false;
        // forge-lint: disable-next-line(incorrect-shift)
        uint256 bit = 1 << uint8(reason);
        before = session.reported & bit != 0;
        session.reported |= bit;
    }

    /// @dev What an accepted uplink sets in motion beyond its own record.
    function _act(Uplinks.Uplink memory uplink, bytes32 uplinkId, bytes calldata payload, Session memory session)
        private
    {
        _settle(session, uplink.jobId);
        if (uplink.kind == Kinds.SHARD_DIGEST) {
            bytes32 digest = bytes32(payload[payload.length - SHARD_DIGEST_BYTES:]);
            jobs.recordShard(uplink.jobId, uplink.party, digest);
        } else {
            _contributions[uplinkId] =
                Contribution(uplink.jobId, uplink.party, uint40(block.timestamp), uint48(block.number));
            Reports.observe(
                anomalies, uplink.party, uplink.jobId, session.job.round, uplink.kind, uplinkId, uplink.statisticE6
            );
        }
    }
}
