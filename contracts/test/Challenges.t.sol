// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Faults} from "../src/Faults.sol";
import {Kinds} from "../src/Kinds.sol";
import {IAnomalyRecord} from "../src/interfaces/IAnomalyRecord.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {Deployed} from "./utils/Deployed.sol";

/// @title A job's one contribution declares a statistic; a receiver that finds it false has the others vote.
contract ChallengesTest is Deployed {
    uint256 internal constant HOUR = 3600;

    function _contributed() private returns (bytes32 jobId, bytes32 uplinkId) {
        jobId = _evaluating();
        uplinkId = _declared(jobId, 0, 900_000);
    }

    function _declared(bytes32 jobId, uint32 step, uint64 statisticE6) private returns (bytes32) {
        IUplinkLedger.Envelope memory contribution = _envelope(jobId, 2, Kinds.CONTRIBUTION);
        contribution.step = step;
        contribution.statisticE6 = statisticE6;
        return _accept(ALICE, contribution);
    }

    function _challenge(address caller, bytes32 uplinkId) private returns (uint256) {
        vm.prank(caller);
        return anomalies.challenge(uplinkId);
    }

    function _votes(uint256 faultId, address party, bool confirms) private {
        vm.prank(party);
        anomalies.commitVote(faultId, keccak256(abi.encode(faultId, party, confirms, bytes32("salt"))));
    }

    function _reveals(uint256 faultId, address party, bool confirms) private {
        vm.prank(party);
        anomalies.revealVote(faultId, confirms, "salt");
    }

    function _tallied(uint256 faultId, bool bobs, bool carols) private {
        _votes(faultId, BOB, bobs);
        _votes(faultId, CAROL, carols);
        vm.warp(block.timestamp + HOUR);
        _reveals(faultId, BOB, bobs);
        _reveals(faultId, CAROL, carols);
        vm.warp(block.timestamp + HOUR);
        anomalies.tally(faultId);
    }

    function test_challenge_isRecorded_andOpensTheVotes() public {
        (bytes32 jobId, bytes32 uplinkId) = _contributed();
        assertEq(_faults(), 0, "no outlier: nothing to weigh it against");
        vm.expectEmit(true, true, true, true, address(anomalies));
        emit IAnomalyRecord.FaultRecorded(1, ALICE, jobId, 2, Faults.STATISTIC_CHALLENGED, Faults.RECORDED, uplinkId);
        vm.expectEmit(true, true, true, true, address(anomalies));
        emit IAnomalyRecord.StatisticChallenged(1, BOB, uplinkId, uint64(block.timestamp + HOUR));
        assertEq(_challenge(BOB, uplinkId), 1, "id");
        assertEq(uint256(anomalies.votePhaseOf(1)), uint256(IAnomalyRecord.VotePhase.Committing), "votes");
        assertEq(_strikes(ALICE), 0, "strikes");
        assertEq(anomalies.upheldIn(ALICE, jobId), 0, "upheld");
    }

    function test_challenge_isAStrike_whenReceiversConfirm_andNothingElse() public {
        (bytes32 jobId, bytes32 uplinkId) = _contributed();
        _challenge(BOB, uplinkId);
        uint256 snapshot = vm.snapshotState();
        _tallied(1, true, true);
        IAnomalyRecord.Fault memory fault = anomalies.faultOf(_faults());
        assertEq(fault.reason, Faults.STATISTIC_FALSE, "reason");
        assertEq(fault.party, ALICE, "party");
        assertEq(fault.jobId, jobId, "job");
        assertEq(fault.evidence, uplinkId, "evidence");
        assertEq(_strikes(ALICE), 1, "strikes");
        vm.revertToState(snapshot);
        _tallied(1, true, false);
        assertEq(_faults(), 1, "one of two confirms nothing");
        assertEq(_strikes(ALICE), 0, "strikes");
    }

    function test_challenge_isTakenOnce_forEachUplink_andNotWhereItWasFlagged() public {
        (bytes32 jobId, bytes32 uplinkId) = _contributed();
        _challenge(BOB, uplinkId);
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.AlreadyChallenged.selector, uplinkId));
        _challenge(CAROL, uplinkId);
        for (uint32 i = 1; i < 8; ++i) {
            _declared(jobId, i, 900_000);
        }
        bytes32 flagged = _declared(jobId, 8, MAX_STATISTIC_E6);
        assertEq(anomalies.faultOf(_faults()).reason, Faults.STATISTIC_OUTLIER, "flagged");
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.AlreadyChallenged.selector, flagged));
        _challenge(BOB, flagged);
    }

    function test_challenge_isTaken_whateverBecameOfTheJob() public {
        (bytes32 jobId, bytes32 uplinkId) = _contributed();
        vm.prank(ALICE);
        jobs.abort(jobId, "sorry");
        _challenge(CAROL, uplinkId);
        assertEq(_faults(), 1, "faults");
    }

    function test_challenge_isTaken_forAWeek_andNotLater() public {
        (bytes32 jobId, bytes32 uplinkId) = _contributed();
        uint64 until = uint64(block.timestamp) + anomalies.CHALLENGE_SECONDS();
        assertEq(until, block.timestamp + 7 days, "a week");
        vm.prank(ALICE);
        jobs.abort(jobId, "sorry");
        vm.warp(until + 1);
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.ChallengeTooLate.selector, uplinkId, until));
        _challenge(BOB, uplinkId);
        assertEq(_faults(), 0, "faults");
        vm.warp(until);
        _challenge(BOB, uplinkId);
        assertEq(_faults(), 1, "in its last second");
    }

    function test_challenge_reverts_forTheSender_outsiders_andWhatDeclaresNothing() public {
        (bytes32 jobId, bytes32 uplinkId) = _contributed();
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.ChallengerIsTarget.selector, uplinkId, ALICE));
        _challenge(ALICE, uplinkId);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, DAVE));
        _challenge(DAVE, uplinkId);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, STEWARD));
        _challenge(STEWARD, uplinkId);
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.NothingDeclared.selector, bytes32("none")));
        _challenge(BOB, "none");
        _suspend(BOB);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, BOB));
        _challenge(BOB, uplinkId);
        assertEq(_faults(), 0, "faults");
    }
}
