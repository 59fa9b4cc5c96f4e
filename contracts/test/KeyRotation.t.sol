// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/* solhint-disable avoid-low-level-calls, no-empty-blocks */

import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {Membership} from "./utils/Membership.sol";

contract KeyRotationTest is Membership {
    uint256 internal constant SECOND_SECRET = 2;
    uint256 internal constant THIRD_SECRET = 3;
    uint256 internal constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    uint64 internal constant DEADLINE = 1_000_000;

    address internal second;
    address internal third;

    function setUp() public override {
        super.setUp();
        second = vm.addr(SECOND_SECRET);
        third = vm.addr(THIRD_SECRET);
        vm.warp(DEADLINE - 10);
    }

    function _rotateAs(address caller, uint64 deadline, bytes memory signature) internal {
        vm.prank(caller);
        registry.rotateKey(bob, deadline, signature);
    }

    function _expectKeyTaken(address key, address party) internal {
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.KeyTaken.selector, key, party));
    }

    function _reads(address signer) internal returns (uint256) {
        vm.record();
        registry.identify(signer);
        (bytes32[] memory reads,) = vm.accesses(address(registry));
        uint256 distinct = 0;
        for (uint256 i = 0; i < reads.length; ++i) {
            bool seen = false;
            for (uint256 j = 0; j < i; ++j) {
                if (reads[j] == reads[i]) seen = true;
            }
            if (!seen) ++distinct;
        }
        return distinct;
    }

    function test_rotateKey_handsTheKeyOver() public {
        uint64 epoch = registry.epoch();
        bytes memory signature = _signRotation(BOB_SECRET, second, 0, DEADLINE);
        vm.expectEmit(true, true, true, true, address(registry));
        emit IParticipantRegistry.KeyRotated(bob, bob, second);
        _rotateAs(second, DEADLINE, signature);
        assertIdentified(second, bob, IParticipantRegistry.Status.Accredited);
        assertIdentified(bob, address(0), IParticipantRegistry.Status.Unknown);
        assertEq(registry.signerOf(bob), second, "signer");
        assertEq(registry.participantOf(bob).signer, second, "participant's signer");
        assertEq(registry.participantOf(second).signer, address(0), "a key is no party");
        assertEq(registry.participantOf(second).changes, 0, "a key has no changes");
        assertEq(registry.signerOf(second), address(0), "a key has no signer");
        assertEq(registry.rotationNonce(bob), 1, "nonce");
        assertEq(registry.epoch(), epoch + 1, "epoch");
        assertStatus(bob, IParticipantRegistry.Status.Accredited);
        assertStatus(second, IParticipantRegistry.Status.Unknown);
        assertEq(registry.addressOf("bob"), bob, "the party's address stays");
        assertEq(registry.count(), 5, "count");
    }

    function test_rotateKey_again_retiresTheKeyBetween() public {
        _rotate(BOB_SECRET, SECOND_SECRET);
        _rotate(SECOND_SECRET, THIRD_SECRET);
        assertIdentified(third, bob, IParticipantRegistry.Status.Accredited);
        assertIdentified(second, address(0), IParticipantRegistry.Status.Unknown);
        assertIdentified(bob, address(0), IParticipantRegistry.Status.Unknown);
        assertEq(registry.rotationNonce(bob), 2, "nonce");
    }

    function test_isKeyOf_knowsPresentAndEarlierKeys() public {
        _rotate(BOB_SECRET, SECOND_SECRET);
        _rotate(SECOND_SECRET, THIRD_SECRET);
        assertTrue(registry.isKeyOf(bob, bob) && registry.isKeyOf(bob, second) && registry.isKeyOf(bob, third), "own");
        assertTrue(!registry.isKeyOf(bob, CAROL) && !registry.isKeyOf(bob, EVE), "not others'");
        assertTrue(!registry.isKeyOf(CAROL, second) && !registry.isKeyOf(second, second), "a key is no party");
        assertTrue(!registry.isKeyOf(EVE, EVE) && !registry.isKeyOf(address(0), EVE), "a stranger has no key");
        assertTrue(!registry.isKeyOf(second, bob), "nor the other way round");
    }

    function test_identify_readsOneSlot_untilARotation_andTwoAfter() public {
        assertEq(_reads(bob), 1, "never rotated");
        assertEq(_reads(EVE), 1, "stranger");
        _rotate(BOB_SECRET, SECOND_SECRET);
        assertEq(_reads(second), 2, "rotated");
        assertEq(_reads(bob), 1, "retired");
        _rotate(SECOND_SECRET, THIRD_SECRET);
        assertEq(_reads(second), 1, "retired");
    }

    function test_rotateKey_isOpenToRegisteredAndSuspendedParties() public {
        _suspend(bob);
        _rotate(BOB_SECRET, SECOND_SECRET);
        assertIdentified(second, bob, IParticipantRegistry.Status.Suspended);
        _reinstate(bob);
        assertIdentified(second, bob, IParticipantRegistry.Status.Accredited);

        address olga = vm.addr(77);
        _register(olga, "olga");
        bytes memory signature = _signRotationOf(olga, 77, third, 0, DEADLINE);
        vm.prank(third);
        registry.rotateKey(olga, DEADLINE, signature);
        assertIdentified(third, olga, IParticipantRegistry.Status.Registered);
    }

    function test_rotateKey_reverts_whenBannedOrUnknown() public {
        bytes memory signature = _signRotation(BOB_SECRET, second, 0, DEADLINE);
        _ban(bob);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.PartyBanned.selector, bob));
        _rotateAs(second, DEADLINE, signature);
        vm.prank(second);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.NotRegistered.selector, EVE));
        registry.rotateKey(EVE, DEADLINE, signature);
    }

    function test_ban_reachesTheRotatedKey() public {
        _rotate(BOB_SECRET, SECOND_SECRET);
        _ban(bob);
        assertIdentified(second, bob, IParticipantRegistry.Status.Banned);
        bytes memory signature = _signRotation(SECOND_SECRET, third, 1, DEADLINE);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.PartyBanned.selector, bob));
        _rotateAs(third, DEADLINE, signature);
        vm.prank(second);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.PartyBanned.selector, bob));
        registry.setEncryptionKey("another");
    }

    function test_rotateKey_reverts_afterTheDeadline() public {
        bytes memory signature = _signRotation(BOB_SECRET, second, 0, DEADLINE);
        vm.warp(DEADLINE + 1);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.RotationExpired.selector, DEADLINE, DEADLINE + 1));
        _rotateAs(second, DEADLINE, signature);
        vm.warp(DEADLINE);
        _rotateAs(second, DEADLINE, signature);
    }

    function test_rotateKey_reverts_whenTheNewKeyStandsForSomebody() public {
        bytes memory signature = _signRotation(BOB_SECRET, CAROL, 0, DEADLINE);
        _expectKeyTaken(CAROL, CAROL);
        _rotateAs(CAROL, DEADLINE, signature);
        signature = _signRotation(BOB_SECRET, bob, 0, DEADLINE);
        _expectKeyTaken(bob, bob);
        _rotateAs(bob, DEADLINE, signature);
        _rotate(BOB_SECRET, SECOND_SECRET);
        signature = _signRotation(SECOND_SECRET, second, 1, DEADLINE);
        _expectKeyTaken(second, bob);
        _rotateAs(second, DEADLINE, signature);
        signature = _signRotation(SECOND_SECRET, bob, 1, DEADLINE);
        _expectKeyTaken(bob, bob);
        _rotateAs(bob, DEADLINE, signature); // nor does a retired key come back
        _rotate(SECOND_SECRET, THIRD_SECRET);
        signature = _signRotation(THIRD_SECRET, second, 2, DEADLINE);
        _expectKeyTaken(second, bob);
        _rotateAs(second, DEADLINE, signature);
    }

    function test_register_reverts_whenTheKeyIsOrWasASigner() public {
        _rotate(BOB_SECRET, SECOND_SECRET);
        _expectKeyTaken(second, bob);
        _register(second, "second");
        _rotate(SECOND_SECRET, THIRD_SECRET);
        _expectKeyTaken(second, bob);
        _register(second, "second");
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.AlreadyRegistered.selector, bob));
        _register(bob, "another");
    }

    function test_rotateKey_reverts_whenUsedTwice() public {
        bytes memory signature = _signRotation(BOB_SECRET, second, 0, DEADLINE);
        _rotateAs(second, DEADLINE, signature);
        _expectKeyTaken(second, bob);
        _rotateAs(second, DEADLINE, signature);
    }

    function test_rotateKey_reverts_whenSignedByAnyoneButThePresentSigner() public {
        bytes memory signature = _signRotation(99, second, 0, DEADLINE);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.RotationNotSigned.selector, bob, vm.addr(99)));
        _rotateAs(second, DEADLINE, signature);
        _rotate(BOB_SECRET, SECOND_SECRET);
        signature = _signRotation(BOB_SECRET, third, 1, DEADLINE); // a retired key signs nothing any more
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.RotationNotSigned.selector, second, bob));
        _rotateAs(third, DEADLINE, signature);
    }

    function test_rotateKey_reverts_whenAnotherTermWasSigned() public {
        bytes memory signature = _signRotation(BOB_SECRET, second, 0, DEADLINE);
        _expectUnsigned(second, DEADLINE + 1, signature); // deadline
        _expectUnsigned(third, DEADLINE, signature); // new signer
        _expectUnsigned(second, DEADLINE, _signRotation(BOB_SECRET, second, 1, DEADLINE)); // nonce
        _expectUnsigned(second, DEADLINE, _signRotationOf(CAROL, BOB_SECRET, second, 0, DEADLINE)); // party
    }

    function test_rotateKey_reverts_whenTheSignatureIsNoneOrMalleable() public {
        _expectUnsigned(second, DEADLINE, "");
        _expectUnsigned(second, DEADLINE, new bytes(65));
        _expectUnsigned(second, DEADLINE, new bytes(10_000));
        bytes memory signature = _signRotation(BOB_SECRET, second, 0, DEADLINE);
        _expectUnsigned(second, DEADLINE, bytes.concat(signature, hex"00"));
        (bytes32 r, uint256 s) = (bytes32(0), 0);
        assembly ("memory-safe") {
            r := mload(add(signature, 32))
            s := mload(add(signature, 64))
        }
        uint8 v = uint8(signature[64]) == 27 ? 28 : 27;
        _expectUnsigned(second, DEADLINE, abi.encodePacked(r, ORDER - s, v));
    }

    function _expectUnsigned(address caller, uint64 deadline, bytes memory signature) private {
        (bool success, bytes memory result) = _try(caller, deadline, signature);
        assertTrue(!success, "rotated");
        assertTrue(bytes4(result) == IParticipantRegistry.RotationNotSigned.selector, "reason");
        assertIdentified(bob, bob, IParticipantRegistry.Status.Accredited);
    }

    function _try(address caller, uint64 deadline, bytes memory signature)
        private
        returns (bool success, bytes memory result)
    {
        vm.prank(caller);
        return address(registry).call(abi.encodeCall(registry.rotateKey, (bob, deadline, signature)));
    }

    function test_theNewSigner_actsForTheParty() public {
        _rotate(BOB_SECRET, SECOND_SECRET);
        vm.startPrank(second);
        registry.setService("localhost:5", "bob's new");
        registry.setEncryptionKey("another");
        vm.stopPrank();
        assertEq(registry.participantOf(bob).endpoint, "localhost:5", "endpoint");
        assertEq(registry.participantOf(bob).encryptionKey, bytes32("another"), "encryption key");
        vm.prank(CAROL);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.CertificateTaken.selector, bob));
        registry.setService("localhost:5", "bob's new");
    }

    function test_theRetiredKey_isNobody() public {
        _rotate(BOB_SECRET, SECOND_SECRET);
        vm.startPrank(bob);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.NotRegistered.selector, bob));
        registry.setService("localhost:5", "c");
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.NotRegistered.selector, bob));
        registry.setEncryptionKey("another");
        vm.stopPrank();
        _rotate(SECOND_SECRET, THIRD_SECRET);
        vm.startPrank(second);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.NotRegistered.selector, second));
        registry.setEncryptionKey("another");
        vm.stopPrank();
    }

    function testFuzz_rotateKey_takesTheSignersSignatureAlone(uint256 signer, uint256 next, uint64 deadline) public {
        signer = bound(signer, 1, ORDER - 1);
        next = bound(next, 1, ORDER - 1);
        if (signer % 2 == 0) signer = BOB_SECRET;
        address newSigner = vm.addr(next);
        vm.assume(newSigner != bob);
        bool valid = vm.addr(signer) == bob && deadline >= block.timestamp;
        (bool success,) = _try(newSigner, deadline, _signRotation(signer, newSigner, 0, deadline));
        assertTrue(success == valid, "rotated");
        assertEq(registry.signerOf(bob), valid ? newSigner : bob, "signer");
    }

    function testFuzz_rotateKey_reverts_whenABitOfTheSignatureIsFlipped(uint256 bit) public {
        bytes memory signature = _signRotation(BOB_SECRET, second, 0, DEADLINE);
        bit = bound(bit, 0, 65 * 8 - 1);
        signature[bit / 8] ^= bytes1(uint8(1) << uint8(bit % 8));
        _expectUnsigned(second, DEADLINE, signature);
    }

    function testFuzz_rotateKey_reverts_forRandomBytes(address party, uint64 deadline, bytes memory signature) public {
        vm.prank(second);
        vm.expectRevert();
        registry.rotateKey(party, deadline, signature);
    }

    function testFuzz_identify_knowsNoStranger(address stranger) public {
        _rotate(BOB_SECRET, SECOND_SECRET);
        vm.assume(registry.statusOf(stranger) == IParticipantRegistry.Status.Unknown && stranger != second);
        assertIdentified(stranger, address(0), IParticipantRegistry.Status.Unknown);
    }
}
