// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/* solhint-disable avoid-low-level-calls, no-empty-blocks */

import {Directory} from "../../src/Directory.sol";
import {ParticipantRegistry} from "../../src/ParticipantRegistry.sol";
import {Stewards} from "../../src/Stewards.sol";
import {IParticipantRegistry} from "../../src/interfaces/IParticipantRegistry.sol";
import {TestBase} from "./TestBase.sol";

/// @title Something with code, to stand for a contract.
contract Something {}

/// @title Three stewards of whom two decide, a registry with a gate, a directory, and helpers that carry votes.
/// @dev Bob and Carol are accredited, Rita is registered, Sam suspended, Ben banned; Eve is a stranger. Bob's key is
/// the one of `BOB_SECRET`, so that he can sign.
abstract contract Membership is TestBase {
    address internal constant FIRST = address(0x57E1);
    address internal constant SECOND = address(0x57E2);
    address internal constant THIRD = address(0x57E3);
    address internal constant CAROL = address(0xCA401);
    address internal constant RITA = address(0x417A);
    address internal constant SAM = address(0x5A3);
    address internal constant BEN = address(0xBE4);
    address internal constant EVE = address(0xE7E);
    uint256 internal constant BOB_SECRET = 0xB0B;
    uint64 internal constant DELAY = 2 days;

    address internal bob;
    address internal gate;
    Stewards internal stewards;
    ParticipantRegistry internal registry;
    Directory internal directory;

    function setUp() public virtual {
        bob = vm.addr(BOB_SECRET);
        gate = address(new Something());
        stewards = new Stewards(_three(), 2);
        registry = new ParticipantRegistry(stewards);
        directory = new Directory(stewards, DELAY);
        registry.setGate(gate);
        _join(bob, "bob");
        _join(CAROL, "carol");
        _join(SAM, "sam");
        _register(RITA, "rita");
        _register(BEN, "ben");
        _suspend(SAM);
        _ban(BEN);
    }

    function _three() internal pure returns (address[] memory accounts) {
        accounts = new address[](3);
        (accounts[0], accounts[1], accounts[2]) = (FIRST, SECOND, THIRD);
    }

    function _register(address party, string memory name) internal {
        vm.prank(party);
        registry.register(name, "localhost:1", _certificate(party), _encryptionKey(party));
    }

    function _join(address party, string memory name) internal {
        _register(party, name);
        vm.prank(FIRST);
        registry.accredit(party);
        vm.prank(SECOND);
        registry.accredit(party);
    }

    function _suspend(address party) internal {
        vm.prank(FIRST);
        registry.suspend(party, "test");
        vm.prank(SECOND);
        registry.suspend(party, "test");
    }

    function _reinstate(address party) internal {
        vm.prank(FIRST);
        registry.reinstate(party);
        vm.prank(SECOND);
        registry.reinstate(party);
    }

    function _ban(address party) internal {
        vm.prank(FIRST);
        registry.ban(party, "test");
        vm.prank(SECOND);
        registry.ban(party, "test");
    }

    function _strike(address party, bytes32 jobId, uint32 round) internal returns (uint32 strikes, bool suspended) {
        vm.prank(gate);
        return registry.strike(party, jobId, round, 12);
    }

    /// @dev The secret's signature of Bob's rotation to `newSigner`, with the nonce and deadline given.
    function _signRotation(uint256 secret, address newSigner, uint64 nonce, uint64 deadline)
        internal
        view
        returns (bytes memory signature)
    {
        return _signRotationOf(bob, secret, newSigner, nonce, deadline);
    }

    function _signRotationOf(address party, uint256 secret, address newSigner, uint64 nonce, uint64 deadline)
        internal
        view
        returns (bytes memory signature)
    {
        return _rotationSignature(address(registry), party, secret, newSigner, nonce, deadline);
    }

    /// @dev Bob's present secret hands over to the next.
    function _rotate(uint256 presentSecret, uint256 nextSecret) internal {
        uint64 deadline = uint64(block.timestamp + 1 hours);
        address next = vm.addr(nextSecret);
        bytes memory signature = _signRotation(presentSecret, next, registry.rotationNonce(bob), deadline);
        vm.prank(next);
        registry.rotateKey(bob, deadline, signature);
    }

    /// @dev Stands in for a certificate: the registry looks at its length and its hash alone.
    function _certificate(address party) internal pure returns (bytes memory) {
        return abi.encode("certificate of", party);
    }

    function _encryptionKey(address party) internal pure returns (bytes32) {
        return keccak256(abi.encode("encryption key of", party));
    }

    function _strikes(address party) internal view returns (uint32) {
        return registry.participantOf(party).strikes;
    }

    function assertStatus(address party, IParticipantRegistry.Status expected) internal view {
        assertEq(uint256(registry.statusOf(party)), uint256(expected), "status");
    }

    function assertIdentified(address signer, address party, IParticipantRegistry.Status status) internal view {
        (address found, IParticipantRegistry.Status foundStatus) = registry.identify(signer);
        assertEq(found, party, "party");
        assertEq(uint256(foundStatus), uint256(status), "status");
    }
}
