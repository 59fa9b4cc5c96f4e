// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Every attributable fault, and what was answered. The gate: it alone writes strikes.
/// @notice A fault stays on the record for ever; all that ever changes is that stewards overturn it. Everything here is
/// public, the declared statistics and the votes included.
/// Statistics only flag. What a flag means is decided by those receivers that can recompute the statistic: they commit to a
/// vote within an hour, reveal it within the next, and then anybody tallies. With fewer than two votes it stays a flag.
/// Times are seconds of the chain's clock.
interface IAnomalyRecord {
    /// @dev The state of the votes on a fault; None where there is nothing to vote on.
    enum VotePhase {
        None,
        Committing,
        Revealing,
        Tallying,
        Tallied
    }

    /// @param party who is at fault.
    /// @param reason see {IAnomalyPolicy}.
    /// @param answer what was done: 0 recorded only, 1 a strike, 2 suspension. Whoever was suspended already gets neither.
    /// @param overturned whether stewards overturned it.
    /// @param round the job's round.
    /// @param blockNumber when it was recorded.
    /// @param jobId the job.
    /// @param evidence an uplink's id or a proof's hash; zero for a deadline.
    struct Fault {
        address party;
        uint8 reason;
        uint8 answer;
        bool overturned;
        uint32 round;
        uint40 blockNumber;
        bytes32 jobId;
        bytes32 evidence;
    }

    /// @param opened when voting began, in seconds; zero where there is nothing to vote on.
    /// @param committed how many committed to a vote.
    /// @param voting how many revealed theirs.
    /// @param confirming how many of those found the statistic false.
    /// @param tallied whether the votes were tallied.
    struct Ballot {
        uint64 opened;
        uint32 committed;
        uint32 voting;
        uint32 confirming;
        bool tallied;
    }

    /// @notice A fault was recorded, and answered.
    event FaultRecorded(
        uint256 indexed faultId,
        address indexed party,
        bytes32 indexed jobId,
        uint32 round,
        uint8 reason,
        uint8 answer,
        bytes32 evidence
    );
    /// @notice Stewards overturned a fault.
    event FaultOverturned(uint256 indexed faultId, string reason);
    /// @notice Why a statistic was flagged, both scaled by 1e6, and until when votes on it are committed, in seconds; 0 where
    /// nobody votes.
    event StatisticFlagged(uint256 indexed faultId, uint8 kind, uint64 statisticE6, uint64 scoreE6, uint64 commitUntil);
    /// @notice `challenger` says that the statistic which an uplink declared is false; votes on it are committed until then, in
    /// seconds.
    event StatisticChallenged(
        uint256 indexed faultId, address indexed challenger, bytes32 indexed uplinkId, uint64 commitUntil
    );
    /// @notice `party` committed to a vote.
    event VoteCommitted(uint256 indexed faultId, address indexed party);
    /// @notice `party` revealed its vote; `confirms`: it recomputed the statistic and found it false.
    event VoteRevealed(uint256 indexed faultId, address indexed party, bool confirms);
    /// @notice The votes were tallied; `confirmed`: a fault of its own follows, statistic false.
    event VotesTallied(uint256 indexed faultId, uint32 confirming, uint32 voting, bool confirmed);
    /// @notice Those who report were wired.
    event ReportersSet(address indexed jobs, address indexed ledger, address indexed proofs, address audits);

    /// @notice Only the deployer may wire.
    error NotDeployer(address caller);
    /// @notice The reporters are set once, and none to zero.
    error ReportersAlreadySet(address jobs);
    /// @notice Only the job manager, the ledger, the proofs and the audits report.
    error NotReporter(address caller);
    /// @notice There is no such fault.
    error UnknownFault(uint256 faultId);
    /// @notice Stewards have overturned the fault.
    error AlreadyOverturned(uint256 faultId);
    /// @notice The votes on the fault are in another phase.
    error WrongVotePhase(uint256 faultId, VotePhase expected, VotePhase found);
    /// @notice Nobody votes on its own fault.
    error VoterIsTarget(uint256 faultId, address party);
    /// @notice `party` has committed to a vote.
    error AlreadyCommitted(uint256 faultId, address party);
    /// @notice A commitment is not zero.
    error CommitmentInvalid(uint256 faultId);
    /// @notice The vote is not what was committed to; zero is expected of whoever committed to nothing, or has revealed.
    error CommitmentDiffers(uint256 faultId, bytes32 expected, bytes32 found);
    /// @notice A statistic of the party was flagged in this round.
    error AlreadyFlagged(bytes32 jobId, address party, uint32 round);
    /// @notice What lies no further out than {IAnomalyPolicy-maxScoreE6} is no outlier.
    error ScoreTooLow(uint64 scoreE6, uint64 maxE6);
    /// @notice The uplink is no accepted one that declares a statistic.
    error NothingDeclared(bytes32 uplinkId);
    /// @notice Nobody challenges its own statistic.
    error ChallengerIsTarget(bytes32 uplinkId, address party);
    /// @notice The uplink's statistic is voted on, or was: it was challenged or flagged.
    error AlreadyChallenged(bytes32 uplinkId);
    /// @notice The uplink's statistic could be challenged until then, in seconds; it stands.
    error ChallengeTooLate(bytes32 uplinkId, uint64 until);
    /// @notice A flag is about a passive party, and its evidence is not zero.
    error FlagInvalid(bytes32 jobId, address party);
    /// @notice A reason has 1..`max` bytes.
    error ReasonInvalid(uint256 length, uint256 max);

    /// @notice Wires those who report. Requirements: deployer, once, none is zero. Emits {ReportersSet}.
    /// @param jobs the job manager; it tells who is on a job's roster, too.
    /// @param ledger the uplink ledger, which alone observes.
    /// @param proofs the fault proofs.
    /// @param audits the contribution audits.
    function setReporters(address jobs, address ledger, address proofs, address audits) external;

    /// @notice Records a fault and answers it as the policy says; a party that is not Accredited gets no further answer.
    /// Never reverts for a caller that may report.
    /// @param party who is at fault.
    /// @param jobId the job.
    /// @param round the job's round.
    /// @param reason see {IAnomalyPolicy}.
    /// @param evidence an uplink's id or a proof's hash; zero for a deadline.
    /// @return faultId its number, from 1.
    /// Requirements: a reporter calls. Emits {FaultRecorded}.
    function report(address party, bytes32 jobId, uint32 round, uint8 reason, bytes32 evidence)
        external
        returns (uint256 faultId);

    /// @notice Takes the statistic of an accepted uplink: weighs it against those that came before in the job and of the kind,
    /// records a flag if it lies far out, and keeps it as the latest of 32, be it flagged or not. Never reverts for the ledger.
    /// @param party who declared it.
    /// @param jobId the job.
    /// @param round the job's round.
    /// @param kind see {Kinds}.
    /// @param uplinkId of the uplink that declared it.
    /// @param statisticE6 as declared, scaled by 1e6.
    /// Requirements: the ledger calls. Emits {FaultRecorded} and {StatisticFlagged} if flagged.
    function observe(address party, bytes32 jobId, uint32 round, uint8 kind, bytes32 uplinkId, uint64 statisticE6)
        external;

    /// @notice The active party flags the statistic of a histogram that it alone decrypted: recorded only, and nobody votes,
    /// since nobody else can recompute it: statistic, score and evidence are its word. It accuses nobody, and tells stewards where to look.
    /// @param party the passive party that sent the histogram.
    /// @param jobId the job.
    /// @param round the histogram's, 1 to the one in force.
    /// @param evidence the slot of the uplink, not zero.
    /// @param statisticE6 of the histogram, scaled by 1e6.
    /// @param scoreE6 how far out it lies, scaled by 1e6, above {IAnomalyPolicy-maxScoreE6}.
    /// @return faultId its number.
    /// Requirements: the caller is the job's active party and Accredited, phase Training or Evaluating, once for each party and
    /// round. Emits {FaultRecorded} and {StatisticFlagged}.
    function flag(address party, bytes32 jobId, uint32 round, bytes32 evidence, uint64 statisticE6, uint64 scoreE6)
        external
        returns (uint256 faultId);

    /// @notice Says that a declared statistic is false, and opens the votes on it, as on a flag. By itself it is recorded only.
    /// No outlier is needed: whoever received the contribution can recompute what it declared.
    /// @param uplinkId an accepted contribution, see {IUplinkLedger-contributionOf}.
    /// @return faultId its number; the sender's fault STATISTIC_CHALLENGED, with the uplink as evidence.
    /// Requirements: the caller is an Accredited party of the job's roster but not the sender; once for each uplink, and not
    /// where it was flagged; within CHALLENGE_SECONDS after the uplink was accepted, whatever became of the job. A week is
    /// long enough for a node that was down to find what is false, and then the number stands: no two receivers can agree
    /// on a strike for an old job when nobody else looks any more. Emits {FaultRecorded} and {StatisticChallenged}.
    function challenge(bytes32 uplinkId) external returns (uint256 faultId);

    /// @notice Commits the caller to a vote on a flagged or challenged statistic. Others see that it votes, not what.
    /// @param faultId the flag.
    /// @param commitment keccak256(abi.encode(faultId, party, confirms, salt)) with a secret random salt.
    /// Requirements: within the first hour; the caller is an Accredited party of the job's roster but not the one flagged;
    /// once; not zero; the flag is not overturned. Emits {VoteCommitted}.
    function commitVote(uint256 faultId, bytes32 commitment) external;

    /// @notice Reveals the vote that the caller committed to.
    /// @param faultId the flag.
    /// @param confirms whether the caller recomputed the statistic and found it false.
    /// @param salt as in the commitment.
    /// Requirements: within the second hour, as committed to, once, the caller is Accredited; the flag is not overturned.
    /// Emits {VoteRevealed}.
    function revealVote(uint256 faultId, bool confirms, bytes32 salt) external;

    /// @notice Counts the votes; if they confirm, the fault STATISTIC_FALSE with the same evidence is recorded and answered.
    /// Requirements: after the second hour, once; the flag is not overturned. Anybody may call.
    /// Emits {VotesTallied}, and {FaultRecorded} if confirmed.
    function tally(uint256 faultId) external;

    /// @notice A steward's vote to overturn a fault, for this very reason. Carried, its strike is forgiven, and it does not
    /// count as an earlier fault; a suspension is lifted by the registry's `reinstate`.
    /// @param faultId the fault.
    /// @param reason 1..256 bytes, public; those who vote for another reason vote for another motion,
    /// keccak256(abi.encode("overturn", faultId, reason)).
    /// @return carried whether this vote decided it.
    /// Requirements: a steward calls, once per motion; the fault is not overturned. Emits {FaultOverturned} if carried.
    function overturn(uint256 faultId, string calldata reason) external returns (bool carried);

    /// @notice A fault. Requirements: it exists.
    function faultOf(uint256 faultId) external view returns (Fault memory fault);

    /// @notice How many faults were recorded; their numbers are 1..faultCount().
    function faultCount() external view returns (uint256 count);

    /// @notice How many faults of `party` are to be answered by a strike or suspension, and stand or were overturned; those
    /// among them that got no answer, since the party was suspended before.
    function faultsOf(address party) external view returns (uint256 upheld, uint256 overturned);

    /// @notice How many of them in a job stand.
    function upheldIn(address party, bytes32 jobId) external view returns (uint256 count);

    /// @notice The last statistics of a job and kind, oldest first, at most 32, scaled by 1e6.
    function statisticsOf(bytes32 jobId, uint8 kind) external view returns (uint64[] memory valuesE6);

    /// @notice The votes on a fault; all zero where there is nothing to vote on.
    function ballotOf(uint256 faultId) external view returns (Ballot memory ballot);

    /// @notice The phase of the votes on a fault now.
    function votePhaseOf(uint256 faultId) external view returns (VotePhase phase);

    /// @notice What `party` committed to; zero if nothing, and once it is revealed.
    function commitmentOf(uint256 faultId, address party) external view returns (bytes32 commitment);
}
