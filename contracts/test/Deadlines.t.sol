// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Kinds} from "../src/Kinds.sol";
import {JobManager} from "../src/JobManager.sol";
import {IAnomalyRecord} from "../src/interfaces/IAnomalyRecord.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {Deployed} from "./utils/Deployed.sol";
import {Vm} from "./utils/Vm.sol";

/// @title What a deadline lets others do: name who is missing, and end the job.
contract DeadlinesTest is Deployed {
    address internal constant STRANGER = address(0x57124);
    uint8 internal constant A = 1;
    uint8 internal constant B = 2;
    uint8 internal constant C = 4;

    function _proposeWith(IJobManager.Policy memory policy) internal returns (bytes32) {
        vm.prank(ALICE);
        return jobs.propose("spec", roster, policy);
    }

    function _attend(address party, bytes32 jobId) internal {
        vm.prank(party);
        jobs.attend(jobId);
    }

    function _close(bytes32 jobId) internal {
        vm.prank(STRANGER);
        jobs.closeRound(jobId);
    }

    function _mark(bytes32 jobId) internal {
        vm.prank(STRANGER);
        jobs.markMissing(jobId);
    }

    function _expire(bytes32 jobId) internal {
        vm.prank(STRANGER);
        jobs.expire(jobId);
    }

    function _expectClosed(bytes32 jobId, uint32 round, uint16 attempt, uint8 accepted, uint8 rejected, uint8 missing)
        internal
    {
        vm.expectEmit(true, false, false, true, address(jobs));
        emit IJobManager.RoundClosed(jobId, round, attempt, accepted, rejected, missing);
    }

    function _expectNotReached(uint256 deadline) internal {
        vm.expectRevert(
            abi.encodeWithSelector(IJobManager.DeadlineNotReached.selector, uint64(deadline), uint64(block.timestamp))
        );
    }

    function _assertReported(uint256 faultId, address party, bytes32 jobId, uint32 round) internal view {
        IAnomalyRecord.Fault memory fault = anomalies.faultOf(faultId);
        assertEq(fault.party, party, "reported party");
        assertEq(fault.jobId, jobId, "reported job");
        assertEq(fault.round, round, "reported round");
        assertEq(fault.reason, 64, "missing");
        assertEq(fault.evidence, 0, "a deadline has no evidence");
    }

    function test_propose_reverts_whenThePolicyLeavesNoTimeOrNoUplinks() public {
        IJobManager.Policy memory policy = _policy();
        policy.phaseSeconds = 0;
        vm.expectRevert(IJobManager.PolicyInvalid.selector);
        _proposeWith(policy);
        policy = _policy();
        policy.roundSeconds = 0;
        vm.expectRevert(IJobManager.PolicyInvalid.selector);
        _proposeWith(policy);
        policy = _policy();
        policy.maxUplinksPerRound = 0;
        vm.expectRevert(IJobManager.PolicyInvalid.selector);
        _proposeWith(policy);
    }

    function test_propose_reverts_whenThePolicyNamesAnotherVersion() public {
        IJobManager.Policy memory policy = _policy();
        policy.version = 1;
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PolicyVersionInvalid.selector, 2, 1));
        _proposeWith(policy);
        policy.version = 0;
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PolicyVersionInvalid.selector, 2, 0));
        _proposeWith(policy);
    }

    function test_deadlines_doNotOverflow_whenThePolicyIsAsLongAsItCanBe() public {
        IJobManager.Policy memory policy = _policy();
        policy.phaseSeconds = type(uint32).max;
        policy.roundSeconds = type(uint32).max;
        policy.maxUplinksPerRound = type(uint16).max;
        bytes32 jobId = _proposeWith(policy);
        assertEq(jobs.deadlineOf(jobId), block.timestamp + type(uint32).max, "deadline");
        vm.warp(block.timestamp + 2 * uint256(type(uint32).max));
        assertTrue(!jobs.isExpirable(jobId), "the last second");
        vm.warp(block.timestamp + 1);
        _expire(jobId);
    }

    function test_deadlineOf_isThePhases_inTrainingTheRounds() public {
        assertEq(jobs.deadlineOf("none"), 0, "no job");
        bytes32 jobId = _propose();
        assertEq(jobs.deadlineOf(jobId), block.timestamp + PHASE_SECONDS, "proposed");
        vm.warp(block.timestamp + 5);
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(roster[i]);
            jobs.accept(jobId);
        }
        assertEq(jobs.deadlineOf(jobId), block.timestamp + PHASE_SECONDS, "aligning");
        vm.warp(block.timestamp + 5);
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(roster[i]);
            jobs.declareAligned(jobId, "order", 1);
        }
        assertEq(jobs.deadlineOf(jobId), block.timestamp + ROUND_SECONDS, "before round 1");
        vm.warp(block.timestamp + 5);
        vm.prank(ALICE);
        jobs.beginRound(jobId, 1);
        assertEq(jobs.deadlineOf(jobId), block.timestamp + ROUND_SECONDS, "round 1");
        vm.warp(block.timestamp + 5);
        vm.prank(ALICE);
        jobs.retryRound(jobId, 1);
        assertEq(jobs.deadlineOf(jobId), block.timestamp + ROUND_SECONDS, "a new deadline for the next attempt");
        assertEq(jobs.jobOf(jobId).deadline, jobs.deadlineOf(jobId), "in the view of the job");
        vm.warp(block.timestamp + 5);
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(roster[i]);
            jobs.declareStop(jobId, 1);
        }
        assertEq(jobs.deadlineOf(jobId), block.timestamp + PHASE_SECONDS, "evaluating");
        vm.prank(BOB);
        jobs.abort(jobId, "enough");
        assertEq(jobs.deadlineOf(jobId), 0, "aborted");
        assertEq(jobs.deadlineOf(_completed()), 0, "completed");
    }

    function test_attend_countsOnce_andIsVoidInTheNextRound() public {
        bytes32 jobId = _inRoundOne();
        assertTrue(!jobs.hasAttended(jobId, BOB), "nobody yet");
        vm.expectEmit(true, true, false, true, address(jobs));
        emit IJobManager.PartyAttended(jobId, BOB, 1, 0);
        _attend(BOB, jobId);
        assertTrue(jobs.hasAttended(jobId, BOB) && !jobs.hasAttended(jobId, CAROL), "Bob alone");
        vm.recordLogs();
        _attend(BOB, jobId);
        assertEq(vm.getRecordedLogs().length, 0, "twice changes nothing");
        vm.prank(ALICE);
        jobs.retryRound(jobId, 1);
        assertTrue(!jobs.hasAttended(jobId, BOB), "void after a retry");
        _attend(BOB, jobId);
        vm.prank(ALICE);
        jobs.beginRound(jobId, 2);
        assertTrue(!jobs.hasAttended(jobId, BOB), "void in the next round");
    }

    function test_attend_reverts_forStrangersSuspendedLateAndEnded() public {
        bytes32 jobId = _inRoundOne();
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, STRANGER));
        _attend(STRANGER, jobId);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, DAVE));
        _attend(DAVE, jobId);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.UnknownJob.selector, bytes32(0)));
        _attend(BOB, 0);
        _suspend(CAROL);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, CAROL));
        _attend(CAROL, jobId);
        uint64 deadline = jobs.deadlineOf(jobId);
        vm.warp(deadline);
        _attend(BOB, jobId); // the deadline is the last second
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.DeadlineOver.selector, deadline, deadline + 1));
        _attend(ALICE, jobId);
        bytes32 completed = _completedWith(ALICE, BOB);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.JobEnded.selector, completed, IJobManager.Phase.Completed));
        _attend(BOB, completed);
    }

    function _completedWith(address first, address second) internal returns (bytes32) {
        roster = [first, second];
        return _completed();
    }

    function test_closeRound_reverts_beforeTheDeadlineAndInOtherPhases() public {
        bytes32 jobId = _inRoundOne();
        uint64 deadline = jobs.deadlineOf(jobId);
        _expectNotReached(deadline);
        _close(jobId);
        vm.warp(deadline);
        _expectNotReached(deadline);
        _close(jobId);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.UnknownJob.selector, bytes32("none")));
        _close("none");
        bytes32[3] memory others = [_propose(), _aligning(), _evaluating()];
        IJobManager.Phase[3] memory phases =
            [IJobManager.Phase.Proposed, IJobManager.Phase.Aligning, IJobManager.Phase.Evaluating];
        for (uint256 i = 0; i < 3; ++i) {
            _pass(others[i]);
            vm.expectRevert(
                abi.encodeWithSelector(IJobManager.WrongPhase.selector, IJobManager.Phase.Training, phases[i])
            );
            _close(others[i]);
        }
    }

    function test_closeRound_namesAndReportsWhoIsMissing() public {
        bytes32 jobId = _inRoundOne();
        _accept(BOB, _envelope(jobId, 1, Kinds.HISTOGRAM));
        _attend(ALICE, jobId);
        _pass(jobId);
        _expectClosed(jobId, 1, 0, A | B, 0, C);
        vm.expectEmit(true, true, false, true, address(jobs));
        emit IJobManager.PartyMissing(jobId, CAROL, 1, 0);
        _close(jobId);
        assertEq(_faults(), 1, "one report");
        _assertReported(1, CAROL, jobId, 1);
        assertEq(_strikes(CAROL), 0, "once is on the record only");
        assertTrue(jobs.jobOf(jobId).closed, "closed");
        assertPhase(jobId, IJobManager.Phase.Training);
    }

    function test_closeRound_changesNothing_whenClosedAlready() public {
        bytes32 jobId = _inRoundOne();
        _pass(jobId);
        _close(jobId);
        assertEq(_faults(), 3, "everybody is missing");
        vm.recordLogs();
        _close(jobId);
        vm.warp(block.timestamp + 1000);
        _close(jobId);
        assertEq(vm.getRecordedLogs().length, 0, "events");
        assertEq(_faults(), 3, "reports");
    }

    function test_closeRound_strikes_whenAPartyIsMissingAgain() public {
        bytes32 jobId = _inRoundOne();
        for (uint32 round = 1; round <= 2; ++round) {
            if (round > 1) {
                vm.prank(ALICE);
                jobs.beginRound(jobId, round);
            }
            _attend(ALICE, jobId);
            _attend(BOB, jobId);
            _pass(jobId);
            _close(jobId);
            assertEq(_strikes(CAROL), round - 1, "the second time");
        }
        assertEq(_strikes(ALICE) + _strikes(BOB), 0, "who waits is not missing");
    }

    function test_closeRound_tellsRejectedFromAcceptedAndMissing() public {
        bytes32 jobId = _inRoundOne();
        IUplinkLedger.Envelope memory wrong = _envelope(jobId, 1, Kinds.SPLIT);
        _submit(BOB, wrong, PAYLOAD);
        _attend(BOB, jobId); // does not undo that all it sent was wrong
        _submit(ALICE, _envelope(jobId, 1, Kinds.HISTOGRAM), PAYLOAD);
        _accept(ALICE, _envelope(jobId, 1, Kinds.GRADIENTS)); // one accepted is enough
        (uint32 round, uint16 attempt, uint8 accepted, uint8 rejected) = ledger.roundOf(jobId);
        assertEq(round, 1, "round");
        assertEq(attempt, 0, "attempt");
        assertEq(accepted, A, "accepted");
        assertEq(rejected, A | B, "rejected");
        _pass(jobId);
        _expectClosed(jobId, 1, 0, A, B, C);
        _close(jobId);
    }

    function test_closeRound_countsUplinksOfThisAttemptAlone() public {
        bytes32 jobId = _inRoundOne();
        _accept(BOB, _envelope(jobId, 1, Kinds.HISTOGRAM));
        vm.prank(ALICE);
        jobs.retryRound(jobId, 1);
        _attend(CAROL, jobId);
        _pass(jobId);
        _expectClosed(jobId, 1, 1, C, 0, A | B);
        _close(jobId);
    }

    function test_closeRound_takesAStopForPresence() public {
        bytes32 jobId = _inRoundOne();
        vm.prank(BOB);
        jobs.declareStop(jobId, 1);
        _pass(jobId);
        _expectClosed(jobId, 1, 0, B, 0, A | C);
        _close(jobId);
    }

    function test_closeRound_findsTheActivePartyMissingAlone_whenItNeverBegan() public {
        bytes32 jobId = _aligning();
        _accept(ALICE, _envelope(jobId, 0, Kinds.PUBLIC_KEY)); // was there in the phase before, which does not help
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(roster[i]);
            jobs.declareAligned(jobId, "order", 100);
        }
        _submit(ALICE, _envelope(jobId, 0, Kinds.GRADIENTS), PAYLOAD);
        assertEq(_faults(), 1, "no round has begun");
        _pass(jobId);
        _expectClosed(jobId, 0, 0, B | C, 0, A);
        _close(jobId);
        assertEq(_faults(), 2, "one more report");
        _assertReported(2, ALICE, jobId, 0);
    }

    function test_closeRound_works_whenEveryPartyIsSuspendedOrBanned() public {
        bytes32 jobId = _inRoundOne();
        _suspend(ALICE);
        vm.prank(STEWARD);
        registry.ban(BOB, "test");
        _pass(jobId);
        _expectClosed(jobId, 1, 0, 0, 0, A | B | C);
        _close(jobId);
        assertEq(_faults(), 3, "reports");
    }

    function test_closeRound_works_whenTheLedgerWasNeverWired() public {
        jobs = new JobManager(registry, anomalies);
        bytes32 jobId = _inRoundOne();
        _pass(jobId);
        _expectClosed(jobId, 1, 0, 0, 0, A | B | C);
        _close(jobId); // this manager is no reporter either: the record refuses, the round closes
        assertTrue(jobs.jobOf(jobId).closed, "closed");
        assertEq(_faults(), 0, "refused");
    }

    function test_beginRound_closesTheRoundBefore_andReportsNobody() public {
        bytes32 jobId = _inRoundOne();
        _accept(BOB, _envelope(jobId, 1, Kinds.HISTOGRAM));
        _pass(jobId);
        vm.startPrank(ALICE);
        _expectClosed(jobId, 1, 0, B, 0, A | C);
        jobs.beginRound(jobId, 2);
        vm.stopPrank();
        assertEq(_faults(), 0, "reports");
        assertTrue(!jobs.jobOf(jobId).closed, "the new round is open");
    }

    function test_beginRound_doesNotCloseAgain_whatWasClosed() public {
        bytes32 jobId = _inRoundOne();
        _pass(jobId);
        _close(jobId);
        vm.recordLogs();
        vm.prank(ALICE);
        jobs.beginRound(jobId, 2);
        assertEq(vm.getRecordedLogs().length, 1, "RoundBegan alone");
    }

    function test_retryRound_closesWithReports_whatIsOverdue() public {
        bytes32 jobId = _inRoundOne();
        vm.recordLogs();
        vm.prank(ALICE);
        jobs.retryRound(jobId, 1);
        assertEq(vm.getRecordedLogs().length, 1, "in time: nothing to close");
        _attend(BOB, jobId);
        _pass(jobId);
        vm.startPrank(ALICE);
        _expectClosed(jobId, 1, 1, B, 0, A | C);
        jobs.retryRound(jobId, 1);
        vm.stopPrank();
        assertEq(_faults(), 2, "reports");
    }

    function test_declareStop_closesTheLastRound() public {
        bytes32 jobId = _inRoundOne();
        for (uint256 i = 0; i < 3; ++i) {
            if (i == 2) _expectClosed(jobId, 1, 0, A | B | C, 0, 0);
            vm.prank(roster[i]);
            jobs.declareStop(jobId, 1);
        }
        bytes32 late = _inRoundOne();
        _pass(late);
        _close(late);
        vm.recordLogs();
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(roster[i]);
            jobs.declareStop(late, 1);
        }
        assertEq(vm.getRecordedLogs().length, 4, "three stops and the phase: not closed twice");
    }

    function test_markMissing_namesButDoesNotReport_whoDoesNotAnswerAProposal() public {
        bytes32 jobId = _propose();
        vm.prank(ALICE);
        jobs.accept(jobId);
        _pass(jobId);
        vm.expectEmit(true, true, false, true, address(jobs));
        emit IJobManager.PartyMissing(jobId, BOB, 0, 0);
        vm.expectEmit(true, true, false, true, address(jobs));
        emit IJobManager.PartyMissing(jobId, CAROL, 0, 0);
        _mark(jobId);
        assertEq(_faults(), 0, "reports");
        vm.prank(BOB);
        jobs.accept(jobId); // late, but not too late
    }

    function test_markMissing_reportsWhoNeitherDeclaredNorAttended() public {
        bytes32 aligning = _aligning();
        bytes32 evaluating = _evaluating();
        vm.prank(BOB);
        jobs.declareAligned(aligning, "order", 1);
        _attend(CAROL, aligning);
        _accept(CAROL, _envelope(evaluating, 2, Kinds.SHARD_DIGEST));
        _attend(ALICE, evaluating);
        _pass(evaluating);
        _mark(aligning);
        _mark(evaluating);
        assertEq(_faults(), 2, "reports");
        _assertReported(1, ALICE, aligning, 0);
        _assertReported(2, BOB, evaluating, 2);
        vm.recordLogs();
        _mark(aligning);
        assertEq(vm.getRecordedLogs().length, 0, "again");
    }

    function test_markMissing_reverts_beforeTheDeadlineInTrainingAndAtTheEnd() public {
        bytes32 jobId = _aligning();
        _expectNotReached(jobs.deadlineOf(jobId));
        _mark(jobId);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.UnknownJob.selector, bytes32("none")));
        _mark("none");
        bytes32 training = _training();
        bytes32 completed = _completed();
        _pass(training);
        vm.expectRevert(
            abi.encodeWithSelector(
                IJobManager.WrongPhase.selector, IJobManager.Phase.Evaluating, IJobManager.Phase.Training
            )
        );
        _mark(training);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.JobEnded.selector, completed, IJobManager.Phase.Completed));
        _mark(completed);
    }

    function test_expire_endsEveryPhase_afterTheSameTimeAgain() public {
        bytes32[4] memory ids = [_propose(), _aligning(), _inRoundOne(), _evaluating()];
        for (uint256 i = 0; i < 4; ++i) {
            uint256 last = uint256(jobs.deadlineOf(ids[i])) + (i == 2 ? ROUND_SECONDS : PHASE_SECONDS);
            vm.warp(last);
            assertTrue(!jobs.isExpirable(ids[i]), "not yet");
            _expectNotReached(last);
            _expire(ids[i]);
            vm.warp(last + 1);
            assertTrue(jobs.isExpirable(ids[i]), "now");
            vm.expectEmit(true, true, false, true, address(jobs));
            emit IJobManager.JobExpired(ids[i], STRANGER);
            vm.expectEmit(true, false, false, true, address(jobs));
            emit IJobManager.PhaseChanged(ids[i], IJobManager.Phase.Expired);
            _expire(ids[i]);
            assertPhase(ids[i], IJobManager.Phase.Expired);
            assertTrue(!jobs.isExpirable(ids[i]), "ended");
            vm.expectRevert(abi.encodeWithSelector(IJobManager.JobEnded.selector, ids[i], IJobManager.Phase.Expired));
            _expire(ids[i]);
            vm.warp(1_000_000);
        }
        vm.expectRevert(abi.encodeWithSelector(IJobManager.UnknownJob.selector, bytes32("none")));
        _expire("none");
        assertTrue(!jobs.isExpirable("none"), "none");
        bytes32 completed = _completed();
        vm.warp(block.timestamp + 1e9);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.JobEnded.selector, completed, IJobManager.Phase.Completed));
        _expire(completed);
    }

    function test_expire_closesFirst_whatNobodyClosed() public {
        bytes32 jobId = _inRoundOne();
        _attend(BOB, jobId);
        vm.warp(uint256(jobs.deadlineOf(jobId)) + ROUND_SECONDS + 1);
        _expectClosed(jobId, 1, 0, B, 0, A | C);
        vm.expectEmit(true, true, false, true, address(jobs));
        emit IJobManager.PartyMissing(jobId, ALICE, 1, 0);
        _expire(jobId);
        assertEq(_faults(), 2, "reports");
    }

    function test_expire_namesTheParty_whenAPartyAsks() public {
        bytes32 jobId = _propose();
        vm.warp(uint256(jobs.deadlineOf(jobId)) + PHASE_SECONDS + 1);
        vm.expectEmit(true, true, false, true, address(jobs));
        emit IJobManager.JobExpired(jobId, BOB);
        vm.prank(BOB);
        jobs.expire(jobId);
    }

    function test_expire_endsAtOnce_whenAPartyIsSuspendedAndThePolicySaysSo() public {
        IJobManager.Policy memory policy = _policy();
        policy.endsOnSuspension = true;
        bytes32[2] memory ids = [_proposeWith(policy), _proposeWith(policy)];
        bytes32 tolerant = _propose();
        assertTrue(!jobs.isExpirable(ids[0]), "all accredited");
        _suspend(CAROL);
        assertTrue(jobs.isExpirable(ids[0]) && !jobs.isExpirable(tolerant), "as each policy says");
        _expire(ids[0]);
        assertPhase(ids[0], IJobManager.Phase.Expired);
        assertEq(_faults(), 0, "nothing is overdue");
        vm.prank(STEWARD);
        registry.reinstate(CAROL);
        assertTrue(!jobs.isExpirable(ids[1]), "reinstated");
        vm.prank(STEWARD);
        registry.ban(CAROL, "test");
        _expire(ids[1]);
        uint256 last = uint256(jobs.deadlineOf(tolerant)) + PHASE_SECONDS;
        _expectNotReached(last);
        _expire(tolerant);
    }

    function test_calls_revert_whenTheJobExpired() public {
        bytes32 jobId = _inRoundOne();
        vm.warp(uint256(jobs.deadlineOf(jobId)) + ROUND_SECONDS + 1);
        _expire(jobId);
        vm.startPrank(ALICE);
        bytes memory ended = abi.encodeWithSelector(
            IJobManager.WrongPhase.selector, IJobManager.Phase.Training, IJobManager.Phase.Expired
        );
        vm.expectRevert(ended);
        jobs.beginRound(jobId, 2);
        vm.expectRevert(ended);
        jobs.retryRound(jobId, 1);
        vm.expectRevert(ended);
        jobs.declareStop(jobId, 1);
        vm.expectRevert(ended);
        jobs.closeRound(jobId);
        bytes memory over = abi.encodeWithSelector(IJobManager.JobEnded.selector, jobId, IJobManager.Phase.Expired);
        vm.expectRevert(over);
        jobs.abort(jobId, "late");
        vm.expectRevert(over);
        jobs.attend(jobId);
        vm.expectRevert(over);
        jobs.markMissing(jobId);
        vm.stopPrank();
        (, IUplinkLedger.Reason reason) = _submit(BOB, _envelope(jobId, 1, Kinds.HISTOGRAM), PAYLOAD);
        assertReason(reason, IUplinkLedger.Reason.WrongPhase, "expired");
        assertEq(_faults(), 3, "overtaken, as by an abort: the three are those of the deadline");
    }

    function test_suspendedParty_doesNotBlockTheOthers_forEver() public {
        bytes32 jobId = _inRoundOne();
        _suspend(BOB);
        _attend(ALICE, jobId);
        _attend(CAROL, jobId);
        _pass(jobId);
        _close(jobId);
        vm.warp(block.timestamp + ROUND_SECONDS);
        _expire(jobId);
        assertStatus(ALICE, IParticipantRegistry.Status.Accredited);
        assertStatus(CAROL, IParticipantRegistry.Status.Accredited);
    }

    function testFuzz_closeRound_partitionsTheRoster(uint256 seed, uint8 size, uint8 acts) public {
        uint256 count = 2 + size % 7;
        roster = [ALICE];
        for (uint160 i = 1; i < count; ++i) {
            address party = address(0xF000 + i);
            _join(party, string.concat("party", vm.toString(uint256(i))));
            roster.push(party);
        }
        bytes32 jobId = _inRoundOne();
        for (uint256 i = 0; i < acts % 24; ++i) {
            uint256 draw = uint256(keccak256(abi.encode(seed, i)));
            address party = roster[draw % count];
            if (registry.statusOf(party) != IParticipantRegistry.Status.Accredited) continue;
            uint256 what = (draw >> 8) % 4;
            if (what == 0) {
                _attend(party, jobId);
            } else {
                IUplinkLedger.Envelope memory envelope = _envelope(jobId, 1, what == 1 ? Kinds.PARTITION : Kinds.SPLIT);
                envelope.step = uint32(draw >> 16) % 4;
                _submit(party, envelope, what == 3 ? bytes("") : PAYLOAD);
            }
        }
        _pass(jobId);
        vm.recordLogs();
        uint256 faults = _faults();
        _close(jobId);
        Vm.Log memory log = _last(vm.getRecordedLogs(), address(jobs), IJobManager.RoundClosed.selector);
        (,, uint8 accepted, uint8 rejected, uint8 missing) = abi.decode(log.data, (uint32, uint16, uint8, uint8, uint8));
        assertEq(accepted + rejected + missing, (1 << count) - 1, "together the whole roster");
        assertEq(accepted & rejected | accepted & missing | rejected & missing, 0, "no party twice");
        uint256 reported;
        for (uint256 i = 0; i < count; ++i) {
            if ((missing >> i) & 1 == 1) {
                ++reported;
                _assertReported(faults + reported, roster[i], jobId, 1);
            }
        }
        assertEq(_faults(), faults + reported, "each missing party is reported");
    }

    function testFuzz_deadlineCalls_neverRevertForAnotherReason(uint8 stage, uint32 late, uint8 attending) public {
        bytes32 jobId;
        stage = stage % 4;
        if (stage == 0) jobId = _propose();
        else if (stage == 1) jobId = _aligning();
        else if (stage == 2) jobId = _inRoundOne();
        else jobId = _evaluating();
        for (uint256 i = 0; i < 3; ++i) {
            if ((attending >> i) & 1 == 1) _attend(roster[i], jobId);
        }
        uint256 deadline = jobs.deadlineOf(jobId);
        uint256 span = stage == 2 ? ROUND_SECONDS : PHASE_SECONDS;
        vm.warp(block.timestamp + late % (4 * span));
        bool overdue = block.timestamp > deadline;
        if (!overdue) _expectNotReached(deadline);
        if (stage == 2) _close(jobId);
        else _mark(jobId);
        uint256 missing =
            overdue && stage != 0 ? 3 - (attending & 1) - ((attending >> 1) & 1) - ((attending >> 2) & 1) : 0;
        assertEq(_faults(), missing, "reports");
        if (block.timestamp <= deadline + span) _expectNotReached(deadline + span);
        _expire(jobId);
    }
}
