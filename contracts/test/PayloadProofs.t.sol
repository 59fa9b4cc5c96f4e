// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Faults} from "../src/Faults.sol";
import {Kinds} from "../src/Kinds.sol";
import {IFaultProofs} from "../src/interfaces/IFaultProofs.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {Gated} from "./utils/Gated.sol";

/// @title Bob serves payloads of any number of chunks: the true one never convicts, a false one always does.
contract PayloadProofsTest is Gated {
    /// @dev Root of the tree over some hashes of chunks, an odd last node carried up; the whole level in memory.
    function _root(bytes32[] memory level) internal pure returns (bytes32) {
        while (level.length > 1) {
            bytes32[] memory above = new bytes32[]((level.length + 1) / 2);
            for (uint256 i = 0; i < level.length; i += 2) {
                above[i / 2] =
                    i + 1 == level.length ? level[i] : sha256(bytes.concat(bytes1(0x01), level[i], level[i + 1]));
            }
            level = above;
        }
        return level[0];
    }

    function _leaves(uint256 count, uint256 seed) internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            leaves[i] = keccak256(abi.encode(seed, i));
        }
    }

    function _committed(bytes32[] memory leaves) internal returns (IUplinkLedger.Envelope memory envelope) {
        envelope = _envelope(Kinds.GRADIENTS);
        envelope.digest = _root(leaves);
        envelope.size = uint64(leaves.length * 65_536);
        ledger.accept(bob, envelope);
    }

    function _statement(bytes32 digest, bytes32 served) internal view returns (bytes32) {
        return keccak256(abi.encode("fedchain payload", block.chainid, address(ledger), digest, served));
    }

    function _evidence(bytes32 digest) internal view returns (bytes32) {
        return keccak256(abi.encode(uint256(Faults.PAYLOAD_MISMATCH), bob, digest));
    }

    function test_provePayloadMismatch_strikes_whoeverProves() public {
        IUplinkLedger.Envelope memory envelope = _committed(_leaves(5, 1));
        bytes32 served = _root(_leaves(5, 2));
        bytes32 uplinkId = ledger.uplinkIdOf(bob, envelope);
        bytes memory signature = _signed(BOB_KEY, _statement(envelope.digest, served));
        bytes32 evidence = _evidence(envelope.digest);
        vm.expectEmit(true, true, true, true, address(proofs));
        emit IFaultProofs.ProofAccepted(1, bob, STRANGER, evidence, uplinkId, uplinkId);
        vm.prank(STRANGER);
        uint256 faultId = proofs.provePayloadMismatch(bob, envelope, served, signature);
        assertAnswer(faultId, Faults.STRIKE);
        assertEq(record.faultOf(faultId).evidence, evidence, "evidence");
        assertEq(record.faultOf(faultId).jobId, JOB, "jobId");
        assertTrue(proofs.isProven(evidence), "proven");
        assertEq(registry.strikesOf(bob), 1, "strikes");
    }

    function test_provePayloadMismatch_isOpenToTheSuspended_andRecordsOfThem() public {
        IUplinkLedger.Envelope memory envelope = _committed(_leaves(2, 1));
        _suspend(carol);
        _suspend(bob);
        bytes memory signature = _signed(BOB_KEY, _statement(envelope.digest, "served"));
        vm.prank(carol);
        assertAnswer(proofs.provePayloadMismatch(bob, envelope, "served", signature), Faults.RECORDED);
    }

    function test_provePayloadMismatch_isOneFaultPerDigest() public {
        IUplinkLedger.Envelope memory envelope = _committed(_leaves(4, 1));
        IUplinkLedger.Envelope memory again = _committed(_leaves(4, 1));
        again.recipient = carol;
        ledger.accept(bob, again);
        bytes memory first = _signed(BOB_KEY, _statement(envelope.digest, "served"));
        bytes memory second = _signed(BOB_KEY, _statement(envelope.digest, "otherwise"));
        proofs.provePayloadMismatch(bob, envelope, "served", first);
        bytes memory expected = abi.encodeWithSelector(IFaultProofs.AlreadyProven.selector, _evidence(envelope.digest));
        vm.expectRevert(expected);
        proofs.provePayloadMismatch(bob, envelope, "served", first);
        vm.expectRevert(expected);
        proofs.provePayloadMismatch(bob, envelope, "otherwise", second);
        vm.expectRevert(expected);
        proofs.provePayloadMismatch(bob, again, "otherwise", second);
    }

    function test_provePayloadMismatch_reverts_whenTheStatementIsNotSigned() public {
        IUplinkLedger.Envelope memory envelope = _committed(_leaves(4, 1));
        bytes32 statement = _statement(envelope.digest, "served");
        bytes[3] memory forged = [_signed(CAROL_KEY, statement), bytes(""), new bytes(100_000)];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(IFaultProofs.NotSigned.selector, statement, bob, i == 0 ? carol : address(0))
            );
            proofs.provePayloadMismatch(bob, envelope, "served", forged[i]);
        }
        bytes memory signature = _signed(BOB_KEY, _statement(envelope.digest, envelope.digest));
        vm.expectRevert(); // what he did sign is that he served the payload itself
        proofs.provePayloadMismatch(bob, envelope, "served", signature);
        signature = _signed(BOB_KEY, _statement("another digest", "served"));
        vm.expectRevert();
        proofs.provePayloadMismatch(bob, envelope, "served", signature);
        signature = _signed(
            BOB_KEY,
            keccak256(abi.encode("fedchain payload", block.chainid + 1, address(ledger), envelope.digest, "served"))
        );
        vm.expectRevert();
        proofs.provePayloadMismatch(bob, envelope, "served", signature);
        assertEq(record.faultCount(), 0, "faults");
    }

    function test_provePayloadMismatch_reverts_whenTheUplinkWasNotAcceptedFromTheParty() public {
        IUplinkLedger.Envelope memory envelope = _committed(_leaves(4, 1));
        bytes memory signature = _signed(BOB_KEY, _statement(envelope.digest, "served"));
        envelope.round = 9;
        bytes32 uplinkId = ledger.uplinkIdOf(bob, envelope);
        vm.expectRevert(abi.encodeWithSelector(IFaultProofs.UplinkNotAccepted.selector, uplinkId));
        proofs.provePayloadMismatch(bob, envelope, "served", signature);
        envelope.round = 1;
        uplinkId = ledger.uplinkIdOf(carol, envelope);
        vm.expectRevert(abi.encodeWithSelector(IFaultProofs.UplinkNotAccepted.selector, uplinkId));
        proofs.provePayloadMismatch(carol, envelope, "served", signature);
    }

    /// forge-config: default.fuzz.runs = 256
    function testFuzz_provePayloadMismatch_neverConvicts_whenThePayloadIsTrue(uint256 count, uint256 seed) public {
        bytes32[] memory leaves = _leaves(bound(count, 1, 70), seed);
        IUplinkLedger.Envelope memory envelope = _committed(leaves);
        bytes32 served = _root(leaves);
        bytes memory signature = _signed(BOB_KEY, _statement(envelope.digest, served));
        vm.expectRevert(abi.encodeWithSelector(IFaultProofs.PayloadIsSound.selector, envelope.digest));
        proofs.provePayloadMismatch(bob, envelope, served, signature);
        assertEq(record.faultCount(), 0, "faults");
    }

    /// @dev One false chunk, two that change places, one too many or too few.
    /// forge-config: default.fuzz.runs = 256
    function testFuzz_provePayloadMismatch_alwaysConvicts_whenAChunkIsFalse(
        uint256 count,
        uint256 at,
        uint256 seed,
        uint8 what,
        bytes32 forged
    ) public {
        count = bound(count, 2, 70);
        at = bound(at, 0, count - 1);
        bytes32[] memory leaves = _leaves(count, seed);
        IUplinkLedger.Envelope memory envelope = _committed(leaves);
        vm.assume(forged != leaves[at]);
        if (what % 4 == 0) leaves[at] = forged;
        if (what % 4 == 1) (leaves[at], leaves[(at + 1) % count]) = (leaves[(at + 1) % count], leaves[at]);
        if (what % 4 == 2) leaves = _leaves(count - 1, seed);
        if (what % 4 == 3) leaves = _leaves(count + 1, seed);
        bytes32 served = _root(leaves);
        bytes memory signature = _signed(BOB_KEY, _statement(envelope.digest, served));
        assertAnswer(proofs.provePayloadMismatch(bob, envelope, served, signature), Faults.STRIKE);
    }
}
