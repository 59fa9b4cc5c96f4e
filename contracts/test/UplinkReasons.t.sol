// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Kinds} from "../src/Kinds.sol";
import {IAnomalyRecord} from "../src/interfaces/IAnomalyRecord.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {Deployed} from "./utils/Deployed.sol";

/// @title For every reason code an uplink wrong in exactly that respect, and the sound one accepted in the same setup.
contract UplinkReasonsTest is Deployed {
    bytes32 internal jobId;
    IUplinkLedger.Envelope internal sound;

    function setUp() public override {
        super.setUp();
        jobId = _inRoundOne();
        sound = _envelope(jobId, 1, Kinds.HISTOGRAM);
    }

    /// @dev Bob sends the wrong one: rejected with `expected`, recorded, one strike; then the sound one passes.
    function _assertRejected(IUplinkLedger.Envelope memory wrong, bytes memory payload, IUplinkLedger.Reason expected)
        internal
    {
        uint32 strikes = _strikes(BOB);
        (, uint64 rejected) = ledger.countsOf(wrong.jobId);
        uint256 faults = _faults();
        (bytes32 uplinkId, IUplinkLedger.Reason reason) = _submit(BOB, wrong, payload);
        assertReason(reason, expected, "wrong uplink");
        IUplinkLedger.Verdict memory verdict = _verdict(BOB, wrong);
        assertTrue(verdict.known, "verdict");
        assertReason(verdict.reason, expected, "recorded reason");
        assertEq(_faults(), faults + 1, "reports");
        IAnomalyRecord.Fault memory fault = anomalies.faultOf(faults + 1);
        assertEq(fault.party, BOB, "reported party");
        assertEq(fault.reason, uint8(expected), "reported reason");
        assertEq(fault.jobId, wrong.jobId, "reported job");
        assertEq(fault.round, jobs.jobOf(wrong.jobId).round, "the job's round, whatever the envelope says");
        assertEq(fault.evidence, uplinkId, "evidence");
        assertEq(_strikes(BOB), strikes + 1, "strikes");
        (, uint64 rejectedAfter) = ledger.countsOf(wrong.jobId);
        assertEq(rejectedAfter, rejected + 1, "rejected");
    }

    function _assertRejectedThenSound(
        IUplinkLedger.Envelope memory wrong,
        bytes memory payload,
        IUplinkLedger.Reason expected
    ) internal {
        _assertRejected(wrong, payload, expected);
        _accept(BOB, sound);
    }

    function test_submit_revertsCallerNotAccredited_whenNeverAccredited() public {
        address eve = address(0xE7E);
        vm.prank(eve);
        vm.expectRevert(abi.encodeWithSelector(IUplinkLedger.CallerNotAccredited.selector, eve));
        ledger.submit(sound, PAYLOAD);
        vm.prank(eve);
        registry.register("eve", "localhost:2", _certificate(eve), "key");
        vm.prank(eve);
        vm.expectRevert(abi.encodeWithSelector(IUplinkLedger.CallerNotAccredited.selector, eve));
        ledger.submit(sound, PAYLOAD);
    }

    function test_submit_rejectsSenderSuspendedWithoutStrike_whenSuspended() public {
        vm.prank(STEWARD);
        registry.suspend(BOB, "test");
        (, IUplinkLedger.Reason reason) = _submit(BOB, sound, PAYLOAD);
        assertReason(reason, IUplinkLedger.Reason.SenderSuspended, "suspended");
        assertEq(_strikes(BOB), 0, "strikes");
        vm.prank(STEWARD);
        registry.reinstate(BOB);
        _accept(BOB, sound);
    }

    function test_submit_rejectsUnknownJob_whenThereIsNoSuchJob() public {
        IUplinkLedger.Envelope memory wrong = sound;
        wrong.jobId = keccak256("no such job");
        _assertRejectedThenSound(wrong, PAYLOAD, IUplinkLedger.Reason.UnknownJob);
    }

    function test_submit_rejectsNotOnRoster_whenSenderIsAccreditedOutsider() public {
        (, IUplinkLedger.Reason reason) = _submit(DAVE, sound, PAYLOAD);
        assertReason(reason, IUplinkLedger.Reason.NotOnRoster, "outsider");
        assertEq(_strikes(DAVE), 1, "strikes");
        _accept(BOB, sound);
    }

    function test_submit_rejectsWrongPhase_whenKindBelongsToAnotherPhase() public {
        IUplinkLedger.Envelope memory wrong = sound;
        wrong.kind = Kinds.BLINDED_IDS;
        _assertRejectedThenSound(wrong, PAYLOAD, IUplinkLedger.Reason.WrongPhase);
    }

    function test_submit_rejectsWrongRound_whenRoundIsNotCurrent() public {
        IUplinkLedger.Envelope memory wrong = sound;
        wrong.round = 0;
        _assertRejected(wrong, PAYLOAD, IUplinkLedger.Reason.WrongRound);
        wrong.round = 2;
        _assertRejectedThenSound(wrong, PAYLOAD, IUplinkLedger.Reason.WrongRound);
    }

    function test_submit_rejectsWrongRound_whenNoRoundHasBegun() public {
        bytes32 fresh = _training();
        IUplinkLedger.Envelope memory early = _envelope(fresh, 0, Kinds.HISTOGRAM);
        _assertRejected(early, PAYLOAD, IUplinkLedger.Reason.WrongRound);
        early.round = 1;
        vm.prank(ALICE);
        jobs.beginRound(fresh, 1);
        _accept(BOB, early);
    }

    function test_submit_rejectsWrongAttempt_whenAttemptIsNotCurrent() public {
        IUplinkLedger.Envelope memory wrong = sound;
        wrong.attempt = 1;
        _assertRejectedThenSound(wrong, PAYLOAD, IUplinkLedger.Reason.WrongAttempt);
        vm.prank(ALICE);
        jobs.retryRound(jobId, 1);
        _accept(BOB, wrong);
    }

    function test_submit_rejectsKindNotAllowed_whenRoleIsWrong() public {
        IUplinkLedger.Envelope memory wrong = sound;
        wrong.kind = Kinds.GRADIENTS;
        _assertRejectedThenSound(wrong, PAYLOAD, IUplinkLedger.Reason.KindNotAllowed);
        _accept(ALICE, wrong);
    }

    function test_submit_rejectsKindNotAllowed_whenKindIsUnknown() public {
        IUplinkLedger.Envelope memory wrong = sound;
        wrong.kind = 12;
        _assertRejectedThenSound(wrong, PAYLOAD, IUplinkLedger.Reason.KindNotAllowed);
    }

    function test_submit_rejectsRecipientNotOnRoster_whenRecipientIsOutsider() public {
        IUplinkLedger.Envelope memory wrong = sound;
        wrong.recipient = DAVE;
        _assertRejectedThenSound(wrong, PAYLOAD, IUplinkLedger.Reason.RecipientNotOnRoster);
        wrong.recipient = ALICE;
        _accept(BOB, wrong);
        wrong.recipient = BOB;
        _accept(BOB, wrong);
    }

    function test_submit_rejectsSchemaUnsupported_whenSchemaIsNotOne() public {
        IUplinkLedger.Envelope memory wrong = sound;
        wrong.schema = 0;
        _assertRejected(wrong, PAYLOAD, IUplinkLedger.Reason.SchemaUnsupported);
        wrong.schema = 2;
        _assertRejectedThenSound(wrong, PAYLOAD, IUplinkLedger.Reason.SchemaUnsupported);
    }

    function test_submit_rejectsSizeOutOfBounds_whenPayloadIsEmpty() public {
        IUplinkLedger.Envelope memory wrong = sound;
        wrong.size = 0;
        wrong.digest = _leaf("");
        _assertRejectedThenSound(wrong, "", IUplinkLedger.Reason.SizeOutOfBounds);
    }

    function test_submit_rejectsSizeOutOfBounds_whenSizeIsNotThePayloads() public {
        IUplinkLedger.Envelope memory wrong = sound;
        wrong.size += 1;
        _assertRejected(wrong, PAYLOAD, IUplinkLedger.Reason.SizeOutOfBounds);
        wrong.size -= 2;
        _assertRejectedThenSound(wrong, PAYLOAD, IUplinkLedger.Reason.SizeOutOfBounds);
    }

    function test_submit_rejectsSizeOutOfBounds_whenSmallPayloadIsNotInline() public {
        IUplinkLedger.Envelope memory wrong = sound;
        wrong.size = 98_304;
        _assertRejected(wrong, "", IUplinkLedger.Reason.SizeOutOfBounds);
        wrong.size = 98_305; // by reference from here on
        (, IUplinkLedger.Reason reason) = _submit(BOB, wrong, "");
        assertReason(reason, IUplinkLedger.Reason.Accepted, "by reference");
    }

    function test_submit_rejectsSizeOutOfBounds_whenLargePayloadIsInline() public {
        bytes memory payload = new bytes(98_305);
        IUplinkLedger.Envelope memory wrong = sound;
        wrong.size = uint64(payload.length);
        _assertRejectedThenSound(wrong, payload, IUplinkLedger.Reason.SizeOutOfBounds);
    }

    function test_submit_rejectsSizeOutOfBounds_whenPolicyIsExceeded() public {
        IUplinkLedger.Envelope memory wrong = sound;
        wrong.size = MAX_PAYLOAD + 1;
        _assertRejected(wrong, "", IUplinkLedger.Reason.SizeOutOfBounds);
        wrong.size = MAX_PAYLOAD;
        (, IUplinkLedger.Reason reason) = _submit(BOB, wrong, "");
        assertReason(reason, IUplinkLedger.Reason.Accepted, "at the limit");
    }

    function test_submit_rejectsDigestMismatch_whenPayloadDiffers() public {
        bytes memory other = PAYLOAD;
        other[0] ^= 0x01;
        _assertRejectedThenSound(sound, other, IUplinkLedger.Reason.DigestMismatch);
    }

    function test_submit_rejectsDigestMismatch_whenDigestByReferenceIsZero() public {
        IUplinkLedger.Envelope memory wrong = sound;
        wrong.size = 98_305;
        wrong.digest = 0;
        _assertRejectedThenSound(wrong, "", IUplinkLedger.Reason.DigestMismatch);
    }

    function test_submit_recordsStrike_whenSlotIsTaken() public {
        _accept(BOB, sound);
        bytes memory other = "another payload for the same slot";
        IUplinkLedger.Envelope memory wrong = sound;
        wrong.digest = _leaf(other);
        wrong.size = uint64(other.length);
        _assertRejected(wrong, other, IUplinkLedger.Reason.SlotTaken);
        assertTrue(ledger.isAccepted(BOB, sound) && !ledger.isAccepted(BOB, wrong), "the first keeps the slot");
        wrong.step = 1;
        (, IUplinkLedger.Reason reason) = _submit(BOB, wrong, other);
        assertReason(reason, IUplinkLedger.Reason.Accepted, "next step");
    }

    function test_submit_rejectsSlotTaken_whenPartyHasShardAlready() public {
        bytes32 evaluated = _evaluating();
        IUplinkLedger.Envelope memory shard = _envelope(evaluated, 2, Kinds.SHARD_DIGEST);
        _accept(BOB, shard);
        shard.step = 1;
        _assertRejected(shard, PAYLOAD, IUplinkLedger.Reason.SlotTaken);
        _accept(CAROL, shard);
    }

    function test_submit_rejectsStatisticOutOfPolicy_whenKindDeclaresNone() public {
        IUplinkLedger.Envelope memory wrong = sound;
        wrong.statisticE6 = 1;
        _assertRejectedThenSound(wrong, PAYLOAD, IUplinkLedger.Reason.StatisticOutOfPolicy);
    }

    function test_submit_rejectsStatisticOutOfPolicy_whenContributionExceedsPolicy() public {
        IUplinkLedger.Envelope memory contribution = _envelope(_evaluating(), 2, Kinds.CONTRIBUTION);
        contribution.statisticE6 = MAX_STATISTIC_E6 + 1;
        (, IUplinkLedger.Reason reason) = _submit(ALICE, contribution, PAYLOAD);
        assertReason(reason, IUplinkLedger.Reason.StatisticOutOfPolicy, "above the policy");
        contribution.statisticE6 = MAX_STATISTIC_E6;
        _accept(ALICE, contribution);
    }

    function test_submit_givesTheFirstReason_whenEverythingIsWrong() public {
        IUplinkLedger.Envelope memory wrong;
        (, IUplinkLedger.Reason reason) = _submit(BOB, wrong, "");
        assertReason(reason, IUplinkLedger.Reason.UnknownJob, "all fields zero");
        wrong.jobId = jobId;
        (, reason) = _submit(BOB, wrong, "");
        assertReason(reason, IUplinkLedger.Reason.WrongPhase, "phase before round");
        wrong.kind = Kinds.GRADIENTS;
        (, reason) = _submit(BOB, wrong, "");
        assertReason(reason, IUplinkLedger.Reason.WrongRound, "round before role");
        assertStatus(BOB, IParticipantRegistry.Status.Suspended);
        (, reason) = _submit(BOB, wrong, "");
        assertReason(reason, IUplinkLedger.Reason.SenderSuspended, "suspension before all");
    }

    function _policy() internal pure override returns (IJobManager.Policy memory policy) {
        policy = _policyWith(MAX_ROUNDS, false);
        policy.maxUplinksPerRound = 4;
    }

    function test_submit_rejectsRateExceeded_whenThePolicysNumberIsReached() public {
        IUplinkLedger.Envelope memory more = sound;
        for (uint32 step = 0; step < 4; ++step) {
            more.step = step;
            _accept(BOB, more);
        }
        assertEq(ledger.uplinksOf(jobId, 1), 4, "counted");
        more.step = 4;
        _assertRejected(more, PAYLOAD, IUplinkLedger.Reason.RateExceeded);
        more.step = 3;
        _accept(BOB, more); // accepted before
        _accept(CAROL, more); // has a number of her own
        vm.prank(ALICE);
        jobs.retryRound(jobId, 1);
        more.attempt = 1;
        _accept(BOB, more); // the next attempt counts anew
        assertEq(ledger.uplinksOf(jobId, 1), 1, "counted anew");
    }

    function test_submit_hasNoRate_whenCompleted() public {
        bytes32 completed = _completed();
        vm.prank(BOB);
        IUplinkLedger.Envelope memory answer = _envelope(completed, router.open(completed), Kinds.PREDICT_ANSWER);
        for (uint32 step = 0; step < 10; ++step) {
            answer.step = step;
            _accept(BOB, answer);
        }
    }

    function test_submit_rejectsDeadlineMissed_whenTheRoundIsOverdue() public {
        vm.warp(jobs.deadlineOf(jobId));
        _accept(CAROL, sound); // the last second
        vm.warp(block.timestamp + 1);
        (, IUplinkLedger.Reason reason) = _submit(BOB, sound, PAYLOAD);
        assertReason(reason, IUplinkLedger.Reason.DeadlineMissed, "late");
        assertEq(_faults(), 1, "reported");
        assertEq(anomalies.faultOf(1).reason, 15, "reason");
        assertEq(_strikes(BOB), 0, "once is on the record only");
        _submit(BOB, sound, PAYLOAD);
        assertEq(_strikes(BOB), 1, "again");
        vm.prank(ALICE);
        jobs.retryRound(jobId, 1);
        sound.attempt = 1;
        _accept(BOB, sound);
    }

    function test_submit_reportsNothing_whenItsSenderSaidInTimeThatItWaits() public {
        for (uint16 attempt = 0; attempt < 4; ++attempt) {
            sound.attempt = attempt;
            vm.warp(jobs.deadlineOf(jobId));
            vm.prank(BOB);
            jobs.attend(jobId);
            vm.warp(block.timestamp + 1); // Alice delivered in the last second
            (, IUplinkLedger.Reason reason) = _submit(BOB, sound, PAYLOAD);
            assertReason(reason, IUplinkLedger.Reason.DeadlineMissed, "late");
            assertReason(_verdict(BOB, sound).reason, IUplinkLedger.Reason.DeadlineMissed, "recorded");
            vm.prank(ALICE);
            jobs.retryRound(jobId, 1); // and names who is missing: Carol
        }
        for (uint256 i = _faults(); i > 0; --i) {
            assertTrue(anomalies.faultOf(i).party != BOB, "who waited is not to blame");
        }
        assertStatus(BOB, IParticipantRegistry.Status.Accredited);
        _pass(jobId);
        sound.attempt = 4;
        uint256 before = _faults();
        _submit(BOB, sound, PAYLOAD);
        assertEq(_faults(), before + 1, "it had attended in the attempts before alone");
    }

    function test_submit_hasNoDeadline_outsideTraining() public {
        bytes32 aligning = _aligning();
        bytes32 evaluating = _evaluating();
        _pass(evaluating);
        _accept(BOB, _envelope(aligning, 0, Kinds.BLINDED_IDS));
        _accept(BOB, _envelope(evaluating, 2, Kinds.SHARD_DIGEST));
    }

    function test_submit_rejectsSenderSuspended_whenBanned() public {
        vm.prank(STEWARD);
        registry.ban(BOB, "test");
        (, IUplinkLedger.Reason reason) = _submit(BOB, sound, PAYLOAD);
        assertReason(reason, IUplinkLedger.Reason.SenderSuspended, "banned");
        assertReason(_verdict(BOB, sound).reason, IUplinkLedger.Reason.SenderSuspended, "recorded");
        (,,, uint8 rejected) = ledger.roundOf(jobId);
        assertEq(rejected, 2, "in the round's mask");
        assertEq(anomalies.faultOf(1).answer, 0, "recorded only");
    }

    function test_submit_givesTheLastReasonsInOrder_whenSeveralApply() public {
        IUplinkLedger.Envelope memory wrong = sound;
        for (uint32 step = 0; step < 4; ++step) {
            wrong.step = step;
            _accept(BOB, wrong);
        }
        _pass(jobId);
        wrong.digest = _leaf("x");
        wrong.size = 1;
        wrong.statisticE6 = 1;
        (, IUplinkLedger.Reason reason) = _submit(BOB, wrong, "x");
        assertReason(reason, IUplinkLedger.Reason.SlotTaken, "slot before statistic");
        wrong.step = 4;
        (, reason) = _submit(BOB, wrong, "x");
        assertReason(reason, IUplinkLedger.Reason.StatisticOutOfPolicy, "statistic before rate");
        wrong.statisticE6 = 0;
        (, reason) = _submit(BOB, wrong, "x");
        assertReason(reason, IUplinkLedger.Reason.RateExceeded, "rate before deadline");
    }
}
