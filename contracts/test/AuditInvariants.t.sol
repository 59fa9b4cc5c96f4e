// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IContributionAudit} from "../src/interfaces/IContributionAudit.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {ISettlement} from "../src/interfaces/ISettlement.sol";
import {WithAudits} from "./utils/WithAudits.sol";

/// @title Parties freeze, post, reveal, vote, conclude and settle at random times; what is final stays as it is.
contract AuditHandler is WithAudits {
    bytes32 internal jobId;
    IContributionAudit.Outcome internal outcome;
    bytes32 internal seed;
    bytes32 internal lossesRoot;
    bytes32 internal settledOnce;
    uint8[3] internal votes;
    uint256 internal concluded;
    uint256 internal settled;

    constructor() {
        setUp();
        _begin();
        vm.recordLogs();
    }

    modifier checked() {
        _;
        _check();
    }

    function freeze(uint256 draw) external checked {
        address party = _party(draw);
        bytes32 shard = draw % 16 == 3 ? bytes32("another") : _digestOf(jobId, party);
        bytes memory call =
            abi.encodeCall(IContributionAudit.freeze, (jobId, _outputsOf(party), shard, _commitmentOf(party, jobId)));
        _call(party, address(audits), call);
    }

    function post(uint256 draw) external checked {
        address party = draw % 8 == 7 ? BOB : ALICE;
        bool done = _call(
            party,
            address(audits),
            abi.encodeCall(IContributionAudit.post, (jobId, LOSSES, _sums(), uint8(draw >> 8) & 6))
        );
        assertTrue(!done || party == ALICE, "posted by another");
        assertTrue(!done || lossesRoot == 0, "posted twice");
    }

    function reveal(uint256 draw) external checked {
        address party = _party(draw);
        bool isLate = block.timestamp > audits.deadlineOf(jobId) || audits.seedOf(jobId) != 0;
        bytes32 own = _seedOf(draw % 16 == 5 ? DAVE : party, jobId);
        bool done = _call(party, address(audits), abi.encodeCall(IContributionAudit.reveal, (jobId, own)));
        assertTrue(!done || !isLate, "revealed when the seed was known, or late");
    }

    function vote(uint256 draw) external checked {
        address party = _party(draw);
        bool sound = (draw >> 8) % 3 != 0;
        bool done = _call(
            party, address(audits), abi.encodeCall(IContributionAudit.vote, (jobId, sound, sound ? 0 : uint8(5)))
        );
        assertTrue(!done || (seed != 0 && party != ALICE && party != DAVE), "voted");
    }

    function conclude(uint256) external checked {
        bool isDue = block.timestamp > audits.deadlineOf(jobId) || _allVoted();
        isDue = isDue || jobs.phaseOf(jobId) == IJobManager.Phase.Completed;
        bool done = _call(DAVE, address(audits), abi.encodeCall(IContributionAudit.conclude, (jobId)));
        assertTrue(!done || (isDue && outcome == IContributionAudit.Outcome.None), "concluded early, or twice");
        if (done) ++concluded;
    }

    function complete(uint256 draw) external checked {
        if (jobs.phaseOf(jobId) != IJobManager.Phase.Evaluating) return;
        if (outcome == IContributionAudit.Outcome.None && draw % 8 != 0) return;
        for (uint256 i = 0; i < 3; ++i) {
            if (registry.statusOf(roster[i]) != IParticipantRegistry.Status.Accredited) return;
        }
        for (uint256 i = 0; i < 3; ++i) {
            _shard(roster[i], jobId, draw % 8 == i ? bytes32("changed") : _digestOf(jobId, roster[i]));
        }
    }

    function abort(uint256 draw) external checked {
        if (jobs.phaseOf(jobId) != IJobManager.Phase.Evaluating || draw % 8 != 0) return;
        _call(_party(draw >> 8), address(jobs), abi.encodeCall(IJobManager.abort, (jobId, "why")));
    }

    function fault(uint256 draw) external checked {
        if (draw % 4 != 0) return;
        address party = roster[(draw >> 8) % 3];
        if (registry.statusOf(party) != IParticipantRegistry.Status.Accredited) return;
        vm.prank(PROOFS);
        uint256 faultId = anomalies.report(party, jobId, 1, 34, bytes32(draw));
        if (draw % 8 != 0) return;
        vm.prank(STEWARD);
        anomalies.overturn(faultId, "why");
    }

    function settle(uint256) external checked {
        bool isDue = jobs.phaseOf(jobId) == IJobManager.Phase.Completed;
        isDue = isDue && outcome != IContributionAudit.Outcome.None && settledOnce == 0;
        bool done = _call(DAVE, address(settlements), abi.encodeCall(ISettlement.settle, (jobId)));
        assertTrue(done == isDue, "settled early or twice, or refused");
        if (done) ++settled;
    }

    function dispute(uint256 draw) external checked {
        _call(_party(draw), address(settlements), abi.encodeCall(ISettlement.dispute, (jobId, "why")));
    }

    function resolve(uint256 draw) external checked {
        _call(STEWARD, address(settlements), abi.encodeCall(ISettlement.resolve, (jobId, draw % 2 == 0, "because")));
    }

    function wait(uint256 draw) external checked {
        vm.warp(block.timestamp + (draw % 4 == 0 ? DISPUTE + 1 : draw % (WINDOW + 2)));
    }

    function another(uint256 draw) external checked {
        bool isOver = outcome != IContributionAudit.Outcome.None || jobs.phaseOf(jobId) == IJobManager.Phase.Aborted;
        if (!isOver || draw % 4 != 0) return;
        for (uint256 i = 0; i < 3; ++i) {
            if (registry.statusOf(roster[i]) == IParticipantRegistry.Status.Accredited) continue;
            vm.prank(STEWARD);
            registry.reinstate(roster[i]);
        }
        _begin();
    }

    function _begin() private {
        jobId = _audited();
        (outcome, seed, lossesRoot, settledOnce) = (IContributionAudit.Outcome.None, 0, 0, 0);
        delete votes;
    }

    function _call(address party, address target, bytes memory call) private returns (bool success) {
        vm.prank(party);
        // solhint-disable-next-line avoid-low-level-calls
        (success,) = target.call(call);
    }

    function _party(uint256 draw) private pure returns (address) {
        address[4] memory parties = [ALICE, BOB, CAROL, DAVE];
        return parties[draw % 4];
    }

    function _allVoted() private view returns (bool) {
        return votes[1] != 0 && votes[2] != 0;
    }

    /// @dev Whatever was there once is there for ever.
    function _check() private {
        IContributionAudit.AuditView memory audit = audits.auditOf(jobId);
        assertTrue(lossesRoot == 0 || audit.lossesRoot == lossesRoot, "other losses");
        assertTrue(seed == 0 || audit.seed == seed, "another seed");
        assertTrue(outcome == IContributionAudit.Outcome.None || audit.outcome == outcome, "another outcome");
        (lossesRoot, seed, outcome) = (audit.lossesRoot, audit.seed, audit.outcome);
        bool isConcluded = outcome != IContributionAudit.Outcome.None;
        uint256 against = 0;
        for (uint256 i = 0; i < 3; ++i) {
            assertTrue(votes[i] == 0 || audit.votes[i] == votes[i], "another vote");
            votes[i] = audit.votes[i];
            if (votes[i] == 2) ++against;
            assertTrue(audit.seeds[i] == 0 || audit.seeds[i] == _seedOf(roster[i], jobId), "a seed");
        }
        assertTrue(votes[0] == 0, "the active party voted");
        if (outcome == IContributionAudit.Outcome.Verified) assertEq(against, 0, "verified");
        if (outcome == IContributionAudit.Outcome.Disputed) assertEq(against, 1, "disputed, one of two");
        if (outcome == IContributionAudit.Outcome.False) assertEq(against, 2, "false");
        if (isConcluded) assertEq(audit.deadline, 0, "nothing is waited for");
        _checkSettlement();
    }

    function _checkSettlement() private {
        ISettlement.SettlementView memory found = settlements.settlementOf(jobId);
        if (found.settledAt == 0) return;
        bytes32 digest = keccak256(abi.encode(found.points, found.settledAt, found.finalAt));
        assertTrue(settledOnce == 0 || settledOnce == digest, "another settlement");
        settledOnce = digest;
        uint256 sum = 0;
        for (uint256 i = 0; i < found.points.length; ++i) {
            sum += found.points[i];
            bool isVerified = outcome == IContributionAudit.Outcome.Verified;
            bool isOpen =
                outcome == IContributionAudit.Outcome.Disputed || outcome == IContributionAudit.Outcome.Unaudited; // stewards decide
            isVerified = isVerified || (isOpen && found.resolution == ISettlement.Resolution.Stands);
            assertTrue(isVerified || found.withheld[i] & 8 != 0, "paid without a verified audit");
            bool stands = anomalies.upheldIn(roster[i], jobId) != 0;
            assertTrue(stands == (found.withheld[i] & 1 != 0), "a fault counts as long as it stands");
        }
        assertTrue(sum == (lossesRoot == 0 ? 0 : BUDGET), "points do not sum to the budget");
    }

    function assertInvariants() external view {
        assertEq(audits.auditCount(ALICE), concluded, "history");
        uint256 points = 0;
        uint256 withheld = 0;
        for (uint256 i = 0; i < 3; ++i) {
            (uint256 got, uint256 not, uint256 count) = settlements.totalsOf(roster[i], 0, 100);
            (points, withheld) = (points + got, withheld + not);
            assertEq(count, settled, "settlements of each");
        }
        assertTrue(points + withheld <= settled * uint256(BUDGET), "more points than there were");
        assertTrue((points + withheld) % BUDGET == 0, "a settlement is final as a whole");
    }
}

contract AuditInvariantsTest {
    AuditHandler internal handler;

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function setUp() public {
        handler = new AuditHandler();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function targetSelectors() public view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](20);
        selectors[0] = selectors[1] = selectors[2] = selectors[3] = AuditHandler.freeze.selector;
        selectors[4] = selectors[5] = AuditHandler.post.selector;
        selectors[6] = selectors[7] = selectors[8] = AuditHandler.reveal.selector;
        selectors[9] = selectors[10] = AuditHandler.vote.selector;
        selectors[11] = AuditHandler.conclude.selector;
        selectors[12] = AuditHandler.complete.selector;
        selectors[13] = AuditHandler.settle.selector;
        selectors[14] = AuditHandler.dispute.selector;
        selectors[15] = AuditHandler.resolve.selector;
        selectors[16] = AuditHandler.wait.selector;
        selectors[17] = AuditHandler.another.selector;
        selectors[18] = AuditHandler.abort.selector;
        selectors[19] = AuditHandler.fault.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), selectors);
    }

    /// forge-config: default.invariant.depth = 120
    function invariant_auditsAndSettlements_keepWhatIsFinal() public view {
        handler.assertInvariants();
    }
}
