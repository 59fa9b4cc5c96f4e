// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Faults} from "../src/Faults.sol";
import {Kinds} from "../src/Kinds.sol";
import {IFaultProofs} from "../src/interfaces/IFaultProofs.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {Gated} from "./utils/Gated.sol";

/// @title Bob serves chunks of payloads of any number of chunks: true ones never convict, false ones always do.
contract ChunkProofsTest is Gated {
    uint256 internal constant CHUNK_BYTES = 65_536;

    struct Served {
        IUplinkLedger.Envelope envelope;
        uint32 index;
        bytes32 leaf;
        bytes32[] proof;
    }

    /// @dev A tree over `width` random leaves, the whole of it in memory, and the proof of leaf `index`.
    function _serve(uint256 width, uint256 index, uint256 seed) internal returns (Served memory served) {
        bytes32[] memory level = new bytes32[](width);
        for (uint256 i = 0; i < width; ++i) {
            level[i] = keccak256(abi.encode(seed, i));
        }
        bytes32[] memory siblings = new bytes32[](64);
        uint256 count;
        (served.index, served.leaf) = (uint32(index), level[index]);
        for (uint256 at = index; level.length > 1; at /= 2) {
            uint256 sibling = at % 2 == 0 ? at + 1 : at - 1;
            if (sibling < level.length) siblings[count++] = level[sibling];
            bytes32[] memory above = new bytes32[]((level.length + 1) / 2);
            for (uint256 i = 0; i < level.length; i += 2) {
                above[i / 2] =
                    i + 1 == level.length ? level[i] : sha256(bytes.concat(bytes1(0x01), level[i], level[i + 1]));
            }
            level = above;
        }
        served.proof = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            served.proof[i] = siblings[i];
        }
        served.envelope = _envelope(Kinds.GRADIENTS);
        served.envelope.digest = level[0];
        served.envelope.size = uint64(width * CHUNK_BYTES - seed % CHUNK_BYTES); // the last chunk may be short
        ledger.accept(bob, served.envelope);
    }

    function _statement(Served memory served) internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                "fedchain chunk",
                ledger.uplinkIdOf(bob, served.envelope),
                served.index,
                served.leaf,
                keccak256(abi.encode(served.proof))
            )
        );
    }

    function _prove(Served memory served) internal returns (uint256 faultId) {
        bytes memory signature = _signed(BOB_KEY, _statement(served));
        return proofs.provePayloadMismatch(bob, served.envelope, served.index, served.leaf, served.proof, signature);
    }

    function _expectSound(Served memory served) internal {
        bytes32 uplinkId = ledger.uplinkIdOf(bob, served.envelope);
        vm.expectRevert(abi.encodeWithSelector(IFaultProofs.ChunkIsSound.selector, uplinkId, served.index));
    }

    function _resized(bytes32[] memory proof, uint256 length) internal pure returns (bytes32[] memory other) {
        other = new bytes32[](length);
        for (uint256 i = 0; i < length && i < proof.length; ++i) {
            other[i] = proof[i];
        }
    }

    function test_provePayloadMismatch_strikes_whenTheLeafIsFalse() public {
        Served memory served = _serve(5, 3, 1);
        served.leaf = sha256("false");
        bytes32 uplinkId = ledger.uplinkIdOf(bob, served.envelope);
        bytes32 evidence = keccak256(abi.encode(uint256(Faults.PAYLOAD_MISMATCH), uplinkId));
        bytes memory signature = _signed(BOB_KEY, _statement(served));
        vm.expectEmit(true, true, true, true, address(proofs));
        emit IFaultProofs.ProofAccepted(1, bob, STRANGER, evidence, uplinkId, uplinkId);
        vm.prank(STRANGER);
        uint256 faultId =
            proofs.provePayloadMismatch(bob, served.envelope, served.index, served.leaf, served.proof, signature);
        assertAnswer(faultId, Faults.STRIKE);
        assertEq(record.faultOf(faultId).evidence, evidence, "evidence");
        assertTrue(proofs.isProven(evidence), "proven");
        assertEq(registry.strikesOf(bob), 1, "strikes");
    }

    function test_provePayloadMismatch_neverConvicts_forAnyTrueChunkOfUpTo17() public {
        for (uint256 width = 1; width <= 17; ++width) {
            for (uint256 index = 0; index < width; ++index) {
                Served memory served = _serve(width, index, width);
                bytes memory signature = _signed(BOB_KEY, _statement(served));
                _expectSound(served);
                proofs.provePayloadMismatch(bob, served.envelope, served.index, served.leaf, served.proof, signature);
            }
        }
        assertEq(record.faultCount(), 0, "faults");
    }

    function test_provePayloadMismatch_isOneFaultPerUplink() public {
        Served memory served = _serve(4, 1, 1);
        served.leaf = sha256("false");
        _prove(served);
        bytes32 uplinkId = ledger.uplinkIdOf(bob, served.envelope);
        bytes32 evidence = keccak256(abi.encode(uint256(Faults.PAYLOAD_MISMATCH), uplinkId));
        for (uint256 i = 0; i < 2; ++i) {
            bytes memory signature = _signed(BOB_KEY, _statement(served));
            vm.expectRevert(abi.encodeWithSelector(IFaultProofs.AlreadyProven.selector, evidence));
            proofs.provePayloadMismatch(bob, served.envelope, served.index, served.leaf, served.proof, signature);
            served.index = 2;
        }
    }

    function test_provePayloadMismatch_reverts_whenTheStatementIsNotSigned() public {
        Served memory served = _serve(4, 1, 1);
        bytes memory overTheTrueOne = _signed(BOB_KEY, _statement(served));
        served.leaf = sha256("false");
        bytes memory byCarol = _signed(CAROL_KEY, _statement(served));
        bytes[3] memory forged = [byCarol, bytes(""), new bytes(65)];
        for (uint256 i = 0; i < 3; ++i) {
            bytes32 statement = _statement(served);
            vm.expectRevert(
                abi.encodeWithSelector(IFaultProofs.NotSigned.selector, statement, bob, i == 0 ? carol : address(0))
            );
            proofs.provePayloadMismatch(bob, served.envelope, served.index, served.leaf, served.proof, forged[i]);
        }
        vm.expectRevert();
        proofs.provePayloadMismatch(bob, served.envelope, served.index, served.leaf, served.proof, overTheTrueOne);
        assertEq(record.faultCount(), 0, "faults");
    }

    function test_provePayloadMismatch_reverts_whenTheUplinkWasNotAccepted() public {
        Served memory served = _serve(4, 1, 1);
        served.leaf = sha256("false");
        served.envelope.round = 9;
        bytes memory signature = _signed(BOB_KEY, _statement(served));
        bytes32 uplinkId = ledger.uplinkIdOf(bob, served.envelope);
        vm.expectRevert(abi.encodeWithSelector(IFaultProofs.UplinkNotAccepted.selector, uplinkId));
        proofs.provePayloadMismatch(bob, served.envelope, served.index, served.leaf, served.proof, signature);
    }

    function test_provePayloadMismatch_convicts_whenTheProofIsEmptyOrHuge_orThePositionBeyondTheLast() public {
        uint256 snapshot = vm.snapshotState();
        Served memory served = _serve(4, 1, 1);
        served.proof = new bytes32[](0);
        _prove(served);
        vm.revertToState(snapshot);
        served = _serve(4, 1, 1);
        served.proof = _resized(served.proof, 2000);
        _prove(served);
        vm.revertToState(snapshot);
        served = _serve(4, 1, 1);
        served.index = 4;
        _prove(served);
        vm.revertToState(snapshot);
        served = _serve(1, 0, 1);
        served.index = type(uint32).max;
        _prove(served);
        assertEq(registry.strikesOf(bob), 1, "strikes");
    }

    function test_provePayloadMismatch_isBounded_whenTheSizeIsMaximal() public {
        Served memory served = _serve(1, 0, 1);
        served.envelope.size = type(uint64).max; // 2^48 chunks
        ledger.accept(bob, served.envelope);
        served.proof = new bytes32[](48);
        uint256 before = gasleft();
        _prove(served);
        assertTrue(before - gasleft() < 600_000, "gas");
    }

    /// forge-config: default.fuzz.runs = 256
    function testFuzz_provePayloadMismatch_neverConvicts_whenTheChunkIsTrue(uint256 width, uint256 index, uint256 seed)
        public
    {
        width = bound(width, 1, 70);
        Served memory served = _serve(width, bound(index, 0, width - 1), seed);
        bytes memory signature = _signed(BOB_KEY, _statement(served));
        _expectSound(served);
        proofs.provePayloadMismatch(bob, served.envelope, served.index, served.leaf, served.proof, signature);
        assertEq(record.faultCount(), 0, "faults");
    }

    /// @dev A false leaf, a false sibling, another position, a proof too short or too long.
    /// forge-config: default.fuzz.runs = 256
    function testFuzz_provePayloadMismatch_alwaysConvicts_whenAnythingIsFalse(
        uint256 width,
        uint256 index,
        uint256 seed,
        uint8 what,
        bytes32 forged
    ) public {
        width = bound(width, 1, 70);
        Served memory served = _serve(width, bound(index, 0, width - 1), seed);
        uint256 length = served.proof.length;
        what %= 5;
        if (what == 1 && length > 0) {
            uint256 at = seed % length;
            vm.assume(served.proof[at] != forged);
            served.proof[at] = forged;
        } else if (what == 2) {
            served.index = uint32(bound(uint256(forged), 0, 2 * width));
            vm.assume(served.index != index % width);
        } else if (what == 3 && length > 0) {
            served.proof = _resized(served.proof, length - 1);
        } else if (what == 4) {
            served.proof = _resized(served.proof, length + 1);
        } else {
            vm.assume(served.leaf != forged);
            served.leaf = forged;
        }
        _prove(served);
        assertEq(registry.strikesOf(bob), 1, "strikes");
    }
}
