// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IInferenceRouter} from "../src/interfaces/IInferenceRouter.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {Deployed} from "./utils/Deployed.sol";

contract InferenceRouterTest is Deployed {
    uint32 internal constant FIRST = 2 ** 31;

    function _open(address party, bytes32 jobId) internal returns (uint32) {
        vm.prank(party);
        return router.open(jobId);
    }

    function test_open_countsUpPerJob_whenCompleted() public {
        bytes32 first = _completed();
        bytes32 second = _completed();
        vm.expectEmit(true, true, true, true, address(router));
        emit IInferenceRouter.RequestOpened(first, FIRST, BOB);
        assertEq(_open(BOB, first), FIRST, "first id");
        assertEq(_open(ALICE, first), FIRST + 1, "second id");
        assertEq(_open(CAROL, second), FIRST, "first id of the second job");
        assertEq(router.requestCount(first), 2, "count");
        assertTrue(router.isOpen(first, FIRST + 1) && !router.isOpen(first, FIRST + 2), "isOpen");
        assertTrue(!router.isOpen(first, 0) && !router.isOpen("none", FIRST), "unknown is not open");
    }

    function test_open_reverts_whenCallerOrPhaseIsWrong() public {
        bytes32 jobId = _evaluating();
        vm.expectRevert(
            abi.encodeWithSelector(
                IJobManager.WrongPhase.selector, IJobManager.Phase.Completed, IJobManager.Phase.Evaluating
            )
        );
        _open(BOB, jobId);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.UnknownJob.selector, bytes32("none")));
        _open(BOB, "none");
        jobId = _completed();
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, DAVE));
        _open(DAVE, jobId);
        vm.prank(STEWARD);
        registry.suspend(BOB, "test");
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, BOB));
        _open(BOB, jobId);
    }

    function test_close_recordsTheOutcome_byRequesterOrActiveParty() public {
        bytes32 jobId = _completed();
        vm.roll(10);
        for (uint8 outcome = 1; outcome <= 3; ++outcome) {
            uint32 requestId = _open(BOB, jobId);
            vm.roll(10 + outcome);
            address by = outcome == 1 ? BOB : ALICE;
            vm.expectEmit(true, true, true, true, address(router));
            emit IInferenceRouter.RequestClosed(jobId, requestId, by, outcome);
            vm.prank(by);
            router.close(jobId, requestId, outcome);
            (address requester, IInferenceRouter.RequestStatus status, uint64 opened, uint64 closed) =
                router.requestOf(jobId, requestId);
            assertEq(requester, BOB, "requester");
            assertEq(uint256(status), outcome, "status");
            assertEq(opened, 9 + outcome, "opened");
            assertEq(closed, 10 + outcome, "closed");
            assertTrue(!router.isOpen(jobId, requestId), "open");
        }
    }

    function test_close_reverts_whenRepeatedForeignOrMalformed() public {
        bytes32 jobId = _completed();
        uint32 requestId = _open(BOB, jobId);
        vm.prank(CAROL);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.NotRequesterOrActiveParty.selector, jobId, CAROL));
        router.close(jobId, requestId, 1);
        vm.startPrank(BOB);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.OutcomeInvalid.selector, 0));
        router.close(jobId, requestId, 0);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.OutcomeInvalid.selector, 4));
        router.close(jobId, requestId, 4);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.UnknownRequest.selector, jobId, requestId + 1));
        router.close(jobId, requestId + 1, 1);
        router.close(jobId, requestId, 1);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.RequestNotOpen.selector, jobId, requestId));
        router.close(jobId, requestId, 1);
        vm.stopPrank();
    }

    function test_close_reverts_whenCallerIsSuspended() public {
        bytes32 jobId = _completed();
        uint32 requestId = _open(BOB, jobId);
        vm.prank(STEWARD);
        registry.suspend(BOB, "test");
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, BOB));
        router.close(jobId, requestId, 1);
    }

    function test_requestOf_reverts_whenUnknown() public {
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.UnknownRequest.selector, bytes32("none"), FIRST));
        router.requestOf("none", FIRST);
    }
}
