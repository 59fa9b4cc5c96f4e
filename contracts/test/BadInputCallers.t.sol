// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IAnomalyRecord} from "../src/interfaces/IAnomalyRecord.sol";
import {IDirectory} from "../src/interfaces/IDirectory.sol";
import {IInferenceRouter} from "../src/interfaces/IInferenceRouter.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {IStewards} from "../src/interfaces/IStewards.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {BadInput} from "./utils/BadInput.sol";
import {Kinds} from "../src/Kinds.sol";

/// @title Every external function, called by somebody who may not: suspended, of another role, or of none.
contract BadInputCallersTest is BadInput {
    function test_everyCallOfAParty_reverts_whenItIsSuspended() public {
        bytes32[6] memory job = [_propose(), _aligning(), _inRoundOne(), _evaluating(), _trained(), _trained()];
        bytes32 uplinkId = _accept(ALICE, _envelope(job[3], 2, Kinds.CONTRIBUTION));
        vm.prank(ALICE);
        uint32 requestId = router.open(job[4]);
        _frozenOf(NAME, job[4]);
        _activateModel(ALICE, NAME, 1);
        _proposeModel(BOB, "other", job[5]);
        _suspend(ALICE);
        bytes memory denied = abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, ALICE);
        _refused(ALICE, address(jobs), abi.encodeCall(IJobManager.propose, ("spec", roster, _policy())), denied);
        _refused(ALICE, address(jobs), abi.encodeCall(IJobManager.accept, (job[0])), denied);
        _refused(ALICE, address(jobs), abi.encodeCall(IJobManager.declareAligned, (job[1], "order", 1)), denied);
        _refused(ALICE, address(jobs), abi.encodeCall(IJobManager.beginRound, (job[2], 2)), denied);
        _refused(ALICE, address(jobs), abi.encodeCall(IJobManager.retryRound, (job[2], 1)), denied);
        _refused(ALICE, address(jobs), abi.encodeCall(IJobManager.declareStop, (job[2], 1)), denied);
        _refused(ALICE, address(jobs), abi.encodeCall(IJobManager.abort, (job[2], "")), denied);
        _refused(ALICE, address(jobs), abi.encodeCall(IJobManager.attend, (job[2])), denied);
        _refused(ALICE, address(router), abi.encodeCall(IInferenceRouter.open, (job[4])), denied);
        _refused(ALICE, address(router), abi.encodeCall(IInferenceRouter.close, (job[4], requestId, 1)), denied);
        _refused(ALICE, address(router), abi.encodeCall(IInferenceRouter.expire, (job[4], requestId)), denied);
        _refused(ALICE, address(router), abi.encodeCall(IInferenceRouter.setTerms, (job[1], 1, 60, 1)), denied);
        _refused(ALICE, address(router), abi.encodeCall(IInferenceRouter.reserve, (job[4], 1)), denied);
        _refused(ALICE, address(router), abi.encodeCall(IInferenceRouter.anchor, (job[4], "root", 1)), denied);
        int64[] memory shares = new int64[](3);
        _refused(
            ALICE,
            address(contributions),
            abi.encodeCall(contributions.record, (job[3], uplinkId, shares, 0, 0)),
            denied
        );
        _refused(ALICE, address(models), abi.encodeCall(IModelRegistry.propose, (NAME, job[5])), denied);
        _refused(ALICE, address(models), abi.encodeCall(IModelRegistry.approve, ("other", 1)), denied);
        _refused(ALICE, address(models), abi.encodeCall(IModelRegistry.activate, (NAME, 1)), denied);
        _refused(ALICE, address(models), abi.encodeCall(IModelRegistry.rollBack, (NAME)), denied);
    }

    function test_uplinksOfASuspendedParty_areRejected_aloneAndInABatch() public {
        bytes32 jobId = _aligning();
        _suspend(BOB);
        (, IUplinkLedger.Reason reason) = _submit(BOB, _envelope(jobId, 0, Kinds.BLINDED_IDS), PAYLOAD);
        assertReason(reason, IUplinkLedger.Reason.SenderSuspended, "alone");
        IUplinkLedger.Leaf[] memory leaves = new IUplinkLedger.Leaf[](1);
        leaves[0] = _leafOf(1, Kinds.BLINDED_IDS, address(0), "digest", 100_000);
        vm.prank(BOB);
        (, IUplinkLedger.Reason[] memory reasons) = ledger.submitBatch(jobId, 0, 0, 1, leaves);
        assertReason(reasons[0], IUplinkLedger.Reason.SenderSuspended, "in a batch");
        assertEq(_strikes(BOB), 0, "no strike");
    }

    function test_whatAnyoneMayDo_isOpenToTheSuspended() public {
        bytes32 first = _inRoundOne();
        bytes32 second = _aligning();
        _suspend(ALICE);
        vm.warp(block.timestamp + 2 * PHASE_SECONDS + 2);
        _taken(ALICE, address(jobs), abi.encodeCall(IJobManager.closeRound, (first)));
        _taken(ALICE, address(jobs), abi.encodeCall(IJobManager.markMissing, (second)));
        _taken(ALICE, address(jobs), abi.encodeCall(IJobManager.expire, (second)));
        _refused(
            ALICE,
            address(registry),
            abi.encodeCall(IParticipantRegistry.register, ("again", "localhost:1", "certificate", "key")),
            abi.encodeWithSelector(IParticipantRegistry.AlreadyRegistered.selector, ALICE)
        );
        _taken(ALICE, address(registry), abi.encodeCall(IParticipantRegistry.setEncryptionKey, ("another")));
        _taken(ALICE, address(registry), abi.encodeCall(IParticipantRegistry.setService, ("localhost:2", "another")));
    }

    function test_everyCallOfTheActiveParty_reverts_forAPassiveOne() public {
        bytes32 training = _inRoundOne();
        bytes32 evaluating = _evaluating();
        bytes32 completed = _trained();
        bytes32 proposed = _propose();
        bytes memory terms = abi.encodeCall(IInferenceRouter.setTerms, (proposed, 1, 60, 1));
        _refused(BOB, address(router), terms, _notActive(proposed));
        _frozenOf(NAME, completed);
        _refused(BOB, address(jobs), abi.encodeCall(IJobManager.beginRound, (training, 2)), _notActive(training));
        _refused(BOB, address(jobs), abi.encodeCall(IJobManager.retryRound, (training, 1)), _notActive(training));
        _refused(
            BOB,
            address(contributions),
            abi.encodeCall(contributions.record, (evaluating, 0, new int64[](3), 0, 0)),
            _notActive(evaluating)
        );
        _refused(BOB, address(models), abi.encodeCall(IModelRegistry.activate, (NAME, 1)), _notActive(completed));
        _activateModel(ALICE, NAME, 1);
        _refused(BOB, address(models), abi.encodeCall(IModelRegistry.rollBack, (NAME)), _notActive(completed));
    }

    function test_everyCallOfAParty_reverts_forASteward() public {
        bytes32 jobId = _completedModel();
        bytes memory denied = abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, STEWARD);
        bytes[8] memory calls = [
            abi.encodeCall(IJobManager.accept, (jobId)),
            abi.encodeCall(IJobManager.declareAligned, (jobId, "order", 1)),
            abi.encodeCall(IJobManager.beginRound, (jobId, 1)),
            abi.encodeCall(IJobManager.retryRound, (jobId, 1)),
            abi.encodeCall(IJobManager.declareStop, (jobId, 1)),
            abi.encodeCall(IJobManager.abort, (jobId, "")),
            abi.encodeCall(IJobManager.attend, (jobId)),
            abi.encodeCall(IJobManager.abort, (jobId, "twice"))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            _refused(STEWARD, address(jobs), calls[i], denied);
        }
        _refused(STEWARD, address(router), abi.encodeCall(IInferenceRouter.open, (jobId)), denied);
        _refused(STEWARD, address(router), abi.encodeCall(IInferenceRouter.setTerms, (jobId, 1, 60, 1)), denied);
        _refused(STEWARD, address(router), abi.encodeCall(IInferenceRouter.reserve, (jobId, 1)), denied);
        _refused(STEWARD, address(router), abi.encodeCall(IInferenceRouter.anchor, (jobId, "root", 1)), denied);
        _refused(
            STEWARD,
            address(router),
            abi.encodeCall(IInferenceRouter.ask, (jobId, new bytes32[](1), new bytes[](1))),
            abi.encodeWithSelector(IUplinkLedger.CallerNotAccredited.selector, STEWARD)
        );
        _refused(
            STEWARD,
            address(contributions),
            abi.encodeCall(contributions.record, (jobId, 0, new int64[](3), 0, 0)),
            denied
        );
        _refused(STEWARD, address(models), abi.encodeCall(IModelRegistry.propose, ("other", jobId)), denied);
        _refused(STEWARD, address(models), abi.encodeCall(IModelRegistry.approve, (NAME, 1)), denied);
        _refused(STEWARD, address(models), abi.encodeCall(IModelRegistry.activate, (NAME, 1)), denied);
        _refused(STEWARD, address(models), abi.encodeCall(IModelRegistry.rollBack, (NAME)), denied);
    }

    function test_everyCallOfASteward_reverts_forAParty_aStranger_andTheSuspended() public {
        directory.setFirst(_names(1), _code());
        vm.prank(PROOFS);
        anomalies.report(BOB, "job", 1, 12, "evidence");
        vm.prank(STRANGER);
        registry.register("stranger", "localhost:9", "certificate", "key");
        _suspend(CAROL);
        address[3] memory callers = [ALICE, STRANGER, CAROL];
        for (uint256 i = 0; i < callers.length; ++i) {
            address caller = callers[i];
            bytes memory denied = abi.encodeWithSelector(IStewards.NotSteward.selector, caller);
            _refused(caller, address(registry), abi.encodeCall(IParticipantRegistry.accredit, (STRANGER)), denied);
            _refused(caller, address(registry), abi.encodeCall(IParticipantRegistry.suspend, (ALICE, "")), denied);
            _refused(caller, address(registry), abi.encodeCall(IParticipantRegistry.reinstate, (CAROL)), denied);
            _refused(caller, address(registry), abi.encodeCall(IParticipantRegistry.ban, (ALICE, "")), denied);
            _refused(
                caller, address(registry), abi.encodeCall(IParticipantRegistry.admitGate, (address(proofs))), denied
            );
            _refused(caller, address(directory), abi.encodeCall(IDirectory.propose, (_names(1), _code())), denied);
            _refused(caller, address(anomalies), abi.encodeCall(IAnomalyRecord.overturn, (1, "why")), denied);
            _refused(caller, address(board), abi.encodeCall(IStewards.change, (_accounts(1), 1)), denied);
            _refused(caller, address(board), abi.encodeCall(IStewards.vote, (caller, "motion")), denied);
        }
        vm.prank(STEWARD);
        directory.propose(_names(1), _code());
        for (uint256 i = 0; i < callers.length; ++i) {
            bytes memory denied = abi.encodeWithSelector(IStewards.NotSteward.selector, callers[i]);
            _refused(callers[i], address(directory), abi.encodeCall(IDirectory.cancel, ()), denied);
        }
    }

    function test_everyCallOfAContract_reverts_forPartiesStewardsAndStrangers() public {
        address[4] memory callers = [ALICE, STEWARD, STRANGER, address(models)];
        for (uint256 i = 0; i < callers.length; ++i) {
            address caller = callers[i];
            bytes memory notGate = abi.encodeWithSelector(IParticipantRegistry.NotGate.selector, caller);
            bytes memory notReporter = abi.encodeWithSelector(IAnomalyRecord.NotReporter.selector, caller);
            _refused(caller, address(registry), abi.encodeCall(IParticipantRegistry.strike, (BOB, 0, 0, 1)), notGate);
            _refused(
                caller, address(registry), abi.encodeCall(IParticipantRegistry.suspendAtOnce, (BOB, 0, 1)), notGate
            );
            _refused(caller, address(registry), abi.encodeCall(IParticipantRegistry.forgive, (BOB)), notGate);
            _refused(caller, address(anomalies), abi.encodeCall(IAnomalyRecord.report, (BOB, 0, 0, 1, 0)), notReporter);
            _refused(
                caller, address(anomalies), abi.encodeCall(IAnomalyRecord.observe, (BOB, 0, 0, 1, 0, 0)), notReporter
            );
            _refused(
                caller,
                address(jobs),
                abi.encodeCall(IJobManager.recordShard, (0, BOB, 0)),
                abi.encodeWithSelector(IJobManager.NotLedger.selector, caller)
            );
        }
    }

    function test_everyWiring_reverts_forAnybodyButTheDeployer_andTwiceForIt() public {
        address[3] memory callers = [ALICE, STEWARD, STRANGER];
        for (uint256 i = 0; i < callers.length; ++i) {
            address caller = callers[i];
            bytes memory denied = abi.encodeWithSelector(IJobManager.NotDeployer.selector, caller); // one selector
            _refused(caller, address(registry), abi.encodeCall(IParticipantRegistry.setGate, (caller)), denied);
            _refused(
                caller,
                address(anomalies),
                abi.encodeCall(IAnomalyRecord.setReporters, (caller, caller, caller, caller)),
                denied
            );
            _refused(caller, address(jobs), abi.encodeCall(IJobManager.setLedger, (caller)), denied);
            _refused(caller, address(ledger), abi.encodeCall(IUplinkLedger.setRouter, (caller)), denied);
            _refused(caller, address(directory), abi.encodeCall(IDirectory.setFirst, (_names(1), _code())), denied);
        }
        address me = address(this);
        directory.setFirst(_names(1), _code());
        _refused(
            me,
            address(registry),
            abi.encodeCall(IParticipantRegistry.setGate, (me)),
            abi.encodeWithSelector(IParticipantRegistry.GateAlreadySet.selector, address(anomalies))
        );
        _refused(
            me,
            address(anomalies),
            abi.encodeCall(IAnomalyRecord.setReporters, (me, me, me, me)),
            abi.encodeWithSelector(IAnomalyRecord.ReportersAlreadySet.selector, address(jobs))
        );
        _refused(
            me,
            address(jobs),
            abi.encodeCall(IJobManager.setLedger, (me)),
            abi.encodeWithSelector(IJobManager.LedgerAlreadySet.selector, address(ledger))
        );
        _refused(
            me,
            address(ledger),
            abi.encodeCall(IUplinkLedger.setRouter, (me)),
            abi.encodeWithSelector(IUplinkLedger.RouterAlreadySet.selector, address(router))
        );
        _refused(
            me,
            address(directory),
            abi.encodeCall(IDirectory.setFirst, (_names(1), _code())),
            abi.encodeWithSelector(IDirectory.FirstVersion.selector, 1)
        );
    }

    function _completedModel() private returns (bytes32 jobId) {
        jobId = _trained();
        _frozenOf(NAME, jobId);
        _activateModel(ALICE, NAME, 1);
    }

    function _notActive(bytes32 jobId) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IJobManager.NotActiveParty.selector, jobId, BOB);
    }

    function _code() private view returns (address[] memory addresses) {
        addresses = new address[](1);
        addresses[0] = address(proofs);
    }
}
