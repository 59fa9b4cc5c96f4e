// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Faults} from "../src/Faults.sol";
import {Kinds} from "../src/Kinds.sol";
import {IAnomalyRecord} from "../src/interfaces/IAnomalyRecord.sol";
import {IFaultProofs} from "../src/interfaces/IFaultProofs.sol";
import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {Gated} from "./utils/Gated.sol";

contract FaultProofsTest is Gated {
    uint256 internal constant CURVE_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    /// @dev Two uplinks of one slot.
    function _twoDigests() internal pure returns (IUplinkLedger.Envelope memory a, IUplinkLedger.Envelope memory b) {
        a = _envelope(Kinds.GRADIENTS);
        b = _envelope(Kinds.GRADIENTS);
        b.digest = sha256("another digest");
        b.size = 200;
    }

    function _signedUplink(uint256 key, address party, IUplinkLedger.Envelope memory envelope)
        internal
        view
        returns (bytes memory)
    {
        return _signed(key, ledger.uplinkIdOf(party, envelope));
    }

    function _notSigned(address party, IUplinkLedger.Envelope memory envelope, address expected, address found)
        internal
        view
        returns (bytes memory)
    {
        return abi.encodeWithSelector(
            IFaultProofs.NotSigned.selector, ledger.uplinkIdOf(party, envelope), expected, found
        );
    }

    function _equivocates(address party, uint256 key) internal returns (uint256 faultId) {
        (IUplinkLedger.Envelope memory a, IUplinkLedger.Envelope memory b) = _twoDigests();
        return proofs.proveEquivocation(party, a, _signedUplink(key, party, a), b, _signedUplink(key, party, b));
    }

    /// @dev Two accepted uplinks of one digest, in rounds 1 and 2.
    function _replayed(uint8 kind) internal returns (IUplinkLedger.Envelope memory a, IUplinkLedger.Envelope memory b) {
        a = _envelope(kind);
        b = _envelope(kind);
        b.round = 2;
        ledger.accept(bob, a);
        ledger.accept(bob, b);
    }

    // -- equivocation -----------------------------------------------------------------------------------------------------

    function test_proveEquivocation_suspends_whenBothAreSigned_whoeverProves() public {
        (IUplinkLedger.Envelope memory a, IUplinkLedger.Envelope memory b) = _twoDigests();
        bytes32 slot = ledger.slotOf(bob, a);
        bytes32 evidence = keccak256(abi.encode(uint256(Faults.EQUIVOCATION), slot));
        bytes memory signatureA = _signedUplink(BOB_KEY, bob, a);
        bytes memory signatureB = _signedUplink(BOB_KEY, bob, b);
        assertTrue(!proofs.isProven(evidence), "proven before");
        vm.expectEmit(true, true, true, true, address(record));
        emit IAnomalyRecord.FaultRecorded(1, bob, JOB, 1, Faults.EQUIVOCATION, Faults.SUSPENSION, evidence);
        vm.expectEmit(true, true, true, true, address(proofs));
        emit IFaultProofs.ProofAccepted(
            1, bob, STRANGER, evidence, ledger.uplinkIdOf(bob, a), ledger.uplinkIdOf(bob, b)
        );
        vm.prank(STRANGER);
        assertEq(proofs.proveEquivocation(bob, a, signatureA, b, signatureB), 1, "faultId");
        assertStatus(bob, IParticipantRegistry.Status.Suspended);
        assertTrue(proofs.isProven(evidence), "proven");
    }

    function test_proveEquivocation_takesAnAcceptedUplink_withoutItsSignature_inEitherPlace() public {
        (IUplinkLedger.Envelope memory a, IUplinkLedger.Envelope memory b) = _twoDigests();
        ledger.accept(bob, a);
        uint256 snapshot = vm.snapshotState();
        bytes memory signatureB = _signedUplink(BOB_KEY, bob, b);
        proofs.proveEquivocation(bob, a, "", b, signatureB);
        assertStatus(bob, IParticipantRegistry.Status.Suspended);
        vm.revertToState(snapshot);
        proofs.proveEquivocation(bob, b, signatureB, a, "");
        assertStatus(bob, IParticipantRegistry.Status.Suspended);
    }

    function test_proveEquivocation_reverts_whenAnUplinkIsNeitherSignedNorAccepted() public {
        (IUplinkLedger.Envelope memory a, IUplinkLedger.Envelope memory b) = _twoDigests();
        ledger.accept(bob, a);
        bytes32 second = ledger.uplinkIdOf(bob, b);
        vm.expectRevert(abi.encodeWithSelector(IFaultProofs.UplinkNotAccepted.selector, second));
        proofs.proveEquivocation(bob, a, "", b, "");
    }

    function test_proveEquivocation_reverts_whenProvenBefore_inAnyOrderAndWithAThirdDigest() public {
        _equivocates(bob, BOB_KEY);
        (IUplinkLedger.Envelope memory a, IUplinkLedger.Envelope memory b) = _twoDigests();
        IUplinkLedger.Envelope memory c = _envelope(Kinds.GRADIENTS);
        c.digest = sha256("a third digest");
        bytes32 evidence = keccak256(abi.encode(uint256(Faults.EQUIVOCATION), ledger.slotOf(bob, a)));
        bytes memory signatureA = _signedUplink(BOB_KEY, bob, a);
        bytes memory signatureB = _signedUplink(BOB_KEY, bob, b);
        bytes memory signatureC = _signedUplink(BOB_KEY, bob, c);
        bytes memory expected = abi.encodeWithSelector(IFaultProofs.AlreadyProven.selector, evidence);
        vm.expectRevert(expected);
        proofs.proveEquivocation(bob, a, signatureA, b, signatureB);
        vm.expectRevert(expected);
        proofs.proveEquivocation(bob, b, signatureB, a, signatureA);
        vm.expectRevert(expected);
        proofs.proveEquivocation(bob, c, signatureC, a, signatureA);
        assertEq(record.faultCount(), 1, "faults");
    }

    function test_proveEquivocation_reverts_whenTheSlotsDiffer_inAnyPart() public {
        for (uint256 part = 0; part < 6; ++part) {
            (IUplinkLedger.Envelope memory a, IUplinkLedger.Envelope memory b) = _twoDigests();
            if (part == 0) b.jobId = OTHER_JOB;
            if (part == 1) b.round = 2;
            if (part == 2) b.attempt = 1;
            if (part == 3) b.step = 1;
            if (part == 4) b.kind = Kinds.HISTOGRAM;
            if (part == 5) b.recipient = carol;
            bytes memory expected =
                abi.encodeWithSelector(IFaultProofs.SlotsDiffer.selector, ledger.slotOf(bob, a), ledger.slotOf(bob, b));
            bytes memory signatureA = _signedUplink(BOB_KEY, bob, a);
            bytes memory signatureB = _signedUplink(BOB_KEY, bob, b);
            vm.expectRevert(expected);
            proofs.proveEquivocation(bob, a, signatureA, b, signatureB);
        }
    }

    function test_proveEquivocation_reverts_whenTheDigestIsOne() public {
        (IUplinkLedger.Envelope memory a, IUplinkLedger.Envelope memory b) = _twoDigests();
        b.digest = a.digest; // though of another size
        bytes memory signatureA = _signedUplink(BOB_KEY, bob, a);
        bytes memory signatureB = _signedUplink(BOB_KEY, bob, b);
        vm.expectRevert(abi.encodeWithSelector(IFaultProofs.DigestsEqual.selector, a.digest));
        proofs.proveEquivocation(bob, a, signatureA, b, signatureB);
        vm.expectRevert(abi.encodeWithSelector(IFaultProofs.DigestsEqual.selector, a.digest));
        proofs.proveEquivocation(bob, a, signatureA, a, signatureA);
    }

    function test_proveEquivocation_reverts_whenAnotherSigned() public {
        (IUplinkLedger.Envelope memory a, IUplinkLedger.Envelope memory b) = _twoDigests();
        bytes memory signatureA = _signedUplink(BOB_KEY, bob, a);
        bytes memory signatureB = _signedUplink(CAROL_KEY, bob, b);
        bytes memory expected = _notSigned(bob, b, bob, carol);
        vm.expectRevert(expected);
        proofs.proveEquivocation(bob, a, signatureA, b, signatureB);
        expected = _notSigned(bob, a, bob, carol);
        bytes memory forged = _signedUplink(CAROL_KEY, bob, a);
        bytes memory sound = _signedUplink(BOB_KEY, bob, b);
        vm.expectRevert(expected);
        proofs.proveEquivocation(bob, a, forged, b, sound);
        assertStatus(bob, IParticipantRegistry.Status.Accredited);
    }

    function test_proveEquivocation_reverts_whenTheSignatureIsMalformedOrHigh() public {
        (IUplinkLedger.Envelope memory a, IUplinkLedger.Envelope memory b) = _twoDigests();
        bytes memory signatureA = _signedUplink(BOB_KEY, bob, a);
        bytes memory sound = _signedUplink(BOB_KEY, bob, b);
        (bytes32 r, bytes32 s, uint8 v) = (bytes32(0), bytes32(0), uint8(sound[64]));
        assembly ("memory-safe") {
            r := mload(add(sound, 32))
            s := mload(add(sound, 64))
        }
        bytes[6] memory malformed = [
            bytes("x"),
            abi.encodePacked(r, s),
            abi.encodePacked(sound, uint8(0)),
            new bytes(65),
            abi.encodePacked(r, bytes32(CURVE_ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27)),
            new bytes(100_000)
        ];
        bytes memory expected = _notSigned(bob, b, bob, address(0));
        for (uint256 i = 0; i < malformed.length; ++i) {
            vm.expectRevert(expected);
            proofs.proveEquivocation(bob, a, signatureA, b, malformed[i]);
        }
    }

    function test_proveEquivocation_reverts_whenTheSignatureIsForAnotherChainOrLedger() public {
        (IUplinkLedger.Envelope memory a, IUplinkLedger.Envelope memory b) = _twoDigests();
        bytes memory signatureA = _signedUplink(BOB_KEY, bob, a);
        bytes memory elsewhere = _signed(BOB_KEY, keccak256(abi.encode(block.chainid + 1, address(ledger), bob, b)));
        vm.expectRevert();
        proofs.proveEquivocation(bob, a, signatureA, b, elsewhere);
        elsewhere = _signed(BOB_KEY, keccak256(abi.encode(block.chainid, address(1), bob, b)));
        vm.expectRevert();
        proofs.proveEquivocation(bob, a, signatureA, b, elsewhere);
    }

    function test_proofs_revert_whenThePartyIsUnknown() public {
        (IUplinkLedger.Envelope memory a, IUplinkLedger.Envelope memory b) = _twoDigests();
        address[2] memory unknown = [STRANGER, address(0)];
        for (uint256 i = 0; i < 2; ++i) {
            bytes memory expected = abi.encodeWithSelector(IFaultProofs.PartyUnknown.selector, unknown[i]);
            vm.expectRevert(expected);
            proofs.proveEquivocation(unknown[i], a, new bytes(65), b, new bytes(65));
            vm.expectRevert(expected);
            proofs.provePayloadMismatch(unknown[i], a, 0, "");
            vm.expectRevert(expected);
            proofs.proveReplay(unknown[i], a, "", b, "");
        }
    }

    function test_proveEquivocation_judgesByTheKeyThatSignsNow_whereTheJobWasNotAccepted() public {
        address fresh = vm.addr(0xF4E54);
        registry.setParty(bob, fresh, IParticipantRegistry.Status.Accredited);
        (IUplinkLedger.Envelope memory a, IUplinkLedger.Envelope memory b) = _twoDigests();
        bytes memory signatureA = _signedUplink(BOB_KEY, bob, a);
        bytes memory expected = _notSigned(bob, a, fresh, bob);
        vm.expectRevert(expected);
        proofs.proveEquivocation(bob, a, signatureA, b, signatureA);
        _equivocates(bob, 0xF4E54);
        assertStatus(bob, IParticipantRegistry.Status.Suspended);
    }

    function test_proveEquivocation_isOpenToTheSuspended_andRecordsOfThem() public {
        _suspend(carol);
        _suspend(bob);
        (IUplinkLedger.Envelope memory a, IUplinkLedger.Envelope memory b) = _twoDigests();
        bytes memory signatureA = _signedUplink(BOB_KEY, bob, a);
        bytes memory signatureB = _signedUplink(BOB_KEY, bob, b);
        vm.prank(carol);
        assertAnswer(proofs.proveEquivocation(bob, a, signatureA, b, signatureB), Faults.RECORDED);
    }

    function testFuzz_proveEquivocation_neverConvictsWhoSignedOnlyOne(
        bytes32 digest,
        uint256 key,
        bytes32 r,
        bytes32 s,
        bool v
    ) public {
        (IUplinkLedger.Envelope memory a, IUplinkLedger.Envelope memory b) = _twoDigests();
        b.digest = digest;
        vm.assume(digest != a.digest);
        key = bound(key, 1, CURVE_ORDER - 1);
        vm.assume(key != BOB_KEY);
        bytes memory signatureA = _signedUplink(BOB_KEY, bob, a);
        bytes memory signatureB = _signedUplink(key, bob, b);
        vm.expectRevert();
        proofs.proveEquivocation(bob, a, signatureA, b, signatureB);
        vm.expectRevert();
        proofs.proveEquivocation(bob, a, signatureA, b, abi.encodePacked(r, s, v ? uint8(27) : uint8(28)));
        vm.expectRevert();
        proofs.proveEquivocation(bob, a, signatureA, b, signatureA);
    }

    function testFuzz_proveEquivocation_convicts_forAnySlotAndDigests(
        IUplinkLedger.Envelope memory a,
        bytes32 digest,
        uint64 size
    ) public {
        vm.assume(digest != a.digest);
        IUplinkLedger.Envelope memory b = IUplinkLedger.Envelope(
            a.jobId, a.round, a.attempt, a.step, a.kind, a.recipient, a.schema, digest, size, a.statisticE6
        );
        uint256 faultId =
            proofs.proveEquivocation(bob, a, _signedUplink(BOB_KEY, bob, a), b, _signedUplink(BOB_KEY, bob, b));
        assertEq(record.faultOf(faultId).jobId, a.jobId, "jobId");
        assertEq(record.faultOf(faultId).round, a.round, "round");
        assertStatus(bob, IParticipantRegistry.Status.Suspended);
    }

    // -- replay -----------------------------------------------------------------------------------------------------------

    function test_proveReplay_strikes_whenACiphertextComesTwice() public {
        uint8[4] memory kinds = [Kinds.PUBLIC_KEY, Kinds.BLINDED_IDS, Kinds.GRADIENTS, Kinds.HISTOGRAM];
        registry.setStrikesSuspend(false);
        for (uint256 i = 0; i < 4; ++i) {
            (IUplinkLedger.Envelope memory a, IUplinkLedger.Envelope memory b) = _replayed(kinds[i]);
            vm.prank(STRANGER);
            assertAnswer(proofs.proveReplay(bob, a, "", b, ""), Faults.STRIKE);
        }
        assertEq(registry.strikesOf(bob), 4, "strikes");
    }

    function test_proveReplay_convicts_acrossAttemptsAndJobs() public {
        IUplinkLedger.Envelope memory a = _envelope(Kinds.GRADIENTS);
        IUplinkLedger.Envelope memory attempt = _envelope(Kinds.GRADIENTS);
        attempt.attempt = 1;
        IUplinkLedger.Envelope memory job = _envelope(Kinds.HISTOGRAM); // of another kind, even
        job.jobId = OTHER_JOB;
        ledger.accept(bob, a);
        ledger.accept(bob, attempt);
        vm.roll(block.number + 1);
        ledger.accept(bob, job);
        proofs.proveReplay(bob, a, "", attempt, "");
        proofs.proveReplay(bob, job, "", a, "");
        assertEq(record.faultOf(2).jobId, OTHER_JOB, "the later one's job");
        assertEq(registry.strikesOf(bob), 2, "strikes");
    }

    function test_proveReplay_recordsTheLaterRound_inAnyOrder() public {
        (IUplinkLedger.Envelope memory a, IUplinkLedger.Envelope memory b) = _replayed(Kinds.GRADIENTS);
        bytes32 one = ledger.uplinkIdOf(bob, a);
        bytes32 other = ledger.uplinkIdOf(bob, b);
        bytes32 evidence = one < other
            ? keccak256(abi.encode(uint256(Faults.REPLAY), one, other))
            : keccak256(abi.encode(uint256(Faults.REPLAY), other, one));
        for (uint256 i = 0; i < 2; ++i) {
            if (i == 1) {
                vm.roll(block.number + 1);
                ledger.accept(bob, b);
            }
            uint256 snapshot = vm.snapshotState();
            assertEq(record.faultOf(proofs.proveReplay(bob, a, "", b, "")).round, 2, "round");
            assertEq(record.faultOf(1).evidence, evidence, "evidence");
            assertTrue(proofs.isProven(evidence), "proven");
            vm.revertToState(snapshot);
            assertEq(record.faultOf(proofs.proveReplay(bob, b, "", a, "")).round, 2, "round");
            assertEq(record.faultOf(1).evidence, evidence, "evidence");
            vm.revertToState(snapshot);
        }
    }

    function test_proveReplay_provesOneFaultLess_thanThereAreEqualUplinks() public {
        registry.setStrikesSuspend(false);
        IUplinkLedger.Envelope[] memory equal = new IUplinkLedger.Envelope[](4);
        for (uint32 i = 0; i < 4; ++i) {
            equal[i] = _envelope(Kinds.GRADIENTS);
            equal[i].round = i + 1;
            ledger.accept(bob, equal[i]);
        }
        uint256 proven;
        for (uint256 i = 0; i < 4; ++i) {
            for (uint256 j = 0; j < 4; ++j) {
                if (i == j) continue;
                try proofs.proveReplay(bob, equal[i], "", equal[j], "") {
                    ++proven;
                } catch (bytes memory error) {
                    assertEq(bytes32(bytes4(error)), bytes32(IFaultProofs.AlreadyProven.selector), "error");
                }
            }
        }
        assertEq(proven, 3, "proven");
        assertEq(registry.strikesOf(bob), 3, "strikes");
    }

    function test_proveReplay_reverts_whenTheRoundIsOne() public {
        IUplinkLedger.Envelope memory a = _envelope(Kinds.GRADIENTS);
        IUplinkLedger.Envelope memory b = _envelope(Kinds.GRADIENTS);
        a.recipient = alice;
        b.recipient = carol;
        b.step = 1;
        ledger.accept(bob, a);
        ledger.accept(bob, b);
        vm.expectRevert(abi.encodeWithSelector(IFaultProofs.SameRound.selector, JOB, 1, 0));
        proofs.proveReplay(bob, a, "", b, "");
        vm.expectRevert(abi.encodeWithSelector(IFaultProofs.SameRound.selector, JOB, 1, 0));
        proofs.proveReplay(bob, a, "", a, "");
    }

    function test_proveReplay_reverts_whenTheKindMayRepeat() public {
        for (uint8 kind = Kinds.SPLIT; kind <= Kinds.AUDIT; ++kind) {
            (IUplinkLedger.Envelope memory a, IUplinkLedger.Envelope memory b) = _replayed(kind);
            vm.expectRevert(abi.encodeWithSelector(IFaultProofs.KindMayRepeat.selector, kind));
            proofs.proveReplay(bob, a, "", b, "");
            a.kind = Kinds.GRADIENTS;
            vm.expectRevert(abi.encodeWithSelector(IFaultProofs.KindMayRepeat.selector, kind));
            proofs.proveReplay(bob, a, "", b, "");
        }
    }

    function test_proveReplay_reverts_whenNotBothWereAcceptedFromTheParty() public {
        IUplinkLedger.Envelope memory a = _envelope(Kinds.GRADIENTS);
        IUplinkLedger.Envelope memory b = _envelope(Kinds.GRADIENTS);
        b.round = 2;
        ledger.accept(bob, a);
        ledger.accept(carol, b); // Carol replays Bob's ciphertext: not Bob's fault
        bytes32 missing = ledger.uplinkIdOf(bob, b);
        vm.expectRevert(abi.encodeWithSelector(IFaultProofs.UplinkNotAccepted.selector, missing));
        proofs.proveReplay(bob, a, "", b, "");
        vm.expectRevert(abi.encodeWithSelector(IFaultProofs.UplinkNotAccepted.selector, missing));
        proofs.proveReplay(bob, b, "", a, "");
    }

    function test_proveReplay_strikes_whenWhatWasNotAcceptedIsSigned() public {
        registry.setStrikesSuspend(false);
        IUplinkLedger.Envelope memory a = _envelope(Kinds.HISTOGRAM);
        IUplinkLedger.Envelope memory b = _envelope(Kinds.HISTOGRAM);
        b.round = 2;
        ledger.accept(bob, a);
        vm.roll(block.number + 1);
        bytes memory signature = _signedUplink(BOB_KEY, bob, b);
        uint256 snapshot = vm.snapshotState();
        vm.prank(STRANGER);
        uint256 faultId = proofs.proveReplay(bob, a, "", b, signature);
        assertAnswer(faultId, Faults.STRIKE);
        assertEq(record.faultOf(faultId).round, 2, "the round of what was not accepted");
        vm.expectRevert();
        proofs.proveReplay(bob, b, signature, a, ""); // proven
        vm.revertToState(snapshot);
        assertEq(record.faultOf(proofs.proveReplay(bob, b, signature, a, "")).round, 2, "in any order");
        vm.revertToState(snapshot);
        faultId = proofs.proveReplay(bob, a, _signedUplink(BOB_KEY, bob, a), b, signature);
        assertEq(record.faultOf(faultId).round, 2, "both signed");
    }

    function test_proveReplay_recordsTheJob_ofWhatWasNotAccepted() public {
        IUplinkLedger.Envelope memory a = _envelope(Kinds.GRADIENTS);
        a.round = 7;
        IUplinkLedger.Envelope memory b = _envelope(Kinds.GRADIENTS);
        b.jobId = OTHER_JOB;
        ledger.accept(bob, a);
        uint256 faultId = proofs.proveReplay(bob, b, _signedUplink(BOB_KEY, bob, b), a, "");
        assertEq(record.faultOf(faultId).jobId, OTHER_JOB, "job");
        assertEq(record.faultOf(faultId).round, 1, "round");
    }

    function test_proveReplay_reverts_whenASignatureIsAnothers_orOfAnotherUplink() public {
        IUplinkLedger.Envelope memory a = _envelope(Kinds.GRADIENTS);
        IUplinkLedger.Envelope memory b = _envelope(Kinds.GRADIENTS);
        b.round = 2;
        ledger.accept(bob, a);
        bytes memory carols = _signedUplink(CAROL_KEY, bob, b);
        bytes memory another = _signedUplink(BOB_KEY, bob, a);
        vm.expectRevert(_notSigned(bob, b, bob, carol));
        proofs.proveReplay(bob, a, "", b, carols);
        vm.expectRevert(_notSigned(bob, b, bob, carol));
        proofs.proveReplay(bob, b, carols, a, "");
        vm.expectRevert();
        proofs.proveReplay(bob, a, "", b, another);
        assertEq(registry.strikesOf(bob), 0, "strikes");
    }

    function testFuzz_proveReplay_neverConvicts_whenDigestsDiffer(bytes32 first, bytes32 second, uint32 round) public {
        vm.assume(first != second && round != 1);
        (IUplinkLedger.Envelope memory a, IUplinkLedger.Envelope memory b) = _replayed(Kinds.GRADIENTS);
        a.digest = first;
        b.digest = second;
        b.round = round;
        ledger.accept(bob, a);
        ledger.accept(bob, b);
        vm.expectRevert(abi.encodeWithSelector(IFaultProofs.DigestsDiffer.selector, first, second));
        proofs.proveReplay(bob, a, "", b, "");
    }
}
