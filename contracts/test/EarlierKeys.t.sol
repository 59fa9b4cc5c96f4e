// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {FaultProofs} from "../src/FaultProofs.sol";
import {Faults} from "../src/Faults.sol";
import {Kinds} from "../src/Kinds.sol";
import {IFaultProofs} from "../src/interfaces/IFaultProofs.sol";
import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {Deployed} from "./utils/Deployed.sol";

/// @title Erin rotates her key: what she signed by those that were hers in a job convicts her, and no key of before does.
contract EarlierKeysTest is Deployed {
    uint256 internal constant FIRST = 0xE1;
    uint256 internal constant SECOND = 0xE2;
    uint256 internal constant THIRD = 0xE3;
    uint256 internal constant FOURTH = 0xE4;
    uint256 internal constant WEEK = 7 days;

    FaultProofs internal proofs;
    address internal erin;

    function setUp() public override {
        super.setUp();
        erin = vm.addr(FIRST);
        _join(erin, "erin");
        roster = [ALICE, erin, CAROL];
        vm.etch(PROOFS, address(new FaultProofs(registry, jobs, ledger, anomalies)).code);
        proofs = FaultProofs(PROOFS);
    }

    // -- which keys convict -----------------------------------------------------------------------------------------------

    function test_theKeyByWhichTheJobWasAccepted_convicts_afterARotation() public {
        bytes32 jobId = _inRoundOne();
        _rotate(FIRST, SECOND);
        _convicts(jobId, FIRST);
    }

    function test_eachKeySinceTheAcceptance_convicts_howeverOftenItIsRotated() public {
        bytes32 jobId = _inRoundOne();
        _rotate(FIRST, SECOND);
        _rotate(SECOND, THIRD);
        _rotate(THIRD, FOURTH);
        uint256[4] memory keys = [FIRST, SECOND, THIRD, FOURTH];
        for (uint256 i = 0; i < keys.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            _convicts(jobId, keys[i]);
            vm.revertToState(snapshot);
        }
        uint256[3] memory others = [uint256(0xBAD), 0xE5, 1];
        for (uint256 i = 0; i < others.length; ++i) {
            _acquits(jobId, others[i]);
        }
    }

    function test_bothHalvesOfAProof_mayBeSignedByDifferentKeys() public {
        bytes32 jobId = _inRoundOne();
        (IUplinkLedger.Envelope memory a, IUplinkLedger.Envelope memory b) = _twoDigests(jobId);
        bytes memory before = _signed(FIRST, _id(erin, a));
        _rotate(FIRST, SECOND);
        proofs.proveEquivocation(erin, a, before, b, _signed(SECOND, _id(erin, b)));
        assertStatus(erin, IParticipantRegistry.Status.Suspended);
    }

    function test_aKeyThatWasRotatedAwayBeforeTheAcceptance_convictsOfNothing() public {
        _rotate(FIRST, SECOND);
        bytes32 jobId = _acceptedBy(vm.addr(SECOND));
        _acquits(jobId, FIRST);
        _rotate(SECOND, THIRD);
        _acquits(jobId, FIRST);
        _convicts(jobId, SECOND);
    }

    function test_afterMoreThanOneRotation_keysBetweenAndBeforeCannotBeTold_andConvict() public {
        _rotate(FIRST, SECOND);
        bytes32 jobId = _acceptedBy(vm.addr(SECOND));
        _rotate(SECOND, THIRD);
        _rotate(THIRD, FOURTH);
        uint256 snapshot = vm.snapshotState();
        _convicts(jobId, THIRD); // two rotations in a row are no way out
        vm.revertToState(snapshot);
        _convicts(jobId, FIRST);
    }

    function test_noEarlierKeyConvicts_ofAnUnknownJob_orOneThatThePartyHasNotAccepted() public {
        vm.prank(ALICE);
        bytes32 jobId = jobs.propose("spec", roster, _policy());
        _rotate(FIRST, SECOND);
        _acquits(jobId, FIRST);
        _acquits("no job", FIRST);
        vm.prank(vm.addr(SECOND));
        jobs.accept(jobId);
        _acquits(jobId, FIRST);
        _convicts(jobId, SECOND);
    }

    function test_anEarlierKey_convicts_forAWeekAfterTheJob_andThePresentOneAtAnyTime() public {
        bytes32 jobId = _inRoundOne();
        _rotate(FIRST, SECOND);
        vm.warp(block.timestamp + 30 days); // it goes on
        uint256 snapshot = vm.snapshotState();
        _convicts(jobId, FIRST);
        vm.revertToState(snapshot);
        vm.prank(ALICE);
        jobs.abort(jobId, "test");
        vm.warp(block.timestamp + WEEK);
        snapshot = vm.snapshotState();
        _convicts(jobId, FIRST);
        vm.revertToState(snapshot);
        vm.warp(block.timestamp + 1);
        _acquits(jobId, FIRST);
        _convicts(jobId, SECOND);
    }

    // -- the other proofs -------------------------------------------------------------------------------------------------

    function test_proveReplay_convicts_byAnEarlierKey() public {
        bytes32 jobId = _inRoundOne();
        IUplinkLedger.Envelope memory a = _envelope(jobId, 1, Kinds.HISTOGRAM);
        IUplinkLedger.Envelope memory b = _envelope(jobId, 2, Kinds.HISTOGRAM);
        bytes memory signature = _signed(FIRST, _id(erin, b));
        _accept(erin, a);
        _rotate(FIRST, SECOND);
        proofs.proveReplay(erin, a, "", b, signature);
        assertEq(_strikes(erin), 1, "strikes");
    }

    function test_provePayloadMismatch_convicts_byAnEarlierKey_butNotByOneOfBefore() public {
        _rotate(FIRST, SECOND);
        bytes32 jobId = _acceptedBy(vm.addr(SECOND));
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(i == 1 ? vm.addr(SECOND) : roster[i]);
            jobs.declareAligned(jobId, "order", 100);
        }
        vm.prank(ALICE);
        jobs.beginRound(jobId, 1);
        IUplinkLedger.Envelope memory envelope = _envelope(jobId, 1, Kinds.HISTOGRAM);
        _accept(vm.addr(SECOND), envelope);
        _rotate(SECOND, THIRD);
        bytes32 statement = keccak256(
            abi.encode("fedchain payload", block.chainid, address(ledger), envelope.digest, bytes32("other"))
        );
        bytes memory signature = _signed(FIRST, statement);
        vm.expectRevert(
            abi.encodeWithSelector(IFaultProofs.NotSigned.selector, statement, vm.addr(THIRD), vm.addr(FIRST))
        );
        proofs.provePayloadMismatch(erin, envelope, "other", signature);
        proofs.provePayloadMismatch(erin, envelope, "other", _signed(SECOND, statement));
        assertEq(_strikes(erin), 1, "strikes");
    }

    // -- what the job manager keeps -----------------------------------------------------------------------------------

    function test_acceptanceOf_givesTheKeyOfTheAcceptance_andTheEnd() public {
        _rotate(FIRST, SECOND);
        _rotate(SECOND, THIRD);
        bytes32 jobId = _propose();
        _assertAcceptance(jobId, erin, address(0), 0, 0);
        vm.prank(vm.addr(THIRD));
        jobs.accept(jobId);
        _assertAcceptance(jobId, erin, vm.addr(THIRD), 2, 0);
        _rotate(THIRD, FOURTH);
        vm.prank(ALICE);
        jobs.accept(jobId);
        vm.warp(block.timestamp + 5);
        vm.prank(ALICE);
        jobs.abort(jobId, "test");
        uint64 end = uint64(block.timestamp);
        vm.warp(block.timestamp + 5);
        _assertAcceptance(jobId, erin, vm.addr(THIRD), 2, end);
        _assertAcceptance(jobId, ALICE, ALICE, 0, end);
        _assertAcceptance(jobId, CAROL, address(0), 0, 0); // has not accepted
        _assertAcceptance(jobId, DAVE, address(0), 0, 0); // is not on the roster
        roster = [ALICE, BOB, CAROL];
        jobId = _completed();
        _assertAcceptance(jobId, BOB, BOB, 0, uint64(block.timestamp));
    }

    function _assertAcceptance(bytes32 jobId, address party, address key, uint64 rotations, uint64 endedAt)
        private
        view
    {
        (address foundKey, uint64 foundRotations, uint64 foundEnd) = jobs.acceptanceOf(jobId, party);
        assertEq(foundKey, key, "key");
        assertEq(foundRotations, rotations, "rotations");
        assertEq(foundEnd, endedAt, "end");
    }

    /// @dev An aligning job that Erin accepted by `signer`.
    function _acceptedBy(address signer) private returns (bytes32 jobId) {
        jobId = _propose();
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(i == 1 ? signer : roster[i]);
            jobs.accept(jobId);
        }
    }

    function _twoDigests(bytes32 jobId)
        private
        pure
        returns (IUplinkLedger.Envelope memory a, IUplinkLedger.Envelope memory b)
    {
        a = _envelope(jobId, 1, Kinds.HISTOGRAM);
        b = _envelope(jobId, 1, Kinds.HISTOGRAM);
        b.digest = sha256("another digest");
    }

    function _convicts(bytes32 jobId, uint256 key) private {
        (IUplinkLedger.Envelope memory a, IUplinkLedger.Envelope memory b) = _twoDigests(jobId);
        uint256 faultId = proofs.proveEquivocation(erin, a, _signed(key, _id(erin, a)), b, _signed(key, _id(erin, b)));
        assertEq(anomalies.faultOf(faultId).reason, Faults.EQUIVOCATION, "reason");
        assertStatus(erin, IParticipantRegistry.Status.Suspended);
    }

    function _acquits(bytes32 jobId, uint256 key) private {
        (IUplinkLedger.Envelope memory a, IUplinkLedger.Envelope memory b) = _twoDigests(jobId);
        (bytes32 first, bytes32 second) = (_id(erin, a), _id(erin, b));
        vm.expectRevert(
            abi.encodeWithSelector(IFaultProofs.NotSigned.selector, first, registry.signerOf(erin), vm.addr(key))
        );
        proofs.proveEquivocation(erin, a, _signed(key, first), b, _signed(key, second));
    }

    function _signed(uint256 key, bytes32 message) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(key, keccak256(abi.encodePacked("\x19Ethereum Signed Message:\n32", message)));
        return abi.encodePacked(r, s, v);
    }

    function _rotate(uint256 present, uint256 next) private {
        uint64 deadline = uint64(block.timestamp);
        address signer = vm.addr(next);
        bytes memory signature =
            _rotationSignature(address(registry), erin, present, signer, registry.rotationNonce(erin), deadline);
        vm.prank(signer);
        registry.rotateKey(erin, deadline, signature);
    }
}
