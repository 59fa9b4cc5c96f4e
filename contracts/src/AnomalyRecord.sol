// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Faults} from "./Faults.sol";
import {Kinds} from "./Kinds.sol";
import {IAnomalyPolicy} from "./interfaces/IAnomalyPolicy.sol";
import {IAnomalyRecord} from "./interfaces/IAnomalyRecord.sol";
import {IJobManager} from "./interfaces/IJobManager.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {IUplinkLedger} from "./interfaces/IUplinkLedger.sol";
import {IStewards} from "./interfaces/IStewards.sol";

/// @title AnomalyRecord
/// @notice See {IAnomalyRecord}. A fault is three storage slots, a window of statistics eight and its count.
contract AnomalyRecord is IAnomalyRecord {
    /// @notice How long votes are committed, and then as long revealed: an hour.
    uint64 public constant VOTE_SECONDS = 3600;
    /// @notice How long after its acceptance a contribution may be challenged: a week.
    uint64 public constant CHALLENGE_SECONDS = 7 days;

    uint256 private constant MAX_REASON_BYTES = 256;
    uint256 private constant WINDOW = 32;
    uint256 private constant PER_SLOT = 4;
    uint256 private constant VALUE_BITS = 64;
    /// @dev What a commitment becomes once it is revealed; nobody can commit to it, since no preimage is known.
    bytes32 private constant REVEALED = bytes32(uint256(1));

    struct Tally {
        uint128 upheld;
        uint128 overturned;
    }

    /// @dev `count` statistics came so far; number n lies at n % 32, four to a word, the first in the lowest bits.
    struct Window {
        uint256 count;
        uint256[8] words;
    }

    /// @notice Whose votes overturn.
    IStewards public immutable stewards;
    /// @notice Who is who; takes the strikes.
    IParticipantRegistry public immutable registry;
    /// @notice What is an anomaly, and what follows.
    IAnomalyPolicy public immutable policy;
    /// @notice Who may wire the reporters.
    address public immutable deployer;
    /// @notice Reports who is missing; knows the rosters.
    IJobManager public jobs;
    /// @notice Reports rejected uplinks, and observes statistics.
    address public ledger;
    /// @notice Reports proven faults.
    address public proofs;
    /// @notice Reports what contribution audits found.
    address public audits;

    /// @inheritdoc IAnomalyRecord
    uint256 public faultCount;
    mapping(uint256 faultId => Fault) private _faults;
    /// @dev Whether the policy's answer was left out, since the party was suspended before.
    mapping(uint256 faultId => bool) private _isUnanswered;
    mapping(address party => Tally) private _tallies;
    mapping(address party => mapping(bytes32 jobId => mapping(uint8 reason => uint256))) private _upheld;
    /// @inheritdoc IAnomalyRecord
    mapping(address party => mapping(bytes32 jobId => uint256)) public upheldIn;
    mapping(bytes32 jobId => mapping(uint8 kind => Window)) private _windows;
    mapping(bytes32 flag => bool) private _flagged;
    mapping(bytes32 uplinkId => bool) private _hasBallot;
    mapping(uint256 faultId => Ballot) private _ballots;
    mapping(uint256 faultId => mapping(address party => bytes32)) private _commitments;

    /// @notice Takes the contracts it asks; those who report are wired later.
    constructor(IStewards stewards_, IParticipantRegistry registry_, IAnomalyPolicy policy_) {
        stewards = stewards_;
        registry = registry_;
        policy = policy_;
        deployer = msg.sender;
    }

    /// @inheritdoc IAnomalyRecord
    function setReporters(address jobs_, address ledger_, address proofs_, address audits_) external {
        if (msg.sender != deployer) revert NotDeployer(msg.sender);
        bool missing = jobs_ == address(0) || ledger_ == address(0) || proofs_ == address(0) || audits_ == address(0);
        if (address(jobs) != address(0) || missing) revert ReportersAlreadySet(address(jobs));
        jobs = IJobManager(jobs_);
        ledger = ledger_;
        proofs = proofs_;
        audits = audits_;
        emit ReportersSet(jobs_, ledger_, proofs_, audits_);
    }

    /// @inheritdoc IAnomalyRecord
    function report(address party, bytes32 jobId, uint32 round, uint8 reason, bytes32 evidence)
        external
        returns (uint256 faultId)
    {
        bool mayReport = msg.sender == ledger || msg.sender == address(jobs) || msg.sender == proofs;
        if (!mayReport && msg.sender != audits) revert NotReporter(msg.sender);
        return _record(party, jobId, round, reason, evidence);
    }

    /// @inheritdoc IAnomalyRecord
    function observe(address party, bytes32 jobId, uint32 round, uint8 kind, bytes32 uplinkId, uint64 statisticE6)
        external
    {
        if (msg.sender != ledger) revert NotReporter(msg.sender);
        Window storage window = _windows[jobId][kind];
        uint256 count = window.count;
        (bool flagged, uint64 scoreE6) = policy.isOutlier(_values(window, count), statisticE6);
        _push(window, count, statisticE6);
        if (!flagged) return;
        uint256 faultId = _record(party, jobId, round, Faults.STATISTIC_OUTLIER, uplinkId);
        _ballots[faultId].opened = uint64(block.timestamp);
        _hasBallot[uplinkId] = true;
        emit StatisticFlagged(faultId, kind, statisticE6, scoreE6, uint64(block.timestamp) + VOTE_SECONDS);
    }

    /// @inheritdoc IAnomalyRecord
    function flag(address party, bytes32 jobId, uint32 round, bytes32 evidence, uint64 statisticE6, uint64 scoreE6)
        external
        returns (uint256 faultId)
    {
        address caller = _requireAccredited();
        IJobManager.JobContext memory job = jobs.contextOf(jobId, caller, party);
        if (job.phase == IJobManager.Phase.None) revert IJobManager.UnknownJob(jobId);
        if (job.senderIndex == type(uint8).max) revert IJobManager.NotOnRoster(jobId, caller);
        if (job.senderIndex != 0) revert IJobManager.NotActiveParty(jobId, caller);
        if (job.phase != IJobManager.Phase.Training && job.phase != IJobManager.Phase.Evaluating) {
            revert IJobManager.WrongPhase(IJobManager.Phase.Training, job.phase);
        }
        if (round == 0 || round > job.round) revert IJobManager.WrongRound(job.round, round);
        if (job.recipientIndex == type(uint8).max) revert IJobManager.NotOnRoster(jobId, party);
        if (job.recipientIndex == 0 || evidence == 0) revert FlagInvalid(jobId, party);
        uint64 most = policy.maxScoreE6();
        if (scoreE6 <= most) revert ScoreTooLow(scoreE6, most);
        bytes32 key = keccak256(abi.encode(jobId, party, round));
        if (_flagged[key]) revert AlreadyFlagged(jobId, party, round);
        _flagged[key] = true;
        faultId = _record(party, jobId, round, Faults.STATISTIC_OUTLIER, evidence);
        emit StatisticFlagged(faultId, Kinds.HISTOGRAM, statisticE6, scoreE6, 0);
    }

    /// @inheritdoc IAnomalyRecord
    function challenge(bytes32 uplinkId) external returns (uint256 faultId) {
        address caller = _requireAccredited();
        (bytes32 jobId, address party, uint64 acceptedAt,) = IUplinkLedger(ledger).contributionOf(uplinkId);
        if (party == address(0)) revert NothingDeclared(uplinkId);
        IJobManager.JobContext memory job = jobs.contextOf(jobId, caller, address(0));
        if (job.senderIndex == type(uint8).max) revert IJobManager.NotOnRoster(jobId, caller);
        if (caller == party) revert ChallengerIsTarget(uplinkId, party);
        uint64 until = acceptedAt + CHALLENGE_SECONDS;
        // a week: what a block's proposer can move its time by does not matter
        // forge-lint: disable-next-line(block-timestamp)
        if (block.timestamp > until) revert ChallengeTooLate(uplinkId, until);
        if (_hasBallot[uplinkId]) revert AlreadyChallenged(uplinkId);
        _hasBallot[uplinkId] = true;
        faultId = _record(party, jobId, job.round, Faults.STATISTIC_CHALLENGED, uplinkId);
        _ballots[faultId].opened = uint64(block.timestamp);
        emit StatisticChallenged(faultId, caller, uplinkId, uint64(block.timestamp) + VOTE_SECONDS);
    }

    /// @inheritdoc IAnomalyRecord
    function commitVote(uint256 faultId, bytes32 commitment) external {
        Fault storage fault = _requireVotes(faultId, VotePhase.Committing);
        address party = _requireAccredited();
        if (jobs.rosterIndexOf(fault.jobId, party) == type(uint256).max) {
            revert IJobManager.NotOnRoster(fault.jobId, party);
        }
        if (party == fault.party) revert VoterIsTarget(faultId, party);
        if (commitment == 0 || commitment == REVEALED) revert CommitmentInvalid(faultId);
        if (_commitments[faultId][party] != 0) revert AlreadyCommitted(faultId, party);
        _commitments[faultId][party] = commitment;
        ++_ballots[faultId].committed;
        emit VoteCommitted(faultId, party);
    }

    /// @inheritdoc IAnomalyRecord
    function revealVote(uint256 faultId, bool confirms, bytes32 salt) external {
        _requireVotes(faultId, VotePhase.Revealing);
        address party = _requireAccredited();
        bytes32 expected = commitmentOf(faultId, party);
        bytes32 found = keccak256(abi.encode(faultId, party, confirms, salt));
        if (found != expected) revert CommitmentDiffers(faultId, expected, found);
        _commitments[faultId][party] = REVEALED;
        Ballot storage ballot = _ballots[faultId];
        ++ballot.voting;
        if (confirms) ++ballot.confirming;
        emit VoteRevealed(faultId, party, confirms);
    }

    /// @inheritdoc IAnomalyRecord
    function tally(uint256 faultId) external {
        Fault storage fault = _requireVotes(faultId, VotePhase.Tallying);
        Ballot storage ballot = _ballots[faultId];
        ballot.tallied = true;
        bool confirmed = policy.tally(ballot.confirming, ballot.voting);
        emit VotesTallied(faultId, ballot.confirming, ballot.voting, confirmed);
        if (confirmed) _record(fault.party, fault.jobId, fault.round, Faults.STATISTIC_FALSE, fault.evidence);
    }

    /// @inheritdoc IAnomalyRecord
    function overturn(uint256 faultId, string calldata reason) external returns (bool carried) {
        Fault storage fault = _requireFault(faultId);
        if (fault.overturned) revert AlreadyOverturned(faultId);
        uint256 length = bytes(reason).length;
        if (length == 0 || length > MAX_REASON_BYTES) revert ReasonInvalid(length, MAX_REASON_BYTES);
        carried = stewards.vote(msg.sender, keccak256(abi.encode("overturn", faultId, reason)));
        if (!carried) return false;

        fault.overturned = true;
        address party = fault.party;
        --_upheld[party][fault.jobId][fault.reason];
        if (fault.answer != Faults.RECORDED || _isUnanswered[faultId]) {
            Tally storage counts = _tallies[party];
            --counts.upheld;
            --upheldIn[party][fault.jobId];
            ++counts.overturned;
            if (fault.answer == Faults.STRIKE) registry.forgive(party);
        }
        emit FaultOverturned(faultId, reason);
    }

    /// @inheritdoc IAnomalyRecord
    function faultOf(uint256 faultId) external view returns (Fault memory fault) {
        return _requireFault(faultId);
    }

    /// @inheritdoc IAnomalyRecord
    function faultsOf(address party) external view returns (uint256 upheld, uint256 overturned) {
        Tally storage counts = _tallies[party];
        return (counts.upheld, counts.overturned);
    }

    /// @inheritdoc IAnomalyRecord
    function statisticsOf(bytes32 jobId, uint8 kind) external view returns (uint64[] memory valuesE6) {
        Window storage window = _windows[jobId][kind];
        return _values(window, window.count);
    }

    /// @inheritdoc IAnomalyRecord
    function ballotOf(uint256 faultId) external view returns (Ballot memory ballot) {
        return _ballots[faultId];
    }

    /// @inheritdoc IAnomalyRecord
    function votePhaseOf(uint256 faultId) public view returns (VotePhase phase) {
        Ballot storage ballot = _ballots[faultId];
        uint256 opened = ballot.opened;
        if (opened == 0) return VotePhase.None;
        if (ballot.tallied) return VotePhase.Tallied;
        // an hour: what a block's proposer can move its time by does not matter
        // forge-lint: disable-next-line(block-timestamp)
        if (block.timestamp < opened + VOTE_SECONDS) return VotePhase.Committing;
        // forge-lint: disable-next-line(block-timestamp)
        if (block.timestamp < opened + 2 * VOTE_SECONDS) return VotePhase.Revealing;
        return VotePhase.Tallying;
    }

    /// @inheritdoc IAnomalyRecord
    function commitmentOf(uint256 faultId, address party) public view returns (bytes32 commitment) {
        commitment = _commitments[faultId][party];
        if (commitment == REVEALED) return 0;
    }

    /// @dev Called while the ledger judges an uplink: nothing that the uplink's sender controls may revert here.
    function _record(address party, bytes32 jobId, uint32 round, uint8 reason, bytes32 evidence)
        private
        returns (uint256 faultId)
    {
        uint256 before = _upheld[party][jobId][reason];
        _upheld[party][jobId][reason] = before + 1;
        uint8 due = policy.answerTo(reason, before != 0);
        uint8 answer = due;
        if (due != Faults.RECORDED && registry.statusOf(party) != IParticipantRegistry.Status.Accredited) {
            answer = Faults.RECORDED;
        }
        faultId = ++faultCount;
        _faults[faultId] = Fault(party, reason, answer, false, round, uint40(block.number), jobId, evidence);
        emit FaultRecorded(faultId, party, jobId, round, reason, answer, evidence);
        if (due == Faults.RECORDED) return faultId;
        // it counts all the same where the party was suspended before: else a lesser fault would hide a greater one
        ++_tallies[party].upheld;
        ++upheldIn[party][jobId];
        if (answer == Faults.STRIKE) registry.strike(party, jobId, round, reason);
        else if (answer == Faults.SUSPENSION) registry.suspendAtOnce(party, jobId, reason);
        else _isUnanswered[faultId] = true;
    }

    /// @dev The last `count`, at most 32, oldest first.
    function _values(Window storage window, uint256 count) private view returns (uint64[] memory values) {
        uint256 size = count < WINDOW ? count : WINDOW;
        values = new uint64[](size);
        uint256 word;
        for (uint256 i = 0; i < size; ++i) {
            uint256 at = (count - size + i) % WINDOW;
            if (i == 0 || at % PER_SLOT == 0) word = window.words[at / PER_SLOT];
            // forge-lint: disable-next-line(unsafe-typecast)
            values[i] = uint64(word >> (VALUE_BITS * (at % PER_SLOT)));
        }
    }

    function _push(Window storage window, uint256 count, uint64 value) private {
        uint256 at = count % WINDOW;
        uint256 shift = VALUE_BITS * (at % PER_SLOT);
        uint256 word = window.words[at / PER_SLOT];
        window.words[at / PER_SLOT] = (word & ~(uint256(type(uint64).max) << shift)) | (uint256(value) << shift);
        window.count = count + 1;
    }

    function _requireFault(uint256 faultId) private view returns (Fault storage fault) {
        if (faultId == 0 || faultId > faultCount) revert UnknownFault(faultId);
        return _faults[faultId];
    }

    function _requireVotes(uint256 faultId, VotePhase expected) private view returns (Fault storage fault) {
        fault = _requireFault(faultId);
        if (fault.overturned) revert AlreadyOverturned(faultId);
        VotePhase found = votePhaseOf(faultId);
        if (found != expected) revert WrongVotePhase(faultId, expected, found);
    }

    function _requireAccredited() private view returns (address party) {
        IParticipantRegistry.Status status;
        (party, status) = registry.identify(msg.sender);
        if (status != IParticipantRegistry.Status.Accredited) {
            revert IJobManager.PartyNotAccredited(party == address(0) ? msg.sender : party);
        }
    }
}
