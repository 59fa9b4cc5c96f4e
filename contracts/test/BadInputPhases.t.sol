// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IInferenceRouter} from "../src/interfaces/IInferenceRouter.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {BadInput} from "./utils/BadInput.sol";

/// @title Every call about a job, in every phase that it does not belong to.
contract BadInputPhasesTest is BadInput {
    function test_everyCallAboutAJob_reverts_inEachOtherPhase() public {
        bytes32[7] memory job =
            [_propose(), _aligning(), _inRoundOne(), _evaluating(), _trained(), _aborted(), bytes32(0)];
        job[6] = _expired(); // last: it lets time pass
        for (uint256 i = 0; i < job.length; ++i) {
            IJobManager.Phase found = jobs.phaseOf(job[i]);
            assertEq(uint256(found), i + 1, "one of each");
            _refuseJobCalls(job[i], found);
            _refuseLaterCalls(job[i], found);
        }
    }

    function _refuseJobCalls(bytes32 jobId, IJobManager.Phase found) private {
        address at = address(jobs);
        bytes memory ended = abi.encodeWithSelector(IJobManager.JobEnded.selector, jobId, found);
        if (found != IJobManager.Phase.Proposed) {
            _refused(ALICE, at, abi.encodeCall(IJobManager.accept, (jobId)), _wrong(IJobManager.Phase.Proposed, found));
        }
        if (found != IJobManager.Phase.Aligning) {
            bytes memory call = abi.encodeCall(IJobManager.declareAligned, (jobId, "order", 1));
            _refused(ALICE, at, call, _wrong(IJobManager.Phase.Aligning, found));
        }
        if (found != IJobManager.Phase.Training) {
            bytes memory wrong = _wrong(IJobManager.Phase.Training, found);
            _refused(ALICE, at, abi.encodeCall(IJobManager.beginRound, (jobId, 1)), wrong);
            _refused(ALICE, at, abi.encodeCall(IJobManager.retryRound, (jobId, 1)), wrong);
            _refused(ALICE, at, abi.encodeCall(IJobManager.declareStop, (jobId, 1)), wrong);
            _refused(ALICE, at, abi.encodeCall(IJobManager.closeRound, (jobId)), wrong);
        } else {
            bytes memory call = abi.encodeCall(IJobManager.markMissing, (jobId));
            _refused(ALICE, at, call, _wrong(IJobManager.Phase.Evaluating, found));
        }
        if (found != IJobManager.Phase.Evaluating) {
            bytes memory call = abi.encodeCall(IJobManager.recordShard, (jobId, ALICE, "digest"));
            _refused(address(ledger), at, call, _wrong(IJobManager.Phase.Evaluating, found));
        }
        if (found <= IJobManager.Phase.Evaluating) return;
        _refused(ALICE, at, abi.encodeCall(IJobManager.abort, (jobId, "late")), ended);
        _refused(ALICE, at, abi.encodeCall(IJobManager.attend, (jobId)), ended);
        _refused(ALICE, at, abi.encodeCall(IJobManager.markMissing, (jobId)), ended);
        _refused(ALICE, at, abi.encodeCall(IJobManager.expire, (jobId)), ended);
    }

    function _refuseLaterCalls(bytes32 jobId, IJobManager.Phase found) private {
        if (found > IJobManager.Phase.Aligning) {
            bytes memory late = abi.encodeWithSelector(IInferenceRouter.TermsTooLate.selector, jobId);
            _refused(ALICE, address(router), abi.encodeCall(IInferenceRouter.setTerms, (jobId, 1, 60, 1)), late);
        }
        if (found != IJobManager.Phase.Evaluating) {
            bytes memory call = abi.encodeCall(contributions.record, (jobId, 0, new int64[](3), 0, 0));
            _refused(ALICE, address(contributions), call, _wrong(IJobManager.Phase.Evaluating, found));
        }
        if (found == IJobManager.Phase.Completed) return;
        bytes memory wrong = _wrong(IJobManager.Phase.Completed, found);
        _refused(ALICE, address(router), abi.encodeCall(IInferenceRouter.open, (jobId)), wrong);
        _refused(ALICE, address(router), abi.encodeCall(IInferenceRouter.reserve, (jobId, 1)), wrong);
        _taken(ALICE, address(router), abi.encodeCall(IInferenceRouter.ask, (jobId, new bytes32[](1), new bytes[](1))));
        assertEq(
            uint256(router.reasonOf(jobId, 2 ** 31)),
            uint256(IUplinkLedger.Reason.WrongPhase),
            "a verdict, not a revert"
        );
        _refused(ALICE, address(models), abi.encodeCall(IModelRegistry.propose, (NAME, jobId)), wrong);
    }

    function test_aProposal_madeTwice_isTwoJobs() public {
        bytes32 first = _propose();
        bytes32 second = _propose();
        assertTrue(first != second, "one id");
        vm.prank(BOB);
        jobs.accept(first);
        assertTrue(!jobs.hasAccepted(second, BOB), "each has its own acceptances");
    }

    function _wrong(IJobManager.Phase expected, IJobManager.Phase found) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IJobManager.WrongPhase.selector, expected, found);
    }
}
