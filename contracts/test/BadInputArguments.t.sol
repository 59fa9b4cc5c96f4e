// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IAnomalyRecord} from "../src/interfaces/IAnomalyRecord.sol";
import {IContributionLedger} from "../src/interfaces/IContributionLedger.sol";
import {IDirectory} from "../src/interfaces/IDirectory.sol";
import {IFaultProofs} from "../src/interfaces/IFaultProofs.sol";
import {IInferenceRouter} from "../src/interfaces/IInferenceRouter.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {IStewards} from "../src/interfaces/IStewards.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {BadInput} from "./utils/BadInput.sol";

/// @title Every external function with empty and with maximal arguments, by callers who may call it.
/// @dev The model registry's are in its own tests.
contract BadInputArgumentsTest is BadInput {
    function test_jobCalls_withEmptyArguments() public {
        address at = address(jobs);
        bytes memory unknown = abi.encodeWithSelector(IJobManager.UnknownJob.selector, bytes32(0));
        IJobManager.Policy memory none;
        _refused(
            ALICE,
            at,
            abi.encodeCall(IJobManager.propose, ("", roster, _policy())),
            abi.encodeWithSelector(IJobManager.SpecSizeInvalid.selector, 0, 65_536)
        );
        _refused(
            ALICE,
            at,
            abi.encodeCall(IJobManager.propose, ("spec", new address[](0), _policy())),
            abi.encodeWithSelector(IJobManager.RosterSizeInvalid.selector, 0)
        );
        _refused(
            ALICE,
            at,
            abi.encodeCall(IJobManager.propose, ("spec", roster, none)),
            abi.encodeWithSelector(IJobManager.PolicyInvalid.selector)
        );
        _refused(ALICE, at, abi.encodeCall(IJobManager.accept, (0)), unknown);
        _refused(ALICE, at, abi.encodeCall(IJobManager.declareAligned, (0, 0, 0)), unknown);
        _refused(ALICE, at, abi.encodeCall(IJobManager.beginRound, (0, 0)), unknown);
        _refused(ALICE, at, abi.encodeCall(IJobManager.retryRound, (0, 0)), unknown);
        _refused(ALICE, at, abi.encodeCall(IJobManager.declareStop, (0, 0)), unknown);
        _refused(ALICE, at, abi.encodeCall(IJobManager.abort, (0, "")), unknown);
        _refused(ALICE, at, abi.encodeCall(IJobManager.attend, (0)), unknown);
        _refused(ALICE, at, abi.encodeCall(IJobManager.closeRound, (0)), unknown);
        _refused(ALICE, at, abi.encodeCall(IJobManager.markMissing, (0)), unknown);
        _refused(ALICE, at, abi.encodeCall(IJobManager.expire, (0)), unknown);
        bytes32 jobId = _inRoundOne();
        _refused(ALICE, at, abi.encodeCall(IJobManager.beginRound, (jobId, 0)), _wrongRound(2, 0));
        _refused(ALICE, at, abi.encodeCall(IJobManager.retryRound, (jobId, 0)), _wrongRound(1, 0));
        _refused(ALICE, at, abi.encodeCall(IJobManager.declareStop, (jobId, 0)), _wrongRound(1, 0));
        _taken(ALICE, at, abi.encodeCall(IJobManager.abort, (jobId, "")));
        bytes32 aligning = _aligning();
        for (uint256 i = 0; i < roster.length; ++i) {
            _taken(roster[i], at, abi.encodeCall(IJobManager.declareAligned, (aligning, 0, 0)));
        }
        assertPhase(aligning, IJobManager.Phase.Training);
    }

    function test_jobCalls_withMaximalArguments() public {
        address at = address(jobs);
        bytes memory unknown = abi.encodeWithSelector(IJobManager.UnknownJob.selector, MAX_WORD);
        _refused(
            ALICE,
            at,
            abi.encodeCall(IJobManager.propose, (bytes(_long()), roster, _policy())),
            abi.encodeWithSelector(IJobManager.SpecSizeInvalid.selector, LONG, 65_536)
        );
        _refused(
            ALICE,
            at,
            abi.encodeCall(IJobManager.propose, ("spec", _accounts(MANY), _policy())),
            abi.encodeWithSelector(IJobManager.RosterSizeInvalid.selector, MANY)
        );
        _refused(ALICE, at, abi.encodeCall(IJobManager.accept, (MAX_WORD)), unknown);
        _refused(ALICE, at, abi.encodeCall(IJobManager.abort, (MAX_WORD, _long())), unknown);
        bytes32 jobId = _inRoundOne();
        uint32 most = type(uint32).max;
        _refused(ALICE, at, abi.encodeCall(IJobManager.beginRound, (jobId, most)), _wrongRound(2, most));
        _refused(ALICE, at, abi.encodeCall(IJobManager.retryRound, (jobId, most)), _wrongRound(1, most));
        _refused(ALICE, at, abi.encodeCall(IJobManager.declareStop, (jobId, most)), _wrongRound(1, most));
        _refused(
            ALICE,
            at,
            abi.encodeCall(IJobManager.abort, (jobId, _long())),
            abi.encodeWithSelector(IJobManager.ReasonTooLong.selector, LONG, 256)
        );
        _taken(ALICE, at, abi.encodeCall(IJobManager.declareAligned, (_aligning(), MAX_WORD, type(uint64).max)));
        bytes32 evaluating = _evaluating();
        _refused(
            address(ledger),
            at,
            abi.encodeCall(IJobManager.recordShard, (evaluating, address(type(uint160).max), MAX_WORD)),
            abi.encodeWithSelector(IJobManager.NotOnRoster.selector, evaluating, address(type(uint160).max))
        );
        _taken(address(ledger), at, abi.encodeCall(IJobManager.recordShard, (evaluating, ALICE, MAX_WORD)));
        _refused(
            address(ledger),
            at,
            abi.encodeCall(IJobManager.recordShard, (evaluating, ALICE, MAX_WORD)),
            abi.encodeWithSelector(IJobManager.AlreadyDeclared.selector, evaluating, ALICE)
        );
    }

    function test_requestCalls_withEmptyAndMaximalArguments() public {
        address at = address(router);
        bytes32 jobId = _trained();
        vm.prank(BOB);
        uint32 requestId = router.open(jobId);
        bytes32[2] memory ids = [bytes32(0), MAX_WORD];
        uint32[2] memory numbers = [uint32(0), type(uint32).max];
        uint8[2] memory outcomes = [0, type(uint8).max];
        for (uint256 i = 0; i < 2; ++i) {
            bytes memory unknown = abi.encodeWithSelector(IInferenceRouter.UnknownRequest.selector, jobId, numbers[i]);
            _refused(BOB, at, abi.encodeCall(IInferenceRouter.close, (jobId, numbers[i], 1)), unknown);
            unknown = abi.encodeWithSelector(IInferenceRouter.UnknownRequest.selector, ids[i], requestId);
            _refused(BOB, at, abi.encodeCall(IInferenceRouter.close, (ids[i], requestId, 1)), unknown);
            unknown = abi.encodeWithSelector(IJobManager.UnknownJob.selector, ids[i]);
            _refused(BOB, at, abi.encodeCall(IInferenceRouter.open, (ids[i])), unknown);
            _refused(BOB, at, abi.encodeCall(IInferenceRouter.reserve, (ids[i], 1)), unknown);
            _refused(BOB, at, abi.encodeCall(IInferenceRouter.anchor, (ids[i], MAX_WORD, 1)), unknown);
            _refused(ALICE, at, abi.encodeCall(IInferenceRouter.setTerms, (ids[i], 1, 60, 1)), unknown);
            bytes memory invalid = abi.encodeWithSelector(IInferenceRouter.OutcomeInvalid.selector, outcomes[i]);
            _refused(BOB, at, abi.encodeCall(IInferenceRouter.close, (jobId, requestId, outcomes[i])), invalid);
        }
    }

    function test_listsOfRequests_withEmptyAndMaximalArguments() public {
        address at = address(router);
        bytes32 jobId = _trained();
        uint256[2] memory counts = [0, MANY];
        for (uint256 i = 0; i < 2; ++i) {
            uint256 count = counts[i];
            bytes memory invalid = abi.encodeWithSelector(IInferenceRouter.ListsInvalid.selector, count, count, 64);
            bytes memory call = abi.encodeCall(IInferenceRouter.ask, (jobId, new bytes32[](count), new bytes[](count)));
            _refused(BOB, at, call, invalid);
            call = abi.encodeCall(IInferenceRouter.closeMany, (jobId, new uint32[](count), new uint8[](count)));
            _refused(BOB, at, call, invalid);
        }
    }

    function test_record_withEmptyAndMaximalArguments() public {
        address at = address(contributions);
        bytes32 jobId = _evaluating();
        uint256[2] memory counts = [uint256(0), MANY];
        for (uint256 i = 0; i < 2; ++i) {
            _refused(
                ALICE,
                at,
                abi.encodeCall(contributions.record, (jobId, 0, new int64[](counts[i]), 0, 0)),
                abi.encodeWithSelector(IContributionLedger.ShareCountInvalid.selector, 3, counts[i])
            );
        }
        bytes32[2] memory uplinks = [bytes32(0), MAX_WORD];
        for (uint256 i = 0; i < 2; ++i) {
            _refused(
                ALICE,
                at,
                abi.encodeCall(contributions.record, (jobId, uplinks[i], new int64[](3), 0, 0)),
                abi.encodeWithSelector(IContributionLedger.NotContributionUplink.selector, jobId, uplinks[i])
            );
        }
    }

    function test_uplinks_withEmptyArguments() public {
        IUplinkLedger.Envelope memory none;
        (, IUplinkLedger.Reason reason) = _submit(ALICE, none, "");
        assertReason(reason, IUplinkLedger.Reason.UnknownJob, "alone");
        none.jobId = _aligning();
        (, reason) = _submit(ALICE, none, "");
        assertReason(reason, IUplinkLedger.Reason.SchemaUnsupported, "of a job");
        _refused(
            ALICE,
            address(ledger),
            abi.encodeCall(IUplinkLedger.submitBatch, (none.jobId, 0, 0, 0, new IUplinkLedger.Leaf[](0))),
            abi.encodeWithSelector(IUplinkLedger.BatchSizeInvalid.selector, 0, 256)
        );
        vm.prank(BOB);
        (, IUplinkLedger.Reason[] memory reasons) = ledger.submitBatch(none.jobId, 0, 0, 1, new IUplinkLedger.Leaf[](1));
        assertReason(reasons[0], IUplinkLedger.Reason.SizeOutOfBounds, "a leaf of nothing");
    }

    function test_uplinks_withMaximalArguments() public {
        IUplinkLedger.Envelope memory most = _mostOf(MAX_WORD);
        (, IUplinkLedger.Reason reason) = _submit(ALICE, most, bytes(_long()));
        assertReason(reason, IUplinkLedger.Reason.UnknownJob, "alone");
        most.jobId = _aligning();
        (, reason) = _submit(ALICE, most, bytes(_long()));
        assertReason(reason, IUplinkLedger.Reason.WrongRound, "of a job");
        assertTrue(!ledger.isAccepted(ALICE, most), "accepted");
        _refused(
            ALICE,
            address(ledger),
            abi.encodeCall(
                IUplinkLedger.submitBatch,
                (most.jobId, most.round, most.attempt, most.schema, new IUplinkLedger.Leaf[](MANY))
            ),
            abi.encodeWithSelector(IUplinkLedger.BatchSizeInvalid.selector, MANY, 256)
        );
        IUplinkLedger.Leaf[] memory leaves = new IUplinkLedger.Leaf[](1);
        leaves[0] = IUplinkLedger.Leaf(type(uint256).max, MAX_WORD);
        vm.prank(BOB);
        (, IUplinkLedger.Reason[] memory reasons) =
            ledger.submitBatch(most.jobId, most.round, most.attempt, most.schema, leaves);
        assertReason(reasons[0], IUplinkLedger.Reason.WrongRound, "in a batch");
    }

    function test_memberCalls_withEmptyArguments() public {
        address at = address(registry);
        bytes memory unknown = abi.encodeWithSelector(IParticipantRegistry.NotRegistered.selector, address(0));
        _refused(
            STRANGER,
            at,
            abi.encodeCall(IParticipantRegistry.register, ("", "", "", 0)),
            abi.encodeWithSelector(IParticipantRegistry.NameInvalid.selector)
        );
        _refused(
            ALICE,
            at,
            abi.encodeCall(IParticipantRegistry.setService, ("", "")),
            abi.encodeWithSelector(IParticipantRegistry.EndpointInvalid.selector, 0, 256)
        );
        _refused(
            ALICE,
            at,
            abi.encodeCall(IParticipantRegistry.setEncryptionKey, (0)),
            abi.encodeWithSelector(IParticipantRegistry.EncryptionKeyInvalid.selector)
        );
        _refused(STRANGER, at, abi.encodeCall(IParticipantRegistry.rotateKey, (address(0), 0, "")), unknown);
        _refused(
            STRANGER,
            at,
            abi.encodeCall(IParticipantRegistry.rotateKey, (BOB, 0, "")),
            abi.encodeWithSelector(IParticipantRegistry.RotationExpired.selector, 0, block.timestamp)
        );
        _refused(STEWARD, at, abi.encodeCall(IParticipantRegistry.accredit, (address(0))), _unknownTo(1));
        _refused(STEWARD, at, abi.encodeCall(IParticipantRegistry.suspend, (address(0), "")), _unknownTo(2));
        _refused(STEWARD, at, abi.encodeCall(IParticipantRegistry.reinstate, (address(0))), _unknownTo(3));
        _refused(STEWARD, at, abi.encodeCall(IParticipantRegistry.ban, (address(0), "")), unknown);
        _refused(
            STEWARD,
            at,
            abi.encodeCall(IParticipantRegistry.admitGate, (address(0))),
            abi.encodeWithSelector(IParticipantRegistry.GateInvalid.selector, address(0))
        );
        address gate = address(anomalies);
        _refused(gate, at, abi.encodeCall(IParticipantRegistry.strike, (address(0), 0, 0, 0)), unknown);
        _refused(gate, at, abi.encodeCall(IParticipantRegistry.suspendAtOnce, (address(0), 0, 0)), unknown);
        _refused(gate, at, abi.encodeCall(IParticipantRegistry.forgive, (address(0))), unknown);
        _taken(STEWARD, at, abi.encodeCall(IParticipantRegistry.suspend, (BOB, "")));
        _taken(STEWARD, at, abi.encodeCall(IParticipantRegistry.ban, (BOB, "")));
    }

    function test_memberCalls_withMaximalArguments() public {
        address at = address(registry);
        bytes memory tooLong = abi.encodeWithSelector(IParticipantRegistry.ReasonTooLong.selector, LONG, 256);
        _refused(
            STRANGER,
            at,
            abi.encodeCall(IParticipantRegistry.register, (_long(), _long(), bytes(_long()), MAX_WORD)),
            abi.encodeWithSelector(IParticipantRegistry.NameInvalid.selector)
        );
        _refused(
            STRANGER,
            at,
            abi.encodeCall(IParticipantRegistry.register, ("stranger", _long(), bytes(_long()), MAX_WORD)),
            abi.encodeWithSelector(IParticipantRegistry.EndpointInvalid.selector, LONG, 256)
        );
        _refused(
            ALICE,
            at,
            abi.encodeCall(IParticipantRegistry.setService, ("localhost:1", bytes(_long()))),
            abi.encodeWithSelector(IParticipantRegistry.CertificateInvalid.selector, LONG, 2048)
        );
        _taken(ALICE, at, abi.encodeCall(IParticipantRegistry.setEncryptionKey, (MAX_WORD)));
        _refused(
            STRANGER,
            at,
            abi.encodeCall(IParticipantRegistry.rotateKey, (BOB, type(uint64).max, bytes(_long()))),
            abi.encodeWithSelector(IParticipantRegistry.RotationNotSigned.selector, BOB, address(0))
        );
        _refused(STEWARD, at, abi.encodeCall(IParticipantRegistry.suspend, (BOB, _long())), tooLong);
        _refused(STEWARD, at, abi.encodeCall(IParticipantRegistry.ban, (BOB, _long())), tooLong);
        address gate = address(anomalies);
        uint32 most = type(uint32).max;
        _taken(gate, at, abi.encodeCall(IParticipantRegistry.strike, (BOB, MAX_WORD, most, type(uint8).max)));
        _taken(gate, at, abi.encodeCall(IParticipantRegistry.suspendAtOnce, (BOB, MAX_WORD, type(uint8).max)));
    }

    function test_stewardCalls_withEmptyAndMaximalArguments() public {
        uint256[2] memory counts = [uint256(0), MANY];
        uint32[2] memory thresholds = [uint32(0), type(uint32).max];
        directory.setFirst(_names(1), _code());
        for (uint256 i = 0; i < 2; ++i) {
            _refused(
                STEWARD,
                address(board),
                abi.encodeCall(IStewards.change, (_accounts(counts[i]), thresholds[i])),
                abi.encodeWithSelector(IStewards.StewardsInvalid.selector, counts[i], thresholds[i])
            );
            _refused(
                STEWARD,
                address(directory),
                abi.encodeCall(IDirectory.propose, (_names(counts[i]), _accounts(counts[i]))),
                abi.encodeWithSelector(IDirectory.ChangeSizeInvalid.selector, counts[i], counts[i], 32)
            );
        }
        _refused(
            STRANGER,
            address(board),
            abi.encodeCall(IStewards.vote, (address(0), 0)),
            abi.encodeWithSelector(IStewards.NotSteward.selector, address(0))
        );
        bytes memory nothing = abi.encodeWithSelector(IDirectory.NoChangePending.selector);
        _refused(STEWARD, address(directory), abi.encodeCall(IDirectory.cancel, ()), nothing);
        _refused(STRANGER, address(directory), abi.encodeCall(IDirectory.applyChange, ()), nothing);
    }

    function test_anomalyCalls_withEmptyAndMaximalArguments() public {
        address at = address(anomalies);
        uint256[2] memory ids = [uint256(0), type(uint256).max];
        for (uint256 i = 0; i < 2; ++i) {
            bytes memory unknown = abi.encodeWithSelector(IAnomalyRecord.UnknownFault.selector, ids[i]);
            _refused(ALICE, at, abi.encodeCall(IAnomalyRecord.commitVote, (ids[i], MAX_WORD)), unknown);
            _refused(ALICE, at, abi.encodeCall(IAnomalyRecord.revealVote, (ids[i], true, 0)), unknown);
            _refused(ALICE, at, abi.encodeCall(IAnomalyRecord.tally, (ids[i])), unknown);
            _refused(STEWARD, at, abi.encodeCall(IAnomalyRecord.overturn, (ids[i], "")), unknown);
        }
        _taken(address(ledger), at, abi.encodeCall(IAnomalyRecord.report, (address(0), 0, 0, 0, 0)));
        _taken(address(ledger), at, abi.encodeCall(IAnomalyRecord.observe, (address(0), 0, 0, 0, 0, 0)));
        bytes memory call = abi.encodeCall(
            IAnomalyRecord.report, (address(type(uint160).max), MAX_WORD, type(uint32).max, type(uint8).max, MAX_WORD)
        );
        _taken(address(ledger), at, call);
        call = abi.encodeCall(
            IAnomalyRecord.observe,
            (address(type(uint160).max), MAX_WORD, type(uint32).max, type(uint8).max, MAX_WORD, type(uint64).max)
        );
        _taken(address(ledger), at, call);
        for (uint256 i = 0; i < 2; ++i) {
            uint256 length = i * LONG;
            bytes memory invalid = abi.encodeWithSelector(IAnomalyRecord.ReasonInvalid.selector, length, 256);
            _refused(STEWARD, at, abi.encodeCall(IAnomalyRecord.overturn, (1, i == 0 ? "" : _long())), invalid);
        }
    }

    function test_proofs_withEmptyArguments() public {
        IUplinkLedger.Envelope memory none;
        address at = address(proofs);
        bytes memory unknown = abi.encodeWithSelector(IFaultProofs.PartyUnknown.selector, address(0));
        _refused(
            STRANGER, at, abi.encodeCall(IFaultProofs.proveEquivocation, (address(0), none, "", none, "")), unknown
        );
        _refused(STRANGER, at, abi.encodeCall(IFaultProofs.provePayloadMismatch, (address(0), none, 0, "")), unknown);
        _refused(STRANGER, at, abi.encodeCall(IFaultProofs.proveReplay, (address(0), none, "", none, "")), unknown);
        _refused(
            STRANGER,
            at,
            abi.encodeCall(IFaultProofs.proveEquivocation, (BOB, none, "", none, "")),
            abi.encodeWithSelector(IFaultProofs.DigestsEqual.selector, bytes32(0))
        );
        _refused(
            STRANGER,
            at,
            abi.encodeCall(IFaultProofs.provePayloadMismatch, (BOB, none, 0, "")),
            abi.encodeWithSelector(IFaultProofs.PayloadIsSound.selector, bytes32(0))
        );
        _refused(
            STRANGER,
            at,
            abi.encodeCall(IFaultProofs.proveReplay, (BOB, none, "", none, "")),
            abi.encodeWithSelector(IFaultProofs.SameRound.selector, bytes32(0), 0, 0)
        );
    }

    function test_proofs_withMaximalArguments() public {
        IUplinkLedger.Envelope memory one = _mostOf(MAX_WORD);
        IUplinkLedger.Envelope memory other = _mostOf(MAX_WORD);
        other.digest = "another";
        address at = address(proofs);
        bytes memory signature = bytes(_long());
        bytes memory notSigned =
            abi.encodeWithSelector(IFaultProofs.NotSigned.selector, ledger.uplinkIdOf(BOB, one), BOB, address(0));
        _refused(
            STRANGER,
            at,
            abi.encodeCall(IFaultProofs.proveEquivocation, (BOB, one, signature, other, signature)),
            notSigned
        );
        _refused(
            STRANGER,
            at,
            abi.encodeCall(IFaultProofs.provePayloadMismatch, (BOB, one, 0, signature)),
            abi.encodeWithSelector(IFaultProofs.UplinkNotAccepted.selector, ledger.uplinkIdOf(BOB, one))
        );
        _refused(
            STRANGER,
            at,
            abi.encodeCall(IFaultProofs.proveReplay, (BOB, one, "", other, "")),
            abi.encodeWithSelector(IFaultProofs.KindMayRepeat.selector, type(uint8).max)
        );
    }

    function _mostOf(bytes32 jobId) private pure returns (IUplinkLedger.Envelope memory) {
        return IUplinkLedger.Envelope({
            jobId: jobId,
            round: type(uint32).max,
            attempt: type(uint16).max,
            step: type(uint32).max,
            kind: type(uint8).max,
            recipient: address(type(uint160).max),
            schema: type(uint16).max,
            digest: MAX_WORD,
            size: type(uint64).max,
            statisticE6: type(uint64).max
        });
    }

    function _wrongRound(uint32 expected, uint32 found) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IJobManager.WrongRound.selector, expected, found);
    }

    function _unknownTo(uint8 expected) private pure returns (bytes memory) {
        return abi.encodeWithSelector(
            IParticipantRegistry.WrongStatus.selector, address(0), expected, IParticipantRegistry.Status.Unknown
        );
    }

    function _code() private view returns (address[] memory addresses) {
        addresses = new address[](1);
        addresses[0] = address(proofs);
    }
}
