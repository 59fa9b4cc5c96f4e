// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Faults} from "./Faults.sol";
import {Reports} from "./Reports.sol";
import {Shapley} from "./Shapley.sol";
import {IAnomalyPolicy} from "./interfaces/IAnomalyPolicy.sol";
import {IAnomalyRecord} from "./interfaces/IAnomalyRecord.sol";
import {IContributionAudit} from "./interfaces/IContributionAudit.sol";
import {IJobManager} from "./interfaces/IJobManager.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";

/// @title ContributionAudit
/// @notice See {IContributionAudit}. Utilities are an event alone; shares are two slots.
contract ContributionAudit is IContributionAudit {
    /// @notice The most rows that are opened.
    uint32 public constant MAX_OPENED_ROWS = 10_000;
    /// @notice The shortest window.
    uint32 public constant MIN_WINDOW = 30;
    /// @notice The longest window.
    uint32 public constant MAX_WINDOW = 7 days;
    /// @notice The longest time for disputes.
    uint32 public constant MAX_DISPUTE = 90 days;
    /// @notice The largest budget: every number of points is exact as a double.
    uint64 public constant MAX_BUDGET = 2 ** 53;

    uint8 private constant LAST_REASON = 8;
    uint8 private constant SOUND = 1;
    uint8 private constant FALSE = 2;
    uint8 private constant NOT_POSTED = 2;
    uint8 private constant NOT_REVEALED = 4;
    uint8 private constant NOT_VOTED = 8;
    uint256 private constant SHARES_PER_SLOT = 4;
    uint256 private constant SHARE_BITS = 64;

    /// @dev `silent` has four bits per party, `reasons` eight.
    /// @param deadline of what is waited for: losses, once all have frozen; seeds, once they are posted; votes, once all
    /// have revealed. Where not all do, votes have one window more.
    struct Audit {
        Terms terms;
        uint40 deadline;
        uint40 postedBlock;
        uint8 parties;
        uint8 frozen;
        uint8 revealed;
        uint8 voted;
        uint8 against;
        uint8 weak;
        Outcome outcome;
        uint32 silent;
        uint64 reasons;
        bytes32 lossesRoot;
        uint256[2] shares;
        bytes32[8] outputs;
        bytes32[8] shards;
        bytes32[8] commitments;
        bytes32[8] seeds;
    }

    /// @notice Who is accredited.
    IParticipantRegistry public immutable registry;
    /// @notice The jobs that audits belong to.
    IJobManager public immutable jobs;
    /// @notice Takes the faults.
    IAnomalyRecord public immutable record;
    /// @notice How votes count.
    IAnomalyPolicy public immutable policy;

    mapping(bytes32 jobId => Audit) private _audits;
    mapping(address party => bytes32[]) private _concluded;

    /// @notice Takes the contracts it asks and reports to.
    constructor(IParticipantRegistry registry_, IJobManager jobs_, IAnomalyRecord record_, IAnomalyPolicy policy_) {
        registry = registry_;
        jobs = jobs_;
        record = record_;
        policy = policy_;
    }

    /// @inheritdoc IContributionAudit
    function commitLabels(bytes32 jobId, Terms calldata terms) external {
        (address party, IJobManager.JobContext memory job) = _requireOnRoster(jobId);
        if (job.senderIndex != 0) revert IJobManager.NotActiveParty(jobId, party);
        if (job.phase != IJobManager.Phase.Training) {
            revert IJobManager.WrongPhase(IJobManager.Phase.Training, job.phase);
        }
        if (job.round != 0) revert IJobManager.WrongRound(0, job.round);
        Audit storage audit = _audits[jobId];
        if (audit.parties != 0) revert AuditAlreadyBegun(jobId);
        IJobManager.JobView memory view_ = jobs.jobOf(jobId);
        bool sound = terms.root != 0 && terms.rows != 0 && terms.rows <= view_.alignedRows;
        sound = sound && terms.openedRows != 0 && terms.openedRows <= terms.rows;
        sound = sound && terms.openedRows <= MAX_OPENED_ROWS;
        sound = sound && terms.windowSeconds >= MIN_WINDOW && terms.windowSeconds <= MAX_WINDOW;
        sound = sound && terms.disputeSeconds <= MAX_DISPUTE && terms.budget <= MAX_BUDGET;
        if (!sound) revert TermsInvalid();

        audit.terms = terms;
        // forge-lint: disable-next-line(unsafe-typecast)
        audit.parties = uint8(view_.roster.length); // at most eight
        emit LabelsCommitted(
            jobId,
            party,
            terms.root,
            terms.rows,
            terms.openedRows,
            terms.windowSeconds,
            terms.disputeSeconds,
            terms.budget
        );
    }

    /// @inheritdoc IContributionAudit
    function freeze(bytes32 jobId, bytes32 outputs, bytes32 shard, bytes32 seedCommitment) external {
        (address party, IJobManager.JobContext memory job) = _requireOnRoster(jobId);
        Audit storage audit = _requireAudit(jobId);
        if (job.phase != IJobManager.Phase.Evaluating) {
            revert IJobManager.WrongPhase(IJobManager.Phase.Evaluating, job.phase);
        }
        uint8 bit = _bit(job.senderIndex);
        uint8 frozen = audit.frozen;
        if (frozen & bit != 0) revert AlreadyFrozen(jobId, party);
        if (outputs == 0 || shard == 0 || seedCommitment == 0) revert CommitmentInvalid();

        frozen |= bit;
        audit.frozen = frozen;
        if (frozen == _everyone(audit)) audit.deadline = _now() + audit.terms.windowSeconds;
        audit.outputs[job.senderIndex] = outputs;
        audit.shards[job.senderIndex] = shard;
        audit.commitments[job.senderIndex] = seedCommitment;
        emit OutputsFrozen(jobId, party, outputs, shard, seedCommitment);
    }

    /// @inheritdoc IContributionAudit
    function post(bytes32 jobId, bytes32 lossesRoot, uint128[] calldata sums, uint8 weakMask) external {
        (address party, IJobManager.JobContext memory job) = _requireOnRoster(jobId);
        if (job.senderIndex != 0) revert IJobManager.NotActiveParty(jobId, party);
        Audit storage audit = _requireAudit(jobId);
        _requireNotConcluded(jobId, audit);
        if (job.phase != IJobManager.Phase.Evaluating) {
            revert IJobManager.WrongPhase(IJobManager.Phase.Evaluating, job.phase);
        }
        uint8 everyone = _everyone(audit);
        if (audit.frozen != everyone) revert NotFrozen(jobId, audit.frozen);
        if (audit.lossesRoot != 0) revert AlreadyPosted(jobId);
        if (lossesRoot == 0) revert CommitmentInvalid();
        if (weakMask & ~(everyone & ~uint8(1)) != 0) revert WeakMaskInvalid(weakMask);
        int64[] memory utilitiesE6 = _utilities(sums, audit.terms.rows, uint256(everyone) + 1);
        int64[] memory shares840 = Shapley.shares840(utilitiesE6, audit.parties);

        audit.lossesRoot = lossesRoot;
        audit.weak = weakMask;
        audit.deadline = _now() + audit.terms.windowSeconds;
        audit.postedBlock = uint40(block.number);
        audit.shares[0] = _packed(shares840, 0);
        if (shares840.length > SHARES_PER_SLOT) audit.shares[1] = _packed(shares840, SHARES_PER_SLOT);
        emit LossesPosted(jobId, lossesRoot, sums, utilitiesE6, shares840, weakMask);
    }

    /// @inheritdoc IContributionAudit
    function reveal(bytes32 jobId, bytes32 seed) external {
        (address party, IJobManager.JobContext memory job) = _requireOnRoster(jobId);
        Audit storage audit = _requireAudit(jobId);
        _requireNotConcluded(jobId, audit);
        _requireGoingOn(audit, job.phase);
        if (audit.lossesRoot == 0) revert NotPosted(jobId);
        uint8 bit = _bit(job.senderIndex);
        if (audit.revealed & bit != 0) revert AlreadyRevealed(jobId, party);
        // a window is at least half a minute, and who reveals in its last seconds takes the risk
        // forge-lint: disable-next-line(block-timestamp)
        if (_now() > audit.deadline) revert IJobManager.DeadlineOver(audit.deadline, _now());
        bytes32 expected = audit.commitments[job.senderIndex];
        bytes32 found = keccak256(abi.encode(jobId, party, seed));
        if (found != expected) revert SeedDiffers(expected, found);

        uint8 revealed = audit.revealed | bit;
        audit.revealed = revealed;
        audit.seeds[job.senderIndex] = seed;
        if (revealed == _everyone(audit)) audit.deadline = _now() + audit.terms.windowSeconds;
        emit SeedRevealed(jobId, party, seed);
    }

    /// @inheritdoc IContributionAudit
    function vote(bytes32 jobId, bool sound, uint8 reason) external {
        (address party, IJobManager.JobContext memory job) = _requireOnRoster(jobId);
        if (job.senderIndex == 0) revert NotAuditor(jobId, party);
        Audit storage audit = _requireAudit(jobId);
        _requireNotConcluded(jobId, audit);
        _requireGoingOn(audit, job.phase);
        if (!_isSeedKnown(audit)) revert SeedUnknown(jobId);
        uint8 bit = _bit(job.senderIndex);
        if (audit.voted & bit != 0) revert AlreadyVotedOn(jobId, party);
        if (sound != (reason == 0) || reason > LAST_REASON) revert VoteInvalid(sound, reason);

        audit.voted |= bit;
        if (!sound) audit.against |= bit;
        // forge-lint: disable-next-line(incorrect-shift)
        audit.reasons |= uint64(reason) << (8 * job.senderIndex);
        emit AuditVoted(jobId, party, sound, reason);
    }

    /// @inheritdoc IContributionAudit
    function conclude(bytes32 jobId) external returns (Outcome outcome) {
        Audit storage audit = _requireAudit(jobId);
        _requireNotConcluded(jobId, audit);
        IJobManager.JobContext memory job = jobs.contextOf(jobId, address(0), address(0));
        _requireGoingOn(audit, job.phase);
        uint8[] memory silent;
        (outcome, silent) = _outcome(jobId, audit, job.phase == IJobManager.Phase.Completed);

        audit.outcome = outcome;
        uint32 packed = 0;
        address[] memory roster = jobs.rosterOf(jobId);
        for (uint256 i = 0; i < roster.length; ++i) {
            // forge-lint: disable-next-line(incorrect-shift)
            packed |= uint32(silent[i]) << uint32(4 * i);
            _concluded[roster[i]].push(jobId);
        }
        audit.silent = packed;
        emit AuditConcluded(jobId, outcome, _seed(jobId, audit), silent);
        bool refused = _isRefused(audit, silent[0], job.phase);
        for (uint256 i = 0; i < roster.length; ++i) {
            if (silent[i] == 0) continue;
            uint8 reason = i == 0 && refused ? Faults.AUDIT_REFUSED : Faults.AUDIT_SILENT;
            Reports.report(record, roster[i], jobId, job.round, reason, 0);
        }
        if (outcome == Outcome.False) {
            Reports.report(record, roster[0], jobId, job.round, Faults.CONTRIBUTION_FALSE, audit.lossesRoot);
        }
    }

    /// @inheritdoc IContributionAudit
    function auditOf(bytes32 jobId) external view returns (AuditView memory view_) {
        Audit storage audit = _requireAudit(jobId);
        uint256 parties = audit.parties;
        view_.terms = audit.terms;
        view_.outputs = _words(audit.outputs, parties);
        view_.shards = _words(audit.shards, parties);
        view_.commitments = _words(audit.commitments, parties);
        view_.seeds = _words(audit.seeds, parties);
        view_.lossesRoot = audit.lossesRoot;
        view_.shares840 = _shares(audit);
        view_.weakMask = audit.weak;
        view_.seed = _seed(jobId, audit);
        view_.silent = new uint8[](parties);
        view_.votes = new uint8[](parties);
        view_.reasons = new uint8[](parties);
        for (uint8 i = 0; i < parties; ++i) {
            view_.silent[i] = uint8(audit.silent >> (4 * i)) & 15;
            view_.reasons[i] = uint8(audit.reasons >> (8 * i));
            if (audit.voted & _bit(i) != 0) view_.votes[i] = audit.against & _bit(i) != 0 ? FALSE : SOUND;
        }
        view_.outcome = audit.outcome;
        view_.deadline = _deadline(audit);
        view_.postedBlock = audit.postedBlock;
    }

    /// @inheritdoc IContributionAudit
    function verdictOf(bytes32 jobId) external view returns (Verdict memory verdict) {
        Audit storage audit = _audits[jobId];
        verdict.outcome = audit.outcome;
        if (verdict.outcome == Outcome.None) return verdict;
        verdict.disputeSeconds = audit.terms.disputeSeconds;
        verdict.budget = audit.terms.budget;
        verdict.weakMask = audit.weak;
        for (uint8 i = 0; i < audit.parties; ++i) {
            if ((audit.silent >> (4 * i)) & 15 != 0) verdict.silentMask |= _bit(i);
        }
        verdict.shares840 = _shares(audit);
        verdict.shards = _words(audit.shards, audit.parties);
    }

    /// @inheritdoc IContributionAudit
    function outcomeOf(bytes32 jobId) external view returns (Outcome outcome) {
        return _audits[jobId].outcome;
    }

    /// @inheritdoc IContributionAudit
    function seedOf(bytes32 jobId) external view returns (bytes32 seed) {
        return _seed(jobId, _audits[jobId]);
    }

    /// @inheritdoc IContributionAudit
    function deadlineOf(bytes32 jobId) external view returns (uint64 deadline) {
        return _deadline(_audits[jobId]);
    }

    /// @inheritdoc IContributionAudit
    function sharesOf(bytes32 jobId) external view returns (int64[] memory shares840) {
        return _shares(_audits[jobId]);
    }

    /// @inheritdoc IContributionAudit
    function auditCount(address party) external view returns (uint256 count) {
        return _concluded[party].length;
    }

    /// @inheritdoc IContributionAudit
    function auditAt(address party, uint256 index) external view returns (bytes32 jobId) {
        return _concluded[party][index];
    }

    /// @inheritdoc IContributionAudit
    function auditsOf(address party, uint256 first, uint256 count) external view returns (bytes32[] memory jobIds) {
        bytes32[] storage all = _concluded[party];
        uint256 beyond = all.length > first ? all.length - first : 0;
        jobIds = new bytes32[](beyond < count ? beyond : count);
        for (uint256 i = 0; i < jobIds.length; ++i) {
            jobIds[i] = all[first + i];
        }
    }

    /// @dev What came of it, and what each party let pass; reverts while something is waited for.
    function _outcome(bytes32 jobId, Audit storage audit, bool isCompleted)
        private
        view
        returns (Outcome outcome, uint8[] memory silent)
    {
        silent = new uint8[](audit.parties);
        uint8 everyone = _everyone(audit);
        uint8 auditors = everyone & ~uint8(1);
        uint64 deadline = _deadline(audit);
        // windows take at least half a minute: what a block's proposer can move its time by does not matter
        // forge-lint: disable-next-line(block-timestamp)
        bool isOver = _now() > deadline;
        if (audit.frozen != everyone) {
            // whoever did not freeze may never have agreed to an audit: nothing is held against anybody
            if (!isCompleted) revert NotConcludable(jobId, 0);
            return (Outcome.Failed, silent);
        }
        if (audit.lossesRoot == 0) {
            if (!isOver && !isCompleted) revert NotConcludable(jobId, deadline);
            _mark(silent, 1, NOT_POSTED);
            return (Outcome.Failed, silent);
        }
        bool isSeedKnown = _isSeedKnown(audit);
        if (!isOver && !(isSeedKnown && audit.voted == auditors)) revert NotConcludable(jobId, deadline);
        _mark(silent, everyone & ~audit.revealed, NOT_REVEALED);
        if (!isSeedKnown) return (Outcome.Failed, silent);
        _mark(silent, auditors & ~audit.voted, NOT_VOTED);
        if (audit.voted == 0) return (Outcome.Unaudited, silent);
        if (audit.against == 0) return (Outcome.Verified, silent);
        uint256 voting = _count(audit.voted);
        uint256 against = _count(audit.against);
        if (policy.tally(against, voting)) return (Outcome.False, silent);
        return (policy.tally(voting - against, voting) ? Outcome.Verified : Outcome.Disputed, silent);
    }

    /// @dev Whether the active party kept back what only it could give. Once a job has ended early, others may not have been
    /// there any more: then only where it alone kept its seed, and so knew which rows it would have had to open.
    function _isRefused(Audit storage audit, uint8 silent, IJobManager.Phase phase) private view returns (bool) {
        if (silent & (NOT_POSTED | NOT_REVEALED) == 0) return false;
        return _isGoingOn(phase) || audit.revealed | 1 == _everyone(audit);
    }

    function _seed(bytes32 jobId, Audit storage audit) private view returns (bytes32) {
        if (!_isSeedKnown(audit)) return 0;
        return keccak256(abi.encode(jobId, audit.lossesRoot, _words(audit.seeds, audit.parties)));
    }

    /// @dev Who is silent cannot keep it unknown, but for the active party; nor can anybody choose it after the deadline.
    function _isSeedKnown(Audit storage audit) private view returns (bool) {
        if (audit.lossesRoot == 0) return false;
        if (audit.revealed == _everyone(audit)) return true;
        // forge-lint: disable-next-line(block-timestamp)
        return audit.revealed & 1 != 0 && _now() > audit.deadline;
    }

    function _deadline(Audit storage audit) private view returns (uint64) {
        if (audit.outcome != Outcome.None) return 0;
        bool isForVotes = _isSeedKnown(audit) && audit.revealed != _everyone(audit);
        return isForVotes ? audit.deadline + audit.terms.windowSeconds : audit.deadline;
    }

    function _shares(Audit storage audit) private view returns (int64[] memory shares) {
        if (audit.lossesRoot == 0) return shares;
        shares = new int64[](audit.parties);
        for (uint256 i = 0; i < shares.length; ++i) {
            // forge-lint: disable-next-line(unsafe-typecast)
            shares[i] = int64(uint64(audit.shares[i / SHARES_PER_SLOT] >> (SHARE_BITS * (i % SHARES_PER_SLOT))));
        }
    }

    function _words(bytes32[8] storage words, uint256 count) private view returns (bytes32[] memory copied) {
        copied = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            copied[i] = words[i];
        }
    }

    function _requireOnRoster(bytes32 jobId) private view returns (address party, IJobManager.JobContext memory job) {
        IParticipantRegistry.Status status;
        (party, status) = registry.identify(msg.sender);
        job = jobs.contextOf(jobId, party, address(0));
        if (job.phase == IJobManager.Phase.None) revert IJobManager.UnknownJob(jobId);
        if (job.senderIndex == type(uint8).max) revert IJobManager.NotOnRoster(jobId, msg.sender);
        if (status != IParticipantRegistry.Status.Accredited) revert IJobManager.PartyNotAccredited(party);
    }

    function _requireAudit(bytes32 jobId) private view returns (Audit storage audit) {
        audit = _audits[jobId];
        if (audit.parties == 0) revert NoAudit(jobId);
    }

    function _requireNotConcluded(bytes32 jobId, Audit storage audit) private view {
        if (audit.outcome != Outcome.None) revert AlreadyConcluded(jobId);
    }

    function _everyone(Audit storage audit) private view returns (uint8) {
        // forge-lint: disable-next-line(incorrect-shift, unsafe-typecast)
        return uint8((1 << audit.parties) - 1); // at most eight parties
    }

    function _now() private view returns (uint40) {
        return uint40(block.timestamp);
    }

    /// @dev Once losses are posted nobody ends an audit by ending the job.
    function _requireGoingOn(Audit storage audit, IJobManager.Phase phase) private view {
        if (!_isGoingOn(phase) && audit.lossesRoot == 0) {
            revert IJobManager.WrongPhase(IJobManager.Phase.Evaluating, phase);
        }
    }

    function _isGoingOn(IJobManager.Phase phase) private pure returns (bool) {
        return phase == IJobManager.Phase.Evaluating || phase == IJobManager.Phase.Completed;
    }

    function _utilities(uint128[] calldata sums, uint256 rows, uint256 coalitions)
        private
        pure
        returns (int64[] memory utilitiesE6)
    {
        if (sums.length != coalitions) revert SumCountInvalid(coalitions, sums.length);
        utilitiesE6 = new int64[](coalitions);
        uint256 max = rows * Shapley.MAX_LOSS;
        uint256 half = rows / 2;
        // rows are not zero, sums have 128 bits, and means at most 50
        unchecked {
            for (uint256 i = 0; i < coalitions; ++i) {
                uint256 sum = sums[i];
                if (sum > max) revert SumTooLarge(i, sum, max);
                // forge-lint: disable-next-line(unsafe-typecast)
                utilitiesE6[i] = -int64(uint64((sum + half) / rows));
            }
        }
    }

    /// @dev Four shares from `first` on in one word, the first in the lowest bits.
    function _packed(int64[] memory shares, uint256 first) private pure returns (uint256 word) {
        for (uint256 i = first; i < shares.length && i < first + SHARES_PER_SLOT; ++i) {
            // forge-lint: disable-next-line(unsafe-typecast)
            word |= uint256(uint64(shares[i])) << (SHARE_BITS * (i - first));
        }
    }

    function _mark(uint8[] memory silent, uint8 mask, uint8 step) private pure {
        for (uint256 i = 0; i < silent.length; ++i) {
            if ((mask >> i) & 1 != 0) silent[i] |= step;
        }
    }

    function _count(uint8 mask) private pure returns (uint256 count) {
        for (; mask != 0; mask &= mask - 1) {
            ++count;
        }
    }

    /// @dev `index` is 0..7, so the bit fits.
    function _bit(uint8 index) private pure returns (uint8) {
        // forge-lint: disable-next-line(incorrect-shift, unsafe-typecast)
        return uint8(1 << index);
    }
}
