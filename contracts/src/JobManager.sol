// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {JobState} from "./JobState.sol";
import {Reports} from "./Reports.sol";
import {IAnomalyRecord} from "./interfaces/IAnomalyRecord.sol";
import {IJobManager} from "./interfaces/IJobManager.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {IPolicyHolder} from "./interfaces/IPolicyHolder.sol";
import {IUplinkLedger} from "./interfaces/IUplinkLedger.sol";

/// @title JobManager
/// @notice See {IJobManager}. A job's life, from its proposal to its end; {JobState} keeps where it stands.
contract JobManager is JobState {
    uint256 private constant MIN_ROSTER = 2;
    uint256 private constant MAX_ROSTER = 8;
    uint256 private constant MAX_SPEC_BYTES = 65_536;
    uint256 private constant MAX_REASON_BYTES = 256;
    /// @dev The active party's bit in a mask.
    uint8 private constant ACTIVE = 1;

    /// @notice Who is accredited.
    IParticipantRegistry public immutable registry;
    /// @notice Takes the reports of who is missing.
    IAnomalyRecord public immutable anomalies;
    /// @notice Version of the policy by which the anomaly record answers; every job names it.
    uint16 public immutable policyVersion;
    /// @notice Who may wire the ledger.
    address public immutable deployer;
    /// @notice The uplink ledger, which alone records shards.
    address public ledger;

    /// @notice Takes the contracts it reads and calls; the ledger is wired later.
    constructor(IParticipantRegistry registry_, IAnomalyRecord anomalies_) {
        registry = registry_;
        anomalies = anomalies_;
        policyVersion = IPolicyHolder(address(anomalies_)).policy().version();
        deployer = msg.sender;
    }

    /// @inheritdoc IJobManager
    function setLedger(address ledger_) external {
        if (msg.sender != deployer) revert NotDeployer(msg.sender);
        if (ledger != address(0) || ledger_ == address(0)) revert LedgerAlreadySet(ledger);
        ledger = ledger_;
        emit LedgerSet(ledger_);
    }

    /// @inheritdoc IJobManager
    function propose(bytes calldata spec, address[] calldata roster, Policy calldata policy)
        external
        returns (bytes32 jobId)
    {
        if (spec.length == 0 || spec.length > MAX_SPEC_BYTES) {
            revert SpecSizeInvalid(spec.length, MAX_SPEC_BYTES);
        }
        if (roster.length < MIN_ROSTER || roster.length > MAX_ROSTER) revert RosterSizeInvalid(roster.length);
        _requirePolicy(policy);
        bytes32 specDigest = sha256(spec);
        (address proposer,) = registry.identify(msg.sender);
        jobId = keccak256(abi.encode(block.chainid, address(this), proposer, specDigest, _jobIds.length));

        Job storage job = _jobs[jobId];
        for (uint256 i = 0; i < roster.length; ++i) {
            _requireAccredited(roster[i]);
            if (job.seat[roster[i]] != 0) revert RosterDuplicate(roster[i]);
            // forge-lint: disable-next-line(unsafe-typecast)
            job.seat[roster[i]] = uint8(i + 1); // at most 8
        }
        if (job.seat[proposer] == 0) revert NotOnRoster(jobId, msg.sender);
        // forge-lint: disable-next-line(unsafe-typecast, incorrect-shift)
        job.everyone = uint8((1 << roster.length) - 1); // at most 8 bits
        job.policy = policy;
        job.proposer = proposer;
        job.specDigest = specDigest;
        job.roster = roster;
        _jobIds.push(jobId);
        emit JobProposed(jobId, proposer, specDigest, roster, policy, spec);
        _enter(jobId, job, Phase.Proposed);
    }

    /// @inheritdoc IJobManager
    function accept(bytes32 jobId) external {
        (Job storage job, address party, uint8 bit) = _requireParty(jobId, Phase.Proposed);
        job.accepted = _declare(jobId, party, job.accepted, bit);
        if (msg.sender != party) job.signer[party] = Signer(msg.sender, registry.rotationNonce(party));
        emit JobAccepted(jobId, party);
        if (job.accepted == job.everyone) _enter(jobId, job, Phase.Aligning);
    }

    /// @inheritdoc IJobManager
    function declareAligned(bytes32 jobId, bytes32 orderDigest, uint64 rows) external {
        (Job storage job, address party, uint8 bit) = _requireParty(jobId, Phase.Aligning);
        bool first = job.aligned == 0;
        job.aligned = _declare(jobId, party, job.aligned, bit);
        if (first) {
            job.alignedDigest = orderDigest;
            job.alignedRows = rows;
        }
        emit AlignmentDeclared(jobId, party, orderDigest, rows);
        if (job.alignedDigest != orderDigest || job.alignedRows != rows) {
            _abort(jobId, job, party, "alignment differs");
        } else if (job.aligned == job.everyone) {
            _enter(jobId, job, Phase.Training);
        }
    }

    /// @inheritdoc IJobManager
    function beginRound(bytes32 jobId, uint32 round) external {
        Job storage job = _requireActiveInTraining(jobId);
        uint32 current = job.round;
        if (current >= job.policy.maxRounds) revert RoundLimitReached(job.policy.maxRounds);
        if (round != current + 1) revert WrongRound(current + 1, round);
        if (current != 0 && !job.closed) _closeRound(jobId, job);
        _beginRound(jobId, job, round, job.policy.pipelined ? job.attempt : 0);
    }

    /// @inheritdoc IJobManager
    function retryRound(bytes32 jobId, uint32 round) external {
        Job storage job = _requireActiveInTraining(jobId);
        uint32 current = job.round;
        bool isPrevious = job.policy.pipelined && current != 0 && round == current - 1;
        if (round == 0 || (round != current && !isPrevious)) revert WrongRound(current, round);
        if (_isOverdue(job)) _closeOverdue(jobId, job);
        _beginRound(jobId, job, round, job.attempt + 1);
    }

    /// @inheritdoc IJobManager
    function declareStop(bytes32 jobId, uint32 round) external {
        (Job storage job, address party, uint8 bit) = _requireParty(jobId, Phase.Training);
        uint32 current = job.round;
        if (current == 0) revert WrongRound(1, 0);
        if (round != current) revert WrongRound(current, round);
        job.stopped = _declare(jobId, party, job.stopped, bit);
        emit StopDeclared(jobId, party, round);
        if (job.stopped == job.everyone) {
            if (!job.closed) _closeRound(jobId, job);
            job.round = current + 1;
            job.attempt = 0;
            _enter(jobId, job, Phase.Evaluating);
        }
    }

    /// @inheritdoc IJobManager
    function recordShard(bytes32 jobId, address party, bytes32 digest) external {
        if (msg.sender != ledger) revert NotLedger(msg.sender);
        Job storage job = _jobs[jobId];
        if (job.phase != Phase.Evaluating) revert WrongPhase(Phase.Evaluating, job.phase);
        uint8 seat = job.seat[party];
        if (seat == 0) revert NotOnRoster(jobId, party);
        uint8 bit = _bit(seat);
        if (job.sharded & bit != 0) revert AlreadyDeclared(jobId, party);
        job.sharded |= bit;
        job.shardDigest[party] = digest;
        emit ShardRecorded(jobId, party, digest);
        if (job.sharded == job.everyone) _enter(jobId, job, Phase.Completed);
    }

    /// @inheritdoc IJobManager
    function abort(bytes32 jobId, string calldata reason) external {
        (Job storage job, address party,) = _requireOnRoster(jobId);
        if (job.phase > Phase.Evaluating) revert JobEnded(jobId, job.phase);
        if (bytes(reason).length > MAX_REASON_BYTES) revert ReasonTooLong(bytes(reason).length, MAX_REASON_BYTES);
        _abort(jobId, job, party, reason);
    }

    /// @inheritdoc IJobManager
    function attend(bytes32 jobId) external {
        (Job storage job, address party, uint8 seat) = _requireOnRoster(jobId);
        if (job.phase > Phase.Evaluating) revert JobEnded(jobId, job.phase);
        if (_isOverdue(job)) revert DeadlineOver(job.deadline, uint64(block.timestamp));
        uint8 bit = _bit(seat);
        if (job.attended & bit != 0) return;
        job.attended |= bit;
        emit PartyAttended(jobId, party, job.round, job.attempt);
    }

    /// @inheritdoc IJobManager
    function closeRound(bytes32 jobId) external {
        Job storage job = _requireKnown(jobId);
        if (job.phase != Phase.Training) revert WrongPhase(Phase.Training, job.phase);
        _requireOverdue(job);
        _closeOverdue(jobId, job);
    }

    /// @inheritdoc IJobManager
    function markMissing(bytes32 jobId) external {
        Job storage job = _requireKnown(jobId);
        if (job.phase > Phase.Evaluating) revert JobEnded(jobId, job.phase);
        if (job.phase == Phase.Training) revert WrongPhase(Phase.Evaluating, job.phase);
        _requireOverdue(job);
        _closeOverdue(jobId, job);
    }

    /// @inheritdoc IJobManager
    function expire(bytes32 jobId) external {
        Job storage job = _requireKnown(jobId);
        if (job.phase > Phase.Evaluating) revert JobEnded(jobId, job.phase);
        if (!_isExpirable(job)) revert DeadlineNotReached(_lastSecond(job), uint64(block.timestamp));
        if (_isOverdue(job)) _closeOverdue(jobId, job);
        (address party,) = registry.identify(msg.sender);
        emit JobExpired(jobId, party == address(0) ? msg.sender : party);
        _enter(jobId, job, Phase.Expired);
    }

    /// @inheritdoc IJobManager
    function isExpirable(bytes32 jobId) external view returns (bool) {
        Job storage job = _jobs[jobId];
        return job.phase != Phase.None && job.phase <= Phase.Evaluating && _isExpirable(job);
    }

    /// @dev Until the first round begins the passive parties have nothing to do: they count as attending.
    function _enter(bytes32 jobId, Job storage job, Phase phase) private {
        job.phase = phase;
        job.closed = false;
        job.attended = phase == Phase.Training ? job.everyone & ~ACTIVE : 0;
        bool ends = phase > Phase.Evaluating;
        job.deadline = ends ? 0 : uint40(block.timestamp) + _secondsOf(job);
        if (ends) job.ended = uint40(block.timestamp);
        emit PhaseChanged(jobId, phase);
    }

    function _abort(bytes32 jobId, Job storage job, address by, string memory reason) private {
        emit JobAborted(jobId, by, reason);
        _enter(jobId, job, Phase.Aborted);
    }

    function _beginRound(bytes32 jobId, Job storage job, uint32 round, uint16 attempt) private {
        job.round = round;
        job.attempt = attempt;
        job.stopped = 0;
        job.attended = 0;
        job.closed = false;
        job.deadline = uint40(block.timestamp) + job.policy.roundSeconds;
        emit RoundBegan(jobId, round, attempt);
    }

    /// @dev Says who took part in the round and attempt in force; see {IJobManager-RoundClosed} for the masks.
    function _closeRound(bytes32 jobId, Job storage job) private returns (uint8 missing) {
        job.closed = true;
        (uint32 round, uint16 attempt) = (job.round, job.attempt);
        (uint8 accepted, uint8 rejected) = _uplinkMasks(jobId, round, attempt);
        rejected &= ~accepted;
        accepted |= (job.attended | job.stopped) & ~rejected;
        missing = job.everyone & ~(accepted | rejected);
        emit RoundClosed(jobId, round, attempt, accepted, rejected, missing);
    }

    /// @dev Closes what is overdue, unless that was done: names who is missing and reports it.
    function _closeOverdue(bytes32 jobId, Job storage job) private {
        if (job.closed) return;
        Phase phase = job.phase;
        uint8 missing;
        if (phase == Phase.Training) {
            missing = _closeRound(jobId, job);
        } else {
            job.closed = true;
            uint8 declared =
                phase == Phase.Proposed ? job.accepted : phase == Phase.Aligning ? job.aligned : job.sharded;
            missing = job.everyone & ~(declared | job.attended);
        }
        (uint32 round, uint16 attempt) = (job.round, job.attempt);
        for (uint256 i = 0; missing >> i != 0; ++i) {
            if ((missing >> i) & 1 == 0) continue;
            address party = job.roster[i];
            emit PartyMissing(jobId, party, round, attempt);
            if (phase != Phase.Proposed) Reports.report(anomalies, party, jobId, round, Reports.MISSING, 0);
        }
    }

    /// @dev Who sent what while `round` and `attempt` were in force, as the ledger counted.
    function _uplinkMasks(bytes32 jobId, uint32 round, uint16 attempt)
        private
        view
        returns (uint8 accepted, uint8 rejected)
    {
        // before the first round there are none, and those of Aligning say nothing; nor are there without a ledger
        if (round == 0 || ledger == address(0)) return (0, 0);
        uint32 countedRound;
        uint16 countedAttempt;
        (countedRound, countedAttempt, accepted, rejected) = IUplinkLedger(ledger).roundOf(jobId);
        if (countedRound != round || countedAttempt != attempt) return (0, 0);
    }

    /// @dev How long the phase in force, in training a round, may take.
    function _secondsOf(Job storage job) private view returns (uint32) {
        return job.phase == Phase.Training ? job.policy.roundSeconds : job.policy.phaseSeconds;
    }

    /// @dev The last second before the job may be expired because its time is over.
    function _lastSecond(Job storage job) private view returns (uint64) {
        return uint64(job.deadline) + _secondsOf(job);
    }

    function _isOverdue(Job storage job) private view returns (bool) {
        // phases and rounds take minutes: what a block's proposer can move its time by does not matter
        // forge-lint: disable-next-line(block-timestamp)
        return block.timestamp > job.deadline;
    }

    function _requireOverdue(Job storage job) private view {
        if (!_isOverdue(job)) revert DeadlineNotReached(job.deadline, uint64(block.timestamp));
    }

    /// @dev For a job in Proposed to Evaluating.
    function _isExpirable(Job storage job) private view returns (bool) {
        // forge-lint: disable-next-line(block-timestamp)
        if (block.timestamp > _lastSecond(job)) return true;
        if (!job.policy.endsOnSuspension) return false;
        uint256 count = job.roster.length;
        for (uint256 i = 0; i < count; ++i) {
            if (registry.statusOf(job.roster[i]) >= IParticipantRegistry.Status.Suspended) return true;
        }
        return false;
    }

    function _requirePolicy(Policy calldata policy) private view {
        if (policy.phaseSeconds == 0 || policy.roundSeconds == 0 || policy.maxUplinksPerRound == 0) {
            revert PolicyInvalid();
        }
        if (policy.version != policyVersion) revert PolicyVersionInvalid(policyVersion, policy.version);
    }

    function _requireKnown(bytes32 jobId) private view returns (Job storage job) {
        job = _jobs[jobId];
        if (job.phase == Phase.None) revert UnknownJob(jobId);
    }

    function _requireOnRoster(bytes32 jobId) private view returns (Job storage job, address party, uint8 seat) {
        job = _requireKnown(jobId);
        IParticipantRegistry.Status status;
        (party, status) = registry.identify(msg.sender);
        seat = job.seat[party];
        if (seat == 0) revert NotOnRoster(jobId, msg.sender);
        if (status != IParticipantRegistry.Status.Accredited) revert PartyNotAccredited(party);
    }

    function _requireParty(bytes32 jobId, Phase phase)
        private
        view
        returns (Job storage job, address party, uint8 bit)
    {
        uint8 seat;
        (job, party, seat) = _requireOnRoster(jobId);
        if (job.phase != phase) revert WrongPhase(phase, job.phase);
        bit = _bit(seat);
    }

    function _requireActiveInTraining(bytes32 jobId) private view returns (Job storage job) {
        address party;
        uint8 seat;
        (job, party, seat) = _requireOnRoster(jobId);
        if (seat != 1) revert NotActiveParty(jobId, party);
        if (job.phase != Phase.Training) revert WrongPhase(Phase.Training, job.phase);
    }

    function _requireAccredited(address party) private view {
        if (registry.statusOf(party) != IParticipantRegistry.Status.Accredited) revert PartyNotAccredited(party);
    }

    function _declare(bytes32 jobId, address party, uint8 mask, uint8 bit) private pure returns (uint8) {
        if (mask & bit != 0) revert AlreadyDeclared(jobId, party);
        return mask | bit;
    }
}
