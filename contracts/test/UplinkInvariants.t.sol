// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {Deployed} from "./utils/Deployed.sol";

/// @title Random parties sending random uplinks, alone and in batches, from a small domain, so that slots collide.
contract UplinkHandler is Deployed {
    bytes32 internal jobId;
    uint32 internal currentRound = 1;
    uint16 internal currentAttempt;
    bytes32[] public slots;
    mapping(bytes32 slot => bytes32) public firstDigest;
    mapping(address party => uint256) public strikesSinceReinstated;
    mapping(bytes32 roundAndAttempt => bool) public hasBegun;
    uint256 public judged;
    uint256 public acceptances;
    uint256 public repeats;

    constructor() {
        setUp();
        jobId = _inRoundOne();
    }

    function submit(uint256 seed, uint8 kind, uint8 step, uint8 variant, bool wrong) external {
        address sender = roster[seed % 3];
        bytes memory payload = bytes.concat("payload ", bytes1(variant % 2));
        IUplinkLedger.Envelope memory envelope = _envelope(jobId, currentRound, 2 + kind % 5);
        envelope.step = step % 3;
        envelope.digest = _leaf(payload);
        envelope.size = uint64(payload.length);
        (envelope.round, envelope.attempt) = _place(seed, wrong);
        (, IUplinkLedger.Reason reason) = _submit(sender, envelope, payload);
        _note(sender, envelope, reason);
    }

    function submitBatch(uint256 seed, uint256 count, bool wrong) external {
        address sender = roster[seed % 3];
        IUplinkLedger.Leaf[] memory leaves = new IUplinkLedger.Leaf[](1 + count % 6);
        for (uint256 i = 0; i < leaves.length; ++i) {
            uint256 draw = uint256(keccak256(abi.encode(seed, i)));
            bytes memory payload = bytes.concat("payload ", bytes1(uint8(draw % 2)));
            uint8 kind = uint8(2 + (draw >> 8) % 5);
            leaves[i] =
                IUplinkLedger.Leaf(uint32((draw >> 16) % 3), kind, address(0), _leaf(payload), uint64(payload.length));
        }
        (uint32 round, uint16 attempt) = _place(seed, wrong);
        vm.prank(sender);
        (, IUplinkLedger.Reason[] memory reasons) = ledger.submitBatch(jobId, round, attempt, 1, leaves);
        for (uint256 i = 0; i < leaves.length; ++i) {
            IUplinkLedger.Envelope memory envelope = _envelope(jobId, round, leaves[i].kind);
            envelope.attempt = attempt;
            envelope.step = leaves[i].step;
            envelope.digest = leaves[i].digest;
            _note(sender, envelope, reasons[i]);
        }
    }

    /// @dev Mostly the round in force and its attempt; otherwise the round or the attempt before or after.
    function _place(uint256 seed, bool wrong) private view returns (uint32 round, uint16 attempt) {
        (round, attempt) = (currentRound, currentAttempt);
        if (!wrong) return (round, attempt);
        if (seed % 7 == 0) ++round;
        if (seed % 7 == 1) --round;
        if (seed % 7 == 2 && attempt > 0) --attempt;
        if (seed % 7 == 3) ++attempt;
    }

    /// @dev All payloads here have one length, so a slot with an uplink's digest holds that very uplink.
    function _note(address sender, IUplinkLedger.Envelope memory envelope, IUplinkLedger.Reason reason) private {
        bytes32 slot = _slot(sender, envelope);
        if (firstDigest[slot] == envelope.digest) {
            assertReason(reason, IUplinkLedger.Reason.Accepted, "repeated");
            ++repeats;
            return;
        }
        ++judged;
        if (reason == IUplinkLedger.Reason.Accepted) {
            ++acceptances;
            assertEq(firstDigest[slot], 0, "a slot was accepted twice");
            firstDigest[slot] = envelope.digest;
            slots.push(slot);
        } else if (reason != IUplinkLedger.Reason.SenderSuspended && envelope.attempt >= currentAttempt) {
            ++strikesSinceReinstated[sender]; // an earlier attempt was overtaken, which is nobody's fault
        }
    }

    function _policy() internal pure override returns (IJobManager.Policy memory) {
        return IJobManager.Policy(MAX_PAYLOAD, MAX_ROUNDS, MAX_STATISTIC_E6, true);
    }

    function reinstate(uint256 seed) external {
        address party = roster[seed % 3];
        if (registry.statusOf(party) != IParticipantRegistry.Status.Suspended) return;
        vm.prank(STEWARD);
        registry.reinstate(party);
        strikesSinceReinstated[party] = 0;
    }

    function advance(bool retry, bool previous) external {
        if (registry.statusOf(ALICE) != IParticipantRegistry.Status.Accredited) return;
        vm.prank(ALICE);
        if (retry || currentRound == MAX_ROUNDS) {
            if (previous && currentRound > 1) --currentRound;
            jobs.retryRound(jobId, currentRound);
        } else {
            jobs.beginRound(jobId, ++currentRound);
        }
        currentAttempt = jobs.jobOf(jobId).attempt;
        bytes32 place = keccak256(abi.encode(currentRound, currentAttempt));
        assertTrue(!hasBegun[place], "a round and its attempt began twice");
        hasBegun[place] = true;
    }

    function assertInvariants() external view {
        (uint64 accepted, uint64 rejected) = ledger.countsOf(jobId);
        assertEq(accepted + rejected, judged, "accepted + rejected == judged");
        assertEq(accepted, acceptances, "accepted");
        assertEq(accepted, slots.length, "one slot per accepted uplink");
        for (uint256 i = 0; i < slots.length; ++i) {
            assertEq(ledger.slotDigest(slots[i]), firstDigest[slots[i]], "a slot changed its digest");
        }
        for (uint256 i = 0; i < 3; ++i) {
            address party = roster[i];
            assertEq(_strikes(party), strikesSinceReinstated[party], "strikes");
            bool suspended = registry.statusOf(party) == IParticipantRegistry.Status.Suspended;
            assertTrue(suspended == (_strikes(party) == 3), "suspended exactly at three strikes");
        }
    }
}

contract UplinkInvariantsTest {
    UplinkHandler internal handler;

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function setUp() public {
        handler = new UplinkHandler();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function targetSelectors() public view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](6);
        selectors[0] = selectors[1] = UplinkHandler.submit.selector;
        selectors[2] = selectors[5] = UplinkHandler.submitBatch.selector;
        selectors[3] = UplinkHandler.reinstate.selector;
        selectors[4] = UplinkHandler.advance.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), selectors);
    }

    function invariant_countsSlotsAndStrikes_matchWhatWasSubmitted() public view {
        handler.assertInvariants();
    }
}
