// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ContributionLedger} from "../src/ContributionLedger.sol";
import {InferenceRouter} from "../src/InferenceRouter.sol";
import {JobManager} from "../src/JobManager.sol";
import {Kinds} from "../src/Kinds.sol";
import {UplinkLedger} from "../src/UplinkLedger.sol";
import {IInferenceRouter} from "../src/interfaces/IInferenceRouter.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {Deployed} from "./utils/Deployed.sol";

/// @title Who calls: strangers, suspended members, and parties that act through another key.
contract CallersTest is Deployed {
    uint256 internal constant BOB_KEY = 0xB0B;
    address internal constant NEW_KEY = address(0x2E77);
    address internal constant STRANGER = address(0x57124);

    address internal bob;

    function setUp() public override {
        super.setUp();
        bob = vm.addr(BOB_KEY);
        _join(bob, "robert");
        roster = [ALICE, bob, CAROL];
    }

    function _rotateBob() internal {
        uint64 deadline = uint64(block.timestamp) + 60;
        bytes memory signature =
            _rotationSignature(address(registry), bob, BOB_KEY, NEW_KEY, registry.rotationNonce(bob), deadline);
        vm.prank(NEW_KEY);
        registry.rotateKey(bob, deadline, signature);
    }

    function test_aRotatedKey_actsForItsParty_everywhere() public {
        bytes32 jobId = _propose();
        _rotateBob();
        vm.prank(ALICE);
        jobs.accept(jobId);
        vm.prank(CAROL);
        jobs.accept(jobId);
        vm.prank(NEW_KEY);
        vm.expectEmit(true, true, false, true, address(jobs));
        emit IJobManager.JobAccepted(jobId, bob);
        jobs.accept(jobId);
        vm.prank(NEW_KEY);
        jobs.attend(jobId);
        assertTrue(jobs.hasAttended(jobId, bob), "attends as Bob");
        (bytes32 id, IUplinkLedger.Reason reason) = _submit(NEW_KEY, _envelope(jobId, 0, Kinds.BLINDED_IDS), PAYLOAD);
        assertReason(reason, IUplinkLedger.Reason.Accepted, "uplink");
        assertEq(id, _id(bob, _envelope(jobId, 0, Kinds.BLINDED_IDS)), "Bob's uplink");
        assertTrue(ledger.isAccepted(bob, _envelope(jobId, 0, Kinds.BLINDED_IDS)), "accepted as Bob's");
        (, reason) = _submit(NEW_KEY, _envelope(jobId, 0, Kinds.HISTOGRAM), PAYLOAD);
        assertReason(reason, IUplinkLedger.Reason.WrongPhase, "rejected");
        assertEq(_strikes(bob), 1, "Bob's strike");
    }

    function test_theKeyThatWasRotatedAway_isAStranger() public {
        bytes32 jobId = _propose();
        _rotateBob();
        IUplinkLedger.Envelope memory envelope = _envelope(jobId, 0, Kinds.BLINDED_IDS);
        vm.startPrank(bob);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, bob));
        jobs.accept(jobId);
        vm.expectRevert(abi.encodeWithSelector(IUplinkLedger.CallerNotAccredited.selector, bob));
        ledger.submit(envelope, PAYLOAD);
        IUplinkLedger.Leaf[] memory leaves = new IUplinkLedger.Leaf[](1);
        vm.expectRevert(abi.encodeWithSelector(IUplinkLedger.CallerNotAccredited.selector, bob));
        ledger.submitBatch(jobId, 0, 0, 1, leaves);
        vm.stopPrank();
    }

    function test_aRotatedKey_requestsAndClosesAsItsParty() public {
        bytes32 jobId = _completed();
        _rotateBob();
        vm.startPrank(NEW_KEY);
        uint32 requestId = router.open(jobId);
        (address requester,,,) = router.requestOf(jobId, requestId);
        assertEq(requester, bob, "requester");
        vm.expectEmit(true, true, true, true, address(router));
        emit IInferenceRouter.RequestClosed(jobId, requestId, bob, 2);
        router.close(jobId, requestId, 2);
        vm.stopPrank();
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, bob));
        router.open(jobId);
    }

    function test_everyCall_reverts_forAStranger() public {
        bytes32 jobId = _completed();
        vm.prank(ALICE);
        uint32 requestId = router.open(jobId);
        bytes memory notOnRoster = abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, STRANGER);
        vm.startPrank(STRANGER);
        vm.expectRevert(notOnRoster);
        jobs.accept(jobId);
        vm.expectRevert(notOnRoster);
        jobs.declareAligned(jobId, "", 0);
        vm.expectRevert(notOnRoster);
        jobs.beginRound(jobId, 0);
        vm.expectRevert(notOnRoster);
        jobs.retryRound(jobId, type(uint32).max);
        vm.expectRevert(notOnRoster);
        jobs.declareStop(jobId, type(uint32).max);
        vm.expectRevert(notOnRoster);
        jobs.abort(jobId, "");
        vm.expectRevert(notOnRoster);
        jobs.attend(jobId);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotLedger.selector, STRANGER));
        jobs.recordShard(jobId, STRANGER, 0);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotDeployer.selector, STRANGER));
        jobs.setLedger(STRANGER);
        vm.expectRevert();
        jobs.propose("spec", roster, _policy());
        vm.expectRevert(notOnRoster);
        router.open(jobId);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.NotRequesterOrActiveParty.selector, jobId, STRANGER));
        router.close(jobId, requestId, 1);
        vm.expectRevert(abi.encodeWithSelector(IUplinkLedger.NotDeployer.selector, STRANGER));
        ledger.setRouter(STRANGER);
        vm.expectRevert(notOnRoster);
        contributions.record(jobId, 0, new int64[](0), 0, 0);
        vm.stopPrank();
    }

    function test_record_reverts_whenTheActivePartyIsSuspended() public {
        bytes32 jobId = _evaluating();
        bytes32 uplinkId = _accept(ALICE, _envelope(jobId, 2, Kinds.CONTRIBUTION));
        _suspend(ALICE);
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, ALICE));
        contributions.record(jobId, uplinkId, new int64[](3), 0, 0);
    }

    function test_record_reverts_whenTheUplinkIsAnotherPartys() public {
        bytes32 jobId = _evaluating();
        bytes32 uplinkId = _accept(bob, _envelope(jobId, 2, Kinds.PREDICT_ANSWER));
        vm.prank(ALICE);
        vm.expectRevert();
        contributions.record(jobId, uplinkId, new int64[](3), 0, 0);
    }

    function testFuzz_calls_neverAnswerUnknownJobs(bytes32 jobId, address caller, uint32 number, bytes32 digest)
        public
    {
        bytes memory unknown = abi.encodeWithSelector(IJobManager.UnknownJob.selector, jobId);
        vm.startPrank(caller);
        vm.expectRevert(unknown);
        jobs.accept(jobId);
        vm.expectRevert(unknown);
        jobs.declareAligned(jobId, digest, number);
        vm.expectRevert(unknown);
        jobs.beginRound(jobId, number);
        vm.expectRevert(unknown);
        jobs.retryRound(jobId, number);
        vm.expectRevert(unknown);
        jobs.declareStop(jobId, number);
        vm.expectRevert(unknown);
        jobs.abort(jobId, "");
        vm.expectRevert(unknown);
        jobs.attend(jobId);
        vm.expectRevert(unknown);
        jobs.closeRound(jobId);
        vm.expectRevert(unknown);
        jobs.markMissing(jobId);
        vm.expectRevert(unknown);
        jobs.expire(jobId);
        vm.expectRevert(unknown);
        router.open(jobId);
        vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.UnknownRequest.selector, jobId, number));
        router.close(jobId, number, uint8(number));
        vm.expectRevert(unknown);
        contributions.record(jobId, digest, new int64[](number % 10), 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotLedger.selector, caller));
        jobs.recordShard(jobId, caller, digest);
        vm.stopPrank();
    }

    function testFuzz_roundCalls_takeExactlyTheirRound(uint32 round, bool retry) public {
        bytes32 jobId = _inRoundOne();
        vm.startPrank(ALICE);
        if (retry) {
            if (round != 1) vm.expectRevert(abi.encodeWithSelector(IJobManager.WrongRound.selector, 1, round));
            jobs.retryRound(jobId, round);
        } else {
            if (round != 2) vm.expectRevert(abi.encodeWithSelector(IJobManager.WrongRound.selector, 2, round));
            jobs.beginRound(jobId, round);
        }
        vm.stopPrank();
    }

    function testFuzz_propose_takesEveryPolicyWithinItsBounds(IJobManager.Policy memory policy, bytes memory spec)
        public
    {
        vm.assume(spec.length > 0);
        vm.prank(ALICE);
        if (policy.phaseSeconds == 0 || policy.roundSeconds == 0 || policy.maxUplinksPerRound == 0) {
            vm.expectRevert(IJobManager.PolicyInvalid.selector);
        } else if (policy.version != 2) {
            vm.expectRevert(abi.encodeWithSelector(IJobManager.PolicyVersionInvalid.selector, 2, policy.version));
        }
        bytes32 jobId = jobs.propose(spec, roster, policy);
        if (jobId == 0) return;
        assertEq(keccak256(abi.encode(jobs.jobOf(jobId).policy)), keccak256(abi.encode(policy)), "stored as given");
    }

    function testFuzz_close_takesOutcomesOneToThree(uint8 outcome, bool byActive) public {
        bytes32 jobId = _completed();
        vm.prank(bob);
        uint32 requestId = router.open(jobId);
        vm.prank(byActive ? ALICE : bob);
        bool sound = outcome >= 1 && outcome <= 3;
        if (!sound) vm.expectRevert(abi.encodeWithSelector(IInferenceRouter.OutcomeInvalid.selector, outcome));
        router.close(jobId, requestId, outcome);
        assertTrue(router.isOpen(jobId, requestId) != sound, "closed");
    }

    function test_wiring_isSetOnce() public {
        JobManager freshJobs = new JobManager(registry, anomalies);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.LedgerAlreadySet.selector, address(0)));
        freshJobs.setLedger(address(0));
        assertEq(freshJobs.policyVersion(), 2, "version");
        UplinkLedger freshLedger = new UplinkLedger(registry, freshJobs, anomalies);
        InferenceRouter freshRouter = new InferenceRouter(registry, freshJobs);
        ContributionLedger freshContributions = new ContributionLedger(registry, freshJobs, freshLedger);
        assertEq(address(freshLedger.anomalies()), address(anomalies), "anomalies");
        assertEq(address(freshRouter.jobs()), address(freshJobs), "jobs");
        assertEq(address(freshContributions.registry()), address(registry), "registry");
    }
}
