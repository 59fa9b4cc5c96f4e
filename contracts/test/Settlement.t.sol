// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Faults} from "../src/Faults.sol";
import {Points} from "../src/Points.sol";
import {Settlement} from "../src/Settlement.sol";
import {Stewards} from "../src/Stewards.sol";
import {IContributionAudit} from "../src/interfaces/IContributionAudit.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {ISettlement} from "../src/interfaces/ISettlement.sol";
import {WithAudits} from "./utils/WithAudits.sol";

contract SettlementTest is WithAudits {
    uint8 internal constant FAULT = 1;
    uint8 internal constant WEAK = 2;
    uint8 internal constant SILENT = 4;
    uint8 internal constant OUTCOME = 8;
    uint8 internal constant SHARD = 16;
    uint8 internal constant REJECTED = 32;

    // -- settling ---------------------------------------------------------------------------------------------------------

    function test_settle_dividesTheBudget_byTheShares() public {
        bytes32 jobId = _concluded(true, true);
        _complete(jobId);
        uint64[] memory points = Points.divide(audits.sharesOf(jobId), BUDGET);
        vm.expectEmit(true, false, false, true, address(settlements));
        emit ISettlement.JobSettled(jobId, points, new uint8[](3), uint64(block.timestamp) + DISPUTE);
        vm.prank(STRANGER);
        settlements.settle(jobId);
        ISettlement.SettlementView memory found = settlements.settlementOf(jobId);
        assertEq(keccak256(abi.encode(found.roster)), keccak256(abi.encode(roster)), "roster");
        assertEq(keccak256(abi.encode(found.points)), keccak256(abi.encode(points)), "points");
        assertEq(uint256(points[0]) + points[1] + points[2], BUDGET, "sum");
        assertTrue(points[0] > points[1] && points[1] > points[2] && points[2] > 0, "by the shares");
        assertEq(found.settledAt, block.timestamp, "when");
        assertEq(found.finalAt, block.timestamp + DISPUTE, "until when");
        assertTrue(!found.isFinal && found.disputedBy == address(0), "open");
        _assertWithheld(jobId, [0, 0, 0]);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.AlreadySettled.selector, jobId));
        settlements.settle(jobId);
    }

    function test_settle_tellsOfTheFaultsThatStand() public {
        bytes32 jobId = _concluded(true, true);
        _complete(jobId);
        vm.prank(PROOFS);
        anomalies.report(BOB, jobId, 1, Faults.PAYLOAD_MISMATCH, "evidence");
        uint8[] memory withheld = new uint8[](3);
        withheld[1] = FAULT;
        uint64[] memory points = Points.divide(audits.sharesOf(jobId), BUDGET);
        vm.expectEmit(true, false, false, true, address(settlements));
        emit ISettlement.JobSettled(jobId, points, withheld, uint64(block.timestamp) + DISPUTE);
        settlements.settle(jobId);
    }

    function test_settle_reverts_unlessTheJobIsCompletedAndAudited_withABudget() public {
        bytes32 jobId = _concluded(true, true);
        vm.expectRevert(
            abi.encodeWithSelector(
                IJobManager.WrongPhase.selector, IJobManager.Phase.Completed, IJobManager.Phase.Evaluating
            )
        );
        settlements.settle(jobId);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.UnknownJob.selector, bytes32("none")));
        settlements.settle("none");
        jobId = _seeded();
        _complete(jobId);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.AuditNotConcluded.selector, jobId));
        settlements.settle(jobId);
        jobId = _completed();
        vm.expectRevert(abi.encodeWithSelector(ISettlement.AuditNotConcluded.selector, jobId));
        settlements.settle(jobId);
        jobId = _training();
        IContributionAudit.Terms memory terms = _terms();
        terms.budget = 0;
        vm.prank(ALICE);
        audits.commitLabels(jobId, terms);
        _evaluate(jobId);
        _complete(jobId);
        audits.conclude(jobId);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingToSettle.selector, jobId));
        settlements.settle(jobId);
    }

    function test_settle_withholdsAll_whateverTheOutcomeButVerified() public {
        bytes32 jobId = _concluded(false, true);
        _complete(jobId);
        settlements.settle(jobId);
        _assertWithheld(jobId, [OUTCOME, OUTCOME, OUTCOME]);
        jobId = _concluded(false, false);
        _complete(jobId);
        settlements.settle(jobId);
        _assertWithheld(jobId, [FAULT | OUTCOME, OUTCOME, OUTCOME]);
        jobId = _frozenAudit();
        _complete(jobId);
        audits.conclude(jobId);
        settlements.settle(jobId);
        _assertWithheld(jobId, [FAULT | SILENT | OUTCOME, OUTCOME, OUTCOME]);
        uint64[] memory points = settlements.settlementOf(jobId).points;
        assertEq(points[0] + points[1] + points[2], 0, "no shares, no points");
    }

    function test_settle_withholdsFromTheWeak_andTheSilent_andThoseAtFault() public {
        bytes32 jobId = _frozenAudit();
        _post(jobId, 2); // Bob is weak
        for (uint256 i = 0; i < 3; ++i) {
            _reveal(roster[i], jobId);
        }
        _vote(BOB, jobId, true);
        vm.warp(audits.deadlineOf(jobId) + 1); // Carol did not vote
        audits.conclude(jobId);
        vm.prank(PROOFS);
        anomalies.report(ALICE, jobId, 1, 33, "evidence");
        _complete(jobId);
        settlements.settle(jobId);
        _assertWithheld(jobId, [FAULT, WEAK, SILENT]);
    }

    function test_settle_doesNotWithhold_forAFaultThatIsOverturned_recordedOnly_orOfAnotherJob() public {
        bytes32 jobId = _concluded(true, true);
        vm.startPrank(PROOFS);
        uint256 faultId = anomalies.report(BOB, jobId, 1, 33, "evidence");
        anomalies.report(CAROL, jobId, 1, 48, "a flag");
        anomalies.report(ALICE, "another job", 1, 33, "evidence");
        vm.stopPrank();
        assertEq(anomalies.upheldIn(BOB, jobId), 1, "upheld");
        vm.prank(STEWARD);
        anomalies.overturn(faultId, "why");
        assertEq(anomalies.upheldIn(BOB, jobId), 0, "overturned");
        _complete(jobId);
        settlements.settle(jobId);
        _assertWithheld(jobId, [0, 0, 0]);
    }

    function test_settle_withholdsFromWhoRecordedAnotherShard_andFromAllIfThatIsTheActiveParty() public {
        bytes32 jobId = _concluded(true, true);
        _shard(ALICE, jobId, _digestOf(jobId, ALICE));
        _shard(BOB, jobId, "another");
        _shard(CAROL, jobId, _digestOf(jobId, CAROL));
        settlements.settle(jobId);
        _assertWithheld(jobId, [0, SHARD, 0]);
        jobId = _concluded(true, true);
        _shard(ALICE, jobId, "another");
        _shard(BOB, jobId, _digestOf(jobId, BOB));
        _shard(CAROL, jobId, _digestOf(jobId, CAROL));
        settlements.settle(jobId);
        _assertWithheld(jobId, [SHARD | OUTCOME, OUTCOME, OUTCOME]);
    }

    function test_faults_countWheneverTheyAreFound_andOnlyAsLongAsTheyStand() public {
        bytes32 jobId = _settled();
        uint64 points = settlements.settlementOf(jobId).points[1];
        vm.prank(PROOFS);
        uint256 faultId = anomalies.report(BOB, jobId, 1, Faults.REPLAY, keccak256("found later"));
        _assertWithheld(jobId, [0, FAULT, 0]);
        vm.warp(block.timestamp + DISPUTE + 1);
        (uint256 paid, uint256 withheld,) = settlements.totalsOf(BOB, 0, 100);
        assertEq(paid, 0, "paid");
        assertEq(withheld, points, "withheld");
        vm.prank(STEWARD);
        anomalies.overturn(faultId, "a copy of the node");
        _assertWithheld(jobId, [0, 0, 0]);
        (paid,,) = settlements.totalsOf(BOB, 0, 100);
        assertEq(paid, points, "released");
    }

    function test_aFaultThatStoodAtSettling_isReleased_whenOverturned() public {
        bytes32 jobId = _concluded(true, true);
        vm.prank(PROOFS);
        uint256 faultId = anomalies.report(CAROL, jobId, 1, Faults.REPLAY, keccak256("found"));
        _complete(jobId);
        settlements.settle(jobId);
        _assertWithheld(jobId, [0, 0, FAULT]);
        vm.prank(STEWARD);
        anomalies.overturn(faultId, "a copy of the node");
        _assertWithheld(jobId, [0, 0, 0]);
    }

    // -- disputes ---------------------------------------------------------------------------------------------------------

    function test_aSettlement_isFinal_afterItsTime_unlessDisputed() public {
        bytes32 jobId = _settled();
        vm.warp(block.timestamp + DISPUTE);
        assertTrue(!settlements.isFinal(jobId), "in its last second");
        vm.warp(block.timestamp + 1);
        assertTrue(settlements.isFinal(jobId), "after it");
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.DeadlineOver.selector, block.timestamp - 1, block.timestamp));
        settlements.dispute(jobId, "too late");
        assertTrue(!settlements.isFinal("none"), "of no job");
    }

    function test_dispute_holdsEverything_untilStewardsResolve() public {
        bytes32 jobId = _settled();
        vm.warp(block.timestamp + DISPUTE);
        vm.expectEmit(true, true, false, true, address(settlements));
        emit ISettlement.SettlementDisputed(jobId, CAROL, "why");
        vm.prank(CAROL);
        settlements.dispute(jobId, "why");
        vm.warp(block.timestamp + 100 * DISPUTE);
        assertTrue(!settlements.isFinal(jobId), "held");
        assertEq(settlements.settlementOf(jobId).disputedBy, CAROL, "by whom");
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.AlreadyDisputed.selector, jobId, CAROL));
        settlements.dispute(jobId, "me too");
        vm.expectEmit(true, false, false, true, address(settlements));
        emit ISettlement.SettlementResolved(jobId, true, "it is right");
        vm.prank(STEWARD);
        assertTrue(settlements.resolve(jobId, true, "it is right"), "carried");
        assertTrue(settlements.isFinal(jobId), "final");
        _assertWithheld(jobId, [0, 0, 0]);
        assertEq(
            uint256(settlements.settlementOf(jobId).resolution), uint256(ISettlement.Resolution.Stands), "resolution"
        );
        vm.prank(STEWARD);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.AlreadyResolved.selector, jobId));
        settlements.resolve(jobId, false, "after all");
    }

    function test_aDispute_thatNobodyResolves_endsAfter90Days_andTheSettlementIsAsItWas() public {
        bytes32 jobId = _settled();
        vm.prank(CAROL);
        settlements.dispute(jobId, "why");
        uint64 until = uint64(block.timestamp) + 90 days;
        vm.warp(until);
        assertTrue(!settlements.isFinal(jobId), "in its last second");
        uint256 snapshot = vm.snapshotState();
        vm.prank(STEWARD);
        assertTrue(settlements.resolve(jobId, false, "in its last second"), "carried");
        vm.revertToState(snapshot);
        vm.warp(until + 1);
        assertTrue(settlements.isFinal(jobId), "after it");
        _assertWithheld(jobId, [0, 0, 0]);
        vm.prank(STEWARD);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.DeadlineOver.selector, until, until + 1));
        settlements.resolve(jobId, false, "too late");
        (uint256 points,,) = settlements.totalsOf(ALICE, 0, 100);
        assertEq(points, settlements.settlementOf(jobId).points[0], "paid");
    }

    function test_resolve_withholdsAllPoints_whenStewardsReject() public {
        bytes32 jobId = _settled();
        vm.prank(BOB);
        settlements.dispute(jobId, "why");
        vm.prank(STEWARD);
        settlements.resolve(jobId, false, "so it was");
        _assertWithheld(jobId, [REJECTED, REJECTED, REJECTED]);
        assertTrue(settlements.isFinal(jobId), "final");
        (uint256 points, uint256 withheld, uint256 settled) = settlements.totalsOf(ALICE, 0, 100);
        assertEq(points, 0, "points");
        assertEq(withheld, settlements.settlementOf(jobId).points[0], "withheld");
        assertEq(settled, 1, "settled");
    }

    function test_resolve_takesAsManyStewards_asAMotionNeeds_forTheSameReason() public {
        address[] memory two = new address[](2);
        (two[0], two[1]) = (STEWARD, STRANGER);
        settlements = new Settlement(new Stewards(two, 2), registry, jobs, audits, anomalies);
        bytes32 jobId = _settled();
        vm.prank(BOB);
        settlements.dispute(jobId, "why");
        vm.prank(STEWARD);
        assertTrue(!settlements.resolve(jobId, false, "because"), "carried by one");
        vm.prank(STRANGER);
        assertTrue(!settlements.resolve(jobId, true, "because"), "carried by two that disagree");
        assertEq(uint256(settlements.settlementOf(jobId).resolution), 0, "resolution");
        assertTrue(!settlements.isFinal(jobId), "final");
        vm.prank(STRANGER);
        assertTrue(settlements.resolve(jobId, false, "because"), "carried by two");
        _assertWithheld(jobId, [REJECTED, REJECTED, REJECTED]);
    }

    function test_resolve_releasesThePoints_ofADisputedAudit_thatStands() public {
        bytes32 jobId = _concluded(false, true);
        _complete(jobId);
        settlements.settle(jobId);
        _assertWithheld(jobId, [OUTCOME, OUTCOME, OUTCOME]);
        vm.prank(CAROL);
        settlements.dispute(jobId, "Bob erred");
        uint256 snapshot = vm.snapshotState();
        vm.prank(STEWARD);
        settlements.resolve(jobId, true, "so he did");
        _assertWithheld(jobId, [0, 0, 0]);
        (uint256 points,,) = settlements.totalsOf(CAROL, 0, 100);
        assertEq(points, settlements.settlementOf(jobId).points[2], "paid");
        vm.revertToState(snapshot);
        vm.prank(STEWARD);
        settlements.resolve(jobId, false, "he did not");
        _assertWithheld(jobId, [OUTCOME | REJECTED, OUTCOME | REJECTED, OUTCOME | REJECTED]);
    }

    function test_resolve_releasesThePoints_whereNoAuditorVoted_butNotOfWhoKeptItsSeed() public {
        bytes32 jobId = _posted();
        _reveal(ALICE, jobId);
        _reveal(BOB, jobId);
        vm.warp(audits.deadlineOf(jobId) + WINDOW + 1);
        audits.conclude(jobId);
        assertOutcome(jobId, IContributionAudit.Outcome.Unaudited);
        _complete(jobId);
        settlements.settle(jobId);
        _assertWithheld(jobId, [OUTCOME, OUTCOME, OUTCOME | SILENT]);
        vm.prank(ALICE);
        settlements.dispute(jobId, "an outage");
        vm.prank(STEWARD);
        settlements.resolve(jobId, true, "so it was");
        _assertWithheld(jobId, [0, 0, SILENT]);
    }

    function test_aFaultOfWhoWasSuspendedBefore_withholdsItsPoints_untilItIsOverturned() public {
        bytes32 jobId = _settled();
        _assertWithheld(jobId, [0, 0, 0]);
        vm.startPrank(PROOFS);
        anomalies.report(BOB, "another job", 1, Faults.EQUIVOCATION, "a lesser fault, proven by itself");
        uint256 faultId = anomalies.report(BOB, jobId, 1, Faults.EQUIVOCATION, "evidence");
        vm.stopPrank();
        assertEq(anomalies.faultOf(faultId).answer, Faults.RECORDED, "it was suspended before");
        _assertWithheld(jobId, [0, FAULT, 0]);
        vm.prank(STEWARD);
        anomalies.overturn(faultId, "not so");
        _assertWithheld(jobId, [0, 0, 0]);
    }

    function test_resolve_releasesNothing_ofAFalseAudit_norWhereTheActivePartysShardIsAnother() public {
        bytes32 jobId = _concluded(false, false);
        _complete(jobId);
        _settleAndResolve(jobId);
        _assertWithheld(jobId, [FAULT | OUTCOME, OUTCOME, OUTCOME]);
        jobId = _concluded(false, true);
        _shard(ALICE, jobId, "another");
        _shard(BOB, jobId, _digestOf(jobId, BOB));
        _shard(CAROL, jobId, _digestOf(jobId, CAROL));
        _settleAndResolve(jobId);
        _assertWithheld(jobId, [SHARD | OUTCOME, OUTCOME, OUTCOME]);
    }

    function test_resolve_keepsWhatIsWithheldForOtherReasons() public {
        bytes32 jobId = _frozenAudit();
        _post(jobId, 2); // Bob is weak
        for (uint256 i = 0; i < 3; ++i) {
            _reveal(roster[i], jobId);
        }
        _vote(BOB, jobId, false);
        _vote(CAROL, jobId, true);
        audits.conclude(jobId);
        _shard(ALICE, jobId, _digestOf(jobId, ALICE));
        _shard(BOB, jobId, _digestOf(jobId, BOB));
        _shard(CAROL, jobId, "another");
        _settleAndResolve(jobId);
        _assertWithheld(jobId, [0, WEAK, SHARD]);
    }

    function _settleAndResolve(bytes32 jobId) private {
        settlements.settle(jobId);
        vm.prank(CAROL);
        settlements.dispute(jobId, "why");
        vm.prank(STEWARD);
        settlements.resolve(jobId, true, "it stands");
    }

    function test_disputeAndResolve_revert_whenThereIsNothingToDisputeOrResolve() public {
        bytes32 jobId = _concluded(true, true);
        _complete(jobId);
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotSettled.selector, jobId));
        settlements.dispute(jobId, "why");
        vm.prank(STEWARD);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotSettled.selector, jobId));
        settlements.resolve(jobId, true, "why");
        settlements.settle(jobId);
        vm.prank(STEWARD);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotDisputed.selector, jobId));
        settlements.resolve(jobId, true, "why");
    }

    function test_reasons_haveOneTo256Bytes() public {
        bytes32 jobId = _settled();
        string[2] memory reasons = ["", string(new bytes(257))];
        for (uint256 i = 0; i < 2; ++i) {
            bytes memory invalid =
                abi.encodeWithSelector(ISettlement.ReasonInvalid.selector, bytes(reasons[i]).length, 256);
            vm.prank(BOB);
            vm.expectRevert(invalid);
            settlements.dispute(jobId, reasons[i]);
        }
        vm.prank(BOB);
        settlements.dispute(jobId, string(new bytes(256)));
        for (uint256 i = 0; i < 2; ++i) {
            bytes memory invalid =
                abi.encodeWithSelector(ISettlement.ReasonInvalid.selector, bytes(reasons[i]).length, 256);
            vm.prank(STEWARD);
            vm.expectRevert(invalid);
            settlements.resolve(jobId, true, reasons[i]);
        }
    }

    // -- totals -----------------------------------------------------------------------------------------------------------

    function test_totalsOf_countFinalSettlements_ofEachParty() public {
        bytes32 first = _settled();
        bytes32 second = _concluded(false, true);
        _complete(second);
        settlements.settle(second);
        _assertTotals(BOB, 0, 0, 2);
        vm.warp(block.timestamp + DISPUTE + 1);
        bytes32 third = _settled();
        _concluded(true, true); // never settled
        uint64[] memory points = settlements.settlementOf(first).points;
        for (uint256 i = 0; i < 3; ++i) {
            _assertTotals(roster[i], points[i], settlements.settlementOf(second).points[i], 3);
        }
        vm.warp(settlements.settlementOf(third).finalAt + 1);
        _assertTotals(ALICE, 2 * uint256(points[0]), settlements.settlementOf(second).points[0], 3);
        _assertTotals(DAVE, 0, 0, 0);
        (uint256 one, uint256 not, uint256 count) = settlements.totalsOf(ALICE, 1, 1);
        assertEq(one + not + count, uint256(settlements.settlementOf(second).points[0]) + 1, "of the second alone");
    }

    function test_pointsOfEightParties_areKept() public {
        for (uint160 i = 0; i < 4; ++i) {
            address party = address(0xADD0 + i);
            _join(party, string.concat("more-", string(abi.encodePacked(bytes1(uint8(97 + i))))));
            roster.push(party);
        }
        roster.push(DAVE);
        bytes32 jobId = _seeded();
        for (uint256 i = 1; i < 8; ++i) {
            _vote(roster[i], jobId, true);
        }
        audits.conclude(jobId);
        _complete(jobId);
        settlements.settle(jobId);
        uint64[] memory expected = Points.divide(audits.sharesOf(jobId), BUDGET);
        ISettlement.SettlementView memory found = settlements.settlementOf(jobId);
        assertEq(keccak256(abi.encode(found.points)), keccak256(abi.encode(expected)), "points");
        assertTrue(expected[4] > 0, "beyond the first word");
        vm.warp(found.finalAt + 1);
        (uint256 points,,) = settlements.totalsOf(roster[4], 0, 100);
        assertEq(points, expected[4], "total");
    }

    function _assertTotals(address party, uint256 points, uint256 withheld, uint256 settled) private view {
        (uint256 found, uint256 foundWithheld, uint256 foundSettled) = settlements.totalsOf(party, 0, 100);
        assertEq(found, points, "points");
        assertEq(foundWithheld, withheld, "withheld");
        assertEq(foundSettled, settled, "settled");
    }

    function _assertWithheld(bytes32 jobId, uint8[3] memory expected) private view {
        uint8[] memory found = settlements.settlementOf(jobId).withheld;
        for (uint256 i = 0; i < 3; ++i) {
            assertEq(found[i], expected[i], "withheld");
        }
    }
}
