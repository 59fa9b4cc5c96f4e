// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {AnomalyPolicy} from "../src/AnomalyPolicy.sol";
import {JobManager} from "../src/JobManager.sol";
import {Kinds} from "../src/Kinds.sol";
import {Reports} from "../src/Reports.sol";
import {UplinkLedger} from "../src/UplinkLedger.sol";
import {IAnomalyPolicy} from "../src/interfaces/IAnomalyPolicy.sol";
import {IAnomalyRecord} from "../src/interfaces/IAnomalyRecord.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {Deployed} from "./utils/Deployed.sol";

/// @dev An anomaly record that refuses everything, or burns its gas.
contract RefusingRecord {
    IAnomalyPolicy public immutable policy = new AnomalyPolicy();
    bool public burns;

    error Refused(uint256 code);

    function setBurns(bool burns_) external {
        burns = burns_;
    }

    function report(address, bytes32, uint32, uint8 reason, bytes32) external view returns (uint256) {
        return _refuse(reason);
    }

    function observe(address, bytes32, uint32, uint8 kind, bytes32, uint64) external view {
        _refuse(kind);
    }

    function _refuse(uint256 code) private view returns (uint256) {
        if (!burns) revert Refused(code);
        // a hash of more memory than any gas pays for
        bytes memory endless = new bytes(type(uint64).max);
        return endless.length;
    }
}

/// @title A report never undoes what it is about, and nobody escapes it by paying too little gas.
contract ReportsTest is Deployed {
    RefusingRecord internal refusing;

    function setUp() public override {
        super.setUp();
        refusing = new RefusingRecord();
        jobs = new JobManager(registry, IAnomalyRecord(address(refusing)));
        ledger = new UplinkLedger(registry, jobs, IAnomalyRecord(address(refusing)));
        jobs.setLedger(address(ledger));
        ledger.setRouter(address(router));
    }

    function _expectRefusal(address emitter, address party, bytes32 jobId, uint8 code) internal {
        vm.expectEmit(true, true, false, true, emitter);
        emit Reports.ReportRefused(
            party, jobId, code, abi.encodeWithSelector(RefusingRecord.Refused.selector, uint256(code))
        );
    }

    function test_submit_keepsTheVerdict_whenTheRecordRefuses() public {
        IUplinkLedger.Envelope memory wrong = _envelope(_inRoundOne(), 1, Kinds.SPLIT);
        _expectRefusal(address(ledger), BOB, wrong.jobId, 7);
        (, IUplinkLedger.Reason reason) = _submit(BOB, wrong, PAYLOAD);
        assertReason(reason, IUplinkLedger.Reason.KindNotAllowed, "verdict");
        assertReason(_verdict(BOB, wrong).reason, IUplinkLedger.Reason.KindNotAllowed, "recorded");
    }

    function test_submit_keepsTheContribution_whenTheRecordRefusesItsStatistic() public {
        IUplinkLedger.Envelope memory contribution = _envelope(_evaluating(), 2, Kinds.CONTRIBUTION);
        _expectRefusal(address(ledger), ALICE, contribution.jobId, Kinds.CONTRIBUTION);
        bytes32 id = _accept(ALICE, contribution);
        (bytes32 jobId,,,) = ledger.contributionOf(id);
        assertEq(jobId, contribution.jobId, "recorded");
    }

    function test_closeRound_closes_whenTheRecordRefuses() public {
        bytes32 jobId = _inRoundOne();
        _pass(jobId);
        _expectRefusal(address(jobs), ALICE, jobId, 64);
        jobs.closeRound(jobId);
        assertTrue(jobs.jobOf(jobId).closed, "closed");
    }

    function test_submit_reverts_whenTheReportRunsOutOfGas() public {
        IUplinkLedger.Envelope memory wrong = _envelope(_inRoundOne(), 1, Kinds.SPLIT);
        refusing.setBurns(true);
        vm.prank(BOB);
        vm.expectRevert(Reports.ReportOutOfGas.selector);
        ledger.submit{gas: 10_000_000}(wrong, PAYLOAD);
        assertTrue(!_verdict(BOB, wrong).known, "no verdict without its report");
    }

    function test_closeRound_reverts_whenTheReportRunsOutOfGas() public {
        bytes32 jobId = _inRoundOne();
        _pass(jobId);
        refusing.setBurns(true);
        vm.expectRevert(Reports.ReportOutOfGas.selector);
        jobs.closeRound{gas: 10_000_000}(jobId);
        assertTrue(!jobs.jobOf(jobId).closed, "still open");
    }
}

/// @title With the real record: no amount of gas gives a verdict without its fault.
contract ReportGasTest is Deployed {
    function testFuzz_submit_leavesBothVerdictAndFaultOrNeither(uint256 gas) public {
        IUplinkLedger.Envelope memory wrong = _envelope(_inRoundOne(), 1, Kinds.SPLIT);
        vm.prank(BOB);
        (bool success,) = address(ledger).call{gas: bound(gas, 20_000, 400_000)}(
            abi.encodeCall(IUplinkLedger.submit, (wrong, PAYLOAD))
        );
        bool known = _verdict(BOB, wrong).known;
        assertTrue(success == known, "success");
        assertEq(_faults(), known ? 1 : 0, "fault");
        assertEq(_strikes(BOB), known ? 1 : 0, "strike");
    }

    function test_submit_showsDeclaredStatistics_whenAccepted() public {
        IUplinkLedger.Envelope memory contribution = _envelope(_evaluating(), 2, Kinds.CONTRIBUTION);
        for (uint32 i = 0; i < 9; ++i) {
            contribution.step = i;
            contribution.statisticE6 = i < 8 ? 1_000_000 : MAX_STATISTIC_E6 + 1;
            _submit(ALICE, contribution, PAYLOAD);
        }
        assertEq(anomalies.statisticsOf(contribution.jobId, Kinds.CONTRIBUTION).length, 8, "accepted ones alone");
        contribution.statisticE6 = MAX_STATISTIC_E6;
        bytes32 id = _accept(ALICE, contribution);
        IAnomalyRecord.Fault memory fault = anomalies.faultOf(_faults());
        assertEq(fault.reason, 48, "an outlier is flagged");
        assertEq(fault.evidence, id, "evidence");
        assertEq(fault.round, 2, "the job's round");
    }
}
