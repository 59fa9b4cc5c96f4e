// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Kinds} from "../src/Kinds.sol";
import {IInferenceRouter} from "../src/interfaces/IInferenceRouter.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {Vm} from "./utils/Vm.sol";
import {WithTerms} from "./utils/WithTerms.sol";

/// @title Requests whose body stands on the chain: asked, judged, answered by uplinks, ended once.
contract StrictRequestsTest is WithTerms {
    address internal constant STRANGER = address(0x57A);

    function test_ask_opensEach_withItsBodyInTheEvent() public {
        bytes32 jobId = _asking();
        vm.prank(BOB);
        router.open(jobId);
        (bytes32[] memory digests, bytes[] memory bodies) = _bodies(3, 100, "seed");
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectEmit(true, true, true, true, address(router));
            emit IInferenceRouter.RequestAsked(jobId, uint32(FIRST + 1 + i), BOB, digests[i], bodies[i]);
        }
        vm.roll(77);
        vm.prank(BOB);
        assertEq(router.ask(jobId, digests, bodies), FIRST + 1, "ids go on where open stopped");
        assertEq(router.requestCount(jobId), 4, "count");
        for (uint32 id = FIRST + 1; id < FIRST + 4; ++id) {
            assertAsked(jobId, id, IUplinkLedger.Reason.Accepted);
            (address requester,, uint64 opened,) = router.requestOf(jobId, id);
            assertEq(requester, BOB, "requester");
            assertEq(opened, 77, "block");
            assertEq(router.deadlineOf(jobId, id), block.timestamp + ANSWER, "deadline");
        }
        (uint64 next, uint64 used,) = router.reservationOf(jobId, BOB);
        assertEq(used, 3, "each counts as one row");
        assertEq(next, 0, "and takes no serial");
        assertEq(_used(jobId, ALICE), 0, "of nobody else");
    }

    function test_ask_isAnsweredByUplinks_andClosedOnce() public {
        bytes32 jobId = _asking();
        uint32 requestId = _ask(BOB, jobId, "seed");
        _accept(CAROL, _envelope(jobId, requestId, Kinds.PREDICT_ANSWER));
        vm.prank(ALICE);
        router.close(jobId, requestId, 1);
        IUplinkLedger.Envelope memory late = _envelope(jobId, requestId, Kinds.PREDICT_ANSWER);
        (, IUplinkLedger.Reason reason) = _submit(ALICE, late, PAYLOAD);
        assertReason(reason, IUplinkLedger.Reason.WrongRound, "it is over");
        assertEq(_strikes(ALICE), 0, "nobody's fault");
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.RequestNotOpen.selector, jobId, requestId));
        router.close(jobId, requestId, 1);
        assertEq(router.deadlineOf(jobId, requestId), 0, "no deadline any more");
    }

    function test_ask_recordsEachReason_andRevertsForNobody() public {
        bytes32 jobId = _asking();
        bytes32 evaluating = _evaluating();
        assertAsked("none", _ask(BOB, "none", "a"), IUplinkLedger.Reason.UnknownJob);
        assertAsked(jobId, _ask(DAVE, jobId, "b"), IUplinkLedger.Reason.NotOnRoster);
        assertAsked(evaluating, _ask(BOB, evaluating, "c"), IUplinkLedger.Reason.WrongPhase);
        bytes32 without = _completed();
        assertAsked(without, _ask(BOB, without, "d"), IUplinkLedger.Reason.RateExceeded);
        _suspend(BOB);
        assertAsked(jobId, _ask(BOB, jobId, "e"), IUplinkLedger.Reason.SenderSuspended);
        assertAsked("none", _ask(BOB, "none", "f"), IUplinkLedger.Reason.SenderSuspended);
        assertEq(_used(jobId, DAVE) + _used(jobId, BOB), 0, "what is rejected does not count");
    }

    function test_ask_judgesSizeAndDigest_ofEachAlone() public {
        bytes32 jobId = _asking();
        (bytes32[] memory digests, bytes[] memory bodies) = _bodies(5, 4096, "seed");
        bodies[1] = bytes.concat(bodies[1], hex"00");
        digests[1] = sha256(bodies[1]);
        bodies[2] = "";
        digests[2] = sha256("");
        digests[3] = digests[0];
        vm.expectEmit(true, true, true, true, address(router));
        emit IInferenceRouter.RequestAsked(jobId, FIRST, BOB, digests[0], bodies[0]);
        vm.expectEmit(true, true, true, true, address(router));
        emit IInferenceRouter.RequestRefused(jobId, FIRST + 1, BOB, digests[1], IUplinkLedger.Reason.SizeOutOfBounds);
        vm.prank(BOB);
        router.ask(jobId, digests, bodies);
        assertAsked(jobId, FIRST, IUplinkLedger.Reason.Accepted);
        assertAsked(jobId, FIRST + 1, IUplinkLedger.Reason.SizeOutOfBounds);
        assertAsked(jobId, FIRST + 2, IUplinkLedger.Reason.SizeOutOfBounds);
        assertAsked(jobId, FIRST + 3, IUplinkLedger.Reason.DigestMismatch);
        assertAsked(jobId, FIRST + 4, IUplinkLedger.Reason.Accepted);
        assertEq(_used(jobId, BOB), 2, "two are in order");
        (, IInferenceRouter.RequestStatus status,,) = router.requestOf(jobId, FIRST + 3);
        assertEq(uint256(status), uint256(IInferenceRouter.RequestStatus.Rejected), "status");
    }

    function test_ask_neverCopiesARejectedBody_intoItsEvent() public {
        bytes32 jobId = _completed();
        vm.recordLogs();
        _ask(BOB, jobId, "seed");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 1, "one event");
        assertEq(logs[0].data.length, 64, "digest and reason");
    }

    function test_ask_countsWithReservations_untilTheQuotaIsUsedUp() public {
        bytes32 jobId = _asking();
        _reserve(BOB, jobId, 98);
        (bytes32[] memory digests, bytes[] memory bodies) = _bodies(3, 10, "seed");
        vm.prank(BOB);
        router.ask(jobId, digests, bodies);
        assertAsked(jobId, FIRST + 1, IUplinkLedger.Reason.Accepted);
        assertAsked(jobId, FIRST + 2, IUplinkLedger.Reason.RateExceeded);
        uint64 ends = uint64((block.timestamp / WINDOW + 1) * WINDOW);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.QuotaExceeded.selector, BOB, 0, ends));
        _reserve(BOB, jobId, 1);
        vm.warp(ends);
        assertAsked(jobId, _ask(BOB, jobId, "again"), IUplinkLedger.Reason.Accepted);
        assertEq(_used(jobId, BOB), 1, "a new window");
    }

    function test_ask_reverts_forAStranger_andForListsThatDoNotFit() public {
        bytes32 jobId = _asking();
        (bytes32[] memory digests, bytes[] memory bodies) = _bodies(65, 1, "seed");
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.ListsInvalid.selector, 65, 65, 64));
        router.ask(jobId, digests, bodies);
        (digests, bodies) = _bodies(1, 1, "seed");
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IUplinkLedger.CallerNotAccredited.selector, STRANGER));
        router.ask(jobId, digests, bodies);
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.ListsInvalid.selector, 0, 0, 64));
        router.ask(jobId, new bytes32[](0), new bytes[](0));
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.ListsInvalid.selector, 1, 2, 64));
        router.ask(jobId, new bytes32[](1), new bytes[](2));
        (digests, bodies) = _bodies(64, 4096, "seed");
        vm.prank(BOB);
        router.ask(jobId, digests, bodies);
        assertEq(_used(jobId, BOB), 64, "the most at once");
    }

    function test_ask_reverts_forWhoIsRegisteredOnly() public {
        bytes32 jobId = _asking();
        vm.prank(STRANGER);
        registry.register("new", "localhost:1", "certificate", "key");
        (bytes32[] memory digests, bytes[] memory bodies) = _bodies(1, 1, "seed");
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IUplinkLedger.CallerNotAccredited.selector, STRANGER));
        router.ask(jobId, digests, bodies);
    }

    function testFuzz_ask_judgesEachBody_asTheRulesSay(uint256 seed, uint8 quota) public {
        bytes32 jobId = _completedWith(uint64(bound(quota, 1, 6)), WINDOW, ANSWER);
        (bytes32[] memory digests, bytes[] memory bodies) = _bodies(8, 64, bytes32(seed));
        uint256 left = bound(quota, 1, 6);
        for (uint256 i = 0; i < 8; ++i) {
            if ((seed >> i) & 1 == 1) bodies[i] = (seed >> (i + 8)) & 1 == 1 ? bytes("") : new bytes(4097);
            if ((seed >> (i + 16)) & 1 == 1) digests[i] = bytes32(seed);
        }
        vm.prank(BOB);
        router.ask(jobId, digests, bodies);
        uint256 accepted;
        for (uint256 i = 0; i < 8; ++i) {
            IUplinkLedger.Reason expected = IUplinkLedger.Reason.Accepted;
            if (bodies[i].length == 0 || bodies[i].length > 4096) expected = IUplinkLedger.Reason.SizeOutOfBounds;
            else if (sha256(bodies[i]) != digests[i]) expected = IUplinkLedger.Reason.DigestMismatch;
            else if (accepted == left) expected = IUplinkLedger.Reason.RateExceeded;
            else ++accepted;
            assertAsked(jobId, uint32(FIRST + i), expected);
        }
        assertEq(_used(jobId, BOB), accepted, "used");
    }

    // -- the end -----------------------------------------------------------------------------------------------------

    function test_closeMany_closesEach_andPassesOverWhatIsClosed() public {
        bytes32 jobId = _asking();
        (bytes32[] memory digests, bytes[] memory bodies) = _bodies(3, 10, "seed");
        vm.prank(BOB);
        router.ask(jobId, digests, bodies);
        vm.prank(ALICE);
        router.close(jobId, FIRST + 1, 3);
        (uint32[] memory ids, uint8[] memory outcomes) = _ends(3, 1);
        outcomes[2] = 2;
        vm.recordLogs();
        vm.roll(99);
        vm.prank(ALICE);
        assertEq(router.closeMany(jobId, ids, outcomes), 2, "closed");
        assertEq(vm.getRecordedLogs().length, 2, "events");
        uint8[3] memory expected = [1, 3, 2];
        for (uint256 i = 0; i < 3; ++i) {
            (, IInferenceRouter.RequestStatus status,, uint64 closed) = router.requestOf(jobId, ids[i]);
            assertEq(uint256(status), expected[i], "status");
            assertEq(closed, i == 1 ? 1 : 99, "block");
        }
        vm.prank(BOB);
        assertEq(router.closeMany(jobId, ids, outcomes), 0, "all are closed");
    }

    function test_closeMany_reverts_asCloseDoes() public {
        bytes32 jobId = _asking();
        uint32 requestId = _ask(BOB, jobId, "seed");
        (uint32[] memory ids, uint8[] memory outcomes) = _ends(1, 1);
        vm.prank(CAROL);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.NotRequesterOrActiveParty.selector, jobId, CAROL));
        router.closeMany(jobId, ids, outcomes);
        (ids, outcomes) = _ends(2, 1);
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.UnknownRequest.selector, jobId, requestId + 1));
        router.closeMany(jobId, ids, outcomes);
        assertTrue(router.isOpen(jobId, requestId), "all or none");
        (ids, outcomes) = _ends(1, 4);
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.OutcomeInvalid.selector, 4));
        router.closeMany(jobId, ids, outcomes);
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.ListsInvalid.selector, 1, 2, 64));
        router.closeMany(jobId, ids, new uint8[](2));
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.ListsInvalid.selector, 65, 65, 64));
        router.closeMany(jobId, new uint32[](65), new uint8[](65));
        _suspend(BOB);
        (ids, outcomes) = _ends(1, 1);
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, BOB));
        router.closeMany(jobId, ids, outcomes);
    }

    function test_expire_endsWhatIsOverdue_byAnybodyOnTheRoster() public {
        bytes32 jobId = _asking();
        uint32 requestId = _ask(BOB, jobId, "seed");
        uint64 deadline = uint64(block.timestamp) + ANSWER;
        vm.warp(deadline);
        vm.prank(CAROL);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.DeadlineNotReached.selector, deadline, deadline));
        router.expire(jobId, requestId);
        vm.warp(deadline + 1);
        vm.expectEmit(true, true, true, true, address(router));
        emit IInferenceRouter.RequestClosed(jobId, requestId, CAROL, 3);
        vm.prank(CAROL);
        router.expire(jobId, requestId);
        (, IInferenceRouter.RequestStatus status,, uint64 closed) = router.requestOf(jobId, requestId);
        assertEq(uint256(status), uint256(IInferenceRouter.RequestStatus.Expired), "status");
        assertEq(closed, block.number, "block");
        vm.prank(CAROL);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.RequestNotOpen.selector, jobId, requestId));
        router.expire(jobId, requestId);
    }

    function test_expire_reverts_forOthers_andForRequestsWithoutDeadline() public {
        bytes32 jobId = _asking();
        uint32 asked = _ask(BOB, jobId, "seed");
        vm.prank(BOB);
        uint32 opened = router.open(jobId);
        assertEq(router.deadlineOf(jobId, opened), 0, "an opened one has none");
        assertReason(router.reasonOf(jobId, opened), IUplinkLedger.Reason.Accepted, "and was not judged");
        vm.warp(block.timestamp + 10 * ANSWER);
        vm.prank(CAROL);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.RequestWithoutDeadline.selector, jobId, opened));
        router.expire(jobId, opened);
        vm.prank(CAROL);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.UnknownRequest.selector, jobId, opened + 1));
        router.expire(jobId, opened + 1);
        vm.prank(DAVE);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, DAVE));
        router.expire(jobId, asked);
        _suspend(CAROL);
        vm.prank(CAROL);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, CAROL));
        router.expire(jobId, asked);
        uint32 refused = _ask(DAVE, jobId, "b");
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.RequestNotOpen.selector, jobId, refused));
        router.expire(jobId, refused);
    }

    function test_views_revert_whenTheRequestIsUnknown() public {
        bytes32 jobId = _asking();
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.UnknownRequest.selector, jobId, FIRST));
        router.reasonOf(jobId, FIRST);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.UnknownRequest.selector, jobId, FIRST));
        router.deadlineOf(jobId, FIRST);
    }

    /// @dev The first `count` requests of a job, all with the same outcome.
    function _ends(uint256 count, uint8 outcome) private pure returns (uint32[] memory ids, uint8[] memory outcomes) {
        ids = new uint32[](count);
        outcomes = new uint8[](count);
        for (uint256 i = 0; i < count; ++i) {
            ids[i] = uint32(FIRST + i);
            outcomes[i] = outcome;
        }
    }
}
