// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title The life of a job: proposal, alignment, rounds, evaluation, completion.
/// @notice The roster's first party is the active party (it holds the labels); the others are passive.
/// The job's spec is published in full with {JobProposed}; alignment publishes a digest and a row count only.
/// Unless said otherwise a call by a party needs: the job exists, the caller is on its roster and Accredited.
interface IJobManager {
    enum Phase {
        None,
        Proposed,
        Aligning,
        Training,
        Evaluating,
        Completed,
        Aborted
    }

    /// @param maxPayloadBytes largest payload of one uplink.
    /// @param maxRounds largest round number.
    /// @param maxStatisticE6 largest declared statistic, scaled by 1e6.
    /// @param pipelined in training, payloads of any size may stay with their sender, and uplinks of a round are taken
    /// until the next but one begins; attempts count on from round to round.
    struct Policy {
        uint32 maxPayloadBytes;
        uint32 maxRounds;
        uint64 maxStatisticE6;
        bool pipelined;
    }

    struct JobView {
        Phase phase;
        uint32 round;
        uint16 attempt;
        address proposer;
        bytes32 specDigest;
        bytes32 alignedDigest;
        uint64 alignedRows;
        address[] roster;
        Policy policy;
    }

    /// @dev What the uplink ledger needs to judge one envelope, in one call.
    /// `senderIndex` and `recipientIndex` are positions on the roster, type(uint8).max if not on it.
    struct JobContext {
        Phase phase;
        uint32 round;
        uint16 attempt;
        uint8 senderIndex;
        uint8 recipientIndex;
        bool senderHasShard;
        uint32 maxPayloadBytes;
        uint64 maxStatisticE6;
        bool pipelined;
    }

    /// @notice `proposer` proposed a job; sha256 of `spec` is `specDigest`.
    event JobProposed(
        bytes32 indexed jobId, address indexed proposer, bytes32 specDigest, address[] roster, Policy policy, bytes spec
    );
    /// @notice `party` accepted the job.
    event JobAccepted(bytes32 indexed jobId, address indexed party);
    /// @notice `party` declared the order of the aligned rows and their number.
    event AlignmentDeclared(bytes32 indexed jobId, address indexed party, bytes32 orderDigest, uint64 rows);
    /// @notice The active party began `round`, or retries it with the next attempt. A new round begins with attempt 0, in a
    /// pipelined job with the attempt of the round before: there a round and its attempt are never used twice.
    event RoundBegan(bytes32 indexed jobId, uint32 round, uint16 attempt);
    /// @notice `party` agrees to stop training after `round`.
    event StopDeclared(bytes32 indexed jobId, address indexed party, uint32 round);
    /// @notice The digest of the part of the model that `party` keeps.
    event ShardRecorded(bytes32 indexed jobId, address indexed party, bytes32 digest);
    /// @notice The job ended without a model.
    event JobAborted(bytes32 indexed jobId, address indexed by, string reason);
    /// @notice The job is now in `phase`.
    event PhaseChanged(bytes32 indexed jobId, Phase phase);
    /// @notice The uplink ledger was wired.
    event LedgerSet(address indexed ledger);

    /// @notice There is no such job.
    error UnknownJob(bytes32 jobId);
    /// @notice `caller` is not on the job's roster.
    error NotOnRoster(bytes32 jobId, address caller);
    /// @notice `caller` is on the roster but is not the active party.
    error NotActiveParty(bytes32 jobId, address caller);
    /// @notice `party` is not Accredited (any more).
    error PartyNotAccredited(address party);
    /// @notice The call belongs to another phase.
    error WrongPhase(Phase expected, Phase found);
    /// @notice The job is completed or aborted.
    error JobEnded(bytes32 jobId, Phase phase);
    /// @notice The call names another round than the one expected.
    error WrongRound(uint32 expected, uint32 found);
    /// @notice No further round is allowed.
    error RoundLimitReached(uint32 maxRounds);
    /// @notice `party` has done this for the job already.
    error AlreadyDeclared(bytes32 jobId, address party);
    /// @notice A roster has 2..8 parties.
    error RosterSizeInvalid(uint256 size);
    /// @notice `party` is twice on the roster.
    error RosterDuplicate(address party);
    /// @notice The spec is not `1..max` bytes long.
    error SpecSizeInvalid(uint256 size, uint256 max);
    /// @notice The reason is longer than `max` bytes.
    error ReasonTooLong(uint256 length, uint256 max);
    /// @notice Only the deployer may wire.
    error NotDeployer(address caller);
    /// @notice Only the uplink ledger may call.
    error NotLedger(address caller);
    /// @notice The ledger is set once, and not to zero.
    error LedgerAlreadySet(address ledger);

    /// @notice Proposes a job. Proposing does not accept.
    /// @param spec the job's specification, 1..65536 bytes, public.
    /// @param roster 2..8 distinct Accredited parties, the proposer among them; the first is the active party.
    /// @param policy bounds that the uplink ledger enforces.
    /// @return jobId keccak256(abi.encode(chainid, this, proposer, sha256(spec), jobCount())).
    /// Emits {JobProposed} and {PhaseChanged}.
    function propose(bytes calldata spec, address[] calldata roster, Policy calldata policy)
        external
        returns (bytes32 jobId);

    /// @notice Accepts; the last acceptance opens Aligning. Requirements: phase Proposed, once per party.
    /// Emits {JobAccepted}, {PhaseChanged}.
    function accept(bytes32 jobId) external;

    /// @notice Declares the aligned rows; the first declaration fixes them, a different one aborts the job,
    /// the last equal one opens Training. Requirements: phase Aligning, once per party.
    /// Emits {AlignmentDeclared}, {PhaseChanged}, {JobAborted} if different.
    /// @param jobId the job.
    /// @param orderDigest digest of the aligned rows in their order.
    /// @param rows how many.
    function declareAligned(bytes32 jobId, bytes32 orderDigest, uint64 rows) external;

    /// @notice Begins the next round with attempt 0, in a pipelined job with the attempt of the round before; earlier stops
    /// are void. Requirements: active party, phase Training,
    /// `round` is the current one plus 1 and at most policy.maxRounds. Emits {RoundBegan}.
    function beginRound(bytes32 jobId, uint32 round) external;

    /// @notice Restarts a round with the next attempt; stops declared for the current one are void, and what is sent for
    /// an earlier attempt is rejected.
    /// Requirements: active party, phase Training, `round` is at least 1 and the current one, or in a pipelined job the
    /// one before it, which is then the current one again. Emits {RoundBegan}.
    function retryRound(bytes32 jobId, uint32 round) external;

    /// @notice Agrees to stop; the last stop opens Evaluating with round + 1, attempt 0.
    /// Requirements: phase Training, `round` is the current one and at least 1, once per party and attempt.
    /// Emits {StopDeclared}, {PhaseChanged}.
    function declareStop(bytes32 jobId, uint32 round) external;

    /// @notice Records a party's shard digest; the last one completes the job.
    /// Requirements: the uplink ledger calls, phase Evaluating, `party` on the roster, once per party.
    /// Emits {ShardRecorded}, {PhaseChanged}.
    function recordShard(bytes32 jobId, address party, bytes32 digest) external;

    /// @notice Aborts. Requirements: phase Proposed to Evaluating, reason at most 256 bytes.
    /// Emits {JobAborted}, {PhaseChanged}.
    function abort(bytes32 jobId, string calldata reason) external;

    /// @notice Wires the uplink ledger. Requirements: deployer, once. Emits {LedgerSet}.
    function setLedger(address ledger_) external;

    /// @notice The whole job; phase None if there is none.
    function jobOf(bytes32 jobId) external view returns (JobView memory job);

    /// @notice What the ledger needs to judge an uplink from `sender` to `recipient`; phase None if there is no job.
    function contextOf(bytes32 jobId, address sender, address recipient)
        external
        view
        returns (JobContext memory context);

    /// @notice The phase; None if there is no such job.
    function phaseOf(bytes32 jobId) external view returns (Phase phase);

    /// @notice Position on the roster, 0 for the active party; type(uint256).max if not on it.
    function rosterIndexOf(bytes32 jobId, address party) external view returns (uint256 index);

    /// @notice The roster, empty if there is no such job.
    function rosterOf(bytes32 jobId) external view returns (address[] memory roster);

    /// @notice The recorded shard digest, zero if none.
    function shardDigestOf(bytes32 jobId, address party) external view returns (bytes32 digest);

    /// @notice Whether `party` accepted the job.
    function hasAccepted(bytes32 jobId, address party) external view returns (bool);

    /// @notice Whether `party` declared its alignment.
    function hasAligned(bytes32 jobId, address party) external view returns (bool);

    /// @notice Whether `party` declared a stop that is not void.
    function hasStopped(bytes32 jobId, address party) external view returns (bool);

    /// @notice How many jobs were proposed.
    function jobCount() external view returns (uint256);

    /// @notice The job proposed as number `index`, counted from 0.
    function jobAt(uint256 index) external view returns (bytes32 jobId);
}
