// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Kinds} from "../src/Kinds.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {Deployed} from "./utils/Deployed.sol";

/// @title A party whose uplinks were right when it made them is never reported, whatever the others do meanwhile.
/// @dev Bob is honest: he sends uplinks of the place that he works on, in the order in which he made them, and while he waits
/// he says so before a deadline. Alice and Carol are not: rounds begin and are tried again when it suits them, what Bob needs
/// comes late, and his uplinks are put into blocks as late as they like.
abstract contract HonestUplinksTest is Deployed {
    bytes32 internal jobId;
    IUplinkLedger.Envelope[] private _underWay;
    uint256 private _mined;
    uint32 private _round = 1;
    uint16 private _attempt;
    uint256 internal overtaken;
    uint256 internal late;

    function setUp() public override {
        super.setUp();
        jobId = _inRoundOne();
    }

    function testFuzz_uplinks_areNeverReported_whenTheyWereRightWhenMade(uint256 seed) public {
        for (uint256 i = 0; i < 60; ++i) {
            uint256 draw = uint256(keccak256(abi.encode(seed, i)));
            uint256 act = draw % 10;
            if (act < 3) _make(draw >> 8);
            else if (act < 6) _mine(draw >> 8);
            else if (act < 8) _pass(draw >> 8);
            else _overtake(draw >> 8);
        }
        while (_mined < _underWay.length) {
            _mine(0);
        }
        for (uint256 i = _faults(); i > 0; --i) {
            assertTrue(anomalies.faultOf(i).party != BOB, "an honest party was reported");
        }
        assertStatus(BOB, IParticipantRegistry.Status.Accredited);
    }

    /// @dev Not by chance: there are seeds in which uplinks are overtaken, and late.
    function test_uplinks_areOvertakenAndLate() public {
        for (uint256 seed = 0; seed < 3; ++seed) {
            testFuzz_uplinks_areNeverReported_whenTheyWereRightWhenMade(seed);
        }
        assertTrue(overtaken > 0, "overtaken");
        assertTrue(late > 0, "late");
    }

    /// @dev Bob goes on to the place in force, or stays in the round before it, and makes some uplinks.
    function _make(uint256 draw) private {
        IJobManager.JobView memory job = jobs.jobOf(jobId);
        bool isOpen = job.policy.pipelined && _attempt == job.attempt && _round + 1 == job.round;
        if (!isOpen || draw % 2 == 0) (_round, _attempt) = (job.round, job.attempt);
        for (uint256 count = 1 + (draw >> 8) % 3; count > 0; --count) {
            IUplinkLedger.Envelope memory envelope = _envelope(jobId, _round, Kinds.HISTOGRAM);
            envelope.attempt = _attempt;
            envelope.step = uint32(_underWay.length);
            _underWay.push(envelope);
        }
    }

    /// @dev Some of what is under way gets into a block: one alone, or as a batch what is of one place.
    function _mine(uint256 draw) private {
        if (_mined == _underWay.length) return;
        IUplinkLedger.Envelope memory first = _underWay[_mined];
        if (draw % 2 == 0) {
            (, IUplinkLedger.Reason reason) = _submit(BOB, first, PAYLOAD);
            ++_mined;
            _note(reason);
            return;
        }
        uint256 end = _mined + 1;
        while (
            end < _underWay.length && _underWay[end].round == first.round && _underWay[end].attempt == first.attempt
        ) {
            ++end;
        }
        IUplinkLedger.Leaf[] memory leaves = new IUplinkLedger.Leaf[](end - _mined);
        for (uint256 i = 0; i < leaves.length; ++i) {
            leaves[i] = _leafOf(_underWay[_mined + i].step, Kinds.HISTOGRAM, address(0), "a large one", 98_305);
        }
        vm.prank(BOB);
        (, IUplinkLedger.Reason[] memory reasons) = ledger.submitBatch(jobId, first.round, first.attempt, 1, leaves);
        _mined = end;
        for (uint256 i = 0; i < reasons.length; ++i) {
            _note(reasons[i]);
        }
    }

    function _note(IUplinkLedger.Reason reason) private {
        if (reason == IUplinkLedger.Reason.DeadlineMissed) ++late;
        else if (reason != IUplinkLedger.Reason.Accepted) ++overtaken;
    }

    /// @dev Time passes; before a deadline is over Bob says that he waits.
    function _pass(uint256 draw) private {
        uint256 next = block.timestamp + draw % ROUND_SECONDS;
        if (next > jobs.deadlineOf(jobId) && block.timestamp <= jobs.deadlineOf(jobId)) {
            vm.prank(BOB);
            jobs.attend(jobId);
        }
        vm.warp(next);
    }

    /// @dev Alice begins a round or two, or tries one again; or somebody closes what is overdue. She is reinstated meanwhile.
    function _overtake(uint256 draw) private {
        if (registry.statusOf(ALICE) == IParticipantRegistry.Status.Suspended) {
            vm.prank(STEWARD);
            registry.reinstate(ALICE);
        }
        IJobManager.JobView memory job = jobs.jobOf(jobId);
        if (draw % 4 == 0 && block.timestamp > job.deadline) return jobs.closeRound(jobId);
        vm.startPrank(ALICE);
        if (draw % 4 < 2) {
            for (uint32 i = 1; i <= 1 + (draw >> 8) % 2; ++i) {
                jobs.beginRound(jobId, job.round + i);
            }
        } else {
            bool isBack = draw % 4 == 2 && job.policy.pipelined && job.round > 1;
            jobs.retryRound(jobId, isBack ? job.round - 1 : job.round);
        }
        vm.stopPrank();
    }
}

contract HonestStrictUplinksTest is HonestUplinksTest {
    function _policy() internal pure override returns (IJobManager.Policy memory) {
        return _policyWith(1000, false);
    }
}

contract HonestPipelinedUplinksTest is HonestUplinksTest {
    function _policy() internal pure override returns (IJobManager.Policy memory) {
        return _policyWith(1000, true);
    }
}
