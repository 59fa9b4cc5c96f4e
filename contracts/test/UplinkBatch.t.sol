// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Kinds} from "../src/Kinds.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {Deployed} from "./utils/Deployed.sol";
import {Vm} from "./utils/Vm.sol";

/// @title A batch is a series of submits without payloads; small payloads stay away in pipelined training only.
contract UplinkBatchTest is Deployed {
    bytes32 internal jobId;
    Item[] internal leaves;

    /// @dev A leaf before it is packed.
    struct Item {
        uint32 step;
        uint8 kind;
        address recipient;
        bytes32 digest;
        uint64 size;
    }

    function setUp() public override {
        super.setUp();
        jobId = _inRoundOne();
    }

    function _policy() internal pure override returns (IJobManager.Policy memory) {
        return _policyWith(MAX_ROUNDS, true);
    }

    function _sound(uint32 step) internal pure returns (Item memory) {
        return Item(step, Kinds.HISTOGRAM, address(0), keccak256(abi.encode(step)), 100 + step);
    }

    function _envelopeOf(Item memory leaf, uint32 round) internal view returns (IUplinkLedger.Envelope memory) {
        return
            IUplinkLedger.Envelope(jobId, round, 0, leaf.step, leaf.kind, leaf.recipient, 1, leaf.digest, leaf.size, 0);
    }

    function _batch(address sender, uint32 round)
        internal
        returns (bytes32[] memory uplinkIds, IUplinkLedger.Reason[] memory reasons)
    {
        IUplinkLedger.Leaf[] memory packed = new IUplinkLedger.Leaf[](leaves.length);
        for (uint256 i = 0; i < packed.length; ++i) {
            packed[i] = _leafOf(leaves[i].step, leaves[i].kind, leaves[i].recipient, leaves[i].digest, leaves[i].size);
        }
        vm.prank(sender);
        return ledger.submitBatch(jobId, round, 0, 1, packed);
    }

    function _assertOnly(IUplinkLedger.Reason expected, string memory what) internal {
        (, IUplinkLedger.Reason[] memory reasons) = _batch(BOB, 1);
        assertEq(reasons.length, 1, "reasons");
        assertReason(reasons[0], expected, what);
    }

    function test_submitBatch_acceptsEveryLeaf_underTheIdOfItsEnvelope() public {
        for (uint32 i = 0; i < 3; ++i) {
            leaves.push(_sound(i));
        }
        leaves[2].recipient = ALICE;
        vm.recordLogs();
        (bytes32[] memory ids, IUplinkLedger.Reason[] memory reasons) = _batch(BOB, 1);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 3, "one event per leaf");
        for (uint256 i = 0; i < 3; ++i) {
            IUplinkLedger.Envelope memory envelope = _envelopeOf(leaves[i], 1);
            assertReason(reasons[i], IUplinkLedger.Reason.Accepted, "leaf");
            assertEq(ids[i], keccak256(abi.encode(block.chainid, address(ledger), BOB, envelope)), "id");
            assertTrue(ledger.isAccepted(BOB, envelope), "accepted");
            assertEq(logs[i].topics[3], ids[i], "event");
            bytes memory data = _judgment(envelope, IUplinkLedger.Reason.Accepted, "");
            assertEq(keccak256(logs[i].data), keccak256(data), "no payload");
        }
        (uint64 accepted, uint64 rejected) = ledger.countsOf(jobId);
        assertEq(accepted, 3, "accepted");
        assertEq(rejected, 0, "rejected");
    }

    function test_submitBatch_reverts_whenEmptyOrTooLarge() public {
        vm.expectRevert(abi.encodeWithSelector(IUplinkLedger.BatchSizeInvalid.selector, 0, 256));
        _batch(BOB, 1);
        for (uint32 i = 0; i < 257; ++i) {
            leaves.push(_sound(i));
        }
        vm.expectRevert(abi.encodeWithSelector(IUplinkLedger.BatchSizeInvalid.selector, 257, 256));
        _batch(BOB, 1);
        leaves.pop();
        _batch(BOB, 1);
        (uint64 accepted,) = ledger.countsOf(jobId);
        assertEq(accepted, 256, "a full batch");
    }

    function test_submitBatch_staysBelowTheLargestTransaction_whenFull() public {
        IUplinkLedger.Leaf[] memory full = new IUplinkLedger.Leaf[](256);
        for (uint32 i = 0; i < 256; ++i) {
            full[i] = _leafOf(type(uint32).max - i, Kinds.HISTOGRAM, ALICE, keccak256(abi.encode(i)), 999);
        }
        bytes memory call = abi.encodeCall(IUplinkLedger.submitBatch, (jobId, 1, 0, 1, full));
        vm.prank(BOB);
        uint256 before = gasleft();
        ledger.submitBatch(jobId, 1, 0, 1, full);
        uint256 used = before - gasleft();
        uint256 calldataGas;
        for (uint256 i = 0; i < call.length; ++i) {
            calldataGas += call[i] == 0 ? 4 : 16;
        }
        uint256 total = 21_000 + calldataGas + used;
        assertTrue(total < 16_777_216, vm.toString(total)); // EIP-7825
    }

    function test_submitBatch_reverts_whenCallerWasNeverAccredited() public {
        address eve = address(0xE7E);
        leaves.push(_sound(0));
        vm.expectRevert(abi.encodeWithSelector(IUplinkLedger.CallerNotAccredited.selector, eve));
        _batch(eve, 1);
    }

    function test_submitBatch_recordsEachVerdict_whenSomeLeavesAreWrong() public {
        for (uint32 i = 0; i < 4; ++i) {
            leaves.push(_sound(i));
        }
        leaves[1].kind = Kinds.GRADIENTS;
        leaves[3].digest = 0;
        (, IUplinkLedger.Reason[] memory reasons) = _batch(BOB, 1);
        assertReason(reasons[0], IUplinkLedger.Reason.Accepted, "0");
        assertReason(reasons[1], IUplinkLedger.Reason.KindNotAllowed, "1");
        assertReason(reasons[2], IUplinkLedger.Reason.Accepted, "2");
        assertReason(reasons[3], IUplinkLedger.Reason.DigestMismatch, "3");
        for (uint256 i = 0; i < 4; ++i) {
            assertReason(_verdict(BOB, _envelopeOf(leaves[i], 1)).reason, reasons[i], "recorded");
        }
        assertEq(_strikes(BOB), 2, "strikes");
    }

    function test_submitBatch_suspendsWithinTheBatch_atTheThirdRejectedLeaf() public {
        for (uint32 i = 0; i < 4; ++i) {
            leaves.push(_sound(i));
            if (i < 3) leaves[i].kind = Kinds.SPLIT;
        }
        (, IUplinkLedger.Reason[] memory reasons) = _batch(BOB, 1);
        assertReason(reasons[2], IUplinkLedger.Reason.KindNotAllowed, "third strike");
        assertReason(reasons[3], IUplinkLedger.Reason.SenderSuspended, "behind it");
        assertStatus(BOB, IParticipantRegistry.Status.Suspended);
        assertEq(_strikes(BOB), 3, "strikes");
    }

    function test_submitBatch_reportsOnce_whenAllOfItIsLate() public {
        for (uint32 i = 0; i < 5; ++i) {
            leaves.push(_sound(i));
        }
        _pass(jobId);
        (bytes32[] memory ids, IUplinkLedger.Reason[] memory reasons) = _batch(BOB, 1);
        for (uint256 i = 0; i < 5; ++i) {
            assertReason(reasons[i], IUplinkLedger.Reason.DeadlineMissed, "each has its verdict");
        }
        assertEq(_faults(), 1, "one report");
        assertEq(anomalies.faultOf(1).evidence, ids[0], "of the first");
        _batch(BOB, 1);
        assertEq(_faults(), 2, "the next batch is late again");
        assertEq(_strikes(BOB), 1, "which is a strike");
    }

    function test_submitBatch_reportsOnce_whenItExceedsTheRateOrItsSenderIsSuspended() public {
        for (uint32 i = 0; i < 256; ++i) {
            leaves.push(_sound(i));
        }
        for (uint32 i = 0; i < 4; ++i) {
            _batch(BOB, 1);
            for (uint32 j = 0; j < 256; ++j) {
                leaves[j] = _sound(256 * (i + 1) + j);
            }
        }
        assertEq(ledger.uplinksOf(jobId, 1), MAX_UPLINKS, "1000 of 1024");
        assertEq(_faults(), 1, "one report for 24 leaves");
        assertEq(anomalies.faultOf(1).reason, uint8(IUplinkLedger.Reason.RateExceeded), "reason");
        _suspend(BOB);
        (, IUplinkLedger.Reason[] memory reasons) = _batch(BOB, 1);
        assertReason(reasons[255], IUplinkLedger.Reason.SenderSuspended, "suspended");
        assertEq(_faults(), 2, "one report for 256 leaves");
    }

    function test_submitBatch_staysBelowTheLargestTransaction_whateverItsFaults() public {
        IUplinkLedger.Leaf[] memory full = new IUplinkLedger.Leaf[](256);
        for (uint32 i = 0; i < 256; ++i) {
            uint8 kind = i % 2 == 0 ? Kinds.HISTOGRAM : Kinds.PARTITION;
            address recipient = i % 3 == 0 ? ALICE : i % 3 == 1 ? CAROL : DAVE;
            full[i] = _leafOf(type(uint32).max - i / 4, kind, recipient, bytes32(uint256(i % 2)), 999);
        }
        vm.prank(BOB);
        uint256 before = gasleft();
        (, IUplinkLedger.Reason[] memory reasons) = ledger.submitBatch(jobId, 1, 0, 1, full);
        uint256 used = before - gasleft();
        assertReason(reasons[255], IUplinkLedger.Reason.SenderSuspended, "at last");
        assertTrue(21_000 + 256 * 64 * 16 + used < 12_000_000, vm.toString(used));
    }

    function test_submitBatch_changesNothing_whenLeavesAreAcceptedAlready() public {
        leaves.push(_sound(0));
        leaves.push(_sound(1));
        leaves.push(_sound(0));
        (bytes32[] memory first,) = _batch(BOB, 1);
        assertEq(first[2], first[0], "a leaf twice in a batch");
        vm.recordLogs();
        (bytes32[] memory second, IUplinkLedger.Reason[] memory reasons) = _batch(BOB, 1);
        assertEq(vm.getRecordedLogs().length, 0, "events");
        for (uint256 i = 0; i < 3; ++i) {
            assertEq(second[i], first[i], "id");
            assertReason(reasons[i], IUplinkLedger.Reason.Accepted, "again");
        }
        (uint64 accepted,) = ledger.countsOf(jobId);
        assertEq(accepted, 2, "accepted");
    }

    function test_submitBatch_recordsStrike_whenTwoLeavesClaimOneSlot() public {
        leaves.push(_sound(0));
        leaves.push(_sound(0));
        leaves[1].digest = "another";
        (, IUplinkLedger.Reason[] memory reasons) = _batch(BOB, 1);
        assertReason(reasons[1], IUplinkLedger.Reason.SlotTaken, "second");
        assertEq(_strikes(BOB), 1, "strikes");
    }

    function test_submit_takesTheSamePayloadInlineOrNot_whenPipelinedTraining() public {
        leaves.push(_sound(0));
        leaves[0].digest = _leaf(PAYLOAD);
        leaves[0].size = uint64(PAYLOAD.length);
        IUplinkLedger.Envelope memory envelope = _envelopeOf(leaves[0], 1);
        (bytes32 id, IUplinkLedger.Reason reason) = _submit(BOB, envelope, "");
        assertReason(reason, IUplinkLedger.Reason.Accepted, "by reference");
        assertEq(_accept(BOB, envelope), id, "the same uplink with its payload");
        (bytes32[] memory ids,) = _batch(BOB, 1);
        assertEq(ids[0], id, "the same uplink in a batch");
        envelope.step = 1;
        _accept(BOB, envelope);
        envelope.step = 2;
        (, reason) = _submit(BOB, envelope, "too short");
        assertReason(reason, IUplinkLedger.Reason.SizeOutOfBounds, "neither");
    }

    function test_submitBatch_rejectsSizeOutOfBounds_whenSizeIsZeroOrAbovePolicy() public {
        leaves.push(_sound(0));
        leaves[0].size = 0;
        _assertOnly(IUplinkLedger.Reason.SizeOutOfBounds, "zero");
        leaves[0].size = MAX_PAYLOAD + 1;
        _assertOnly(IUplinkLedger.Reason.SizeOutOfBounds, "above");
        leaves[0].size = MAX_PAYLOAD;
        _assertOnly(IUplinkLedger.Reason.Accepted, "at the limit");
    }

    function test_submitBatch_takesOnlyLargePayloads_whenNotTraining() public {
        jobId = _evaluating();
        leaves.push(_sound(0));
        leaves.push(_sound(1));
        leaves[0].kind = leaves[1].kind = Kinds.PREDICT_ANSWER;
        leaves[0].size = 98_304;
        leaves[1].size = 98_305;
        (, IUplinkLedger.Reason[] memory reasons) = _batch(BOB, 2);
        assertReason(reasons[0], IUplinkLedger.Reason.SizeOutOfBounds, "must be inline");
        assertReason(reasons[1], IUplinkLedger.Reason.Accepted, "by reference");
    }

    function test_submitBatch_neverTakesShardDigests() public {
        jobId = _evaluating();
        leaves.push(_sound(0));
        leaves[0].kind = Kinds.SHARD_DIGEST;
        leaves[0].size = 98_305;
        (, IUplinkLedger.Reason[] memory reasons) = _batch(BOB, 2);
        assertReason(reasons[0], IUplinkLedger.Reason.SizeOutOfBounds, "shard digest");
        assertEq(jobs.shardDigestOf(jobId, BOB), 0, "recorded");
    }

    /// @dev Leaves from a small domain: right and wrong kinds, taken slots, repetitions, outsiders, sizes out of bounds.
    function _random(uint256 seed) internal pure returns (Item memory leaf) {
        uint8[6] memory kinds =
            [Kinds.HISTOGRAM, Kinds.HISTOGRAM, Kinds.HISTOGRAM, Kinds.PARTITION, Kinds.SPLIT, Kinds.PUBLIC_KEY];
        address[4] memory recipients = [address(0), address(0), ALICE, DAVE];
        uint64[5] memory sizes = [uint64(1), 100, 98_304, MAX_PAYLOAD, MAX_PAYLOAD + 1];
        leaf.step = uint32(seed % 3);
        leaf.kind = kinds[(seed >> 8) % 6];
        leaf.recipient = recipients[(seed >> 16) % 4];
        leaf.digest = bytes32((seed >> 24) % 3);
        leaf.size = sizes[(seed >> 32) % 5];
    }

    function testFuzz_submitBatch_doesWhatSubmitsWithoutPayloadDo(uint256 seed, uint256 count, bool early) public {
        count = bound(count, 1, 12);
        for (uint256 i = 0; i < count; ++i) {
            leaves.push(_random(uint256(keccak256(abi.encode(seed, i)))));
        }
        uint32 round = early ? 2 : 1;
        uint256 snapshot = vm.snapshotState();
        vm.recordLogs();
        (bytes32[] memory ids, IUplinkLedger.Reason[] memory reasons) = _batch(BOB, round);
        bytes32 events = _judgments(vm.getRecordedLogs());
        bytes32 state = _stateOf(round);
        assertTrue(vm.revertToState(snapshot), "reverted");
        vm.recordLogs();
        for (uint256 i = 0; i < count; ++i) {
            (bytes32 id, IUplinkLedger.Reason reason) = _submit(BOB, _envelopeOf(leaves[i], round), "");
            assertEq(ids[i], id, "id");
            assertReason(reasons[i], reason, "reason");
        }
        assertEq(_judgments(vm.getRecordedLogs()), events, "events");
        assertEq(_stateOf(round), state, "state");
    }

    /// @dev The ledger's events; reports are fewer in a batch.
    function _judgments(Vm.Log[] memory logs) private view returns (bytes32 digest) {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter == address(ledger)) digest = keccak256(abi.encode(digest, logs[i]));
        }
    }

    function _stateOf(uint32 round) private view returns (bytes32 digest) {
        (uint64 accepted, uint64 rejected) = ledger.countsOf(jobId);
        digest = keccak256(abi.encode(accepted, rejected, _strikes(BOB), registry.statusOf(BOB)));
        (uint32 inForce, uint16 attempt, uint8 acceptedMask, uint8 rejectedMask) = ledger.roundOf(jobId);
        uint16 count = ledger.uplinksOf(jobId, 1);
        digest = keccak256(abi.encode(digest, inForce, attempt, acceptedMask, rejectedMask, count));
        for (uint256 i = 0; i < leaves.length; ++i) {
            IUplinkLedger.Envelope memory envelope = _envelopeOf(leaves[i], round);
            bytes32 slot = _slot(BOB, envelope);
            digest = keccak256(abi.encode(digest, _verdict(BOB, envelope), ledger.isTaken(slot)));
        }
    }
}

/// @title In a job that is not pipelined a batch carries large payloads alone.
contract StrictBatchTest is Deployed {
    function _batch(bytes32 jobId, uint16 schema, uint64 size) private returns (IUplinkLedger.Reason) {
        IUplinkLedger.Leaf[] memory leaves = new IUplinkLedger.Leaf[](1);
        leaves[0] = _leafOf(0, Kinds.HISTOGRAM, address(0), "digest", size);
        vm.prank(BOB);
        (, IUplinkLedger.Reason[] memory reasons) = ledger.submitBatch(jobId, 1, 0, schema, leaves);
        return reasons[0];
    }

    function test_submitBatch_rejectsSizeOutOfBounds_whenSmallPayloadsAreByReference() public {
        bytes32 jobId = _inRoundOne();
        assertReason(_batch(jobId, 1, 98_304), IUplinkLedger.Reason.SizeOutOfBounds, "must be inline");
        assertReason(_batch(jobId, 1, 98_305), IUplinkLedger.Reason.Accepted, "by reference");
        assertEq(_strikes(BOB), 1, "strikes");
    }

    function test_submitBatch_rejectsSchemaUnsupported_whenSchemaIsNotOne() public {
        assertReason(_batch(_inRoundOne(), 2, 98_305), IUplinkLedger.Reason.SchemaUnsupported, "schema");
    }
}
