// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Faults} from "../src/Faults.sol";
import {Kinds} from "../src/Kinds.sol";
import {IAnomalyRecord} from "../src/interfaces/IAnomalyRecord.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {Deployed} from "./utils/Deployed.sol";

/// @title Statistics of histograms, which the active party alone decrypts, and flags.
contract FlagsTest is Deployed {
    bytes32 internal constant SLOT = keccak256("slot");

    function _flag(address caller, address party, bytes32 jobId, uint32 round, bytes32 evidence)
        private
        returns (uint256)
    {
        vm.prank(caller);
        return anomalies.flag(party, jobId, round, evidence, 12_000_000, 7_500_000);
    }

    function test_flag_isRecorded_andNobodyVotes() public {
        bytes32 jobId = _inRoundOne();
        vm.expectEmit(true, true, true, true, address(anomalies));
        emit IAnomalyRecord.FaultRecorded(1, BOB, jobId, 1, Faults.STATISTIC_OUTLIER, Faults.RECORDED, SLOT);
        vm.expectEmit(true, false, false, true, address(anomalies));
        emit IAnomalyRecord.StatisticFlagged(1, Kinds.HISTOGRAM, 12_000_000, 7_500_000, 0);
        assertEq(_flag(ALICE, BOB, jobId, 1, SLOT), 1, "id");
        assertEq(uint256(anomalies.votePhaseOf(1)), uint256(IAnomalyRecord.VotePhase.None), "votes");
        vm.prank(CAROL);
        vm.expectRevert(
            abi.encodeWithSelector(
                IAnomalyRecord.WrongVotePhase.selector,
                1,
                IAnomalyRecord.VotePhase.Committing,
                IAnomalyRecord.VotePhase.None
            )
        );
        anomalies.commitVote(1, "commitment");
        assertEq(_strikes(BOB), 0, "strikes");
        assertEq(anomalies.upheldIn(BOB, jobId), 0, "upheld");
        (uint256 upheld,) = anomalies.faultsOf(BOB);
        assertEq(upheld, 0, "tally");
    }

    function test_flag_isTakenOnce_forEachPartyJobAndRound() public {
        bytes32 jobId = _inRoundOne();
        bytes32 other = _inRoundOne();
        _flag(ALICE, BOB, jobId, 1, SLOT);
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.AlreadyFlagged.selector, jobId, BOB, 1));
        _flag(ALICE, BOB, jobId, 1, "another");
        _flag(ALICE, CAROL, jobId, 1, SLOT);
        _flag(ALICE, BOB, other, 1, SLOT);
        assertEq(_faults(), 3, "faults");
        bytes32 later = _evaluating(); // round 1 is over
        _flag(ALICE, BOB, later, 1, SLOT);
        if (jobs.contextOf(later, ALICE, BOB).round > 1) _flag(ALICE, BOB, later, 2, SLOT);
        vm.prank(STEWARD);
        anomalies.overturn(1, "nothing to see");
        assertTrue(anomalies.faultOf(1).overturned, "overturned");
        assertEq(anomalies.upheldIn(BOB, jobId), 0, "upheld");
    }

    function test_flag_reverts_whenTheScoreIsNoOutliers() public {
        bytes32 jobId = _inRoundOne();
        uint64[2] memory scores = [uint64(0), 5_000_000];
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(ALICE);
            vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.ScoreTooLow.selector, scores[i], 5_000_000));
            anomalies.flag(BOB, jobId, 1, SLOT, 12_000_000, scores[i]);
        }
        vm.prank(ALICE);
        anomalies.flag(BOB, jobId, 1, SLOT, 12_000_000, 5_000_001);
        assertEq(_faults(), 1, "faults");
    }

    function test_flag_reverts_forAnybodyButTheActiveParty() public {
        bytes32 jobId = _inRoundOne();
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotActiveParty.selector, jobId, CAROL));
        _flag(CAROL, BOB, jobId, 1, SLOT);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, DAVE));
        _flag(DAVE, BOB, jobId, 1, SLOT);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, STEWARD));
        _flag(STEWARD, BOB, jobId, 1, SLOT);
        _suspend(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, ALICE));
        _flag(ALICE, BOB, jobId, 1, SLOT);
    }

    function test_flag_reverts_forItself_forOutsiders_withoutEvidence_orOfNoRound() public {
        bytes32 jobId = _inRoundOne();
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.FlagInvalid.selector, jobId, ALICE));
        _flag(ALICE, ALICE, jobId, 1, SLOT);
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.FlagInvalid.selector, jobId, BOB));
        _flag(ALICE, BOB, jobId, 1, 0);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, DAVE));
        _flag(ALICE, DAVE, jobId, 1, SLOT);
        uint32[2] memory rounds = [uint32(0), 2];
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IJobManager.WrongRound.selector, 1, rounds[i]));
            _flag(ALICE, BOB, jobId, rounds[i], SLOT);
        }
        vm.expectRevert(abi.encodeWithSelector(IJobManager.UnknownJob.selector, bytes32("none")));
        _flag(ALICE, BOB, "none", 1, SLOT);
    }

    function test_flag_isTaken_inTrainingAndEvaluatingAlone() public {
        bytes32 jobId = _evaluating();
        _flag(ALICE, BOB, jobId, 1, SLOT);
        jobId = _completed();
        vm.expectRevert(_wrong(IJobManager.Phase.Completed));
        _flag(ALICE, BOB, jobId, 1, SLOT);
        jobId = _aligning();
        vm.expectRevert(_wrong(IJobManager.Phase.Aligning));
        _flag(ALICE, BOB, jobId, 1, SLOT);
    }

    function _wrong(IJobManager.Phase found) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IJobManager.WrongPhase.selector, IJobManager.Phase.Training, found);
    }
}
