// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {WithModels} from "./utils/WithModels.sol";

/// @title A party is whoever registered, with whatever key it signs; a key that was handed over is nobody's.
contract ModelRegistryIdentityTest is WithModels {
    uint256 internal constant FIRST_SECRET = 0xE41;
    uint256 internal constant SECOND_SECRET = 0xE42;

    address internal erin;
    address internal fresh;

    function setUp() public override {
        super.setUp();
        erin = vm.addr(FIRST_SECRET);
        fresh = vm.addr(SECOND_SECRET);
        _join(erin, "erin");
        roster = [erin, BOB];
    }

    function test_models_areThePartys_whateverKeySignsForIt() public {
        bytes32 jobId = _trained();
        bytes32 later = _trained();
        _frozenOf(NAME, jobId);
        _activateModel(erin, NAME, 1);
        _handOver();

        assertEq(_proposeModel(fresh, NAME, later), 2, "proposed with the new key");
        assertEq(models.versionOf(NAME, 2).proposer, erin, "by the party");
        vm.expectEmit(true, true, true, true, address(models));
        emit IModelRegistry.ModelApproved(keccak256(bytes(NAME)), 2, later, NAME, erin, 1, 2);
        _approveModel(fresh, NAME, 2);
        _approveModel(BOB, NAME, 2);
        _activateModel(fresh, NAME, 2);
        vm.expectEmit(true, true, true, true, address(models));
        emit IModelRegistry.ModelRolledBack(keccak256(bytes(NAME)), 1, jobId, NAME, erin, 2);
        _rollBackModel(fresh, NAME);
        assertEq(models.holderOf(NAME), erin, "the name is still the party's");
    }

    function test_anApprovalCountsOnce_whenTheKeyChangedSince() public {
        _proposeModel(erin, NAME, _trained());
        _approveModel(erin, NAME, 1);
        _handOver();
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.AlreadyApproved.selector, 1, erin));
        _approveModel(fresh, NAME, 1);
    }

    function test_aKeyThatWasHandedOver_mayDoNothing() public {
        bytes32 first = _trained();
        bytes32 second = _trained();
        _frozenOf(NAME, first);
        _activateModel(erin, NAME, 1);
        _frozenOf(NAME, second);
        _activateModel(erin, NAME, 2);
        bytes32 third = _trained();
        _proposeModel(BOB, NAME, third);
        _handOver();
        _expectNobody(third);
        _proposeModel(erin, "other", third);
        _expectNobody(third);
        _approveModel(erin, NAME, 3);
        _expectNobody(first);
        _activateModel(erin, NAME, 1);
        _expectNobody(second);
        _rollBackModel(erin, NAME);
    }

    function test_aBannedParty_mayDoNothing_butHoldsUpNoSuccessorOfOthers() public {
        bytes32 jobId = _trained();
        _frozenOf(NAME, jobId);
        vm.prank(STEWARD);
        registry.ban(BOB, "test");
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, BOB));
        _proposeModel(BOB, "other", jobId);
        _activateModel(erin, NAME, 1);
        roster = [erin, CAROL];
        assertEq(_frozen(), 2, "a version without the banned partner");
        _activateModel(erin, NAME, 2);
        assertEq(models.activeVersion(NAME), 2, "in use");
    }

    function _expectNobody(bytes32 jobId) private {
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, erin));
    }

    /// @dev Source: https://eips.ethereum.org/EIPS/eip-712
    function _handOver() private {
        bytes32 domainType =
            keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        bytes32 domain =
            keccak256(abi.encode(domainType, keccak256("fedchain"), keccak256("1"), block.chainid, address(registry)));
        uint64 deadline = uint64(block.timestamp + 1 hours);
        bytes32 rotationType = keccak256("KeyRotation(address party,address newSigner,uint64 nonce,uint64 deadline)");
        bytes32 rotation = keccak256(abi.encode(rotationType, erin, fresh, registry.rotationNonce(erin), deadline));
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(FIRST_SECRET, keccak256(abi.encodePacked("\x19\x01", domain, rotation)));
        vm.prank(fresh);
        registry.rotateKey(erin, deadline, abi.encodePacked(r, s, v));
    }
}
