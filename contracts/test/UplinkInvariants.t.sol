// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {Deployed} from "./utils/Deployed.sol";

/// @title Random parties sending random uplinks from a small domain, so that slots collide.
contract UplinkHandler is Deployed {
    bytes32 internal jobId;
    uint32 internal currentRound = 1;
    bytes32[] public slots;
    mapping(bytes32 slot => bytes32) public firstDigest;
    mapping(address party => uint256) public strikesSinceReinstated;
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
        if (wrong && seed % 7 == 0) envelope.round += 1;
        bytes32 id = keccak256(abi.encode(block.chainid, address(ledger), sender, envelope));
        bool repeated = ledger.verdictOf(id).known && ledger.verdictOf(id).reason == IUplinkLedger.Reason.Accepted;
        (, IUplinkLedger.Reason reason) = _submit(sender, envelope, payload);
        if (repeated) {
            ++repeats;
            return;
        }
        ++judged;
        if (reason == IUplinkLedger.Reason.Accepted) {
            ++acceptances;
            bytes32 slot = _slot(sender, envelope);
            assertEq(firstDigest[slot], 0, "a slot was accepted twice");
            firstDigest[slot] = envelope.digest;
            slots.push(slot);
        } else if (reason != IUplinkLedger.Reason.SenderSuspended) {
            ++strikesSinceReinstated[sender];
        }
    }

    function reinstate(uint256 seed) external {
        address party = roster[seed % 3];
        if (registry.statusOf(party) != IParticipantRegistry.Status.Suspended) return;
        vm.prank(STEWARD);
        registry.reinstate(party);
        strikesSinceReinstated[party] = 0;
    }

    function advance(bool retry) external {
        if (registry.statusOf(ALICE) != IParticipantRegistry.Status.Accredited) return;
        vm.prank(ALICE);
        if (retry || currentRound == MAX_ROUNDS) jobs.retryRound(jobId);
        else jobs.beginRound(jobId, ++currentRound);
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
        bytes4[] memory selectors = new bytes4[](5);
        selectors[0] = selectors[1] = selectors[2] = UplinkHandler.submit.selector;
        selectors[3] = UplinkHandler.reinstate.selector;
        selectors[4] = UplinkHandler.advance.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), selectors);
    }

    function invariant_countsSlotsAndStrikes_matchWhatWasSubmitted() public view {
        handler.assertInvariants();
    }
}
