// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Points} from "./Points.sol";
import {IAnomalyRecord} from "./interfaces/IAnomalyRecord.sol";
import {IContributionAudit} from "./interfaces/IContributionAudit.sol";
import {IJobManager} from "./interfaces/IJobManager.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {IStewards} from "./interfaces/IStewards.sol";

/// @title Settlement
/// @notice See {ISettlement}. A settlement is three storage slots, and one more once it is disputed. Faults are not kept:
/// the record is asked.
contract Settlement is ISettlement {
    /// @notice How long stewards may take to resolve a dispute, 90 days; after that the settlement is final as it is.
    uint64 public constant RESOLVE_SECONDS = 90 days;

    uint256 private constant MAX_REASON_BYTES = 256;
    uint256 private constant POINTS_PER_SLOT = 4;
    uint256 private constant POINTS_BITS = 64;
    uint256 private constant WITHHELD_BITS = 8;
    uint8 private constant FAULT = 1;
    uint8 private constant WEAK = 2;
    uint8 private constant SILENT = 4;
    uint8 private constant OUTCOME = 8;
    uint8 private constant SHARD = 16;
    uint8 private constant REJECTED = 32;
    /// @dev OUTCOME of each of eight parties.
    uint64 private constant OUTCOMES = 0x0808080808080808;

    /// @param withheld eight bits per party, FAULT never among them.
    struct Settled {
        uint40 settledAt;
        uint40 finalAt;
        Resolution resolution;
        uint64 withheld;
        uint256[2] points;
        address disputedBy;
        uint40 disputedAt;
    }

    /// @notice Whose votes resolve disputes.
    IStewards public immutable stewards;
    /// @notice Who is accredited.
    IParticipantRegistry public immutable registry;
    /// @notice The jobs that settlements belong to.
    IJobManager public immutable jobs;
    /// @notice Knows the shares, and whether they are verified.
    IContributionAudit public immutable audits;
    /// @notice Knows the faults.
    IAnomalyRecord public immutable record;

    mapping(bytes32 jobId => Settled) private _settled;

    /// @notice Takes the contracts it asks.
    constructor(
        IStewards stewards_,
        IParticipantRegistry registry_,
        IJobManager jobs_,
        IContributionAudit audits_,
        IAnomalyRecord record_
    ) {
        stewards = stewards_;
        registry = registry_;
        jobs = jobs_;
        audits = audits_;
        record = record_;
    }

    /// @inheritdoc ISettlement
    function settle(bytes32 jobId) external {
        Settled storage settled = _settled[jobId];
        if (settled.settledAt != 0) revert AlreadySettled(jobId);
        IJobManager.Phase phase = jobs.phaseOf(jobId);
        if (phase == IJobManager.Phase.None) revert IJobManager.UnknownJob(jobId);
        if (phase != IJobManager.Phase.Completed) revert IJobManager.WrongPhase(IJobManager.Phase.Completed, phase);
        IContributionAudit.Verdict memory verdict = audits.verdictOf(jobId);
        if (verdict.outcome == IContributionAudit.Outcome.None) revert AuditNotConcluded(jobId);
        if (verdict.budget == 0) revert NothingToSettle(jobId);
        uint8[] memory withheld = _withheld(jobId, verdict);
        uint64[] memory points = verdict.shares840.length == 0
            ? new uint64[](withheld.length)
            : Points.divide(verdict.shares840, verdict.budget);

        settled.settledAt = uint40(block.timestamp);
        settled.finalAt = uint40(block.timestamp) + verdict.disputeSeconds;
        uint64 packed = 0;
        uint256[2] memory words;
        for (uint256 i = 0; i < points.length; ++i) {
            // forge-lint: disable-next-line(incorrect-shift)
            packed |= uint64(withheld[i] & ~FAULT) << uint64(WITHHELD_BITS * i);
            words[i / POINTS_PER_SLOT] |= uint256(points[i]) << (POINTS_BITS * (i % POINTS_PER_SLOT));
        }
        settled.withheld = packed;
        settled.points[0] = words[0];
        if (words[1] != 0) settled.points[1] = words[1];
        emit JobSettled(jobId, points, withheld, settled.finalAt);
    }

    /// @inheritdoc ISettlement
    function dispute(bytes32 jobId, string calldata reason) external {
        Settled storage settled = _requireSettled(jobId);
        (address party, IParticipantRegistry.Status status) = registry.identify(msg.sender);
        if (jobs.rosterIndexOf(jobId, party) == type(uint256).max) revert IJobManager.NotOnRoster(jobId, msg.sender);
        if (status != IParticipantRegistry.Status.Accredited) revert IJobManager.PartyNotAccredited(party);
        if (settled.disputedBy != address(0)) revert AlreadyDisputed(jobId, settled.disputedBy);
        // forge-lint: disable-next-line(block-timestamp)
        if (block.timestamp > settled.finalAt) {
            revert IJobManager.DeadlineOver(settled.finalAt, uint64(block.timestamp));
        }
        _requireReason(reason);
        settled.disputedBy = party;
        settled.disputedAt = uint40(block.timestamp);
        emit SettlementDisputed(jobId, party, reason);
    }

    /// @inheritdoc ISettlement
    function resolve(bytes32 jobId, bool stands, string calldata reason) external returns (bool carried) {
        Settled storage settled = _requireSettled(jobId);
        if (settled.disputedBy == address(0)) revert NotDisputed(jobId);
        if (settled.resolution != Resolution.None) revert AlreadyResolved(jobId);
        uint64 until = settled.disputedAt + RESOLVE_SECONDS;
        // forge-lint: disable-next-line(block-timestamp)
        if (block.timestamp > until) revert IJobManager.DeadlineOver(until, uint64(block.timestamp));
        _requireReason(reason);
        carried = stewards.vote(msg.sender, keccak256(abi.encode("resolve", jobId, stands, reason)));
        if (!carried) return false;
        settled.resolution = stands ? Resolution.Stands : Resolution.Rejected;
        // where auditors disagreed, or none spoke, it is the stewards' word that counts
        IContributionAudit.Outcome outcome = audits.outcomeOf(jobId);
        bool lifts = outcome == IContributionAudit.Outcome.Disputed || outcome == IContributionAudit.Outcome.Unaudited;
        // the active party's bits are the lowest
        if (stands && lifts && settled.withheld & SHARD == 0) settled.withheld &= ~OUTCOMES;
        emit SettlementResolved(jobId, stands, reason);
    }

    /// @inheritdoc ISettlement
    function settlementOf(bytes32 jobId) external view returns (SettlementView memory view_) {
        Settled storage settled = _settled[jobId];
        if (settled.settledAt == 0) return view_;
        view_.roster = jobs.rosterOf(jobId);
        uint256 count = view_.roster.length;
        view_.points = new uint64[](count);
        view_.withheld = new uint8[](count);
        for (uint256 i = 0; i < count; ++i) {
            (view_.points[i], view_.withheld[i]) = _of(settled, i, jobId, view_.roster[i]);
        }
        view_.settledAt = settled.settledAt;
        view_.finalAt = settled.finalAt;
        view_.disputedBy = settled.disputedBy;
        view_.resolution = settled.resolution;
        view_.isFinal = _isFinal(settled);
    }

    /// @inheritdoc ISettlement
    function isFinal(bytes32 jobId) external view returns (bool) {
        return _isFinal(_settled[jobId]);
    }

    /// @inheritdoc ISettlement
    function totalsOf(address party, uint256 first, uint256 count)
        external
        view
        returns (uint256 points, uint256 withheld, uint256 settled)
    {
        bytes32[] memory jobIds = audits.auditsOf(party, first, count);
        for (uint256 i = 0; i < jobIds.length; ++i) {
            Settled storage one = _settled[jobIds[i]];
            if (one.settledAt == 0) continue;
            ++settled;
            if (!_isFinal(one)) continue;
            (uint64 amount, uint8 why) = _of(one, jobs.rosterIndexOf(jobIds[i], party), jobIds[i], party);
            if (why == 0) points += amount;
            else withheld += amount;
        }
    }

    /// @dev Why each party gets nothing.
    function _withheld(bytes32 jobId, IContributionAudit.Verdict memory verdict)
        private
        view
        returns (uint8[] memory withheld)
    {
        address[] memory roster = jobs.rosterOf(jobId);
        withheld = new uint8[](roster.length);
        uint8 all = verdict.outcome == IContributionAudit.Outcome.Verified ? 0 : OUTCOME;
        for (uint256 i = 0; i < roster.length; ++i) {
            uint8 why = 0;
            if (record.upheldIn(roster[i], jobId) != 0) why |= FAULT;
            if ((verdict.weakMask >> i) & 1 != 0) why |= WEAK;
            if ((verdict.silentMask >> i) & 1 != 0) why |= SILENT;
            if (jobs.shardDigestOf(jobId, roster[i]) != verdict.shards[i]) {
                why |= SHARD;
                // what was audited is not the active party's part of the model, so it says nothing about anybody
                if (i == 0) all = OUTCOME;
            }
            withheld[i] = why;
        }
        if (all == 0) return withheld;
        for (uint256 i = 0; i < roster.length; ++i) {
            withheld[i] |= all;
        }
    }

    function _of(Settled storage settled, uint256 index, bytes32 jobId, address party)
        private
        view
        returns (uint64 points, uint8 withheld)
    {
        // forge-lint: disable-next-line(unsafe-typecast)
        points = uint64(settled.points[index / POINTS_PER_SLOT] >> (POINTS_BITS * (index % POINTS_PER_SLOT)));
        // forge-lint: disable-next-line(unsafe-typecast)
        withheld = uint8(settled.withheld >> (WITHHELD_BITS * index));
        if (settled.resolution == Resolution.Rejected) withheld |= REJECTED;
        // a fault may be proven, or overturned, long after the job was settled
        if (record.upheldIn(party, jobId) != 0) withheld |= FAULT;
    }

    function _isFinal(Settled storage settled) private view returns (bool) {
        if (settled.settledAt == 0) return false;
        if (settled.resolution != Resolution.None) return true;
        uint64 until = settled.disputedBy == address(0) ? settled.finalAt : uint64(settled.disputedAt) + RESOLVE_SECONDS;
        // forge-lint: disable-next-line(block-timestamp)
        return block.timestamp > until;
    }

    function _requireSettled(bytes32 jobId) private view returns (Settled storage settled) {
        settled = _settled[jobId];
        if (settled.settledAt == 0) revert NotSettled(jobId);
    }

    function _requireReason(string calldata reason) private pure {
        uint256 length = bytes(reason).length;
        if (length == 0 || length > MAX_REASON_BYTES) revert ReasonInvalid(length, MAX_REASON_BYTES);
    }
}
