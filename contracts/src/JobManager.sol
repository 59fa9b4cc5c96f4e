// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IJobManager} from "./interfaces/IJobManager.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";

/// @title JobManager
/// @notice See {IJobManager}. What the ledger reads for every uplink is packed into two storage slots, beside the seats.
contract JobManager is IJobManager {
    uint256 private constant MIN_ROSTER = 2;
    uint256 private constant MAX_ROSTER = 8;
    uint256 private constant MAX_SPEC_BYTES = 65_536;
    uint256 private constant MAX_REASON_BYTES = 256;

    /// @dev First slot: phase to sharded; second: policy. A mask has bit i set when roster[i] has declared.
    struct Job {
        Phase phase;
        uint32 round;
        uint16 attempt;
        uint8 everyone;
        uint8 accepted;
        uint8 aligned;
        uint8 stopped;
        uint8 sharded;
        Policy policy;
        address proposer;
        uint64 alignedRows;
        bytes32 specDigest;
        bytes32 alignedDigest;
        address[] roster;
        /// @dev Position on the roster plus one; zero means not on it.
        mapping(address party => uint8) seat;
        mapping(address party => bytes32) shardDigest;
    }

    /// @notice Who is accredited.
    IParticipantRegistry public immutable registry;
    /// @notice Who may wire the ledger.
    address public immutable deployer;
    /// @notice The uplink ledger, which alone records shards.
    address public ledger;

    mapping(bytes32 jobId => Job) private _jobs;
    bytes32[] private _jobIds;

    /// @notice Takes the registry; the ledger is wired later.
    constructor(IParticipantRegistry registry_) {
        registry = registry_;
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
        bytes32 specDigest = sha256(spec);
        jobId = keccak256(abi.encode(block.chainid, address(this), msg.sender, specDigest, _jobIds.length));

        Job storage job = _jobs[jobId];
        for (uint256 i = 0; i < roster.length; ++i) {
            _requireAccredited(roster[i]);
            if (job.seat[roster[i]] != 0) revert RosterDuplicate(roster[i]);
            // forge-lint: disable-next-line(unsafe-typecast)
            job.seat[roster[i]] = uint8(i + 1); // at most 8
        }
        if (job.seat[msg.sender] == 0) revert NotOnRoster(jobId, msg.sender);
        // forge-lint: disable-next-line(unsafe-typecast, incorrect-shift)
        job.everyone = uint8((1 << roster.length) - 1); // at most 8 bits
        job.policy = policy;
        job.proposer = msg.sender;
        job.specDigest = specDigest;
        job.roster = roster;
        _jobIds.push(jobId);
        emit JobProposed(jobId, msg.sender, specDigest, roster, policy, spec);
        _enter(jobId, job, Phase.Proposed);
    }

    /// @inheritdoc IJobManager
    function accept(bytes32 jobId) external {
        (Job storage job, uint8 bit) = _requireParty(jobId, Phase.Proposed);
        job.accepted = _declare(jobId, job.accepted, bit);
        emit JobAccepted(jobId, msg.sender);
        if (job.accepted == job.everyone) _enter(jobId, job, Phase.Aligning);
    }

    /// @inheritdoc IJobManager
    function declareAligned(bytes32 jobId, bytes32 orderDigest, uint64 rows) external {
        (Job storage job, uint8 bit) = _requireParty(jobId, Phase.Aligning);
        bool first = job.aligned == 0;
        job.aligned = _declare(jobId, job.aligned, bit);
        if (first) {
            job.alignedDigest = orderDigest;
            job.alignedRows = rows;
        }
        emit AlignmentDeclared(jobId, msg.sender, orderDigest, rows);
        if (job.alignedDigest != orderDigest || job.alignedRows != rows) {
            _abort(jobId, job, "alignment differs");
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
        uint16 attempt = job.policy.pipelined ? job.attempt : 0;
        job.round = round;
        job.attempt = attempt;
        job.stopped = 0;
        emit RoundBegan(jobId, round, attempt);
    }

    /// @inheritdoc IJobManager
    function retryRound(bytes32 jobId, uint32 round) external {
        Job storage job = _requireActiveInTraining(jobId);
        uint32 current = job.round;
        bool isPrevious = job.policy.pipelined && current != 0 && round == current - 1;
        if (round == 0 || (round != current && !isPrevious)) revert WrongRound(current, round);
        uint16 attempt = job.attempt + 1;
        job.round = round;
        job.attempt = attempt;
        job.stopped = 0;
        emit RoundBegan(jobId, round, attempt);
    }

    /// @inheritdoc IJobManager
    function declareStop(bytes32 jobId, uint32 round) external {
        (Job storage job, uint8 bit) = _requireParty(jobId, Phase.Training);
        uint32 current = job.round;
        if (current == 0) revert WrongRound(1, 0);
        if (round != current) revert WrongRound(current, round);
        job.stopped = _declare(jobId, job.stopped, bit);
        emit StopDeclared(jobId, msg.sender, round);
        if (job.stopped == job.everyone) {
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
        (Job storage job,) = _requireOnRoster(jobId);
        if (job.phase > Phase.Evaluating) revert JobEnded(jobId, job.phase);
        if (bytes(reason).length > MAX_REASON_BYTES) revert ReasonTooLong(bytes(reason).length, MAX_REASON_BYTES);
        _abort(jobId, job, reason);
    }

    /// @inheritdoc IJobManager
    function jobOf(bytes32 jobId) external view returns (JobView memory) {
        Job storage job = _jobs[jobId];
        return JobView({
            phase: job.phase,
            round: job.round,
            attempt: job.attempt,
            proposer: job.proposer,
            specDigest: job.specDigest,
            alignedDigest: job.alignedDigest,
            alignedRows: job.alignedRows,
            roster: job.roster,
            policy: job.policy
        });
    }

    /// @inheritdoc IJobManager
    function contextOf(bytes32 jobId, address sender, address recipient)
        external
        view
        returns (JobContext memory context)
    {
        Job storage job = _jobs[jobId];
        context.phase = job.phase;
        context.round = job.round;
        context.attempt = job.attempt;
        context.maxPayloadBytes = job.policy.maxPayloadBytes;
        context.maxStatisticE6 = job.policy.maxStatisticE6;
        context.pipelined = job.policy.pipelined;
        uint8 seat = job.seat[sender];
        unchecked {
            context.senderIndex = seat - 1; // seat 0 wraps to type(uint8).max: not on the roster
            context.recipientIndex = recipient == address(0) ? type(uint8).max : job.seat[recipient] - 1;
        }
        context.senderHasShard = seat != 0 && job.sharded & _bit(seat) != 0;
    }

    /// @inheritdoc IJobManager
    function phaseOf(bytes32 jobId) external view returns (Phase phase) {
        return _jobs[jobId].phase;
    }

    /// @inheritdoc IJobManager
    function rosterIndexOf(bytes32 jobId, address party) external view returns (uint256 index) {
        uint256 seat = _jobs[jobId].seat[party];
        return seat == 0 ? type(uint256).max : seat - 1;
    }

    /// @inheritdoc IJobManager
    function rosterOf(bytes32 jobId) external view returns (address[] memory roster) {
        return _jobs[jobId].roster;
    }

    /// @inheritdoc IJobManager
    function shardDigestOf(bytes32 jobId, address party) external view returns (bytes32 digest) {
        return _jobs[jobId].shardDigest[party];
    }

    /// @inheritdoc IJobManager
    function hasAccepted(bytes32 jobId, address party) external view returns (bool) {
        return _has(_jobs[jobId].accepted, _jobs[jobId].seat[party]);
    }

    /// @inheritdoc IJobManager
    function hasAligned(bytes32 jobId, address party) external view returns (bool) {
        return _has(_jobs[jobId].aligned, _jobs[jobId].seat[party]);
    }

    /// @inheritdoc IJobManager
    function hasStopped(bytes32 jobId, address party) external view returns (bool) {
        return _has(_jobs[jobId].stopped, _jobs[jobId].seat[party]);
    }

    /// @inheritdoc IJobManager
    function jobCount() external view returns (uint256) {
        return _jobIds.length;
    }

    /// @inheritdoc IJobManager
    function jobAt(uint256 index) external view returns (bytes32 jobId) {
        return _jobIds[index];
    }

    function _enter(bytes32 jobId, Job storage job, Phase phase) private {
        job.phase = phase;
        emit PhaseChanged(jobId, phase);
    }

    function _abort(bytes32 jobId, Job storage job, string memory reason) private {
        job.phase = Phase.Aborted;
        emit JobAborted(jobId, msg.sender, reason);
        emit PhaseChanged(jobId, Phase.Aborted);
    }

    function _requireOnRoster(bytes32 jobId) private view returns (Job storage job, uint8 seat) {
        job = _jobs[jobId];
        if (job.phase == Phase.None) revert UnknownJob(jobId);
        seat = job.seat[msg.sender];
        if (seat == 0) revert NotOnRoster(jobId, msg.sender);
        _requireAccredited(msg.sender);
    }

    function _requireParty(bytes32 jobId, Phase phase) private view returns (Job storage job, uint8 bit) {
        uint8 seat;
        (job, seat) = _requireOnRoster(jobId);
        if (job.phase != phase) revert WrongPhase(phase, job.phase);
        bit = _bit(seat);
    }

    function _requireActiveInTraining(bytes32 jobId) private view returns (Job storage job) {
        uint8 seat;
        (job, seat) = _requireOnRoster(jobId);
        if (seat != 1) revert NotActiveParty(jobId, msg.sender);
        if (job.phase != Phase.Training) revert WrongPhase(Phase.Training, job.phase);
    }

    function _requireAccredited(address party) private view {
        if (registry.statusOf(party) != IParticipantRegistry.Status.Accredited) revert PartyNotAccredited(party);
    }

    function _declare(bytes32 jobId, uint8 mask, uint8 bit) private view returns (uint8) {
        if (mask & bit != 0) revert AlreadyDeclared(jobId, msg.sender);
        return mask | bit;
    }

    function _has(uint8 mask, uint8 seat) private pure returns (bool) {
        return seat != 0 && mask & _bit(seat) != 0;
    }

    /// @dev `seat` is 1..8, so the bit fits.
    function _bit(uint8 seat) private pure returns (uint8) {
        // forge-lint: disable-next-line(incorrect-shift)
        return uint8(1 << (seat - 1));
    }
}
