// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IInferenceRouter} from "../src/interfaces/IInferenceRouter.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {Deployed} from "./utils/Deployed.sol";
import {Vm} from "./utils/Vm.sol";

/// @title Four parties, two of which may be suspended, take jobs through their life at random times; anybody closes.
contract JobHandler is Deployed {
    bytes32[] internal jobIds;
    mapping(bytes32 jobId => IJobManager.Phase) internal latest;
    mapping(bytes32 jobId => mapping(bytes32 place => uint256)) public closings;
    mapping(bytes32 jobId => mapping(uint32 requestId => uint8)) public outcomes;
    uint256 public requests;
    uint256 public closedRequests;
    uint256 public strikesRecorded;
    uint256 public strikesAnswered;

    constructor() {
        setUp();
        _proposeSome(0);
        jobIds.push(_completed());
        jobIds.push(_inRoundOne());
        jobIds.push(_evaluating());
        vm.recordLogs();
    }

    function _proposeSome(uint256 seed) private {
        IJobManager.Policy memory policy = _policyWith(MAX_ROUNDS, seed % 2 == 0);
        policy.endsOnSuspension = seed % 3 == 0;
        roster = seed % 5 == 0 ? [ALICE, BOB, CAROL] : [ALICE, DAVE, BOB];
        vm.prank(ALICE);
        bytes32 jobId = jobs.propose("spec", roster, policy);
        jobIds.push(jobId);
    }

    modifier checked() {
        _;
        _readLogs();
        _checkPhases();
    }

    function propose(uint256 seed) external checked {
        if (jobIds.length >= 8) return;
        address[3] memory parties = seed % 5 == 0 ? [ALICE, BOB, CAROL] : [ALICE, DAVE, BOB];
        bool sound = true;
        for (uint256 i = 0; i < 3; ++i) {
            if (registry.statusOf(parties[i]) != IParticipantRegistry.Status.Accredited) sound = false;
        }
        if (sound) {
            _proposeSome(seed);
            return;
        }
        roster = parties;
        vm.prank(ALICE);
        (bool success,) =
            address(jobs).call(abi.encodeCall(IJobManager.propose, ("spec", roster, _policyWith(MAX_ROUNDS, false))));
        assertTrue(!success, "a suspended party entered a roster");
    }

    /// @dev A step forward of one party, as the phase wants it; whether it succeeds is not the question here.
    function act(uint256 seed) external checked {
        bytes32 jobId = _job(seed);
        IJobManager.JobView memory job = jobs.jobOf(jobId);
        address party = job.roster[(seed >> 8) % 3];
        bytes memory call;
        if (job.phase == IJobManager.Phase.Proposed) {
            call = abi.encodeCall(IJobManager.accept, (jobId));
        } else if (job.phase == IJobManager.Phase.Aligning) {
            call = abi.encodeCall(IJobManager.declareAligned, (jobId, "order", seed % 50 == 0 ? 1 : 2));
        } else if (job.phase == IJobManager.Phase.Training) {
            uint256 what = (seed >> 16) % 4;
            if (what == 0) call = abi.encodeCall(IJobManager.beginRound, (jobId, job.round + 1));
            else if (what == 1) call = abi.encodeCall(IJobManager.retryRound, (jobId, job.round));
            else call = abi.encodeCall(IJobManager.declareStop, (jobId, job.round));
        } else {
            call = abi.encodeCall(IJobManager.attend, (jobId));
        }
        vm.prank(party);
        (bool success,) = address(jobs).call(call);
        success; // some are refused: declared before, not the active party, suspended
    }

    function attend(uint256 seed) external checked {
        bytes32 jobId = _job(seed);
        vm.prank(jobs.rosterOf(jobId)[(seed >> 8) % 3]);
        (bool success,) = address(jobs).call(abi.encodeCall(IJobManager.attend, (jobId)));
        success; // refused to suspended parties and after the deadline
    }

    function submit(uint256 seed) external checked {
        bytes32 jobId = _job(seed);
        IJobManager.JobView memory job = jobs.jobOf(jobId);
        uint8 kind = uint8(job.phase == IJobManager.Phase.Training ? 2 + (seed >> 16) % 5 : 7 + (seed >> 16) % 3);
        IUplinkLedger.Envelope memory envelope = _envelope(jobId, job.round, kind);
        envelope.attempt = job.attempt;
        envelope.step = uint32(seed >> 24) % 3;
        _submit(job.roster[(seed >> 8) % 3], envelope, PAYLOAD);
    }

    function wait(uint256 by) external checked {
        vm.warp(block.timestamp + by % (PHASE_SECONDS + ROUND_SECONDS));
    }

    function close(uint256 seed) external checked {
        bytes32 jobId = _job(seed);
        IJobManager.Phase phase = jobs.phaseOf(jobId);
        bool overdue = block.timestamp > jobs.deadlineOf(jobId);
        if (phase > IJobManager.Phase.Evaluating || !overdue) return;
        if (phase == IJobManager.Phase.Training) jobs.closeRound(jobId); // would fail the run if it reverted
        else jobs.markMissing(jobId);
        assertTrue(jobs.jobOf(jobId).closed, "closed");
    }

    function expire(uint256 seed) external checked {
        bytes32 jobId = _job(seed);
        if (jobs.isExpirable(jobId)) jobs.expire(jobId);
    }

    function suspendOrReinstate(uint256 seed) external checked {
        address party = seed % 2 == 0 ? CAROL : DAVE;
        IParticipantRegistry.Status status = registry.statusOf(party);
        vm.startPrank(STEWARD);
        if (status == IParticipantRegistry.Status.Suspended) registry.reinstate(party);
        else if (seed % 4 == 0) registry.suspend(party, "test");
        if (registry.statusOf(ALICE) == IParticipantRegistry.Status.Suspended) registry.reinstate(ALICE);
        if (registry.statusOf(BOB) == IParticipantRegistry.Status.Suspended) registry.reinstate(BOB);
        vm.stopPrank();
    }

    function request(uint256 seed) external checked {
        bytes32 jobId = _job(seed);
        if (jobs.phaseOf(jobId) != IJobManager.Phase.Completed) return;
        address party = jobs.rosterOf(jobId)[(seed >> 8) % 3];
        if (registry.statusOf(party) != IParticipantRegistry.Status.Accredited) return;
        vm.prank(party);
        router.open(jobId);
        ++requests;
    }

    function closeRequest(uint256 seed) external checked {
        bytes32 jobId = _job(seed);
        uint256 count = router.requestCount(jobId);
        if (count == 0) return;
        uint32 requestId = uint32(2 ** 31 + (seed >> 8) % count);
        vm.prank(ALICE);
        (bool success,) =
            address(router).call(abi.encodeCall(IInferenceRouter.close, (jobId, requestId, uint8(1 + seed % 3))));
        if (!success) return;
        assertEq(outcomes[jobId][requestId], 0, "a request closed twice");
        outcomes[jobId][requestId] = uint8(1 + seed % 3);
        ++closedRequests;
    }

    function _job(uint256 seed) private view returns (bytes32) {
        return jobIds[seed % jobIds.length];
    }

    function _checkPhases() private {
        for (uint256 i = 0; i < jobIds.length; ++i) {
            IJobManager.Phase phase = jobs.phaseOf(jobIds[i]);
            assertTrue(phase >= latest[jobIds[i]], "a phase went back");
            bool ended = latest[jobIds[i]] >= IJobManager.Phase.Completed;
            assertTrue(!ended || phase == latest[jobIds[i]], "an ended job changed");
            latest[jobIds[i]] = phase;
            assertTrue((jobs.deadlineOf(jobIds[i]) == 0) == (phase > IJobManager.Phase.Evaluating), "deadline");
        }
    }

    function _readLogs() private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            bytes32 topic = logs[i].topics[0];
            if (topic == IJobManager.RoundClosed.selector) _checkClosing(logs[i]);
            else if (topic == IParticipantRegistry.StrikeRecorded.selector) ++strikesRecorded;
        }
        strikesAnswered = 0;
        for (uint256 id = 1; id <= _faults(); ++id) {
            if (anomalies.faultOf(id).answer == 1) ++strikesAnswered;
        }
    }

    function _checkClosing(Vm.Log memory log) private {
        bytes32 jobId = log.topics[1];
        (uint32 round, uint16 attempt, uint8 accepted, uint8 rejected, uint8 missing) =
            abi.decode(log.data, (uint32, uint16, uint8, uint8, uint8));
        assertEq(uint256(accepted) + rejected + missing, 7, "accepted + rejected + missing == roster");
        assertEq((accepted | rejected | missing), 7, "each party once");
        bytes32 place = keccak256(abi.encode(round, attempt));
        assertEq(++closings[jobId][place], 1, "a round and attempt closed twice");
    }

    function assertInvariants() external view {
        assertEq(strikesRecorded, strikesAnswered, "a strike that no fault of the gate answers");
        uint256 open;
        for (uint256 i = 0; i < jobIds.length; ++i) {
            uint256 count = router.requestCount(jobIds[i]);
            for (uint256 j = 0; j < count; ++j) {
                (, IInferenceRouter.RequestStatus status,,) = router.requestOf(jobIds[i], uint32(2 ** 31 + j));
                assertEq(uint256(status), outcomes[jobIds[i]][uint32(2 ** 31 + j)], "outcome");
                if (status == IInferenceRouter.RequestStatus.Open) ++open;
            }
        }
        assertEq(open + closedRequests, requests, "every request closes exactly once");
    }
}

contract JobInvariantsTest {
    JobHandler internal handler;

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function setUp() public {
        handler = new JobHandler();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function targetSelectors() public view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](14);
        selectors[0] = selectors[1] = selectors[2] = selectors[3] = JobHandler.act.selector;
        selectors[4] = selectors[5] = JobHandler.submit.selector;
        selectors[6] = JobHandler.attend.selector;
        selectors[7] = JobHandler.wait.selector;
        selectors[8] = JobHandler.close.selector;
        selectors[9] = JobHandler.expire.selector;
        selectors[10] = JobHandler.suspendOrReinstate.selector;
        selectors[11] = JobHandler.request.selector;
        selectors[12] = JobHandler.closeRequest.selector;
        selectors[13] = JobHandler.propose.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), selectors);
    }

    function invariant_jobsAndRequests_keepTheirOrder() public view {
        handler.assertInvariants();
    }
}
