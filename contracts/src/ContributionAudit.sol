// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {AuditState} from "./AuditState.sol";
import {Faults} from "./Faults.sol";
import {Reports} from "./Reports.sol";
import {Shapley} from "./Shapley.sol";
import {IAnomalyPolicy} from "./interfaces/IAnomalyPolicy.sol";
import {IAnomalyRecord} from "./interfaces/IAnomalyRecord.sol";
import {IContributionAudit} from "./interfaces/IContributionAudit.sol";
import {IJobManager} from "./interfaces/IJobManager.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";

/// @title ContributionAudit
/// @notice See {IContributionAudit}. The steps of an audit, from the commitment to its end; {AuditState} keeps what came of them.
contract ContributionAudit is AuditState {
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

    /// @notice Who is accredited.
    IParticipantRegistry public immutable registry;
    /// @notice The jobs that audits belong to.
    IJobManager public immutable jobs;
    /// @notice Takes the faults.
    IAnomalyRecord public immutable record;
    /// @notice How votes count.
    IAnomalyPolicy public immutable policy;

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
        uint8 held = _heldAgainst(audit);
        for (uint256 i = 0; i < roster.length; ++i) {
            if (silent[i] & held == 0) continue;
            uint8 reason = i == 0 && refused ? Faults.AUDIT_REFUSED : Faults.AUDIT_SILENT;
            Reports.report(record, roster[i], jobId, job.round, reason, 0);
        }
        if (outcome == Outcome.False) {
            Reports.report(record, roster[0], jobId, job.round, Faults.CONTRIBUTION_FALSE, audit.lossesRoot);
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
        if (!isSeedKnown) return (audit.revealed & 1 != 0 ? Outcome.Unaudited : Outcome.Failed, silent);
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

    function _requireOnRoster(bytes32 jobId) private view returns (address party, IJobManager.JobContext memory job) {
        IParticipantRegistry.Status status;
        (party, status) = registry.identify(msg.sender);
        job = jobs.contextOf(jobId, party, address(0));
        if (job.phase == IJobManager.Phase.None) revert IJobManager.UnknownJob(jobId);
        if (job.senderIndex == type(uint8).max) revert IJobManager.NotOnRoster(jobId, msg.sender);
        if (status != IParticipantRegistry.Status.Accredited) revert IJobManager.PartyNotAccredited(party);
    }

    function _requireNotConcluded(bytes32 jobId, Audit storage audit) private view {
        if (audit.outcome != Outcome.None) revert AlreadyConcluded(jobId);
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
}
