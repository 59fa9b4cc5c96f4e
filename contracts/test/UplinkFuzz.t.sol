// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Kinds} from "../src/Kinds.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {Deployed} from "./utils/Deployed.sol";

/// @title What no mutation of a sound envelope can achieve.
contract UplinkFuzzTest is Deployed {
    IUplinkLedger.Envelope internal sound;

    function setUp() public override {
        super.setUp();
        sound = _envelope(_inRoundOne(), 1, Kinds.HISTOGRAM);
        _accept(BOB, sound);
    }

    /// @dev `sound` with one field (0..9) set to a value derived from `value`; other fields as they are.
    function _mutate(uint256 field, uint256 value) internal view returns (IUplinkLedger.Envelope memory mutated) {
        mutated = sound;
        if (field == 0) mutated.jobId = bytes32(value);
        else if (field == 1) mutated.round = uint32(value);
        else if (field == 2) mutated.attempt = uint16(value);
        else if (field == 3) mutated.step = uint32(value);
        else if (field == 4) mutated.kind = uint8(value);
        else if (field == 5) mutated.recipient = value % 5 < 4 ? roster[value % 3] : address(uint160(value));
        else if (field == 6) mutated.schema = uint16(value);
        else if (field == 7) mutated.digest = bytes32(value);
        else if (field == 8) mutated.size = uint64(value);
        else mutated.statisticE6 = uint64(value);
    }

    function testFuzz_submit_neverTouchesTheSoundSlot_whenOneFieldIsMutated(uint256 field, uint256 value) public {
        IUplinkLedger.Envelope memory mutated = _mutate(field % 10, value);
        bytes32 other = _slot(BOB, mutated);
        bool before = ledger.isTaken(other);
        (bytes32 id, IUplinkLedger.Reason reason) = _submit(BOB, mutated, PAYLOAD);
        assertEq(id, _id(BOB, mutated), "id");
        assertTrue(ledger.isAccepted(BOB, sound), "the sound slot");
        assertReason(_verdict(BOB, mutated).reason, reason, "verdict");
        if (reason == IUplinkLedger.Reason.Accepted) {
            assertTrue(ledger.isAccepted(BOB, mutated) && ledger.isTaken(other), "an accepted one is in its own slot");
        } else {
            assertTrue(ledger.isTaken(other) == before, "a rejected one changes no slot");
        }
    }

    function testFuzz_submit_acceptsOnlyOtherStepsRecipientsOrPartitions(uint256 field, uint256 value) public {
        field = field % 10;
        IUplinkLedger.Envelope memory mutated = _mutate(field, value);
        vm.assume(keccak256(abi.encode(mutated)) != keccak256(abi.encode(sound)));
        (, IUplinkLedger.Reason reason) = _submit(BOB, mutated, PAYLOAD);
        bool permitted = field == 3 || (field == 4 && mutated.kind == Kinds.PARTITION)
            || (field == 5 && jobs.rosterIndexOf(sound.jobId, mutated.recipient) < 3);
        assertTrue((reason == IUplinkLedger.Reason.Accepted) == permitted, "accepted exactly when permitted");
    }

    function testFuzz_submit_rejectsDigestMismatch_whenOneBitOfThePayloadFlips(uint256 at, uint8 bit) public {
        bytes memory payload = PAYLOAD;
        payload[at % payload.length] ^= bytes1(uint8(1) << (bit % 8));
        (, IUplinkLedger.Reason reason) = _submit(CAROL, sound, payload);
        assertReason(reason, IUplinkLedger.Reason.DigestMismatch, "flipped bit");
    }
}
