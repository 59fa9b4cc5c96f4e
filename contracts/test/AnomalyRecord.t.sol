// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {AnomalyRecord} from "../src/AnomalyRecord.sol";
import {Faults} from "../src/Faults.sol";
import {Kinds} from "../src/Kinds.sol";
import {IAnomalyRecord} from "../src/interfaces/IAnomalyRecord.sol";
import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {IStewards} from "../src/interfaces/IStewards.sol";
import {StewardsDouble} from "./utils/GateDoubles.sol";
import {Gated} from "./utils/Gated.sol";

contract AnomalyRecordTest is Gated {
    uint8 internal constant WRONG_ROUND = 5;

    function _unwired() internal returns (AnomalyRecord unwired) {
        return new AnomalyRecord(IStewards(address(stewards)), IParticipantRegistry(address(registry)), policy);
    }

    // -- wiring -----------------------------------------------------------------------------------------------------------

    function test_setReporters_wiresAll_once() public {
        AnomalyRecord unwired = _unwired();
        vm.expectEmit(true, true, true, true, address(unwired));
        emit IAnomalyRecord.ReportersSet(address(jobs), address(ledger), address(proofs), AUDITS);
        unwired.setReporters(address(jobs), address(ledger), address(proofs), AUDITS);
        assertEq(address(unwired.jobs()), address(jobs), "jobs");
        assertEq(unwired.ledger(), address(ledger), "ledger");
        assertEq(unwired.proofs(), address(proofs), "proofs");
        assertEq(unwired.audits(), AUDITS, "audits");
        assertEq(unwired.deployer(), address(this), "deployer");
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.ReportersAlreadySet.selector, address(jobs)));
        unwired.setReporters(address(1), address(2), address(3), address(4));
    }

    function test_setReporters_reverts_whenCallerIsNotTheDeployer() public {
        AnomalyRecord unwired = _unwired();
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.NotDeployer.selector, alice));
        unwired.setReporters(address(jobs), address(ledger), address(proofs), AUDITS);
    }

    function test_setReporters_reverts_whenOneIsZero() public {
        AnomalyRecord unwired = _unwired();
        for (uint256 i = 0; i < 4; ++i) {
            address[4] memory reporters = [address(1), address(2), address(3), address(4)];
            reporters[i] = address(0);
            vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.ReportersAlreadySet.selector, address(0)));
            unwired.setReporters(reporters[0], reporters[1], reporters[2], reporters[3]);
        }
    }

    function test_report_reverts_beforeTheWiring_evenForTheZeroAddress() public {
        AnomalyRecord unwired = _unwired();
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.NotReporter.selector, address(this)));
        unwired.report(bob, JOB, 1, WRONG_ROUND, 0);
    }

    // -- reports ----------------------------------------------------------------------------------------------------------

    function test_report_recordsAndStrikes_whenTheReasonIsStructural() public {
        vm.roll(77);
        vm.expectEmit(true, true, true, true, address(record));
        emit IAnomalyRecord.FaultRecorded(1, bob, JOB, 3, WRONG_ROUND, Faults.STRIKE, "uplink");
        vm.prank(address(ledger));
        assertEq(record.report(bob, JOB, 3, WRONG_ROUND, "uplink"), 1, "faultId");
        IAnomalyRecord.Fault memory fault = record.faultOf(1);
        assertEq(fault.party, bob, "party");
        assertEq(fault.reason, WRONG_ROUND, "reason");
        assertEq(fault.answer, Faults.STRIKE, "answer");
        assertTrue(!fault.overturned, "overturned");
        assertEq(fault.round, 3, "round");
        assertEq(fault.blockNumber, 77, "blockNumber");
        assertEq(fault.jobId, JOB, "jobId");
        assertEq(fault.evidence, bytes32("uplink"), "evidence");
        assertEq(record.faultCount(), 1, "count");
        assertEq(registry.strikesOf(bob), 1, "strikes");
        assertCounts(bob, 1, 0);
        assertCounts(alice, 0, 0);
        assertVotePhase(1, IAnomalyRecord.VotePhase.None);
    }

    function test_report_isOpenToEachReporter_andToNobodyElse() public {
        address[3] memory reporters = [address(ledger), address(jobs), address(proofs)];
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(reporters[i]);
            assertEq(record.report(bob, OTHER_JOB, 1, 0, 0), i + 1, "faultId");
        }
        _suspend(carol);
        address[6] memory others = [STRANGER, alice, carol, STEWARD, address(this), address(registry)];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.NotReporter.selector, others[i]));
            record.report(bob, JOB, 1, WRONG_ROUND, 0);
        }
        assertEq(record.faultCount(), 3, "count");
    }

    function test_report_suspendsAtOnce_whenThePartyEquivocated() public {
        assertAnswer(_report(bob, Faults.EQUIVOCATION), Faults.SUSPENSION);
        assertStatus(bob, IParticipantRegistry.Status.Suspended);
        assertEq(registry.strikesOf(bob), 0, "strikes");
        assertCounts(bob, 1, 0);
    }

    function test_report_suspends_atTheThirdStrike_andOnlyRecordsAfterwards() public {
        for (uint256 i = 0; i < 3; ++i) {
            assertAnswer(_report(bob, WRONG_ROUND), Faults.STRIKE);
        }
        assertStatus(bob, IParticipantRegistry.Status.Suspended);
        assertAnswer(_report(bob, WRONG_ROUND), Faults.RECORDED);
        assertAnswer(_report(bob, Faults.EQUIVOCATION), Faults.RECORDED);
        assertEq(registry.strikesOf(bob), 3, "strikes");
        assertEq(registry.suspensionsOf(bob), 0, "suspensions");
        assertCounts(bob, 5, 0); // all of them count
        assertEq(record.faultCount(), 5, "all are on the record");
    }

    function test_report_onlyRecords_whenThePartyIsNotAccredited() public {
        IParticipantRegistry.Status[4] memory statuses = [
            IParticipantRegistry.Status.Unknown,
            IParticipantRegistry.Status.Registered,
            IParticipantRegistry.Status.Suspended,
            IParticipantRegistry.Status.Banned
        ];
        for (uint256 i = 0; i < statuses.length; ++i) {
            registry.setStatus(bob, statuses[i]);
            assertAnswer(_report(bob, WRONG_ROUND), Faults.RECORDED);
            assertStatus(bob, statuses[i]);
        }
        assertAnswer(_report(address(0), WRONG_ROUND), Faults.RECORDED);
        assertEq(registry.strikesOf(bob), 0, "strikes");
        assertCounts(bob, 4, 0); // all the same
    }

    function test_report_strikesForMissing_fromTheSecondTimeInTheJob() public {
        assertAnswer(_report(bob, Faults.MISSING), Faults.RECORDED);
        assertAnswer(_report(carol, Faults.MISSING), Faults.RECORDED);
        vm.prank(address(jobs));
        assertAnswer(record.report(bob, OTHER_JOB, 1, Faults.MISSING, 0), Faults.RECORDED);
        assertAnswer(_report(bob, Faults.DEADLINE_MISSED), Faults.RECORDED);
        assertAnswer(_report(bob, Faults.MISSING), Faults.STRIKE);
        assertAnswer(_report(bob, Faults.MISSING), Faults.STRIKE);
        assertEq(registry.strikesOf(bob), 2, "bob");
        assertEq(registry.strikesOf(carol), 0, "carol");
    }

    function test_report_doesNotCountAnOverturnedFaultAsAnEarlierOne() public {
        _overturn(_report(bob, Faults.MISSING));
        assertAnswer(_report(bob, Faults.MISSING), Faults.RECORDED);
        assertAnswer(_report(bob, Faults.MISSING), Faults.STRIKE);
    }

    function test_report_takesMaximalArguments() public {
        vm.roll(type(uint40).max);
        vm.prank(address(ledger));
        record.report(bob, bytes32(type(uint256).max), type(uint32).max, type(uint8).max, bytes32(type(uint256).max));
        IAnomalyRecord.Fault memory fault = record.faultOf(1);
        assertEq(fault.round, type(uint32).max, "round");
        assertEq(fault.reason, type(uint8).max, "reason");
        assertEq(fault.answer, Faults.RECORDED, "answer");
        assertEq(fault.blockNumber, type(uint40).max, "blockNumber");
    }

    /// forge-config: default.fuzz.runs = 256
    function testFuzz_report_neverReverts_andAnswersAsThePolicySays(
        uint256 seed,
        bytes32 jobId,
        uint32 round,
        uint8 reason,
        bytes32 evidence
    ) public {
        registry.setStrikesSuspend(false);
        address party = seed % 3 == 0 ? address(uint160(seed)) : roster[seed % 3];
        bool accredited = registry.statusOf(party) == IParticipantRegistry.Status.Accredited;
        for (uint256 i = 0; i < 3; ++i) {
            if (reason == Faults.EQUIVOCATION && i > 0) accredited = false; // suspended since
            vm.prank(address(ledger));
            uint256 faultId = record.report(party, jobId, round, reason, evidence);
            assertAnswer(faultId, accredited ? policy.answerTo(reason, i > 0) : 0);
            assertEq(record.faultOf(faultId).round, round, "round");
            assertEq(record.faultOf(faultId).jobId, jobId, "jobId");
            assertEq(record.faultOf(faultId).evidence, evidence, "evidence");
        }
    }

    function test_faultOf_reverts_whenThereIsNoSuchFault() public {
        _report(bob, WRONG_ROUND);
        uint256[3] memory unknown = [uint256(0), 2, type(uint256).max];
        for (uint256 i = 0; i < unknown.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.UnknownFault.selector, unknown[i]));
            record.faultOf(unknown[i]);
        }
    }

    // -- statistics -------------------------------------------------------------------------------------------------------

    function test_observe_keepsTheLastThirtyTwo_oldestFirst() public {
        assertEq(record.statisticsOf(JOB, Kinds.CONTRIBUTION).length, 0, "none");
        for (uint64 i = 0; i < 75; ++i) {
            _observe(alice, MEDIAN_E6 + i);
            uint64[] memory values = record.statisticsOf(JOB, Kinds.CONTRIBUTION);
            uint256 size = i < 32 ? i + 1 : 32;
            assertEq(values.length, size, "size");
            for (uint256 j = 0; j < size; ++j) {
                assertEq(values[j], MEDIAN_E6 + i + 1 - size + j, "value");
            }
        }
        assertEq(record.faultCount(), 0, "flags");
    }

    function test_observe_keepsJobsAndKindsApart() public {
        _observe(alice, 1);
        vm.startPrank(address(ledger));
        record.observe(alice, OTHER_JOB, 1, Kinds.CONTRIBUTION, 0, 2);
        record.observe(alice, JOB, 1, Kinds.HISTOGRAM, 0, 3);
        record.observe(alice, JOB, 1, type(uint8).max, 0, type(uint64).max);
        vm.stopPrank();
        assertEq(record.statisticsOf(JOB, Kinds.CONTRIBUTION)[0], 1, "first");
        assertEq(record.statisticsOf(OTHER_JOB, Kinds.CONTRIBUTION)[0], 2, "other job");
        assertEq(record.statisticsOf(JOB, Kinds.HISTOGRAM)[0], 3, "other kind");
        assertEq(record.statisticsOf(JOB, type(uint8).max)[0], type(uint64).max, "maximal");
        assertEq(record.statisticsOf(OTHER_JOB, Kinds.HISTOGRAM).length, 0, "untouched");
    }

    function test_observe_flagsAnOutlier_withoutAnAnswer_andKeepsIt() public {
        for (uint256 i = 0; i < 8; ++i) {
            _observe(alice, MEDIAN_E6);
        }
        vm.expectEmit(true, true, true, true, address(record));
        emit IAnomalyRecord.FaultRecorded(1, bob, JOB, 1, Faults.STATISTIC_OUTLIER, Faults.RECORDED, "uplink");
        vm.expectEmit(true, false, false, true, address(record));
        emit IAnomalyRecord.StatisticFlagged(1, Kinds.CONTRIBUTION, 2 * MEDIAN_E6, 67_450_000, uint64(START) + HOUR);
        _observe(bob, 2 * MEDIAN_E6);
        assertEq(registry.strikesOf(bob), 0, "strikes");
        assertStatus(bob, IParticipantRegistry.Status.Accredited);
        assertCounts(bob, 0, 0);
        assertVotePhase(1, IAnomalyRecord.VotePhase.Committing);
        assertEq(record.ballotOf(1).opened, START, "opened");
        assertEq(record.statisticsOf(JOB, Kinds.CONTRIBUTION)[8], 2 * MEDIAN_E6, "kept");
    }

    function test_observe_weighsAgainstWhatCameBefore_notAgainstTheStatisticItself() public {
        for (uint256 i = 0; i < 7; ++i) {
            _observe(alice, MEDIAN_E6);
        }
        _observe(bob, type(uint64).max); // the eighth has seven before it
        assertEq(record.faultCount(), 0, "flagged with seven");
        _observe(bob, type(uint64).max);
        assertEq(record.faultCount(), 1, "not flagged with eight");
    }

    function test_observe_reverts_whenCallerIsNotTheLedger() public {
        _suspend(carol);
        address[6] memory others = [STRANGER, alice, carol, STEWARD, address(jobs), address(proofs)];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.NotReporter.selector, others[i]));
            record.observe(bob, JOB, 1, Kinds.CONTRIBUTION, 0, 1);
        }
        assertEq(record.statisticsOf(JOB, Kinds.CONTRIBUTION).length, 0, "kept");
    }

    function testFuzz_observe_neverReverts_andFlagsAsThePolicySays(uint256 seed, uint8 kind, uint32 round) public {
        uint64[] memory before;
        for (uint256 i = 0; i < 40; ++i) {
            uint256 draw = uint256(keccak256(abi.encode(seed, i)));
            uint64 statisticE6 = uint64(draw >> (192 + (draw % 7 == 0 ? 0 : 40)));
            (bool expected,) = policy.isOutlier(before, statisticE6);
            uint256 flags = record.faultCount();
            vm.prank(address(ledger));
            record.observe(address(uint160(draw)), JOB, round, kind, bytes32(draw), statisticE6);
            assertEq(record.faultCount(), flags + (expected ? 1 : 0), "flags");
            before = record.statisticsOf(JOB, kind);
            assertEq(before[before.length - 1], statisticE6, "latest");
        }
    }

    // -- overturning ------------------------------------------------------------------------------------------------------

    function test_overturn_forgivesTheStrike_whenCarried_andKeepsTheRecord() public {
        _report(bob, WRONG_ROUND);
        _report(bob, WRONG_ROUND);
        vm.prank(STEWARD);
        assertTrue(!record.overturn(1, "why"), "one vote");
        assertTrue(!record.faultOf(1).overturned, "overturned by one vote");
        assertCounts(bob, 2, 0);
        vm.expectEmit(true, false, false, true, address(record));
        emit IAnomalyRecord.FaultOverturned(1, "why");
        vm.prank(OTHER_STEWARD);
        assertTrue(record.overturn(1, "why"), "two votes");
        IAnomalyRecord.Fault memory fault = record.faultOf(1);
        assertTrue(fault.overturned, "overturned");
        assertEq(fault.answer, Faults.STRIKE, "what was answered stays");
        assertEq(fault.reason, WRONG_ROUND, "reason");
        assertTrue(!record.faultOf(2).overturned, "the other one");
        assertEq(registry.strikesOf(bob), 1, "strikes");
        assertCounts(bob, 1, 1);
    }

    function test_overturn_votesAreForOneReasonEach() public {
        _report(bob, WRONG_ROUND);
        vm.prank(STEWARD);
        record.overturn(1, "why");
        vm.prank(OTHER_STEWARD);
        assertTrue(!record.overturn(1, "another reason"), "two reasons");
        vm.prank(THIRD_STEWARD);
        assertTrue(record.overturn(1, "another reason"), "the same reason");
    }

    function test_overturn_reverts_whenTwiceVoted_orOverturnedAlready() public {
        _report(bob, WRONG_ROUND);
        vm.prank(STEWARD);
        record.overturn(1, "why");
        bytes32 motion = keccak256(abi.encode("overturn", uint256(1), "why"));
        vm.prank(STEWARD);
        vm.expectRevert(abi.encodeWithSelector(StewardsDouble.AlreadyVoted.selector, STEWARD, motion));
        record.overturn(1, "why");
        vm.prank(OTHER_STEWARD);
        record.overturn(1, "why");
        vm.prank(THIRD_STEWARD);
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.AlreadyOverturned.selector, 1));
        record.overturn(1, "why");
        assertEq(registry.strikesOf(bob), 0, "forgiven once");
    }

    function test_overturn_reverts_whenCallerIsNoSteward() public {
        _report(bob, WRONG_ROUND);
        _suspend(carol);
        address[5] memory others = [STRANGER, alice, bob, carol, address(ledger)];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(StewardsDouble.NotSteward.selector, others[i]));
            record.overturn(1, "why");
        }
    }

    function test_overturn_bounds_theReason() public {
        _report(bob, WRONG_ROUND);
        vm.startPrank(STEWARD);
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.ReasonInvalid.selector, 0, 256));
        record.overturn(1, "");
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.ReasonInvalid.selector, 257, 256));
        record.overturn(1, string(new bytes(257)));
        record.overturn(1, string(new bytes(256)));
        vm.stopPrank();
    }

    function test_overturn_reverts_whenThereIsNoSuchFault() public {
        vm.startPrank(STEWARD);
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.UnknownFault.selector, 0));
        record.overturn(0, "why");
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.UnknownFault.selector, 1));
        record.overturn(1, "why");
        vm.stopPrank();
    }

    function test_overturn_forgivesNothing_whenNoStrikeWasWritten() public {
        _report(bob, WRONG_ROUND);
        _overturn(_report(bob, Faults.MISSING)); // recorded only
        assertCounts(bob, 1, 0);
        _overturn(_report(bob, Faults.EQUIVOCATION)); // a suspension: reinstating is the stewards' next vote
        assertStatus(bob, IParticipantRegistry.Status.Suspended);
        assertEq(registry.strikesOf(bob), 1, "strikes");
        assertCounts(bob, 1, 1);
        _overturn(_report(bob, WRONG_ROUND)); // of a suspended party
        assertEq(registry.strikesOf(bob), 1, "strikes");
        assertCounts(bob, 1, 2);
    }

    function test_report_countsFaultsOfTheSuspended_whichGetNoAnswer() public {
        _suspend(bob);
        uint256 faultId = _report(bob, WRONG_ROUND);
        _report(bob, Faults.MISSING);
        assertAnswer(faultId, Faults.RECORDED);
        assertCounts(bob, 1, 0);
        assertEq(record.upheldIn(bob, JOB), 1, "in the job");
        registry.setStatus(bob, IParticipantRegistry.Status.Accredited);
        _overturn(faultId);
        assertCounts(bob, 0, 1);
        assertEq(record.upheldIn(bob, JOB), 0, "in the job");
        assertEq(registry.strikesOf(bob), 0, "strikes");
    }

    function testFuzz_overturn_changesNothingButTheOneFlag(uint8 reason, bytes32 evidence, string calldata why) public {
        vm.assume(bytes(why).length > 0 && bytes(why).length <= 256);
        vm.prank(address(ledger));
        uint256 faultId = record.report(bob, JOB, 9, reason, evidence);
        IAnomalyRecord.Fault memory before = record.faultOf(faultId);
        vm.prank(STEWARD);
        record.overturn(faultId, why);
        vm.prank(THIRD_STEWARD);
        assertTrue(record.overturn(faultId, why), "carried");
        IAnomalyRecord.Fault memory later = record.faultOf(faultId);
        assertTrue(later.overturned, "overturned");
        later.overturned = false;
        assertEq(keccak256(abi.encode(later)), keccak256(abi.encode(before)), "the rest");
        assertEq(registry.strikesOf(bob), 0, "strikes");
    }
}
