// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Kinds} from "../src/Kinds.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {Deployed} from "./utils/Deployed.sol";

/// @title The rounds of a pipelined job overlap: one is open while the one before it is committed.
contract PipelinedRoundsTest is Deployed {
    bytes32 internal jobId;

    function setUp() public override {
        super.setUp();
        jobId = _inRoundOne();
    }

    function _policy() internal pure override returns (IJobManager.Policy memory) {
        return _policyWith(100, true);
    }

    function _begin(uint32 round) internal {
        vm.prank(ALICE);
        jobs.beginRound(jobId, round);
    }

    function _retry(uint32 round) internal {
        vm.prank(ALICE);
        jobs.retryRound(jobId, round);
    }

    function _assertInForce(uint32 round, uint16 attempt) internal view {
        IJobManager.JobView memory job = jobs.jobOf(jobId);
        assertEq(job.round, round, "round");
        assertEq(job.attempt, attempt, "attempt");
    }

    /// @dev Bob's commitment of one histogram.
    function _commit(uint32 round, uint16 attempt, uint32 step) internal returns (IUplinkLedger.Reason) {
        IUplinkLedger.Leaf[] memory leaves = new IUplinkLedger.Leaf[](1);
        leaves[0] = _leafOf(step, Kinds.HISTOGRAM, ALICE, keccak256(abi.encode(round, attempt, step)), 100);
        vm.prank(BOB);
        (, IUplinkLedger.Reason[] memory reasons) = ledger.submitBatch(jobId, round, attempt, 1, leaves);
        return reasons[0];
    }

    function test_beginRound_keepsTheAttempt() public {
        _retry(1);
        vm.expectEmit(true, false, false, true, address(jobs));
        emit IJobManager.RoundBegan(jobId, 2, 1);
        _begin(2);
        _assertInForce(2, 1);
        _retry(2);
        _begin(3);
        _assertInForce(3, 2);
    }

    function test_retryRound_takesTheRoundInForce() public {
        _begin(2);
        vm.expectEmit(true, false, false, true, address(jobs));
        emit IJobManager.RoundBegan(jobId, 2, 1);
        _retry(2);
        _assertInForce(2, 1);
    }

    function test_retryRound_takesTheRoundBefore_whichIsThenInForce() public {
        _begin(2);
        vm.expectEmit(true, false, false, true, address(jobs));
        emit IJobManager.RoundBegan(jobId, 1, 1);
        _retry(1);
        _assertInForce(1, 1);
        _begin(2);
        _assertInForce(2, 1);
    }

    function test_retryRound_reverts_whenRoundIsOlderOrNotBegunOrZero() public {
        vm.expectRevert(abi.encodeWithSelector(IJobManager.WrongRound.selector, 1, 0));
        _retry(0);
        _begin(2);
        _begin(3);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.WrongRound.selector, 3, 1));
        _retry(1);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.WrongRound.selector, 3, 4));
        _retry(4);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.WrongRound.selector, 3, type(uint32).max));
        _retry(type(uint32).max);
    }

    function test_submitBatch_takesTheRoundBefore_untilTheNextButOneBegins() public {
        assertReason(_commit(1, 0, 0), IUplinkLedger.Reason.Accepted, "in force");
        _begin(2);
        assertReason(_commit(1, 0, 1), IUplinkLedger.Reason.Accepted, "the one before");
        assertReason(_commit(2, 0, 1), IUplinkLedger.Reason.Accepted, "in force");
        _begin(3);
        assertReason(_commit(1, 0, 2), IUplinkLedger.Reason.WrongRound, "two before");
        assertReason(_commit(4, 0, 2), IUplinkLedger.Reason.WrongRound, "not begun");
        assertEq(_strikes(BOB), 1, "one was overtaken, the other nobody could know");
    }

    function test_submitBatch_recordsStrike_whenItsSenderHasUplinksInTheRoundInForce() public {
        _begin(2);
        _begin(3);
        assertReason(_commit(2, 0, 0), IUplinkLedger.Reason.Accepted, "while round 3 is in force");
        assertReason(_commit(1, 0, 0), IUplinkLedger.Reason.WrongRound, "two before");
        assertEq(_strikes(BOB), 1, "Bob knew");
        _retry(2);
        assertReason(_commit(3, 0, 0), IUplinkLedger.Reason.WrongRound, "the attempt before");
        assertEq(_strikes(BOB), 1, "whatever it had sent in that one");
        assertReason(_commit(2, 1, 0), IUplinkLedger.Reason.Accepted, "the new attempt");
        assertReason(_commit(3, 0, 1), IUplinkLedger.Reason.WrongRound, "the attempt before, again");
        assertEq(_strikes(BOB), 2, "Bob knew of the new one");
    }

    function test_submitBatch_recordsStrike_whenTheSlotHasAnotherUplink() public {
        assertReason(_commit(1, 0, 0), IUplinkLedger.Reason.Accepted, "first");
        _retry(1);
        IUplinkLedger.Leaf[] memory leaves = new IUplinkLedger.Leaf[](1);
        leaves[0] = _leafOf(0, Kinds.HISTOGRAM, ALICE, "another", 100);
        vm.prank(BOB);
        (, IUplinkLedger.Reason[] memory reasons) = ledger.submitBatch(jobId, 1, 0, 1, leaves);
        assertReason(reasons[0], IUplinkLedger.Reason.WrongAttempt, "overtaken");
        assertEq(_strikes(BOB), 1, "two digests for one slot");
    }

    function test_submitBatch_recordsStrike_whenThePlaceCanNeverHaveBeenInForce() public {
        _begin(2);
        _retry(1);
        _retry(1);
        assertReason(
            _commit(3, 1, 0), IUplinkLedger.Reason.WrongRound, "one retry may have gone back from round 2 at most"
        );
        assertReason(_commit(0, 1, 0), IUplinkLedger.Reason.WrongRound, "round zero");
        assertEq(_strikes(BOB), 2, "strikes");
        assertReason(_commit(2, 1, 0), IUplinkLedger.Reason.WrongRound, "it may have been");
        assertReason(_commit(3, 0, 0), IUplinkLedger.Reason.WrongRound, "so may this");
        assertEq(_strikes(BOB), 2, "overtaken");
    }

    function test_submitBatch_takesNoRoundZero_whenRoundOneIsInForce() public {
        assertReason(_commit(0, 0, 0), IUplinkLedger.Reason.WrongRound, "round zero");
        assertEq(_strikes(BOB), 1, "strikes");
    }

    function test_submitBatch_recordsNoStrike_whenTheAttemptWasOvertaken() public {
        _begin(2);
        _retry(1);
        assertReason(_commit(1, 0, 0), IUplinkLedger.Reason.WrongAttempt, "the round that is retried");
        assertReason(_commit(2, 0, 0), IUplinkLedger.Reason.WrongRound, "the round that was open already");
        assertEq(_strikes(BOB), 0, "overtaken");
        (, uint64 rejected) = ledger.countsOf(jobId);
        assertEq(rejected, 2, "recorded all the same");
        assertReason(_commit(1, 1, 0), IUplinkLedger.Reason.Accepted, "the new attempt");
    }

    function test_submitBatch_recordsStrike_whenTheAttemptIsYetToCome() public {
        assertReason(_commit(1, 1, 0), IUplinkLedger.Reason.WrongAttempt, "ahead");
        assertEq(_strikes(BOB), 1, "strikes");
        _begin(2);
        _begin(3);
        assertReason(_commit(1, 1, 0), IUplinkLedger.Reason.WrongRound, "ahead, of a round that is over");
        assertEq(_strikes(BOB), 2, "strikes");
    }

    function test_submit_recordsStrike_whenAnOvertakenUplinkBreaksAnotherRule() public {
        _retry(1);
        IUplinkLedger.Envelope memory envelope = _envelope(jobId, 1, Kinds.HISTOGRAM);
        (, IUplinkLedger.Reason reason) = _submit(DAVE, envelope, PAYLOAD);
        assertReason(reason, IUplinkLedger.Reason.NotOnRoster, "outsider");
        assertEq(_strikes(DAVE), 1, "outsider");
        envelope.kind = Kinds.PUBLIC_KEY;
        (, reason) = _submit(BOB, envelope, PAYLOAD);
        assertReason(reason, IUplinkLedger.Reason.WrongPhase, "kind of another phase");
        assertEq(_strikes(BOB), 1, "kind of another phase");
        envelope.kind = Kinds.GRADIENTS;
        (, reason) = _submit(BOB, envelope, PAYLOAD);
        assertReason(reason, IUplinkLedger.Reason.WrongAttempt, "overtaken");
        assertEq(_strikes(BOB), 2, "but of the other role's kind");
        (envelope.kind, envelope.schema) = (Kinds.HISTOGRAM, 2);
        _submit(CAROL, envelope, PAYLOAD);
        assertEq(_strikes(CAROL), 1, "another schema");
        (envelope.recipient, envelope.schema) = (DAVE, 1);
        _submit(CAROL, envelope, PAYLOAD);
        assertEq(_strikes(CAROL), 2, "a stranger");
    }

    function test_submitBatch_takesNothingAgain_whenARoundWasRolledBack() public {
        assertReason(_commit(1, 0, 0), IUplinkLedger.Reason.Accepted, "first");
        _retry(1);
        assertReason(_commit(1, 0, 1), IUplinkLedger.Reason.WrongAttempt, "the rest of it");
        assertReason(_commit(1, 0, 0), IUplinkLedger.Reason.Accepted, "a repetition changes nothing");
        (uint64 accepted, uint64 rejected) = ledger.countsOf(jobId);
        assertEq(accepted, 1, "accepted");
        assertEq(rejected, 1, "rejected");
        assertEq(_strikes(BOB), 0, "strikes");
    }

    function test_declareStop_isVoid_whenTheRoundBeforeIsRetried() public {
        _begin(2);
        vm.prank(BOB);
        jobs.declareStop(jobId, 2);
        _retry(1);
        assertTrue(!jobs.hasStopped(jobId, BOB), "void");
        vm.expectRevert(abi.encodeWithSelector(IJobManager.WrongRound.selector, 1, 2));
        vm.prank(BOB);
        jobs.declareStop(jobId, 2);
    }

    function test_declareStop_opensEvaluatingWithAttemptZero_afterRetries() public {
        _retry(1);
        _retry(1);
        for (uint256 i = 0; i < roster.length; ++i) {
            vm.prank(roster[i]);
            jobs.declareStop(jobId, 1);
        }
        assertPhase(jobId, IJobManager.Phase.Evaluating);
        _assertInForce(2, 0);
        assertReason(_commit(1, 2, 0), IUplinkLedger.Reason.WrongPhase, "the round before, in Evaluating");
        assertEq(_strikes(BOB), 1, "its own fault: it declared its stop");
    }

    function testFuzz_rounds_neverBeginTwiceWithOneAttempt(uint256 seed) public {
        (uint32 round, uint16 attempt) = (1, 0);
        uint16[101] memory next; // attempt with which each round may begin next
        next[1] = 1;
        for (uint256 i = 0; i < 40; ++i) {
            uint256 draw = uint256(keccak256(abi.encode(seed, i))) % 4;
            if (draw == 0) {
                if (round > 1) --round;
                _retry(round);
                ++attempt;
            } else if (draw == 1) {
                _retry(round);
                ++attempt;
            } else {
                _begin(++round);
            }
            _assertInForce(round, attempt);
            assertTrue(attempt >= next[round], "a round began twice with one attempt");
            next[round] = attempt + 1;
        }
    }

    function testFuzz_submitBatch_takesExactlyTwoRoundsAndOneAttempt(
        uint8 begun,
        uint8 retries,
        uint8 round,
        uint8 attempt
    ) public {
        uint32 inForce = uint32(1 + begun % 5);
        for (uint32 next = 2; next <= inForce; ++next) {
            _begin(next);
        }
        uint16 tries = uint16(retries % 4);
        for (uint16 i = 0; i < tries; ++i) {
            _retry(inForce);
        }
        uint32 sent = uint32(round % 8);
        uint16 of_ = uint16(attempt % 5);
        IUplinkLedger.Reason reason = _commit(sent, of_, 0);
        bool isOpen = sent > 0 && (sent == inForce || sent + 1 == inForce);
        if (isOpen && of_ == tries) {
            assertReason(reason, IUplinkLedger.Reason.Accepted, "open");
        } else {
            assertReason(
                reason, isOpen ? IUplinkLedger.Reason.WrongAttempt : IUplinkLedger.Reason.WrongRound, "not open"
            );
        }
        bool mayHaveBeen = sent > 0 && of_ <= tries && sent + of_ <= inForce + tries;
        bool isFault = reason != IUplinkLedger.Reason.Accepted && !mayHaveBeen;
        assertEq(_strikes(BOB), isFault ? 1 : 0, "strikes");
    }
}

/// @title A strict job's rounds do not overlap.
contract StrictRoundsTest is Deployed {
    bytes32 internal jobId;

    function setUp() public override {
        super.setUp();
        jobId = _inRoundOne();
    }

    function _send(uint32 round, uint16 attempt, uint32 step) private returns (IUplinkLedger.Reason reason) {
        IUplinkLedger.Envelope memory envelope = _envelope(jobId, round, Kinds.HISTOGRAM);
        (envelope.attempt, envelope.step) = (attempt, step);
        (, reason) = _submit(BOB, envelope, PAYLOAD);
    }

    function test_submit_recordsNoStrike_whenTheAttemptWasOvertaken() public {
        vm.prank(ALICE);
        jobs.retryRound(jobId, 1);
        assertReason(_send(1, 0, 0), IUplinkLedger.Reason.WrongAttempt, "earlier attempt");
        assertEq(_faults(), 0, "the active party tried again meanwhile");
        assertReason(_send(1, 2, 0), IUplinkLedger.Reason.WrongAttempt, "an attempt to come");
        assertEq(_strikes(BOB), 1, "ahead");
        assertReason(_send(1, 1, 0), IUplinkLedger.Reason.Accepted, "the one in force");
        assertReason(_send(1, 0, 0), IUplinkLedger.Reason.WrongAttempt, "earlier attempt, again");
        assertEq(_strikes(BOB), 2, "Bob knew of the one in force");
    }

    function test_submit_recordsNoStrike_whenTheNextRoundHasBegun() public {
        assertReason(_send(1, 0, 0), IUplinkLedger.Reason.Accepted, "in force");
        vm.prank(ALICE);
        jobs.beginRound(jobId, 2);
        assertReason(_send(1, 0, 1), IUplinkLedger.Reason.WrongRound, "the round before");
        assertReason(_send(1, 3, 1), IUplinkLedger.Reason.WrongRound, "an attempt that may have been");
        assertEq(_faults(), 0, "the active party went on meanwhile");
        IUplinkLedger.Envelope memory other = _envelope(jobId, 1, Kinds.HISTOGRAM);
        other.digest = _leaf("another");
        other.size = 7;
        _submit(BOB, other, "another");
        assertEq(_strikes(BOB), 1, "two digests for one slot");
        assertReason(_send(2, 0, 0), IUplinkLedger.Reason.Accepted, "in force");
        assertReason(_send(1, 0, 1), IUplinkLedger.Reason.WrongRound, "the round before, again");
        assertEq(_strikes(BOB), 2, "Bob knew of the one in force");
    }

    function test_submit_recordsStrike_whenARoundOfTrainingIsNamedInEvaluating() public {
        bytes32 evaluating = _evaluating();
        (, IUplinkLedger.Reason reason) = _submit(BOB, _envelope(evaluating, 1, Kinds.PREDICT_ANSWER), PAYLOAD);
        assertReason(reason, IUplinkLedger.Reason.WrongRound, "the last round");
        assertEq(_strikes(BOB), 1, "Evaluating has one round alone");
    }

    function test_submit_keepsNobodyFromBeingMissing_whenItWasOvertaken() public {
        vm.prank(ALICE);
        jobs.retryRound(jobId, 1);
        _send(1, 0, 0);
        (,,, uint8 rejected) = ledger.roundOf(jobId);
        assertEq(rejected, 0, "nothing of the attempt in force");
        (, uint64 count) = ledger.countsOf(jobId);
        assertEq(count, 1, "counted all the same");
        _pass(jobId);
        jobs.closeRound(jobId);
        assertEq(anomalies.faultOf(2).party, BOB, "missing, as Alice and Carol");
        assertEq(anomalies.faultOf(2).reason, 64, "missing");
    }

    function test_submit_recordsStrike_whenAnUplinkToAnAbortedJobHasNoKnownKind() public {
        vm.prank(CAROL);
        jobs.abort(jobId, "no");
        (, IUplinkLedger.Reason reason) = _submit(BOB, _envelope(jobId, 1, 77), PAYLOAD);
        assertReason(reason, IUplinkLedger.Reason.KindNotAllowed, "kind");
        assertEq(_strikes(BOB), 1, "strikes");
        (, reason) = _submit(DAVE, _envelope(jobId, 1, Kinds.HISTOGRAM), PAYLOAD);
        assertReason(reason, IUplinkLedger.Reason.NotOnRoster, "outsider");
        assertEq(_strikes(DAVE), 1, "outsider");
    }
}
