// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Settlements: what a party's audited contribution to a job is worth, in points.
/// @notice A job's budget of points is divided in proportion to the positive Shapley shares, in whole points that sum to it.
/// Points are withheld, and then nobody's, by rule: see {JobSettled}. Within the time that the audit's terms give any
/// party of the roster may object; then the stewards decide. Nothing here is money: what points are worth is agreed on elsewhere.
/// Everything is public. Times are seconds of the chain's clock; lists are in the order of the roster.
interface ISettlement {
    /// @dev What stewards decided about a dispute.
    enum Resolution {
        None,
        Stands,
        Rejected
    }

    /// @param roster the parties; empty if the job is not settled.
    /// @param points what the shares amount to.
    /// @param withheld why a party does not get them, see {JobSettled}; 0: it does.
    /// @param settledAt when.
    /// @param finalAt the last second in which it can be disputed.
    /// @param disputedBy who objected; zero if nobody did.
    /// @param resolution of the dispute.
    /// @param isFinal whether it can be disputed no more, and where it was, is decided or can be decided no more. A fault that is proven or overturned
    /// later still changes who is paid.
    struct SettlementView {
        address[] roster;
        uint64[] points;
        uint8[] withheld;
        uint64 settledAt;
        uint64 finalAt;
        address disputedBy;
        Resolution resolution;
        bool isFinal;
    }

    /// @notice A job was settled. `withheld` holds bits for each party: 1 a fault of it in this job that counts, see
    /// {IAnomalyRecord-upheldIn}, stands (as of now: later on the record is asked whenever the settlement is read), 2 it failed the test for free riders, 4 it let a step of the audit pass, 8 the audit's
    /// outcome is not Verified or the active party recorded another shard than it froze, 16 it recorded another shard than it
    /// froze; 32 is set later, when stewards reject the settlement, and 8 is lifted when they let one stand whose audit was
    /// Disputed or Unaudited.
    event JobSettled(bytes32 indexed jobId, uint64[] points, uint8[] withheld, uint64 finalAt);
    /// @notice `party` objects.
    event SettlementDisputed(bytes32 indexed jobId, address indexed party, string reason);
    /// @notice The stewards decided about a dispute.
    event SettlementResolved(bytes32 indexed jobId, bool stands, string reason);

    /// @notice The job's audit is not concluded, or it has none.
    error AuditNotConcluded(bytes32 jobId);
    /// @notice The audit's terms have no budget.
    error NothingToSettle(bytes32 jobId);
    /// @notice The job is settled.
    error AlreadySettled(bytes32 jobId);
    /// @notice The job is not settled.
    error NotSettled(bytes32 jobId);
    /// @notice `party` disputes the settlement already.
    error AlreadyDisputed(bytes32 jobId, address party);
    /// @notice Nobody disputes the settlement.
    error NotDisputed(bytes32 jobId);
    /// @notice The stewards have decided.
    error AlreadyResolved(bytes32 jobId);
    /// @notice A reason has 1..`max` bytes.
    error ReasonInvalid(uint256 length, uint256 max);

    /// @notice Settles a job. Anyone may call. Requirements: phase Completed, its audit is concluded and has a budget, once.
    /// Emits {JobSettled}.
    function settle(bytes32 jobId) external;

    /// @notice Objects to a settlement; it is then not final before the stewards decide, or 90 days have passed in which they
    /// did not: it stays as it is then, and nobody holds it up for longer. Requirements: settled, the caller is
    /// an Accredited party of the roster, not after finalAt, nobody objected before; the reason has 1..256 bytes.
    /// Emits {SettlementDisputed}.
    function dispute(bytes32 jobId, string calldata reason) external;

    /// @notice A steward's vote on a disputed settlement, for this very reason. Carried, it is final: it stands, or all points
    /// are withheld. Where the audit's outcome is Disputed or Unaudited, and the active party's shard the frozen one, a settlement that
    /// stands is paid: stewards decide where auditors did not agree, or said nothing.
    /// @param jobId the job.
    /// @param stands whether it stands.
    /// @param reason 1..256 bytes, public; those who vote otherwise, or for another reason, vote for another motion,
    /// keccak256(abi.encode("resolve", jobId, stands, reason)).
    /// @return carried whether this vote decided it.
    /// Requirements: a steward calls, once per motion; the settlement is disputed, not decided, and was disputed at most
    /// RESOLVE_SECONDS ago. Emits {SettlementResolved} if carried.
    function resolve(bytes32 jobId, bool stands, string calldata reason) external returns (bool carried);

    /// @notice The settlement of a job; all zero if there is none.
    function settlementOf(bytes32 jobId) external view returns (SettlementView memory settlement);

    /// @notice Whether a job's settlement can be disputed no more, and where it was, is decided or can be decided no more.
    function isFinal(bytes32 jobId) external view returns (bool);

    /// @notice A party's points over some of its jobs: those of final settlements that it got, those that were withheld from
    /// it, and how many settlements it is part of, final or not. For reading outside transactions.
    /// @param party whose points.
    /// @param first number of its concluded audit to begin with, see {IContributionAudit-auditsOf}.
    /// @param count at most so many audits.
    function totalsOf(address party, uint256 first, uint256 count)
        external
        view
        returns (uint256 points, uint256 withheld, uint256 settled);
}
