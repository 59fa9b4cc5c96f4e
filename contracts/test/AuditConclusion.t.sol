// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ContributionAudit} from "../src/ContributionAudit.sol";
import {Faults} from "../src/Faults.sol";
import {Reports} from "../src/Reports.sol";
import {IAnomalyRecord} from "../src/interfaces/IAnomalyRecord.sol";
import {IContributionAudit} from "../src/interfaces/IContributionAudit.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {WithAudits} from "./utils/WithAudits.sol";

contract AuditConclusionTest is WithAudits {
    uint8 internal constant POSTED = 2;
    uint8 internal constant REVEALED = 4;
    uint8 internal constant VOTED = 8;

    // -- outcomes ---------------------------------------------------------------------------------------------------------

    function test_conclude_verifies_whenAllFindItSound() public {
        bytes32 jobId = _seeded();
        _vote(BOB, jobId, true);
        _refusedUntil(jobId, audits.deadlineOf(jobId));
        _vote(CAROL, jobId, true);
        vm.expectEmit(true, false, false, true, address(audits));
        emit IContributionAudit.AuditConcluded(
            jobId, IContributionAudit.Outcome.Verified, audits.seedOf(jobId), new uint8[](3)
        );
        vm.prank(STRANGER);
        IContributionAudit.Outcome outcome = audits.conclude(jobId);
        assertEq(uint256(outcome), uint256(IContributionAudit.Outcome.Verified), "returned");
        assertOutcome(jobId, outcome);
        assertEq(audits.deadlineOf(jobId), 0, "nothing is waited for");
        assertEq(_faults(), 0, "faults");
        vm.expectRevert(abi.encodeWithSelector(IContributionAudit.AlreadyConcluded.selector, jobId));
        audits.conclude(jobId);
    }

    function test_conclude_isFalse_andAFaultOfTheActiveParty_whenVotesConfirm() public {
        bytes32 jobId = _concluded(false, false);
        assertOutcome(jobId, IContributionAudit.Outcome.False);
        assertEq(_faults(), 1, "faults");
        IAnomalyRecord.Fault memory fault = anomalies.faultOf(1);
        assertEq(fault.party, ALICE, "party");
        assertEq(fault.reason, Faults.CONTRIBUTION_FALSE, "reason");
        assertEq(fault.answer, Faults.STRIKE, "answer");
        assertEq(fault.round, 2, "round");
        assertEq(fault.evidence, LOSSES, "evidence");
        assertEq(_strikes(ALICE), 1, "strikes");
        assertEq(anomalies.upheldIn(ALICE, jobId), 1, "upheld in the job");
        assertEq(anomalies.upheldIn(BOB, jobId), 0, "of nobody else");
    }

    function test_conclude_isDisputed_whenVotesDoNotConfirm() public {
        assertOutcome(_concluded(false, true), IContributionAudit.Outcome.Disputed);
        bytes32 jobId = _seeded();
        _vote(BOB, jobId, false); // one vote confirms nothing
        _passVotes(jobId);
        audits.conclude(jobId);
        assertOutcome(jobId, IContributionAudit.Outcome.Disputed);
        assertEq(_lastFault().reason, Faults.AUDIT_SILENT, "Carol did not vote");
        assertEq(_strikes(ALICE), 0, "strikes");
    }

    function test_conclude_isUnaudited_whenNobodyVotes() public {
        bytes32 jobId = _seeded();
        uint64 deadline = audits.deadlineOf(jobId);
        _refusedUntil(jobId, deadline);
        vm.warp(deadline);
        _refusedUntil(jobId, deadline);
        vm.warp(deadline + 1);
        _concludes(jobId, IContributionAudit.Outcome.Unaudited, [0, VOTED, VOTED]);
        assertEq(_faults(), 0, "what all let pass is nobody's fault");
        assertEq(audits.verdictOf(jobId).silentMask, 0, "and is held against nobody");
    }

    function test_theActivePartysSeedAlone_drawsNothing_andIsNobodysFault() public {
        bytes32 jobId = _posted();
        _reveal(ALICE, jobId);
        uint64 deadline = audits.deadlineOf(jobId);
        _refusedUntil(jobId, deadline);
        vm.warp(deadline + 1);
        assertEq(audits.seedOf(jobId), 0, "it knew this one when it posted");
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(IContributionAudit.SeedUnknown.selector, jobId));
        audits.vote(jobId, true, 0);
        _concludes(jobId, IContributionAudit.Outcome.Unaudited, [0, REVEALED, REVEALED]);
        assertEq(_faults(), 0, "faults");
        assertEq(audits.verdictOf(jobId).silentMask, 0, "held against nobody");
        assertEq(audits.seedOf(jobId), 0, "seed");
    }

    function test_oneAuditorsSeed_isEnough() public {
        bytes32 jobId = _posted();
        _reveal(ALICE, jobId);
        _reveal(CAROL, jobId);
        assertEq(audits.seedOf(jobId), 0, "Bob may still reveal");
        vm.warp(audits.deadlineOf(jobId) + 1);
        assertTrue(audits.seedOf(jobId) != 0, "drawn");
        _vote(CAROL, jobId, true);
        _vote(BOB, jobId, true);
        _concludes(jobId, IContributionAudit.Outcome.Verified, [0, REVEALED, 0]);
        assertEq(_lastFault().party, BOB, "party");
    }

    function test_conclude_recordsWhoKeptItsSeed_alsoWhenNobodyVotes() public {
        bytes32 jobId = _posted();
        _reveal(ALICE, jobId);
        _reveal(BOB, jobId);
        vm.warp(audits.deadlineOf(jobId) + WINDOW + 1);
        _concludes(jobId, IContributionAudit.Outcome.Unaudited, [0, VOTED, REVEALED | VOTED]);
        assertEq(_faults(), 1, "faults");
        assertEq(_lastFault().party, CAROL, "party");
        assertEq(_lastFault().reason, Faults.AUDIT_SILENT, "reason");
        assertEq(audits.verdictOf(jobId).silentMask, 4, "held against her");
    }

    function test_conclude_recordsTheOneWhoDidNotVote_whereAnotherDid() public {
        bytes32 jobId = _seeded();
        _vote(BOB, jobId, true);
        _passVotes(jobId);
        _concludes(jobId, IContributionAudit.Outcome.Verified, [0, 0, VOTED]);
        assertEq(_faults(), 1, "faults");
        assertEq(_lastFault().party, CAROL, "party");
        assertEq(_lastFault().reason, Faults.AUDIT_SILENT, "reason");
    }

    function test_conclude_waitsForNobody_whoWasSilent() public {
        bytes32 jobId = _posted();
        uint64 deadline = audits.deadlineOf(jobId);
        _reveal(ALICE, jobId);
        _reveal(BOB, jobId);
        vm.warp(deadline + 1); // Carol's seed is missing
        _vote(BOB, jobId, true);
        _refusedUntil(jobId, deadline + WINDOW);
        vm.warp(deadline + WINDOW);
        _refusedUntil(jobId, deadline + WINDOW);
        vm.warp(deadline + WINDOW + 1);
        _concludes(jobId, IContributionAudit.Outcome.Verified, [0, 0, REVEALED | VOTED]);
        assertEq(_faults(), 1, "one fault, however many steps");
        assertEq(_lastFault().reason, Faults.AUDIT_SILENT, "reason");
        assertEq(_lastFault().answer, Faults.RECORDED, "an outage is no strike");
        assertEq(_lastFault().evidence, 0, "as for any deadline");
        assertEq(_strikes(CAROL), 0, "strikes");
    }

    function test_conclude_fails_whenTheActivePartyDoesNotPost() public {
        bytes32 jobId = _frozenAudit();
        uint64 deadline = audits.deadlineOf(jobId);
        vm.warp(deadline);
        _refusedUntil(jobId, deadline);
        vm.warp(deadline + 1);
        _concludes(jobId, IContributionAudit.Outcome.Failed, [POSTED, 0, 0]);
        _assertRefused();
    }

    function test_conclude_fails_whenTheActivePartyDoesNotReveal() public {
        bytes32 jobId = _posted();
        _reveal(BOB, jobId);
        uint64 deadline = audits.deadlineOf(jobId);
        vm.warp(deadline);
        _refusedUntil(jobId, deadline);
        vm.warp(deadline + 1);
        _concludes(jobId, IContributionAudit.Outcome.Failed, [REVEALED, 0, REVEALED]);
        assertEq(_faults(), 2, "faults");
        assertEq(anomalies.faultOf(1).reason, Faults.AUDIT_REFUSED, "the active party's");
        assertEq(anomalies.faultOf(1).answer, Faults.STRIKE, "is a strike");
        assertEq(_lastFault().reason, Faults.AUDIT_SILENT, "Carol's");
        assertEq(_lastFault().answer, Faults.RECORDED, "is not");
    }

    function test_conclude_strikesTheActiveParty_eachTimeThatItKeepsItsSeed_andSuspendsIt() public {
        for (uint256 i = 0; i < 3; ++i) {
            bytes32 jobId = _posted();
            _reveal(BOB, jobId);
            _reveal(CAROL, jobId); // from now on Alice knows which rows will be drawn
            vm.warp(audits.deadlineOf(jobId) + 1);
            audits.conclude(jobId);
            assertOutcome(jobId, IContributionAudit.Outcome.Failed);
            _assertRefused();
        }
        assertEq(_faults(), 3, "faults");
        assertEq(uint256(registry.statusOf(ALICE)), uint256(IParticipantRegistry.Status.Suspended), "status");
    }

    // -- jobs that end early ----------------------------------------------------------------------------------------------

    function test_revealVoteAndConclude_goOn_inAJobThatWasAborted() public {
        bytes32 jobId = _posted();
        _reveal(BOB, jobId);
        vm.prank(ALICE);
        jobs.abort(jobId, "sorry");
        _reveal(CAROL, jobId);
        _reveal(ALICE, jobId);
        _vote(BOB, jobId, false);
        _vote(CAROL, jobId, false);
        audits.conclude(jobId);
        assertOutcome(jobId, IContributionAudit.Outcome.False);
        assertEq(_lastFault().reason, Faults.CONTRIBUTION_FALSE, "reason");
        assertEq(_strikes(ALICE), 1, "strikes");
        assertEq(audits.auditCount(ALICE), 1, "history");
    }

    function test_conclude_goesOn_inAJobThatExpired() public {
        bytes32 jobId = _seeded();
        vm.warp(block.timestamp + 30 days);
        jobs.expire(jobId);
        assertEq(uint256(jobs.phaseOf(jobId)), uint256(IJobManager.Phase.Expired), "phase");
        _vote(BOB, jobId, true);
        _vote(CAROL, jobId, true);
        audits.conclude(jobId);
        assertOutcome(jobId, IContributionAudit.Outcome.Verified);
    }

    function test_conclude_strikesTheActiveParty_thatAborts_whenAllOthersHaveRevealed() public {
        bytes32 jobId = _posted();
        _reveal(BOB, jobId);
        _reveal(CAROL, jobId);
        vm.prank(ALICE);
        jobs.abort(jobId, "sorry");
        vm.warp(audits.deadlineOf(jobId) + 1);
        _concludes(jobId, IContributionAudit.Outcome.Failed, [REVEALED, 0, 0]);
        _assertRefused();
    }

    function test_conclude_onlyRecords_whenTheJobWasAborted_beforeTheSeedsWereKnown() public {
        bytes32 jobId = _posted();
        _reveal(BOB, jobId);
        vm.prank(CAROL);
        jobs.abort(jobId, "no more");
        vm.warp(audits.deadlineOf(jobId) + 1);
        _concludes(jobId, IContributionAudit.Outcome.Failed, [REVEALED, 0, REVEALED]);
        assertEq(_faults(), 2, "faults");
        assertEq(anomalies.faultOf(1).reason, Faults.AUDIT_SILENT, "Alice did not know the seed");
        assertEq(_strikes(ALICE), 0, "strikes");
    }

    function test_conclude_reverts_whenTheJobEnded_beforeTheLossesWerePosted() public {
        bytes32 jobId = _frozenAudit();
        vm.prank(BOB);
        jobs.abort(jobId, "no");
        vm.warp(block.timestamp + 100 * WINDOW);
        vm.expectRevert(
            abi.encodeWithSelector(
                IJobManager.WrongPhase.selector, IJobManager.Phase.Evaluating, IJobManager.Phase.Aborted
            )
        );
        audits.conclude(jobId);
        assertEq(_faults(), 0, "faults");
    }

    function test_conclude_fails_whenTheJobIsCompletedBeforeAllHaveFrozen() public {
        bytes32 jobId = _audited();
        _freeze(ALICE, jobId);
        vm.warp(block.timestamp + 100 * WINDOW);
        _refusedUntil(jobId, 0);
        _complete(jobId);
        _concludes(jobId, IContributionAudit.Outcome.Failed, [0, 0, 0]);
        assertEq(_faults(), 0, "nobody else need have agreed to an audit");
    }

    function test_conclude_fails_whenTheJobIsCompletedBeforeTheLossesArePosted() public {
        bytes32 jobId = _frozenAudit();
        _complete(jobId);
        _concludes(jobId, IContributionAudit.Outcome.Failed, [POSTED, 0, 0]);
        _assertRefused();
    }

    function test_conclude_reverts_withoutAnAudit() public {
        bytes32 jobId = _evaluating();
        vm.expectRevert(abi.encodeWithSelector(IContributionAudit.NoAudit.selector, jobId));
        audits.conclude(jobId);
    }

    function test_conclude_verifies_whenTwoThirdsFindItSound_andDisputes_whenFewer() public {
        roster.push(DAVE);
        bytes32 jobId = _seeded();
        _vote(BOB, jobId, false); // one of three: a statement on record
        _vote(CAROL, jobId, true);
        _vote(DAVE, jobId, true);
        audits.conclude(jobId);
        assertOutcome(jobId, IContributionAudit.Outcome.Verified);
        assertEq(audits.auditOf(jobId).votes[1], 2, "Bob's vote stands");
        assertEq(_faults(), 0, "faults");
        jobId = _seeded();
        _vote(BOB, jobId, false);
        _vote(CAROL, jobId, true);
        _passVotes(jobId); // one of two
        audits.conclude(jobId);
        assertOutcome(jobId, IContributionAudit.Outcome.Disputed);
    }

    function test_conclude_verifies_byASingleSoundVote_andDisputes_byASingleFalseOne() public {
        roster.pop(); // Alice and Bob
        bytes32 jobId = _seeded();
        _vote(BOB, jobId, true);
        audits.conclude(jobId);
        assertOutcome(jobId, IContributionAudit.Outcome.Verified);
        jobId = _seeded();
        _vote(BOB, jobId, false);
        audits.conclude(jobId);
        assertOutcome(jobId, IContributionAudit.Outcome.Disputed);
        assertEq(_strikes(ALICE), 0, "strikes");
    }

    function test_conclude_recordsTheFaultOfASuspendedParty_withoutAnAnswer() public {
        bytes32 jobId = _seeded();
        _vote(BOB, jobId, false);
        _vote(CAROL, jobId, false);
        _suspend(ALICE);
        audits.conclude(jobId);
        assertOutcome(jobId, IContributionAudit.Outcome.False);
        assertEq(_lastFault().answer, Faults.RECORDED, "answer");
    }

    function test_conclude_stands_whenTheRecordRefuses() public {
        // audits of their own, whom the record does not know as a reporter
        audits = new ContributionAudit(registry, jobs, anomalies, anomalies.policy());
        bytes32 jobId = _seeded();
        _vote(BOB, jobId, false);
        _vote(CAROL, jobId, false);
        bytes memory refusal = abi.encodeWithSelector(IAnomalyRecord.NotReporter.selector, address(audits));
        vm.expectEmit(true, true, false, true, address(audits));
        emit Reports.ReportRefused(ALICE, jobId, Faults.CONTRIBUTION_FALSE, refusal);
        audits.conclude(jobId);
        assertOutcome(jobId, IContributionAudit.Outcome.False);
        assertEq(_faults(), 0, "faults");
    }

    // -- the history ------------------------------------------------------------------------------------------------------

    function test_theHistory_hasEveryConcludedAudit_ofEachParty() public {
        bytes32 first = _concluded(true, true);
        bytes32 second = _concluded(false, true);
        _posted();
        for (uint256 i = 0; i < 3; ++i) {
            assertEq(audits.auditCount(roster[i]), 2, "count");
            assertEq(audits.auditAt(roster[i], 0), first, "first");
            assertEq(audits.auditAt(roster[i], 1), second, "second");
            assertEq(audits.auditsOf(roster[i], 0, 100).length, 2, "all");
            bytes32[] memory page = audits.auditsOf(roster[i], 1, 1);
            assertEq(page.length, 1, "a page");
            assertEq(page[0], second, "its job");
            assertEq(audits.auditsOf(roster[i], 0, 1)[0], first, "the first page");
            assertEq(audits.auditsOf(roster[i], 1, type(uint256).max).length, 1, "the rest");
            assertEq(audits.auditsOf(roster[i], 2, 1).length, 0, "beyond the end");
            assertEq(audits.auditsOf(roster[i], type(uint256).max, 1).length, 0, "far beyond the end");
        }
        assertEq(audits.auditCount(DAVE), 0, "of an outsider");
    }

    function test_verdictOf_isEmpty_untilConcluded_andThenWhatASettlementNeeds() public {
        bytes32 jobId = _seeded();
        IContributionAudit.Verdict memory verdict = audits.verdictOf(jobId);
        assertEq(uint256(verdict.outcome), 0, "outcome");
        assertEq(verdict.shares840.length + verdict.shards.length + verdict.budget, 0, "nothing");
        _vote(BOB, jobId, true);
        _passVotes(jobId);
        audits.conclude(jobId);
        verdict = audits.verdictOf(jobId);
        assertEq(verdict.silentMask, 4, "Carol was silent");
        assertEq(verdict.budget, BUDGET, "budget");
        assertEq(verdict.disputeSeconds, DISPUTE, "dispute");
        assertEq(verdict.shards[1], _digestOf(jobId, BOB), "shard");
        assertEq(keccak256(abi.encode(verdict.shares840)), keccak256(abi.encode(audits.sharesOf(jobId))), "shares");
    }

    function _concludes(bytes32 jobId, IContributionAudit.Outcome expected, uint8[3] memory silent) private {
        audits.conclude(jobId);
        assertOutcome(jobId, expected);
        uint8[] memory found = audits.auditOf(jobId).silent;
        for (uint256 i = 0; i < 3; ++i) {
            assertEq(found[i], silent[i], "silent");
        }
    }

    function _assertRefused() private view {
        assertEq(_lastFault().party, ALICE, "whose fault");
        assertEq(_lastFault().reason, Faults.AUDIT_REFUSED, "reason");
        assertEq(_lastFault().answer, Faults.STRIKE, "answer");
    }

    function _refusedUntil(bytes32 jobId, uint64 deadline) private {
        vm.expectRevert(abi.encodeWithSelector(IContributionAudit.NotConcludable.selector, jobId, deadline));
        audits.conclude(jobId);
    }

    function _passVotes(bytes32 jobId) private {
        vm.warp(audits.deadlineOf(jobId) + 1);
    }

    function _lastFault() private view returns (IAnomalyRecord.Fault memory) {
        return anomalies.faultOf(_faults());
    }
}
