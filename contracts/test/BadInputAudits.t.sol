// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IAnomalyRecord} from "../src/interfaces/IAnomalyRecord.sol";
import {IContributionAudit} from "../src/interfaces/IContributionAudit.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {ISettlement} from "../src/interfaces/ISettlement.sol";
import {IStewards} from "../src/interfaces/IStewards.sol";
import {WithAudits} from "./utils/WithAudits.sol";

/// @title Audits and settlements: callers that may not, phases that do not fit, arguments that are empty or maximal.
contract BadInputAuditsTest is WithAudits {
    bytes32 internal constant MAX_WORD = bytes32(type(uint256).max);

    function test_everyCallOfAParty_reverts_forStrangersStewardsOutsidersAndTheSuspended() public {
        bytes32 training = _training();
        bytes32 jobId = _seeded();
        bytes32 settled = _settled();
        _suspend(BOB);
        bytes[5] memory calls = _calls(training, jobId);
        for (uint256 i = 0; i < 5; ++i) {
            bytes32 job = i == 0 ? training : jobId;
            address[3] memory outsiders = [STRANGER, STEWARD, DAVE];
            for (uint256 j = 0; j < 3; ++j) {
                bytes memory denied = abi.encodeWithSelector(IJobManager.NotOnRoster.selector, job, outsiders[j]);
                _refused(outsiders[j], address(audits), calls[i], denied);
            }
            _refused(
                BOB, address(audits), calls[i], abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, BOB)
            );
        }
        bytes memory dispute = abi.encodeCall(ISettlement.dispute, (settled, "why"));
        _refused(
            STRANGER,
            address(settlements),
            dispute,
            abi.encodeWithSelector(IJobManager.NotOnRoster.selector, settled, STRANGER)
        );
        _refused(
            BOB, address(settlements), dispute, abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, BOB)
        );
        vm.prank(CAROL);
        settlements.dispute(settled, "why");
        address[3] memory callers = [ALICE, STRANGER, BOB];
        for (uint256 i = 0; i < 3; ++i) {
            _refused(
                callers[i],
                address(settlements),
                abi.encodeCall(ISettlement.resolve, (settled, true, "why")),
                abi.encodeWithSelector(IStewards.NotSteward.selector, callers[i])
            );
        }
    }

    function test_everyCallOfTheActiveParty_reverts_forAPassiveOne() public {
        bytes32 jobId = _training();
        _refused(
            BOB,
            address(audits),
            abi.encodeCall(IContributionAudit.commitLabels, (jobId, _terms())),
            abi.encodeWithSelector(IJobManager.NotActiveParty.selector, jobId, BOB)
        );
        jobId = _frozenAudit();
        _refused(
            CAROL,
            address(audits),
            abi.encodeCall(IContributionAudit.post, (jobId, LOSSES, _sums(), 0)),
            abi.encodeWithSelector(IJobManager.NotActiveParty.selector, jobId, CAROL)
        );
    }

    function test_everyCallAboutAnAudit_reverts_inEachOtherPhase() public {
        bytes32[7] memory job = [_propose(), _aligning(), _training(), _audited(), _audited(), _audited(), bytes32(0)];
        _commitLabels(job[2]);
        job[6] = _audited();
        _complete(job[4]);
        vm.prank(BOB);
        jobs.abort(job[5], "test");
        vm.warp(block.timestamp + 2 * PHASE_SECONDS + 2);
        jobs.expire(job[6]);
        for (uint256 i = 0; i < 7; ++i) {
            IJobManager.Phase found = jobs.phaseOf(job[i]);
            assertEq(uint256(found), i + 1, "one of each");
            bytes[5] memory calls = _calls(job[i], job[i]);
            if (found != IJobManager.Phase.Training) {
                _refused(CAROL, address(audits), calls[0], _notActive(job[i]));
                _refused(ALICE, address(audits), calls[0], _wrong(IJobManager.Phase.Training, found));
            }
            bytes memory unknown = abi.encodeWithSelector(IContributionAudit.NoAudit.selector, job[i]);
            bool isAudited = i >= 2;
            bytes memory wrong = isAudited ? _wrong(IJobManager.Phase.Evaluating, found) : unknown;
            if (found != IJobManager.Phase.Evaluating) {
                _refused(CAROL, address(audits), calls[1], wrong);
                _refused(ALICE, address(audits), calls[2], wrong);
            }
            if (found == IJobManager.Phase.Evaluating || found == IJobManager.Phase.Completed) continue;
            _refused(CAROL, address(audits), calls[3], wrong);
            _refused(CAROL, address(audits), calls[4], wrong);
            _refused(CAROL, address(audits), abi.encodeCall(IContributionAudit.conclude, (job[i])), wrong);
            _refused(
                CAROL,
                address(settlements),
                abi.encodeCall(ISettlement.settle, (job[i])),
                _wrong(IJobManager.Phase.Completed, found)
            );
        }
    }

    function test_everyCall_reverts_afterTheConclusion() public {
        bytes32 jobId = _frozenAudit();
        vm.warp(audits.deadlineOf(jobId) + 1);
        audits.conclude(jobId);
        bytes[5] memory calls = _calls(jobId, jobId);
        bytes memory over = abi.encodeWithSelector(IContributionAudit.AlreadyConcluded.selector, jobId);
        _refused(ALICE, address(audits), calls[2], over);
        _refused(CAROL, address(audits), calls[3], over);
        _refused(CAROL, address(audits), calls[4], over);
    }

    function test_everyCall_withEmptyAndMaximalArguments() public {
        bytes32[2] memory ids = [bytes32(0), MAX_WORD];
        for (uint256 i = 0; i < 2; ++i) {
            bytes memory unknown = abi.encodeWithSelector(IJobManager.UnknownJob.selector, ids[i]);
            bytes[5] memory calls = _calls(ids[i], ids[i]);
            for (uint256 j = 0; j < 5; ++j) {
                _refused(ALICE, address(audits), calls[j], unknown);
            }
            _refused(
                ALICE,
                address(audits),
                abi.encodeCall(IContributionAudit.conclude, (ids[i])),
                abi.encodeWithSelector(IContributionAudit.NoAudit.selector, ids[i])
            );
            _refused(ALICE, address(settlements), abi.encodeCall(ISettlement.settle, (ids[i])), unknown);
            bytes memory notSettled = abi.encodeWithSelector(ISettlement.NotSettled.selector, ids[i]);
            _refused(ALICE, address(settlements), abi.encodeCall(ISettlement.dispute, (ids[i], "")), notSettled);
            _refused(STEWARD, address(settlements), abi.encodeCall(ISettlement.resolve, (ids[i], true, "")), notSettled);
            assertEq(uint256(audits.outcomeOf(ids[i])) + audits.deadlineOf(ids[i]), 0, "views");
            assertEq(audits.seedOf(ids[i]), 0, "seed");
            assertEq(audits.sharesOf(ids[i]).length + settlements.settlementOf(ids[i]).roster.length, 0, "lists");
            vm.expectRevert(abi.encodeWithSelector(IContributionAudit.NoAudit.selector, ids[i]));
            audits.auditOf(ids[i]);
        }
        uint32 most = type(uint32).max;
        bytes32 jobId = _training();
        IContributionAudit.Terms memory largest =
            IContributionAudit.Terms(MAX_WORD, most, most, most, most, type(uint64).max);
        bytes memory invalid = abi.encodeWithSelector(IContributionAudit.TermsInvalid.selector);
        _refused(ALICE, address(audits), abi.encodeCall(IContributionAudit.commitLabels, (jobId, largest)), invalid);
        jobId = _frozenAudit();
        uint128[] memory sums = new uint128[](1000);
        _refused(
            ALICE,
            address(audits),
            abi.encodeCall(IContributionAudit.post, (jobId, MAX_WORD, sums, 0)),
            abi.encodeWithSelector(IContributionAudit.SumCountInvalid.selector, 8, 1000)
        );
        sums = _sums();
        sums[0] = type(uint128).max;
        _refused(
            ALICE,
            address(audits),
            abi.encodeCall(IContributionAudit.post, (jobId, MAX_WORD, sums, 0)),
            abi.encodeWithSelector(IContributionAudit.SumTooLarge.selector, 0, type(uint128).max, uint256(ROWS) * 1e15)
        );
    }

    function test_theRecord_takesFaults_ofTheAuditsToo() public {
        vm.prank(address(audits));
        anomalies.report(BOB, "job", 1, 51, 0);
        bytes memory denied = abi.encodeWithSelector(IAnomalyRecord.NotReporter.selector, address(settlements));
        _refused(
            address(settlements),
            address(anomalies),
            abi.encodeCall(IAnomalyRecord.report, (BOB, "job", 1, 51, 0)),
            denied
        );
    }

    /// @dev One sound call of each party's function: labels, freezing, losses, a seed, a vote.
    function _calls(bytes32 training, bytes32 jobId) private view returns (bytes[5] memory) {
        return [
            abi.encodeCall(IContributionAudit.commitLabels, (training, _terms())),
            abi.encodeCall(IContributionAudit.freeze, (jobId, "outputs", "shard", "commitment")),
            abi.encodeCall(IContributionAudit.post, (jobId, LOSSES, _sums(), 0)),
            abi.encodeCall(IContributionAudit.reveal, (jobId, _seedOf(CAROL, jobId))),
            abi.encodeCall(IContributionAudit.vote, (jobId, true, 0))
        ];
    }

    function _refused(address caller, address target, bytes memory call, bytes memory expected) private {
        vm.prank(caller);
        // solhint-disable-next-line avoid-low-level-calls
        (bool taken, bytes memory found) = target.call(call);
        assertTrue(!taken, "taken");
        assertEq(keccak256(found), keccak256(expected), "another error");
    }

    function _notActive(bytes32 jobId) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IJobManager.NotActiveParty.selector, jobId, CAROL);
    }

    function _wrong(IJobManager.Phase expected, IJobManager.Phase found) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IJobManager.WrongPhase.selector, expected, found);
    }
}
