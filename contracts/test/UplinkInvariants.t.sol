// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Faults} from "../src/Faults.sol";
import {Kinds} from "../src/Kinds.sol";
import {IAnomalyRecord} from "../src/interfaces/IAnomalyRecord.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {Deployed} from "./utils/Deployed.sol";

/// @title Random parties sending random uplinks, alone and in batches, from a small domain, so that slots collide.
contract UplinkHandler is Deployed {
    struct Sent {
        address sender;
        IUplinkLedger.Envelope envelope;
    }

    bytes32 internal jobId;
    uint16 internal constant MAX_RATE = 6;
    uint32 internal currentRound = 1;
    uint16 internal currentAttempt;
    Sent[] private _sent;
    mapping(bytes32 slot => bytes32) public firstDigest;
    mapping(address party => bool) public missedOnce;
    mapping(IUplinkLedger.Reason => uint256 call) public reportedIn;
    uint256 public calls;
    mapping(address party => mapping(uint256 place => uint256)) public acceptedIn;
    mapping(address party => uint256) public strikesSinceReinstated;
    mapping(bytes32 roundAndAttempt => bool) public hasBegun;
    uint256 public judged;
    uint256 public acceptances;
    uint256 public repeats;
    uint256 public excused;

    constructor() {
        setUp();
        jobId = _inRoundOne();
    }

    function submit(uint256 seed, uint8 kind, uint8 step, uint8 variant, bool wrong) external {
        ++calls;
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
        ++calls;
        address sender = roster[seed % 3];
        IUplinkLedger.Leaf[] memory leaves = new IUplinkLedger.Leaf[](1 + count % 6);
        IUplinkLedger.Envelope[] memory envelopes = new IUplinkLedger.Envelope[](leaves.length);
        (uint32 round, uint16 attempt) = _place(seed, wrong);
        for (uint256 i = 0; i < leaves.length; ++i) {
            uint256 draw = uint256(keccak256(abi.encode(seed, i)));
            bytes memory payload = bytes.concat("payload ", bytes1(uint8(draw % 2)));
            IUplinkLedger.Envelope memory envelope = _envelope(jobId, round, uint8(2 + (draw >> 8) % 5));
            envelope.attempt = attempt;
            envelope.step = uint32((draw >> 16) % 3);
            envelope.digest = _leaf(payload);
            envelope.size = uint64(payload.length);
            envelopes[i] = envelope;
            leaves[i] = _leafOf(envelope.step, envelope.kind, address(0), envelope.digest, envelope.size);
        }
        vm.prank(sender);
        (, IUplinkLedger.Reason[] memory reasons) = ledger.submitBatch(jobId, round, attempt, 1, leaves);
        for (uint256 i = 0; i < leaves.length; ++i) {
            _note(sender, envelopes[i], reasons[i]);
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
        bool isFirst = reportedIn[reason] != calls;
        reportedIn[reason] = calls;
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
            _sent.push(Sent(sender, envelope));
            uint256 count = ++acceptedIn[sender][_key()];
            assertTrue(count <= MAX_RATE, "more than the rate");
            assertTrue(block.timestamp <= jobs.deadlineOf(jobId), "after the deadline");
        } else if (reason == IUplinkLedger.Reason.DeadlineMissed && jobs.hasAttended(jobId, sender)) {
            ++excused; // it waited for others
        } else if (reason == IUplinkLedger.Reason.DeadlineMissed) {
            // the first time is on the record only, and a batch is late once
            if (missedOnce[sender] && isFirst) ++strikesSinceReinstated[sender];
            missedOnce[sender] = true;
        } else if (reason == IUplinkLedger.Reason.RateExceeded) {
            if (isFirst) ++strikesSinceReinstated[sender];
        } else if (reason != IUplinkLedger.Reason.SenderSuspended) {
            if (_isOvertaken(sender, envelope, reason)) ++excused;
            else ++strikesSinceReinstated[sender];
        }
    }

    function _isOvertaken(address sender, IUplinkLedger.Envelope memory envelope, IUplinkLedger.Reason reason)
        private
        view
        returns (bool)
    {
        if (reason != IUplinkLedger.Reason.WrongRound && reason != IUplinkLedger.Reason.WrongAttempt) {
            return false;
        }
        if (acceptedIn[sender][_key()] > 0 || firstDigest[_slot(sender, envelope)] != 0) return false;
        if (!Kinds.roleAllows(envelope.kind, sender == ALICE)) return false;
        if (envelope.round == 0 || envelope.attempt > currentAttempt) return false;
        return envelope.round + envelope.attempt <= currentRound + currentAttempt;
    }

    function _key() private view returns (uint256) {
        return (uint256(currentRound) << 16) | currentAttempt;
    }

    function _policy() internal pure override returns (IJobManager.Policy memory) {
        IJobManager.Policy memory policy = _policyWith(MAX_ROUNDS, true);
        policy.maxUplinksPerRound = MAX_RATE;
        return policy;
    }

    function wait(uint256 by) external {
        vm.warp(block.timestamp + by % ROUND_SECONDS);
    }

    function attend(uint256 seed) external {
        address party = roster[seed % 3];
        if (registry.statusOf(party) != IParticipantRegistry.Status.Accredited) return;
        if (block.timestamp > jobs.deadlineOf(jobId)) return;
        vm.prank(party);
        jobs.attend(jobId);
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
        uint256 before = _faults();
        vm.prank(ALICE);
        if (retry || currentRound == MAX_ROUNDS) {
            if (previous && currentRound > 1) --currentRound;
            jobs.retryRound(jobId, currentRound);
            for (uint256 i = _faults(); i > before; --i) {
                // who is missing at a deadline is not the ledger's to say
                IAnomalyRecord.Fault memory fault = anomalies.faultOf(i);
                if (fault.answer == Faults.STRIKE) ++strikesSinceReinstated[fault.party];
            }
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
        assertEq(accepted, _sent.length, "one slot per accepted uplink");
        for (uint256 i = 0; i < _sent.length; ++i) {
            IUplinkLedger.Verdict memory verdict = ledger.verdictOf(_sent[i].sender, _sent[i].envelope);
            assertReason(verdict.reason, IUplinkLedger.Reason.Accepted, "a terminal verdict changed");
            assertTrue(
                verdict.known && ledger.isTaken(_slot(_sent[i].sender, _sent[i].envelope)), "a slot is free again"
            );
        }
        (uint32 round, uint16 attempt, uint8 acceptedMask,) = ledger.roundOf(jobId);
        for (uint256 i = 0; i < 3; ++i) {
            address party = roster[i];
            if (round == currentRound && attempt == currentAttempt) {
                uint256 count = acceptedIn[party][_key()];
                assertEq(ledger.uplinksOf(jobId, uint8(i)), count, "uplinks of the round");
                assertTrue(((acceptedMask >> i) & 1 == 1) == (count > 0), "mask of the round");
            }
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
        bytes4[] memory selectors = new bytes4[](8);
        selectors[0] = selectors[1] = UplinkHandler.submit.selector;
        selectors[2] = selectors[5] = UplinkHandler.submitBatch.selector;
        selectors[3] = UplinkHandler.reinstate.selector;
        selectors[4] = UplinkHandler.advance.selector;
        selectors[6] = UplinkHandler.wait.selector;
        selectors[7] = UplinkHandler.attend.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), selectors);
    }

    function invariant_countsSlotsAndStrikes_matchWhatWasSubmitted() public view {
        handler.assertInvariants();
    }
}
