// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Kinds} from "../src/Kinds.sol";
import {UplinkLedger} from "../src/UplinkLedger.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {Deployed} from "./utils/Deployed.sol";
import {Vm} from "./utils/Vm.sol";

contract UplinkLedgerTest is Deployed {
    uint256 internal constant KINDS = 12;

    /// @dev Every accredited party tries every kind once; `expected` has a row per party (active, passive).
    function _assertMatrix(bytes32 jobId, uint32 round, uint256 active, uint256 passive, uint256 ofPhase) internal {
        for (uint8 kind = 0; kind < KINDS; ++kind) {
            for (uint256 i = 0; i < 2; ++i) {
                (, IUplinkLedger.Reason reason) = _submit(roster[i], _envelope(jobId, round, kind), PAYLOAD);
                IUplinkLedger.Reason expected = IUplinkLedger.Reason.Accepted;
                if ((ofPhase >> kind) & 1 == 0) expected = IUplinkLedger.Reason.WrongPhase;
                else if (((i == 0 ? active : passive) >> kind) & 1 == 0) expected = IUplinkLedger.Reason.KindNotAllowed;
                assertReason(reason, expected, string.concat("kind ", vm.toString(kind), " by ", vm.toString(i)));
                _forgive(roster[i]);
            }
        }
    }

    /// @dev Keeps `party` accredited in spite of its strikes.
    function _forgive(address party) internal {
        vm.startPrank(STEWARD);
        if (registry.statusOf(party) == IParticipantRegistry.Status.Accredited) registry.suspend(party, "test");
        registry.reinstate(party);
        vm.stopPrank();
    }

    function test_submit_followsTheRules_whenProposed() public {
        _assertMatrix(_propose(), 0, 0, 0, 0);
    }

    function test_submit_followsTheRules_whenAligning() public {
        _assertMatrix(_aligning(), 0, 0x003, 0x003, 0x003);
    }

    function test_submit_followsTheRules_whenTraining() public {
        // gradients, split, partition, leaf_weights by the active party; histogram, partition by a passive one
        _assertMatrix(_inRoundOne(), 1, 0x074, 0x028, 0x07C);
    }

    function test_submit_followsTheRules_whenEvaluating() public {
        // all five by the active party; shard_digest, predict_answer, audit by a passive one
        _assertMatrix(_evaluating(), 2, 0xF80, 0xC80, 0xF80);
    }

    function test_submit_followsTheRules_whenCompleted() public {
        bytes32 jobId = _completed();
        vm.prank(BOB);
        uint32 requestId = router.open(jobId);
        // Bob asked: only he sends the request, everybody may answer
        _assertMatrix(jobId, requestId, 0x400, 0x600, 0x600);
    }

    function test_submit_followsTheRules_whenAborted() public {
        bytes32 jobId = _inRoundOne();
        vm.prank(ALICE);
        jobs.abort(jobId, "test");
        _assertMatrix(jobId, 1, 0, 0, 0);
    }

    function test_submit_rejectsWrongRound_whenRequestIsNotOpen() public {
        bytes32 jobId = _completed();
        IUplinkLedger.Envelope memory answer = _envelope(jobId, 2 ** 31, Kinds.PREDICT_ANSWER);
        (, IUplinkLedger.Reason reason) = _submit(BOB, answer, PAYLOAD);
        assertReason(reason, IUplinkLedger.Reason.WrongRound, "not opened yet");
        vm.prank(ALICE);
        router.open(jobId);
        _accept(BOB, answer);
        vm.prank(ALICE);
        router.close(jobId, 2 ** 31, 1);
        (, reason) = _submit(CAROL, answer, PAYLOAD);
        assertReason(reason, IUplinkLedger.Reason.WrongRound, "closed");
    }

    function test_submit_recordsNoStrike_whenTheRequestWasClosedOnTheWay() public {
        bytes32 jobId = _completed();
        _submit(BOB, _envelope(jobId, 2 ** 31, Kinds.PREDICT_ANSWER), PAYLOAD);
        assertEq(_strikes(BOB), 1, "never opened");
        vm.prank(ALICE);
        router.open(jobId);
        vm.prank(ALICE);
        router.close(jobId, 2 ** 31, 3);
        _submit(BOB, _envelope(jobId, 2 ** 31, Kinds.PREDICT_ANSWER), PAYLOAD);
        _submit(CAROL, _envelope(jobId, 2 ** 31, Kinds.PREDICT_ANSWER), PAYLOAD);
        assertEq(_strikes(BOB), 1, "closed");
        assertEq(_strikes(CAROL), 0, "closed");
        _submit(CAROL, _envelope(jobId, 2 ** 31, Kinds.HISTOGRAM), PAYLOAD);
        assertEq(_strikes(CAROL), 1, "of another phase");
    }

    function test_submit_rejectsWrongAttempt_whenCompletedAndAttemptIsNotZero() public {
        bytes32 jobId = _completed();
        vm.prank(ALICE);
        IUplinkLedger.Envelope memory request = _envelope(jobId, router.open(jobId), Kinds.PREDICT_REQUEST);
        request.attempt = 1;
        (, IUplinkLedger.Reason reason) = _submit(ALICE, request, PAYLOAD);
        assertReason(reason, IUplinkLedger.Reason.WrongAttempt, "attempt");
    }

    function test_submit_givesTheIdOfTheEnvelope_andPublishesThePayload() public {
        IUplinkLedger.Envelope memory sound = _envelope(_inRoundOne(), 1, Kinds.HISTOGRAM);
        bytes32 expected = keccak256(abi.encode(block.chainid, address(ledger), BOB, sound));
        vm.roll(77);
        vm.recordLogs();
        assertEq(_accept(BOB, sound), expected, "uplinkId");
        assertEq(ledger.uplinkIdOf(BOB, sound), expected, "uplinkIdOf");
        assertEq(ledger.slotOf(BOB, sound), _slot(BOB, sound), "slotOf");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 1, "events");
        assertEq(logs[0].topics.length, 4, "topics");
        assertEq(logs[0].topics[1], sound.jobId, "job");
        assertEq(logs[0].topics[2], bytes32(uint256(uint160(BOB))), "sender");
        assertEq(logs[0].topics[3], expected, "id");
        assertEq(
            keccak256(logs[0].data), keccak256(_judgment(sound, IUplinkLedger.Reason.Accepted, PAYLOAD)), "published"
        );
        IUplinkLedger.Verdict memory verdict = _verdict(BOB, sound);
        assertTrue(verdict.known, "known");
        assertReason(verdict.reason, IUplinkLedger.Reason.Accepted, "reason");
        assertEq(verdict.blockNumber, 77, "block");
        assertTrue(ledger.isAccepted(BOB, sound), "accepted");
        assertTrue(!_verdict(CAROL, sound).known && !ledger.isAccepted(CAROL, sound), "Carol sent nothing");
        sound.digest = "another";
        assertTrue(!_verdict(BOB, sound).known && !ledger.isAccepted(BOB, sound), "nor did Bob send another");
    }

    function test_submit_keepsThePayloadOutOfTheEvent_whenRejected() public {
        IUplinkLedger.Envelope memory wrong = _envelope(_inRoundOne(), 2, Kinds.HISTOGRAM);
        bytes32 uplinkId = keccak256(abi.encode(block.chainid, address(ledger), BOB, wrong));
        vm.recordLogs();
        vm.roll(78);
        _submit(BOB, wrong, PAYLOAD);
        Vm.Log memory log = vm.getRecordedLogs()[0];
        assertEq(log.topics[3], uplinkId, "id");
        assertEq(keccak256(log.data), keccak256(_judgment(wrong, IUplinkLedger.Reason.WrongRound, "")), "data");
        IUplinkLedger.Verdict memory verdict = _verdict(BOB, wrong);
        assertReason(verdict.reason, IUplinkLedger.Reason.WrongRound, "recorded");
        assertEq(verdict.blockNumber, 78, "block");
        assertTrue(verdict.known && !ledger.isAccepted(BOB, wrong), "known as rejected");
    }

    function test_submit_changesNothing_whenAnAcceptedUplinkIsSentAgain() public {
        IUplinkLedger.Envelope memory sound = _envelope(_inRoundOne(), 1, Kinds.HISTOGRAM);
        bytes32 first = _accept(BOB, sound);
        vm.prank(ALICE);
        jobs.beginRound(sound.jobId, 2); // would be WrongRound if judged again
        vm.recordLogs();
        bytes32 second = _accept(BOB, sound);
        assertEq(vm.getRecordedLogs().length, 0, "events");
        assertEq(second, first, "uplinkId");
        assertEq(_strikes(BOB), 0, "strikes");
        (uint64 accepted, uint64 rejected) = ledger.countsOf(sound.jobId);
        assertEq(accepted, 1, "accepted");
        assertEq(rejected, 0, "rejected");
    }

    function test_submit_judgesAgain_whenARejectedUplinkIsSentAgain() public {
        IUplinkLedger.Envelope memory early = _envelope(_inRoundOne(), 2, Kinds.HISTOGRAM);
        (bytes32 first,) = _submit(BOB, early, PAYLOAD);
        vm.prank(ALICE);
        jobs.beginRound(early.jobId, 2);
        assertEq(_accept(BOB, early), first, "uplinkId");
        (uint64 accepted, uint64 rejected) = ledger.countsOf(early.jobId);
        assertEq(accepted, 1, "accepted");
        assertEq(rejected, 1, "rejected");
        assertEq(_strikes(BOB), 1, "strikes");
    }

    function test_submit_suspends_atTheThirdRejectedUplink() public {
        IUplinkLedger.Envelope memory wrong = _envelope(_inRoundOne(), 2, Kinds.HISTOGRAM);
        for (uint256 i = 0; i < 3; ++i) {
            assertStatus(BOB, IParticipantRegistry.Status.Accredited);
            _submit(BOB, wrong, PAYLOAD);
        }
        assertStatus(BOB, IParticipantRegistry.Status.Suspended);
        (, IUplinkLedger.Reason reason) = _submit(BOB, _envelope(wrong.jobId, 1, Kinds.HISTOGRAM), PAYLOAD);
        assertReason(reason, IUplinkLedger.Reason.SenderSuspended, "suspended");
    }

    function test_submit_recordsNoStrike_whenTheJobWasAbortedMeanwhile() public {
        bytes32 jobId = _inRoundOne();
        vm.prank(ALICE);
        jobs.abort(jobId, "enough");
        for (uint256 i = 0; i < 3; ++i) {
            (, IUplinkLedger.Reason reason) = _submit(BOB, _envelope(jobId, 1, Kinds.HISTOGRAM), PAYLOAD);
            assertReason(reason, IUplinkLedger.Reason.WrongPhase, "aborted");
        }
        assertStatus(BOB, IParticipantRegistry.Status.Accredited);
    }

    function test_submit_takesTwoChunks_whenPayloadIsAtTheInlineLimit() public {
        bytes memory payload = bytesOf(98_304, "seed");
        bytes memory left = bytesOf(65_536, "seed");
        bytes memory right = new bytes(32_768);
        for (uint256 i = 0; i < right.length; ++i) {
            right[i] = payload[65_536 + i];
        }
        IUplinkLedger.Envelope memory sound = _envelope(_inRoundOne(), 1, Kinds.GRADIENTS);
        sound.size = 98_304;
        sound.digest = sha256(bytes.concat(bytes1(0x01), _leaf(left), _leaf(right)));
        vm.recordLogs();
        (, IUplinkLedger.Reason reason) = _submit(ALICE, sound, payload);
        assertReason(reason, IUplinkLedger.Reason.Accepted, "two chunks");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        (,,, bytes memory published) = abi.decode(logs[0].data, (uint256, uint256, bytes32, bytes));
        assertEq(keccak256(published), keccak256(payload), "published payload");
    }

    function test_submit_rejectsSizeOutOfBounds_whenShardDigestIsTooShortOrByReference() public {
        IUplinkLedger.Envelope memory shard = _envelope(_evaluating(), 2, Kinds.SHARD_DIGEST);
        bytes memory short = new bytes(31);
        shard.size = 31;
        shard.digest = _leaf(short);
        (, IUplinkLedger.Reason reason) = _submit(BOB, shard, short);
        assertReason(reason, IUplinkLedger.Reason.SizeOutOfBounds, "31 bytes");
        shard.size = 98_305;
        (, reason) = _submit(BOB, shard, "");
        assertReason(reason, IUplinkLedger.Reason.SizeOutOfBounds, "by reference");
        bytes memory exact = bytes.concat(bytes32("shard"));
        shard.size = 32;
        shard.digest = _leaf(exact);
        (, reason) = _submit(BOB, shard, exact);
        assertReason(reason, IUplinkLedger.Reason.Accepted, "32 bytes");
        assertEq(jobs.shardDigestOf(shard.jobId, BOB), "shard", "digest");
    }

    function test_slots_areIndependent_whenRecipientStepOrKindDiffer() public {
        IUplinkLedger.Envelope memory sound = _envelope(_inRoundOne(), 1, Kinds.PARTITION);
        _accept(BOB, sound);
        _accept(CAROL, sound);
        sound.recipient = ALICE;
        _accept(BOB, sound);
        sound.step = 1;
        _accept(BOB, sound);
        sound.kind = Kinds.HISTOGRAM;
        _accept(BOB, sound);
        (uint64 accepted,) = ledger.countsOf(sound.jobId);
        assertEq(accepted, 5, "accepted");
    }

    function test_setRouter_works_onceAndForTheDeployer() public {
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IUplinkLedger.NotDeployer.selector, ALICE));
        ledger.setRouter(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IUplinkLedger.RouterAlreadySet.selector, address(router)));
        ledger.setRouter(ALICE);
        UplinkLedger fresh = new UplinkLedger(registry, IJobManager(address(jobs)), anomalies);
        vm.expectRevert(abi.encodeWithSelector(IUplinkLedger.RouterAlreadySet.selector, address(0)));
        fresh.setRouter(address(0));
        fresh.setRouter(address(router));
        assertEq(address(fresh.router()), address(router), "router");
    }

    function test_contributionOf_isSet_onlyForAcceptedContributions() public {
        bytes32 jobId = _evaluating();
        bytes32 answer = _accept(ALICE, _envelope(jobId, 2, Kinds.PREDICT_ANSWER));
        bytes32 contribution = _accept(ALICE, _envelope(jobId, 2, Kinds.CONTRIBUTION));
        (bytes32 rejected,) = _submit(BOB, _envelope(jobId, 2, Kinds.CONTRIBUTION), PAYLOAD);
        vm.warp(block.timestamp + 5);
        vm.roll(block.number + 5);
        (bytes32 ofJob, address party, uint64 acceptedAt, uint64 blockNumber) = ledger.contributionOf(contribution);
        assertEq(ofJob, jobId, "job");
        assertEq(party, ALICE, "party");
        assertEq(acceptedAt, block.timestamp - 5, "when");
        assertEq(blockNumber, block.number - 5, "in which block");
        (ofJob, party, acceptedAt, blockNumber) = ledger.contributionOf(answer);
        assertTrue(ofJob == 0 && party == address(0) && acceptedAt == 0 && blockNumber == 0, "answer");
        (ofJob, party, acceptedAt, blockNumber) = ledger.contributionOf(rejected);
        assertTrue(ofJob == 0 && party == address(0) && acceptedAt == 0 && blockNumber == 0, "rejected");
    }
}
