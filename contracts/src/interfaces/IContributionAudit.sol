// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Audits of contributions: what the label holder says each party contributed, checked by the others.
/// @notice The active party commits to the held-out labels before round 1. After training everybody commits to its outputs,
/// its shard and a secret seed; then the active party posts the sums of the held-out rows' losses for each coalition, and
/// the root of a Merkle-sum tree over the rows. The shares follow from the sums, here. Then the seeds are revealed; together
/// they decide which rows everybody opens to the roster, outside the chain. The passive parties check them and vote.
/// Everything here is public: sums, shares, seeds and votes, but no row. Times are seconds of the chain's clock.
/// Masks and lists are in the order of the roster, the active party first. Coalitions are numbers: bit i stands for roster[i].
/// Unless said otherwise a call needs: the job exists, the caller is Accredited and on its roster.
interface IContributionAudit {
    /// @dev How an audit ended. Verified: all who voted found it sound, or two thirds of at least two. False: two thirds of
    /// at least two did not ({IAnomalyPolicy-tally} for both). Disputed: neither. Failed: something that the others need was
    /// not given. Unaudited: nobody voted, or no auditor revealed its seed, so that none was drawn.
    enum Outcome {
        None,
        Verified,
        Disputed,
        False,
        Failed,
        Unaudited
    }

    /// @param root of the salted Merkle tree over the held-out rows' positions and labels, not zero.
    /// @param rows held-out rows, 1 to the number of aligned rows.
    /// @param openedRows how many of them are opened, 1..10,000, at most `rows`.
    /// @param windowSeconds how long losses, then seeds, then votes may take each, 30 seconds to 7 days.
    /// @param disputeSeconds how long a settlement may be disputed, at most 90 days.
    /// @param budget points to settle, at most 2^53; 0: none.
    struct Terms {
        bytes32 root;
        uint32 rows;
        uint32 openedRows;
        uint32 windowSeconds;
        uint32 disputeSeconds;
        uint64 budget;
    }

    /// @param outputs frozen roots; zero for who has not frozen. So are `shards` and `commitments`.
    /// @param seeds as revealed; zero for who has not.
    /// @param lossesRoot zero until posted.
    /// @param shares840 empty until posted.
    /// @param weakMask who failed the test for free riders, as the active party says.
    /// @param seed combined; zero until it is known.
    /// @param silent what each let pass, see {AuditConcluded}; all zero until concluded.
    /// @param votes 0 none, 1 sound, 2 false.
    /// @param reasons of the votes.
    /// @param outcome None until concluded.
    /// @param deadline see {deadlineOf}.
    /// @param postedBlock of {LossesPosted}; 0 until posted.
    struct AuditView {
        Terms terms;
        bytes32[] outputs;
        bytes32[] shards;
        bytes32[] commitments;
        bytes32[] seeds;
        bytes32 lossesRoot;
        int64[] shares840;
        uint8 weakMask;
        bytes32 seed;
        uint8[] silent;
        uint8[] votes;
        uint8[] reasons;
        Outcome outcome;
        uint64 deadline;
        uint64 postedBlock;
    }

    /// @dev What a settlement needs, in one call. Empty lists where the losses were not posted, or nobody froze. `silentMask`
    /// has who let a step pass that counts, see {conclude}.
    struct Verdict {
        Outcome outcome;
        uint32 disputeSeconds;
        uint64 budget;
        uint8 weakMask;
        uint8 silentMask;
        int64[] shares840;
        bytes32[] shards;
    }

    /// @notice The active party `by` committed to the held-out labels and the terms.
    event LabelsCommitted(
        bytes32 indexed jobId,
        address indexed by,
        bytes32 root,
        uint32 rows,
        uint32 openedRows,
        uint32 windowSeconds,
        uint32 disputeSeconds,
        uint64 budget
    );
    /// @notice `party` committed to its outputs, its shard and its seed.
    event OutputsFrozen(
        bytes32 indexed jobId, address indexed party, bytes32 outputs, bytes32 shard, bytes32 seedCommitment
    );
    /// @notice The losses were posted. The utility of a coalition is minus the mean loss of a row, rounded half up; both in
    /// millionths. Shares are in 840ths of a millionth.
    event LossesPosted(
        bytes32 indexed jobId,
        bytes32 lossesRoot,
        uint128[] sums,
        int64[] utilitiesE6,
        int64[] shares840,
        uint8 weakMask
    );
    /// @notice `party` revealed its seed.
    event SeedRevealed(bytes32 indexed jobId, address indexed party, bytes32 seed);
    /// @notice `party` voted; `auditReason` is 0 if and only if it found everything sound.
    event AuditVoted(bytes32 indexed jobId, address indexed party, bool sound, uint8 auditReason);
    /// @notice The audit ended. `seed` is zero if it never was known. `silent` holds bits for each party:
    /// 2 it did not post, 4 it did not reveal its seed in time, 8 it did not vote.
    event AuditConcluded(bytes32 indexed jobId, Outcome auditOutcome, bytes32 seed, uint8[] silent);

    /// @notice The job has no audit.
    error NoAudit(bytes32 jobId);
    /// @notice The job's labels are committed to.
    error AuditAlreadyBegun(bytes32 jobId);
    /// @notice The terms are out of their bounds.
    error TermsInvalid();
    /// @notice A commitment, root or digest is not zero.
    error CommitmentInvalid();
    /// @notice `party` has frozen.
    error AlreadyFrozen(bytes32 jobId, address party);
    /// @notice Not all have frozen; bit i of the mask: roster[i] has.
    error NotFrozen(bytes32 jobId, uint8 frozenMask);
    /// @notice The losses are posted.
    error AlreadyPosted(bytes32 jobId);
    /// @notice There is one sum for each coalition.
    error SumCountInvalid(uint256 expected, uint256 found);
    /// @notice The sum of a coalition is above `max`.
    error SumTooLarge(uint256 coalition, uint256 sum, uint256 max);
    /// @notice Only passive parties of the roster can be weak.
    error WeakMaskInvalid(uint8 mask);
    /// @notice The losses are not posted.
    error NotPosted(bytes32 jobId);
    /// @notice `party` has revealed its seed.
    error AlreadyRevealed(bytes32 jobId, address party);
    /// @notice The seed is not the one committed to.
    error SeedDiffers(bytes32 expected, bytes32 found);
    /// @notice The combined seed is not known yet, or never will be.
    error SeedUnknown(bytes32 jobId);
    /// @notice The active party does not vote on itself.
    error NotAuditor(bytes32 jobId, address party);
    /// @notice A reason is 0 for a sound audit, 1..8 for a false one.
    error VoteInvalid(bool sound, uint8 reason);
    /// @notice `party` has voted on this audit.
    error AlreadyVotedOn(bytes32 jobId, address party);
    /// @notice The audit is concluded.
    error AlreadyConcluded(bytes32 jobId);
    /// @notice Something is waited for until `deadline`; 0: for parties to freeze, as long as the job goes on.
    error NotConcludable(bytes32 jobId, uint64 deadline);

    /// @notice Begins an audit. Requirements: active party, phase Training before round 1, once, terms within their bounds.
    /// Emits {LabelsCommitted}.
    function commitLabels(bytes32 jobId, Terms calldata terms) external;

    /// @notice Commits the caller. Requirements: phase Evaluating, once, nothing is zero. Emits {OutputsFrozen}.
    /// @param jobId the job.
    /// @param outputs root of its outputs on the held-out rows.
    /// @param shard the digest of its shard, as {IJobManager-shardDigestOf} will give it.
    /// @param seedCommitment keccak256(abi.encode(jobId, party, seed)) with a secret random seed.
    function freeze(bytes32 jobId, bytes32 outputs, bytes32 shard, bytes32 seedCommitment) external;

    /// @notice Posts the losses; taken until somebody concludes. Computes utilities and shares.
    /// Requirements: active party, phase Evaluating, all have frozen, once; bit 0 of the mask is not set. Emits {LossesPosted}.
    /// @param jobId the job.
    /// @param lossesRoot of the Merkle-sum tree over the held-out rows' losses, not zero.
    /// @param sums of the held-out rows' losses, in millionths, of each of the 2^p coalitions, at most rows · 1e15.
    /// @param weakMask bit i: roster[i] failed the test for free riders.
    function post(bytes32 jobId, bytes32 lossesRoot, uint128[] calldata sums, uint8 weakMask) external;

    /// @notice Reveals the caller's seed. Requirements: the losses are posted, within windowSeconds after, as committed to,
    /// once; the job may have ended since, in whatever way. Emits {SeedRevealed}.
    function reveal(bytes32 jobId, bytes32 seed) external;

    /// @notice Votes; taken until somebody concludes. Requirements: passive party, the seed is known, once; the job may have
    /// ended since the losses were posted, in whatever way. Emits {AuditVoted}.
    /// @param jobId the job.
    /// @param sound whether everything that was opened and posted fits together.
    /// @param reason 0 if it does; else 1 an opening does not lead to its root, 2 other leaf weights than in training, 3 other
    /// shapes of trees, 4 other bits than the caller's, 5 other losses, 6 other sums, 7 invalid labels, 8 no opening came.
    function vote(bytes32 jobId, bool sound, uint8 reason) external;

    /// @notice Ends the audit. Who let steps pass is reported, once (AUDIT_SILENT); the active party, where it did not post
    /// or did not reveal, as AUDIT_REFUSED instead, which is a strike, since nobody can go on without it and it may know by
    /// then which rows are drawn (in a job that was aborted or expired: where all others have revealed); and if its losses
    /// were confirmed to be false (CONTRIBUTION_FALSE, with the losses' root as evidence). What no auditor at all
    /// did (voting, or revealing) is nobody's fault: it cannot be told from an outage; `silent` and Unaudited tell of it. A job
    /// that was completed before all had frozen has an outcome and no fault: not everybody may have agreed to an audit.
    /// Anyone may call.
    /// Requirements: not concluded; phase Evaluating or Completed, or the losses are posted; all passive parties have voted or
    /// the time for it is over; or the active party did not post or reveal in time; or the job is Completed and was not
    /// frozen, or not posted. Emits {AuditConcluded}.
    function conclude(bytes32 jobId) external returns (Outcome outcome);

    /// @notice The audit, as it is now. Requirements: there is one.
    function auditOf(bytes32 jobId) external view returns (AuditView memory audit);

    /// @notice What came of an audit; outcome None while it is not concluded, or if there is none.
    function verdictOf(bytes32 jobId) external view returns (Verdict memory verdict);

    /// @notice How the audit ended; None while it goes on, or if there is none.
    function outcomeOf(bytes32 jobId) external view returns (Outcome outcome);

    /// @notice keccak256(abi.encode(jobId, lossesRoot, seeds)) with the revealed seeds in the order of the roster, zero for
    /// who was silent; zero until all have revealed, or the active party and an auditor have and the time is over.
    function seedOf(bytes32 jobId) external view returns (bytes32 seed);

    /// @notice The last second for what is waited for now: losses, seeds or votes; 0 if nothing is.
    function deadlineOf(bytes32 jobId) external view returns (uint64 deadline);

    /// @notice Shapley shares in 840ths of a millionth; empty until posted.
    function sharesOf(bytes32 jobId) external view returns (int64[] memory shares840);

    /// @notice In how many concluded audits `party` was on the roster.
    function auditCount(address party) external view returns (uint256 count);

    /// @notice The job of a party's concluded audit as number `index`, counted from 0.
    function auditAt(address party, uint256 index) external view returns (bytes32 jobId);

    /// @notice The jobs of a party's concluded audits from number `first` on, at most `count`, in their order.
    function auditsOf(address party, uint256 first, uint256 count) external view returns (bytes32[] memory jobIds);
}
