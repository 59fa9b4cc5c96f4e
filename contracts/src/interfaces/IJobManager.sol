// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title The life of a job: proposal, alignment, rounds, evaluation, completion.
/// @notice The roster's first party is the active party (it holds the labels); the others are passive.
/// The job's spec is published in full with {JobProposed}; alignment publishes a digest and a row count only.
/// A caller is the party whose signer it is; rosters, events and views name parties, never signers.
/// Unless said otherwise a call by a party needs: the job exists, the caller is on its roster and Accredited.
///
/// Every phase before the end, and every attempt of a round in training, has a deadline. It takes nothing away from who
/// is late, but for uplinks of training, which the ledger then rejects: it gives everybody else the right to name who is
/// missing ({closeRound}, {markMissing}) and, after as much time again, to end the job ({expire}). So one absent party
/// blocks nobody for ever. Who waits for others says so ({attend}) and is then not missing.
interface IJobManager {
    enum Phase {
        None,
        Proposed,
        Aligning,
        Training,
        Evaluating,
        Completed,
        Aborted,
        Expired
    }

    /// @param maxPayloadBytes largest payload of one uplink.
    /// @param maxRounds largest round number.
    /// @param maxStatisticE6 largest declared statistic, scaled by 1e6.
    /// @param pipelined in training, payloads of any size may stay with their sender, and uplinks of a round are taken
    /// until the next but one begins; attempts count on from round to round.
    /// @param phaseSeconds how long Proposed, Aligning and Evaluating may take each, at least 1.
    /// @param roundSeconds how long an attempt of a round of training may take, at least 1.
    /// @param maxUplinksPerRound how many uplinks of one party are accepted while a round and its attempt are in force,
    /// at least 1; no bound after completion.
    /// @param endsOnSuspension the job may be expired at once when a party of its roster is suspended or banned.
    /// @param version version of the anomaly policy that all agree to.
    struct Policy {
        uint32 maxPayloadBytes;
        uint32 maxRounds;
        uint64 maxStatisticE6;
        bool pipelined;
        uint32 phaseSeconds;
        uint32 roundSeconds;
        uint16 maxUplinksPerRound;
        bool endsOnSuspension;
        uint16 version;
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
        uint64 deadline;
        bool closed;
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
        uint16 maxUplinksPerRound;
        uint64 deadline;
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
    /// @notice `party` is there and waits; `round` and `attempt` are those in force.
    event PartyAttended(bytes32 indexed jobId, address indexed party, uint32 round, uint16 attempt);
    /// @notice The deadline is over and `party` neither did its part nor attended; outside training `round` and `attempt`
    /// are those in force.
    event PartyMissing(bytes32 indexed jobId, address indexed party, uint32 round, uint16 attempt);
    /// @notice A round's attempt was closed, once. Bit i of a mask stands for roster[i]; the three masks share no bit and
    /// together are the whole roster: `acceptedMask` has an accepted uplink, or none at all but attended or declared its
    /// stop; `rejectedMask` has rejected uplinks only; `missingMask` is the rest. Uplinks count that were judged while this
    /// round and attempt were in force, in a pipelined job those of the round before, too.
    event RoundClosed(
        bytes32 indexed jobId, uint32 round, uint16 attempt, uint8 acceptedMask, uint8 rejectedMask, uint8 missingMask
    );
    /// @notice The job ended because its time was over, or because of a suspension; `by` asked for it: a party, or an
    /// account that is no party's.
    event JobExpired(bytes32 indexed jobId, address indexed by);
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
    /// @notice The job is completed, aborted or expired.
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
    /// @notice phaseSeconds, roundSeconds and maxUplinksPerRound are at least 1.
    error PolicyInvalid();
    /// @notice The policy names another version of the anomaly policy than the one in force here.
    error PolicyVersionInvalid(uint16 expected, uint16 found);
    /// @notice It is not yet after `deadline`; both in seconds since 1970.
    error DeadlineNotReached(uint64 deadline, uint64 time);
    /// @notice It is after `deadline`; both in seconds since 1970.
    error DeadlineOver(uint64 deadline, uint64 time);
    /// @notice The reason is longer than `max` bytes.
    error ReasonTooLong(uint256 length, uint256 max);
    /// @notice Only the deployer may wire.
    error NotDeployer(address caller);
    /// @notice Only the uplink ledger may call.
    error NotLedger(address caller);
    /// @notice The ledger is set once, and not to zero.
    error LedgerAlreadySet(address ledger);

    /// @notice Proposes a job. Proposing does not accept. The roster accepts within policy.phaseSeconds.
    /// @param spec the job's specification, 1..65536 bytes, public.
    /// @param roster 2..8 distinct Accredited parties, the proposer among them; the first is the active party.
    /// @param policy bounds that the uplink ledger enforces, and the time that phases and rounds have.
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
    /// are void. The round before, if it is open, is closed and nobody reported. The new one has policy.roundSeconds.
    /// Requirements: active party, phase Training,
    /// `round` is the current one plus 1 and at most policy.maxRounds. Emits {RoundClosed}, {RoundBegan}.
    function beginRound(bytes32 jobId, uint32 round) external;

    /// @notice Restarts a round with the next attempt; stops declared for the current one are void, and what is sent for
    /// an earlier attempt is rejected. The new attempt has policy.roundSeconds. A round that is overdue and open is closed
    /// first, as {closeRound} does.
    /// Requirements: active party, phase Training, `round` is at least 1 and the current one, or in a pipelined job the
    /// one before it, which is then the current one again. Emits {RoundBegan}, and what {closeRound} emits.
    function retryRound(bytes32 jobId, uint32 round) external;

    /// @notice Agrees to stop; the last stop closes the round and opens Evaluating with round + 1, attempt 0.
    /// Requirements: phase Training, `round` is the current one and at least 1, once per party and attempt.
    /// Emits {StopDeclared}, {RoundClosed}, {PhaseChanged}.
    function declareStop(bytes32 jobId, uint32 round) external;

    /// @notice Records a party's shard digest; the last one completes the job.
    /// Requirements: the uplink ledger calls, phase Evaluating, `party` on the roster, once per party.
    /// Emits {ShardRecorded}, {PhaseChanged}.
    function recordShard(bytes32 jobId, address party, bytes32 digest) external;

    /// @notice Aborts. Requirements: phase Proposed to Evaluating, reason at most 256 bytes.
    /// Emits {JobAborted}, {PhaseChanged}.
    function abort(bytes32 jobId, string calldata reason) external;

    /// @notice "I am here and wait for others", in the phase in force, in training in the round and attempt in force.
    /// Again it changes nothing. Requirements: phase Proposed to Evaluating, not after the deadline.
    /// Emits {PartyAttended}.
    function attend(bytes32 jobId) external;

    /// @notice Closes the round in force that is overdue: names who is missing and reports each to the anomaly record.
    /// Before round 1 began only the active party can be missing: the others wait for it. Never reverts once the deadline is
    /// over; again it changes nothing. Anyone may call. Requirements: phase Training, after the deadline.
    /// Emits {RoundClosed}, {PartyMissing} for each.
    function closeRound(bytes32 jobId) external;

    /// @notice The same for the other phases: missing is who neither declared (accepted, aligned, recorded its shard) nor
    /// attended. Who does not accept a proposal is named, but not reported: nobody is bound to answer one.
    /// Never reverts once the deadline is over; again it changes nothing. Anyone may call.
    /// Requirements: phase Proposed, Aligning or Evaluating, after the deadline. Emits {PartyMissing} for each.
    function markMissing(bytes32 jobId) external;

    /// @notice Ends a job whose deadline is over by as much time as it gave (phaseSeconds or roundSeconds) once more, or at
    /// once if policy.endsOnSuspension and a party of the roster is suspended or banned. What is overdue is closed first, as
    /// {closeRound} and {markMissing} do. Anyone may call. Requirements: phase Proposed to Evaluating.
    /// Emits {JobExpired}, {PhaseChanged}, and what those emit.
    function expire(bytes32 jobId) external;

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

    /// @notice Until when the phase in force is to be over, in training the attempt of the round in force (before round 1:
    /// until when it is to begin), in seconds since 1970; 0 once the job ended, or if there is none.
    function deadlineOf(bytes32 jobId) external view returns (uint64 deadline);

    /// @notice Whether {expire} would end the job now.
    function isExpirable(bytes32 jobId) external view returns (bool);

    /// @notice Position on the roster, 0 for the active party; type(uint256).max if not on it.
    function rosterIndexOf(bytes32 jobId, address party) external view returns (uint256 index);

    /// @notice The roster, empty if there is no such job.
    function rosterOf(bytes32 jobId) external view returns (address[] memory roster);

    /// @notice The recorded shard digest, zero if none.
    function shardDigestOf(bytes32 jobId, address party) external view returns (bytes32 digest);

    /// @notice Whether `party` accepted the job.
    function hasAccepted(bytes32 jobId, address party) external view returns (bool);

    /// @notice By which key `party` accepted the job: whoever judges what it signed for the job tells by that its keys since.
    /// @return key which signed then; zero if the party has not accepted.
    /// @return rotations how many keys it had had before that one, as {IParticipantRegistry-rotationNonce} was.
    /// @return endedAt when the job was completed, aborted or expired, in seconds since 1970; 0 while it goes on.
    function acceptanceOf(bytes32 jobId, address party)
        external
        view
        returns (address key, uint64 rotations, uint64 endedAt);

    /// @notice Whether `party` declared its alignment.
    function hasAligned(bytes32 jobId, address party) external view returns (bool);

    /// @notice Whether `party` declared a stop that is not void.
    function hasStopped(bytes32 jobId, address party) external view returns (bool);

    /// @notice Whether `party` attends the phase, or the round and attempt, in force.
    function hasAttended(bytes32 jobId, address party) external view returns (bool);

    /// @notice How many jobs were proposed.
    function jobCount() external view returns (uint256);

    /// @notice The job proposed as number `index`, counted from 0.
    function jobAt(uint256 index) external view returns (bytes32 jobId);
}
