// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IInferenceRouter} from "../src/interfaces/IInferenceRouter.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {WithTerms} from "./utils/WithTerms.sol";

/// @title Terms, reservations against the quota, and anchors of receipts.
contract InferenceQuotaTest is WithTerms {
    bytes32 internal constant ROOT = keccak256("root");

    // -- terms -------------------------------------------------------------------------------------------------------

    function test_setTerms_recordsThem_whileProposedOrAligning() public {
        bytes32[2] memory open = [_propose(), _aligning()];
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectEmit(true, true, true, true, address(router));
            emit IInferenceRouter.TermsSet(open[i], ALICE, QUOTA, WINDOW, ANSWER);
            vm.prank(ALICE);
            router.setTerms(open[i], QUOTA, WINDOW, ANSWER);
            IInferenceRouter.Terms memory terms = router.termsOf(open[i]);
            assertEq(terms.quota, QUOTA, "quota");
            assertEq(terms.windowSeconds, WINDOW, "window");
            assertEq(terms.answerSeconds, ANSWER, "answer");
        }
        assertEq(router.termsOf("none").quota, 0, "a job without terms");
    }

    function test_setTerms_revertsTermsTooLate_onceTrainingBegan() public {
        bytes32[3] memory late = [_training(), _evaluating(), _completed()];
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(ALICE);
            vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.TermsTooLate.selector, late[i]));
            router.setTerms(late[i], QUOTA, WINDOW, ANSWER);
        }
    }

    function test_setTerms_revertsTermsAlreadySet_whenRepeated() public {
        bytes32 jobId = _aligningWith(QUOTA, WINDOW, ANSWER);
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.TermsAlreadySet.selector, jobId));
        router.setTerms(jobId, QUOTA + 1, WINDOW, ANSWER);
        assertEq(router.termsOf(jobId).quota, QUOTA, "unchanged");
    }

    function test_setTerms_reverts_whenCallerIsNotTheActivePartyInGoodStanding() public {
        bytes32 jobId = _aligning();
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotActiveParty.selector, jobId, BOB));
        router.setTerms(jobId, QUOTA, WINDOW, ANSWER);
        vm.prank(DAVE);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, DAVE));
        router.setTerms(jobId, QUOTA, WINDOW, ANSWER);
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.UnknownJob.selector, bytes32("none")));
        router.setTerms("none", QUOTA, WINDOW, ANSWER);
        _suspend(ALICE);
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, ALICE));
        router.setTerms(jobId, QUOTA, WINDOW, ANSWER);
    }

    function test_setTerms_takesTheBounds_andNothingBeyond() public {
        uint64 most = 2 ** 40;
        uint32 longest = 366 days;
        _refuseTerms(0, WINDOW, ANSWER);
        _refuseTerms(most + 1, WINDOW, ANSWER);
        _refuseTerms(QUOTA, 59, ANSWER);
        _refuseTerms(QUOTA, longest + 1, ANSWER);
        _refuseTerms(QUOTA, WINDOW, 0);
        _refuseTerms(QUOTA, WINDOW, longest + 1);
        assertEq(router.termsOf(_aligningWith(1, 60, 1)).quota, 1, "least");
        assertEq(router.termsOf(_aligningWith(most, longest, longest)).quota, most, "most");
    }

    function _refuseTerms(uint64 quota, uint32 windowSeconds, uint32 answerSeconds) private {
        bytes32 jobId = _aligning();
        vm.prank(ALICE);
        vm.expectRevert(IInferenceRouter.TermsInvalid.selector);
        router.setTerms(jobId, quota, windowSeconds, answerSeconds);
    }

    // -- reservations ------------------------------------------------------------------------------------------------

    function test_reserve_countsUpPerJobAndRequester() public {
        bytes32 jobId = _asking();
        bytes32 other = _asking();
        uint32 window = uint32(block.timestamp / WINDOW);
        vm.expectEmit(true, true, true, true, address(router));
        emit IInferenceRouter.Reserved(jobId, BOB, 0, 30, window);
        assertEq(_reserve(BOB, jobId, 30), 0, "first");
        vm.expectEmit(true, true, true, true, address(router));
        emit IInferenceRouter.Reserved(jobId, BOB, 30, 1, window);
        assertEq(_reserve(BOB, jobId, 1), 30, "behind it");
        assertEq(_reserve(ALICE, jobId, 5), 0, "of another requester");
        assertEq(_reserve(BOB, other, 7), 0, "of another job");
        (uint64 next, uint64 used, uint32 found) = router.reservationOf(jobId, BOB);
        assertEq(next, 31, "next");
        assertEq(used, 31, "used");
        assertEq(found, window, "window");
    }

    function test_reserve_revertsQuotaExceeded_andTellsWhatIsLeftAndUntilWhen() public {
        bytes32 jobId = _asking();
        _reserve(BOB, jobId, 90);
        uint64 ends = uint64((block.timestamp / WINDOW + 1) * WINDOW);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.QuotaExceeded.selector, BOB, 10, ends));
        _reserve(BOB, jobId, 11);
        assertEq(_reserve(BOB, jobId, 10), 90, "what is left");
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.QuotaExceeded.selector, BOB, 0, ends));
        _reserve(BOB, jobId, 1);
        assertEq(_reserve(CAROL, jobId, 100), 0, "each requester has its own");
    }

    function test_reserve_beginsAnew_withTheNextWindow() public {
        bytes32 jobId = _asking();
        uint256 begin = (block.timestamp / WINDOW + 1) * WINDOW;
        vm.warp(begin);
        _reserve(BOB, jobId, 100);
        vm.warp(begin + WINDOW - 1);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.QuotaExceeded.selector, BOB, 0, uint64(begin + WINDOW)));
        _reserve(BOB, jobId, 1);
        vm.warp(begin + WINDOW);
        (uint64 next, uint64 used, uint32 window) = router.reservationOf(jobId, BOB);
        assertEq(next, 100, "serials go on");
        assertEq(used, 0, "nothing used yet");
        assertEq(window, (begin + WINDOW) / WINDOW, "window");
        assertEq(_reserve(BOB, jobId, 100), 100, "the whole quota again");
    }

    function test_reserve_reverts_whenTheJobHasNoTerms() public {
        bytes32 jobId = _completed();
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.TermsMissing.selector, jobId));
        _reserve(BOB, jobId, 1);
        (uint64 next, uint64 used, uint32 window) = router.reservationOf(jobId, BOB);
        assertTrue(next == 0 && used == 0 && window == 0, "nothing is counted");
    }

    function test_reserve_reverts_whenCallerPhaseOrCountIsWrong() public {
        bytes32 aligning = _aligningWith(QUOTA, WINDOW, ANSWER);
        vm.expectRevert(
            abi.encodeWithSelector(
                IJobManager.WrongPhase.selector, IJobManager.Phase.Completed, IJobManager.Phase.Aligning
            )
        );
        _reserve(BOB, aligning, 1);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.UnknownJob.selector, bytes32("none")));
        _reserve(BOB, "none", 1);
        bytes32 jobId = _completedWith(2 ** 40, WINDOW, ANSWER);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.CountInvalid.selector, 0, 2 ** 24));
        _reserve(BOB, jobId, 0);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.CountInvalid.selector, 2 ** 24 + 1, 2 ** 24));
        _reserve(BOB, jobId, 2 ** 24 + 1);
        assertEq(_reserve(BOB, jobId, 2 ** 24), 0, "the most");
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, DAVE));
        _reserve(DAVE, jobId, 1);
        _suspend(BOB);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, BOB));
        _reserve(BOB, jobId, 1);
    }

    /// @dev Whatever is reserved when: no more than the quota in a window, and no serial twice.
    function testFuzz_reserve_keepsTheQuota(uint256 seed, uint64 quota, uint32 windowSeconds) public {
        quota = uint64(bound(quota, 1, 1000));
        windowSeconds = uint32(bound(windowSeconds, 60, 366 days));
        bytes32 jobId = _completedWith(quota, windowSeconds, ANSWER);
        uint64 next;
        uint256 used;
        uint256 window = block.timestamp / windowSeconds;
        for (uint256 i = 0; i < 12; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            vm.warp(block.timestamp + (seed >> 64) % (windowSeconds / 3));
            if (block.timestamp / windowSeconds != window) (window, used) = (block.timestamp / windowSeconds, 0);
            uint32 count = uint32(1 + seed % quota);
            vm.prank(BOB);
            try router.reserve(jobId, count) returns (uint64 first) {
                assertEq(first, next, "serials count up");
                (next, used) = (next + count, used + count);
                assertTrue(used <= quota, "above the quota");
            } catch {
                assertTrue(used + count > quota, "refused within the quota");
            }
            assertEq(_used(jobId, BOB), used, "used");
        }
    }

    // -- anchors -----------------------------------------------------------------------------------------------------

    function test_anchor_keepsEachRoot_countedPerJobAndRequester() public {
        bytes32 jobId = _asking();
        _reserve(BOB, jobId, 10);
        _reserve(CAROL, jobId, 1);
        vm.expectEmit(true, true, true, true, address(router));
        emit IInferenceRouter.ReceiptsAnchored(jobId, BOB, 0, ROOT, 4);
        assertEq(_anchor(BOB, jobId, ROOT, 4), 0, "first");
        assertEq(_anchor(BOB, jobId, "second", 6), 1, "second");
        assertEq(_anchor(CAROL, jobId, ROOT, 1), 0, "of another requester");
        (uint32 count, uint64 serials) = router.anchorsOf(jobId, BOB);
        assertEq(count, 2, "anchors");
        assertEq(serials, 10, "serials");
        assertEq(router.anchorOf(jobId, BOB, 1), "second", "root");
        assertTrue(router.isAnchored(jobId, BOB, 0, ROOT), "anchored");
        assertTrue(!router.isAnchored(jobId, BOB, 1, ROOT), "not as the second");
        assertTrue(!router.isAnchored(jobId, ALICE, 0, ROOT), "not by another");
        assertTrue(!router.isAnchored(jobId, BOB, 2, 0), "nothing is not an anchor");
    }

    function test_anchor_reverts_beyondWhatWasReserved() public {
        bytes32 jobId = _asking();
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.CountInvalid.selector, 1, 0));
        _anchor(BOB, jobId, ROOT, 1);
        _reserve(BOB, jobId, 10);
        _anchor(BOB, jobId, ROOT, 7);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.CountInvalid.selector, 4, 3));
        _anchor(BOB, jobId, ROOT, 4);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.CountInvalid.selector, 0, 3));
        _anchor(BOB, jobId, ROOT, 0);
        vm.expectRevert(IInferenceRouter.RootInvalid.selector);
        _anchor(BOB, jobId, 0, 3);
        _anchor(BOB, jobId, ROOT, 3);
    }

    function test_anchor_isPossible_inALaterWindow() public {
        bytes32 jobId = _asking();
        _reserve(BOB, jobId, 10);
        vm.warp(block.timestamp + 10 * WINDOW);
        _anchor(BOB, jobId, ROOT, 10);
        assertEq(_reserve(BOB, jobId, 100), 10, "an anchor counts against no quota");
    }

    function test_anchor_reverts_whenCallerIsNotOnTheRosterOrSuspended() public {
        bytes32 jobId = _asking();
        _reserve(BOB, jobId, 10);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, DAVE));
        _anchor(DAVE, jobId, ROOT, 1);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.UnknownJob.selector, bytes32("none")));
        _anchor(BOB, "none", ROOT, 1);
        _suspend(BOB);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, BOB));
        _anchor(BOB, jobId, ROOT, 1);
    }

    function testFuzz_anchor_takesNoMoreThanWasReserved(uint32 reserved, uint32[8] calldata counts) public {
        bytes32 jobId = _completedWith(2 ** 40, WINDOW, ANSWER);
        reserved = uint32(bound(reserved, 1, 2 ** 24));
        _reserve(BOB, jobId, reserved);
        uint256 anchored;
        for (uint256 i = 0; i < counts.length; ++i) {
            uint32 count = uint32(bound(counts[i], 0, reserved));
            vm.prank(BOB);
            try router.anchor(jobId, ROOT, count) {
                anchored += count;
            } catch {
                assertTrue(count == 0 || anchored + count > reserved, "refused within what is reserved");
            }
            (, uint64 serials) = router.anchorsOf(jobId, BOB);
            assertEq(serials, anchored, "serials");
            assertTrue(anchored <= reserved, "more than reserved");
        }
    }
}
