// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Kinds} from "../src/Kinds.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {Deployed} from "./utils/Deployed.sol";

contract JobManagerTest is Deployed {
    function _expectWrongPhase(IJobManager.Phase expected, IJobManager.Phase found) internal {
        vm.expectRevert(abi.encodeWithSelector(IJobManager.WrongPhase.selector, expected, found));
    }

    function test_propose_storesTheJob_whenSound() public {
        bytes32 specDigest = sha256("spec");
        bytes32 expected = keccak256(abi.encode(block.chainid, address(jobs), ALICE, specDigest, uint256(0)));
        vm.expectEmit(true, true, false, true, address(jobs));
        emit IJobManager.JobProposed(expected, ALICE, specDigest, roster, _policy(), "spec");
        bytes32 jobId = _propose();
        assertEq(jobId, expected, "jobId");
        IJobManager.JobView memory job = jobs.jobOf(jobId);
        assertPhase(jobId, IJobManager.Phase.Proposed);
        assertEq(job.proposer, ALICE, "proposer");
        assertEq(job.specDigest, specDigest, "specDigest");
        assertEq(job.roster.length, 3, "roster");
        assertEq(keccak256(abi.encode(job.policy)), keccak256(abi.encode(_policy())), "policy");
        assertEq(job.policy.maxRounds, MAX_ROUNDS, "maxRounds");
        assertEq(job.policy.maxPayloadBytes, MAX_PAYLOAD, "maxPayloadBytes");
        assertEq(job.policy.maxStatisticE6, MAX_STATISTIC_E6, "maxStatisticE6");
        assertEq(jobs.jobCount(), 1, "jobCount");
        assertEq(jobs.jobAt(0), jobId, "jobAt");
        assertEq(jobs.rosterIndexOf(jobId, CAROL), 2, "index");
        assertEq(jobs.rosterIndexOf(jobId, DAVE), type(uint256).max, "outsider");
        assertTrue(!jobs.hasAccepted(jobId, ALICE), "proposing accepts");
        assertTrue(_propose() != jobId, "the same proposal twice gives two jobs");
    }

    function test_propose_reverts_whenPartyIsNotAccredited() public {
        address eve = address(0xE7E);
        vm.prank(eve);
        registry.register("eve", "localhost:1", _certificate(eve), "key");
        roster = [ALICE, eve];
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, eve));
        _propose();
    }

    function test_propose_reverts_whenPartyIsSuspended() public {
        bytes32 before = _propose();
        _suspend(BOB);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, BOB));
        _propose();
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, BOB));
        jobs.accept(before);
        vm.prank(STEWARD);
        registry.reinstate(BOB);
        _propose();
    }

    function test_propose_reverts_whenThreeRejectedUplinksSuspendedAParty() public {
        bytes32 jobId = _inRoundOne();
        IUplinkLedger.Envelope memory wrong = _envelope(jobId, 9, Kinds.HISTOGRAM);
        for (uint256 i = 0; i < 3; ++i) {
            _submit(BOB, wrong, PAYLOAD);
        }
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, BOB));
        _propose();
    }

    function test_propose_reverts_whenRosterIsMalformed() public {
        roster = [ALICE];
        vm.expectRevert(abi.encodeWithSelector(IJobManager.RosterSizeInvalid.selector, 1));
        _propose();
        roster = [ALICE, BOB, CAROL, ALICE, BOB, CAROL, ALICE, BOB, CAROL];
        vm.expectRevert(abi.encodeWithSelector(IJobManager.RosterSizeInvalid.selector, 9));
        _propose();
        roster = [ALICE, BOB, ALICE];
        vm.expectRevert(abi.encodeWithSelector(IJobManager.RosterDuplicate.selector, ALICE));
        _propose();
        roster = [BOB, CAROL];
        vm.expectRevert();
        _propose();
    }

    function test_propose_bounds_theSpec() public {
        vm.startPrank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.SpecSizeInvalid.selector, 0, 65_536));
        jobs.propose("", roster, _policy());
        vm.expectRevert(abi.encodeWithSelector(IJobManager.SpecSizeInvalid.selector, 65_537, 65_536));
        jobs.propose(new bytes(65_537), roster, _policy());
        jobs.propose(new bytes(65_536), roster, _policy());
        vm.stopPrank();
    }

    function test_propose_takesEightParties_andAllMustAccept() public {
        roster = [ALICE, BOB, CAROL, DAVE];
        for (uint160 i = 1; i <= 4; ++i) {
            address party = address(0xF000 + i);
            _join(party, string.concat("party", vm.toString(i)));
            roster.push(party);
        }
        bytes32 jobId = _propose();
        for (uint256 i = 0; i < 8; ++i) {
            assertPhase(jobId, IJobManager.Phase.Proposed);
            vm.prank(roster[i]);
            jobs.accept(jobId);
        }
        assertPhase(jobId, IJobManager.Phase.Aligning);
    }

    function test_accept_reverts_whenRepeatedOrForeign() public {
        bytes32 jobId = _propose();
        vm.startPrank(BOB);
        jobs.accept(jobId);
        assertTrue(jobs.hasAccepted(jobId, BOB) && !jobs.hasAccepted(jobId, CAROL), "hasAccepted");
        vm.expectRevert(abi.encodeWithSelector(IJobManager.AlreadyDeclared.selector, jobId, BOB));
        jobs.accept(jobId);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.UnknownJob.selector, bytes32("none")));
        jobs.accept("none");
        vm.stopPrank();
        vm.prank(DAVE);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, DAVE));
        jobs.accept(jobId);
    }

    function test_declareAligned_opensTraining_whenAllAgree() public {
        bytes32 jobId = _aligning();
        for (uint256 i = 0; i < 3; ++i) {
            assertPhase(jobId, IJobManager.Phase.Aligning);
            vm.prank(roster[i]);
            jobs.declareAligned(jobId, "order", 7);
            assertTrue(jobs.hasAligned(jobId, roster[i]), "hasAligned");
        }
        assertPhase(jobId, IJobManager.Phase.Training);
        assertEq(jobs.jobOf(jobId).alignedDigest, "order", "digest");
        assertEq(jobs.jobOf(jobId).alignedRows, 7, "rows");
    }

    function test_declareAligned_aborts_whenDigestOrRowsDiffer() public {
        bytes32[2] memory digests = [bytes32("order"), "other"];
        uint64[2] memory rows = [uint64(8), 7];
        for (uint256 i = 0; i < 2; ++i) {
            bytes32 jobId = _aligning();
            vm.prank(BOB);
            jobs.declareAligned(jobId, "order", 7);
            vm.expectEmit(true, true, false, true, address(jobs));
            emit IJobManager.JobAborted(jobId, CAROL, "alignment differs");
            vm.prank(CAROL);
            jobs.declareAligned(jobId, digests[i], rows[i]);
            assertPhase(jobId, IJobManager.Phase.Aborted);
            assertEq(jobs.jobOf(jobId).alignedDigest, "order", "the first stays");
        }
    }

    function test_declareAligned_reverts_whenRepeated() public {
        bytes32 jobId = _aligning();
        vm.startPrank(BOB);
        jobs.declareAligned(jobId, "order", 7);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.AlreadyDeclared.selector, jobId, BOB));
        jobs.declareAligned(jobId, "other", 7);
        vm.stopPrank();
    }

    function test_beginRound_countsUp_untilThePolicysLimit() public {
        bytes32 jobId = _training();
        vm.startPrank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.WrongRound.selector, 1, 0));
        jobs.beginRound(jobId, 0);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.WrongRound.selector, 1, 2));
        jobs.beginRound(jobId, 2);
        for (uint32 round = 1; round <= MAX_ROUNDS; ++round) {
            vm.expectEmit(true, false, false, true, address(jobs));
            emit IJobManager.RoundBegan(jobId, round, 0);
            jobs.beginRound(jobId, round);
        }
        vm.expectRevert(abi.encodeWithSelector(IJobManager.RoundLimitReached.selector, MAX_ROUNDS));
        jobs.beginRound(jobId, MAX_ROUNDS + 1);
        vm.stopPrank();
    }

    function test_retryRound_countsAttempts_untilTheNextRound() public {
        bytes32 jobId = _training();
        vm.startPrank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.WrongRound.selector, 0, 1));
        jobs.retryRound(jobId, 1);
        jobs.beginRound(jobId, 1);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.WrongRound.selector, 1, 0));
        jobs.retryRound(jobId, 0);
        vm.expectEmit(true, false, false, true, address(jobs));
        emit IJobManager.RoundBegan(jobId, 1, 1);
        jobs.retryRound(jobId, 1);
        jobs.retryRound(jobId, 1);
        assertEq(jobs.jobOf(jobId).attempt, 2, "attempt");
        jobs.beginRound(jobId, 2);
        assertEq(jobs.jobOf(jobId).attempt, 0, "attempt of the next round");
        vm.expectRevert(abi.encodeWithSelector(IJobManager.WrongRound.selector, 2, 1));
        jobs.retryRound(jobId, 1);
        vm.stopPrank();
    }

    function test_roundCalls_revert_whenCallerIsNotActive() public {
        bytes32 jobId = _training();
        vm.startPrank(BOB);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotActiveParty.selector, jobId, BOB));
        jobs.beginRound(jobId, 1);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotActiveParty.selector, jobId, BOB));
        jobs.retryRound(jobId, 1);
        vm.stopPrank();
    }

    function test_declareStop_opensEvaluating_whenAllStopped() public {
        bytes32 jobId = _inRoundOne();
        vm.prank(ALICE);
        jobs.retryRound(jobId, 1);
        for (uint256 i = 0; i < 3; ++i) {
            assertPhase(jobId, IJobManager.Phase.Training);
            vm.prank(roster[i]);
            jobs.declareStop(jobId, 1);
            assertTrue(jobs.hasStopped(jobId, roster[i]), "hasStopped");
        }
        assertPhase(jobId, IJobManager.Phase.Evaluating);
        assertEq(jobs.jobOf(jobId).round, 2, "round");
        assertEq(jobs.jobOf(jobId).attempt, 0, "attempt");
    }

    function test_declareStop_reverts_whenRoundIsWrongOrRepeated() public {
        bytes32 jobId = _training();
        vm.startPrank(BOB);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.WrongRound.selector, 1, 0));
        jobs.declareStop(jobId, 0);
        vm.stopPrank();
        vm.prank(ALICE);
        jobs.beginRound(jobId, 1);
        vm.startPrank(BOB);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.WrongRound.selector, 1, 2));
        jobs.declareStop(jobId, 2);
        jobs.declareStop(jobId, 1);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.AlreadyDeclared.selector, jobId, BOB));
        jobs.declareStop(jobId, 1);
        vm.stopPrank();
    }

    function test_declareStop_isVoid_whenTheRoundIsRetriedOrTheNextBegins() public {
        bytes32 jobId = _inRoundOne();
        vm.prank(BOB);
        jobs.declareStop(jobId, 1);
        vm.prank(ALICE);
        jobs.retryRound(jobId, 1);
        assertTrue(!jobs.hasStopped(jobId, BOB), "void after retry");
        vm.prank(BOB);
        jobs.declareStop(jobId, 1);
        vm.prank(ALICE);
        jobs.beginRound(jobId, 2);
        assertTrue(!jobs.hasStopped(jobId, BOB), "void in the next round");
        vm.prank(ALICE);
        jobs.declareStop(jobId, 2);
        vm.prank(CAROL);
        jobs.declareStop(jobId, 2);
        assertPhase(jobId, IJobManager.Phase.Training);
        vm.prank(BOB);
        jobs.declareStop(jobId, 2);
        assertPhase(jobId, IJobManager.Phase.Evaluating);
    }

    function test_completed_isReached_onlyAfterEveryPartysStopAndShard() public {
        bytes32 jobId = _inRoundOne();
        IUplinkLedger.Envelope memory early = _envelope(jobId, 1, Kinds.SHARD_DIGEST);
        (, IUplinkLedger.Reason reason) = _submit(ALICE, early, PAYLOAD);
        assertReason(reason, IUplinkLedger.Reason.WrongPhase, "shard before every stop");
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(roster[i]);
            jobs.declareStop(jobId, 1);
        }
        IUplinkLedger.Envelope memory shard = _envelope(jobId, 2, Kinds.SHARD_DIGEST);
        for (uint256 i = 0; i < 3; ++i) {
            assertPhase(jobId, IJobManager.Phase.Evaluating);
            assertEq(jobs.shardDigestOf(jobId, roster[i]), 0, "no digest yet");
            _accept(roster[i], shard);
            assertEq(jobs.shardDigestOf(jobId, roster[i]), _lastWord(PAYLOAD), "the payload's last 32 bytes");
        }
        assertPhase(jobId, IJobManager.Phase.Completed);
    }

    function _lastWord(bytes memory data) internal pure returns (bytes32 word) {
        for (uint256 i = 0; i < 32; ++i) {
            word |= bytes32(data[data.length - 32 + i]) >> (8 * i);
        }
    }

    function test_recordShard_reverts_whenCallerIsNotLedger() public {
        bytes32 jobId = _evaluating();
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotLedger.selector, ALICE));
        jobs.recordShard(jobId, ALICE, "digest");
        vm.startPrank(address(ledger));
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, DAVE));
        jobs.recordShard(jobId, DAVE, "digest");
        jobs.recordShard(jobId, ALICE, "digest");
        vm.expectRevert(abi.encodeWithSelector(IJobManager.AlreadyDeclared.selector, jobId, ALICE));
        jobs.recordShard(jobId, ALICE, "digest");
        vm.stopPrank();
        bytes32 training = _training();
        vm.prank(address(ledger));
        _expectWrongPhase(IJobManager.Phase.Evaluating, IJobManager.Phase.Training);
        jobs.recordShard(training, ALICE, "digest");
    }

    function test_abort_endsTheJob_inEveryPhaseBeforeCompletion() public {
        bytes32[4] memory ids = [_propose(), _aligning(), _training(), _evaluating()];
        for (uint256 i = 0; i < 4; ++i) {
            vm.expectEmit(true, true, false, true, address(jobs));
            emit IJobManager.JobAborted(ids[i], CAROL, "no time");
            vm.prank(CAROL);
            jobs.abort(ids[i], "no time");
            assertPhase(ids[i], IJobManager.Phase.Aborted);
            vm.prank(CAROL);
            vm.expectRevert(abi.encodeWithSelector(IJobManager.JobEnded.selector, ids[i], IJobManager.Phase.Aborted));
            jobs.abort(ids[i], "again");
        }
        bytes32 completed = _completed();
        vm.prank(CAROL);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.JobEnded.selector, completed, IJobManager.Phase.Completed));
        jobs.abort(completed, "late");
    }

    function test_abort_reverts_whenForeignOrReasonTooLong() public {
        bytes32 jobId = _propose();
        vm.prank(DAVE);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, DAVE));
        jobs.abort(jobId, "mine");
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.ReasonTooLong.selector, 257, 256));
        jobs.abort(jobId, string(new bytes(257)));
        vm.prank(BOB);
        jobs.abort(jobId, string(new bytes(256)));
    }

    function test_calls_revertWrongPhase_whenPhaseIsAnother() public {
        bytes32 jobId = _propose();
        vm.startPrank(ALICE);
        _expectWrongPhase(IJobManager.Phase.Aligning, IJobManager.Phase.Proposed);
        jobs.declareAligned(jobId, "order", 1);
        _expectWrongPhase(IJobManager.Phase.Training, IJobManager.Phase.Proposed);
        jobs.beginRound(jobId, 1);
        _expectWrongPhase(IJobManager.Phase.Training, IJobManager.Phase.Proposed);
        jobs.retryRound(jobId, 1);
        _expectWrongPhase(IJobManager.Phase.Training, IJobManager.Phase.Proposed);
        jobs.declareStop(jobId, 1);
        vm.stopPrank();
        jobId = _training();
        vm.prank(ALICE);
        _expectWrongPhase(IJobManager.Phase.Proposed, IJobManager.Phase.Training);
        jobs.accept(jobId);
    }

    function test_calls_revertPartyNotAccredited_whenCallerIsSuspended() public {
        bytes32 proposed = _propose();
        bytes32 aligning = _aligning();
        bytes32 training = _inRoundOne();
        _suspend(ALICE);
        bytes memory denied = abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, ALICE);
        vm.startPrank(ALICE);
        vm.expectRevert(denied);
        jobs.accept(proposed);
        vm.expectRevert(denied);
        jobs.declareAligned(aligning, "order", 1);
        vm.expectRevert(denied);
        jobs.beginRound(training, 2);
        vm.expectRevert(denied);
        jobs.retryRound(training, 1);
        vm.expectRevert(denied);
        jobs.declareStop(training, 1);
        vm.expectRevert(denied);
        jobs.abort(training, "suspended");
        vm.stopPrank();
    }

    function test_setLedger_works_onceAndForTheDeployer() public {
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotDeployer.selector, ALICE));
        jobs.setLedger(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.LedgerAlreadySet.selector, address(ledger)));
        jobs.setLedger(ALICE);
        assertEq(jobs.ledger(), address(ledger), "ledger");
    }

    function test_jobOf_isEmpty_whenThereIsNoSuchJob() public view {
        IJobManager.JobView memory job = jobs.jobOf("none");
        assertEq(uint256(job.phase), uint256(IJobManager.Phase.None), "phase");
        assertEq(job.roster.length, 0, "roster");
        assertEq(jobs.rosterIndexOf("none", ALICE), type(uint256).max, "index");
    }
}
