// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {AnomalyPolicy} from "../../src/AnomalyPolicy.sol";
import {AnomalyRecord} from "../../src/AnomalyRecord.sol";
import {ContributionAudit} from "../../src/ContributionAudit.sol";
import {ContributionLedger} from "../../src/ContributionLedger.sol";
import {InferenceRouter} from "../../src/InferenceRouter.sol";
import {JobManager} from "../../src/JobManager.sol";
import {Kinds} from "../../src/Kinds.sol";
import {ParticipantRegistry} from "../../src/ParticipantRegistry.sol";
import {Stewards} from "../../src/Stewards.sol";
import {UplinkLedger} from "../../src/UplinkLedger.sol";
import {IJobManager} from "../../src/interfaces/IJobManager.sol";
import {IParticipantRegistry} from "../../src/interfaces/IParticipantRegistry.sol";
import {IUplinkLedger} from "../../src/interfaces/IUplinkLedger.sol";
import {TestBase} from "./TestBase.sol";
import {Vm} from "./Vm.sol";

/// @title All contracts wired, four accredited parties, and helpers that carry a job from phase to phase.
/// @dev Alice is the active party, Bob and Carol are passive, Dave is accredited but on no roster.
abstract contract Deployed is TestBase {
    address internal constant STEWARD = address(0x57E3);
    /// @dev Reports proven faults.
    address internal constant PROOFS = address(0x9F00F5);
    address internal constant ALICE = address(0xA11CE);
    address internal constant BOB = address(0xB0B);
    address internal constant CAROL = address(0xCA401);
    address internal constant DAVE = address(0xDA7E);
    uint32 internal constant MAX_PAYLOAD = 1_000_000;
    uint32 internal constant MAX_ROUNDS = 3;
    uint64 internal constant MAX_STATISTIC_E6 = 5_000_000;
    bytes internal constant PAYLOAD = "a payload of more than thirty-two bytes";

    uint32 internal constant PHASE_SECONDS = 600;
    uint32 internal constant ROUND_SECONDS = 60;
    uint16 internal constant MAX_UPLINKS = 1000;

    ParticipantRegistry internal registry;
    AnomalyRecord internal anomalies;
    JobManager internal jobs;
    UplinkLedger internal ledger;
    InferenceRouter internal router;
    ContributionLedger internal contributions;
    ContributionAudit internal audits;
    address[] internal roster;

    function setUp() public virtual {
        address[] memory stewards = new address[](1);
        stewards[0] = STEWARD;
        Stewards board = new Stewards(stewards, 1);
        registry = new ParticipantRegistry(board);
        AnomalyPolicy policy = new AnomalyPolicy();
        anomalies = new AnomalyRecord(board, registry, policy);
        jobs = new JobManager(registry, anomalies);
        ledger = new UplinkLedger(registry, jobs, anomalies);
        router = new InferenceRouter(registry, jobs);
        contributions = new ContributionLedger(registry, jobs, ledger);
        audits = new ContributionAudit(registry, jobs, anomalies, policy);
        registry.setGate(address(anomalies));
        anomalies.setReporters(address(jobs), address(ledger), PROOFS, address(audits));
        jobs.setLedger(address(ledger));
        ledger.setRouter(address(router));
        vm.warp(1_000_000);
        _join(ALICE, "alice");
        _join(BOB, "bob");
        _join(CAROL, "carol");
        _join(DAVE, "dave");
        roster = [ALICE, BOB, CAROL];
    }

    function _join(address party, string memory name) internal {
        vm.prank(party);
        registry.register(name, "localhost:1", _certificate(party), keccak256(abi.encode("encryption key of", party)));
        vm.prank(STEWARD);
        registry.accredit(party);
    }

    /// @dev Stands in for a certificate: the registry looks at its length and its hash alone.
    function _certificate(address party) internal pure returns (bytes memory) {
        return abi.encode("certificate of", party);
    }

    function _policy() internal pure virtual returns (IJobManager.Policy memory) {
        return _policyWith(MAX_ROUNDS, false);
    }

    function _policyWith(uint32 maxRounds, bool pipelined) internal pure returns (IJobManager.Policy memory) {
        return IJobManager.Policy({
            maxPayloadBytes: MAX_PAYLOAD,
            maxRounds: maxRounds,
            maxStatisticE6: MAX_STATISTIC_E6,
            pipelined: pipelined,
            phaseSeconds: PHASE_SECONDS,
            roundSeconds: ROUND_SECONDS,
            maxUplinksPerRound: MAX_UPLINKS,
            endsOnSuspension: false,
            version: 2
        });
    }

    function _propose() internal returns (bytes32 jobId) {
        vm.prank(ALICE);
        return jobs.propose("spec", roster, _policy());
    }

    function _aligning() internal returns (bytes32 jobId) {
        jobId = _propose();
        for (uint256 i = 0; i < roster.length; ++i) {
            vm.prank(roster[i]);
            jobs.accept(jobId);
        }
    }

    function _training() internal returns (bytes32 jobId) {
        jobId = _aligning();
        for (uint256 i = 0; i < roster.length; ++i) {
            vm.prank(roster[i]);
            jobs.declareAligned(jobId, "order", 100);
        }
    }

    /// @dev Training with round 1 begun.
    function _inRoundOne() internal returns (bytes32 jobId) {
        jobId = _training();
        vm.prank(ALICE);
        jobs.beginRound(jobId, 1);
    }

    /// @dev Evaluating, in round 2.
    function _evaluating() internal returns (bytes32 jobId) {
        jobId = _inRoundOne();
        for (uint256 i = 0; i < roster.length; ++i) {
            vm.prank(roster[i]);
            jobs.declareStop(jobId, 1);
        }
    }

    function _completed() internal returns (bytes32 jobId) {
        jobId = _evaluating();
        for (uint256 i = 0; i < roster.length; ++i) {
            _accept(roster[i], _envelope(jobId, 2, Kinds.SHARD_DIGEST));
        }
    }

    /// @dev A sound envelope for {PAYLOAD} to the whole roster.
    function _envelope(bytes32 jobId, uint32 round, uint8 kind)
        internal
        pure
        returns (IUplinkLedger.Envelope memory envelope)
    {
        envelope.jobId = jobId;
        envelope.round = round;
        envelope.kind = kind;
        envelope.schema = 1;
        envelope.digest = _leaf(PAYLOAD);
        envelope.size = uint64(PAYLOAD.length);
    }

    function _leaf(bytes memory chunk) internal pure returns (bytes32) {
        return sha256(bytes.concat(bytes1(0x00), chunk));
    }

    function _submit(address sender, IUplinkLedger.Envelope memory envelope, bytes memory payload)
        internal
        returns (bytes32 uplinkId, IUplinkLedger.Reason reason)
    {
        vm.prank(sender);
        return ledger.submit(envelope, payload);
    }

    function _accept(address sender, IUplinkLedger.Envelope memory envelope) internal returns (bytes32 uplinkId) {
        IUplinkLedger.Reason reason;
        (uplinkId, reason) = _submit(sender, envelope, PAYLOAD);
        assertReason(reason, IUplinkLedger.Reason.Accepted, "sound uplink");
    }

    function _slot(address sender, IUplinkLedger.Envelope memory e) internal pure returns (bytes32) {
        return keccak256(abi.encode(sender, e.jobId, e.round, e.attempt, e.step, e.kind, e.recipient));
    }

    /// @dev The id as documented, computed by the compiler's encoder.
    function _id(address sender, IUplinkLedger.Envelope memory envelope) internal view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(ledger), sender, envelope));
    }

    /// @dev The data of {IUplinkLedger-UplinkJudged}, as documented.
    function _judgment(IUplinkLedger.Envelope memory e, IUplinkLedger.Reason reason, bytes memory payload)
        internal
        pure
        returns (bytes memory)
    {
        uint256 place = (uint256(uint160(e.recipient)) << 96) + (uint256(e.step) << 64) + (uint256(e.round) << 32)
            + (uint256(e.attempt) << 16) + (uint256(e.kind) << 8) + uint8(reason);
        uint256 measure = (uint256(e.schema) << 128) + (uint256(e.size) << 64) + e.statisticE6;
        return abi.encode(place, measure, e.digest, payload);
    }

    /// @dev One uplink of a batch, packed as documented.
    function _leafOf(uint32 step, uint8 kind, address recipient, bytes32 digest, uint64 size)
        internal
        pure
        returns (IUplinkLedger.Leaf memory)
    {
        uint256 place = (uint256(uint160(recipient)) << 96) + (uint256(step) << 64) + (uint256(size) << 8) + kind;
        return IUplinkLedger.Leaf(place, digest);
    }

    function _verdict(address sender, IUplinkLedger.Envelope memory envelope)
        internal
        view
        returns (IUplinkLedger.Verdict memory)
    {
        return ledger.verdictOf(sender, envelope);
    }

    function _suspend(address party) internal {
        vm.prank(STEWARD);
        registry.suspend(party, "test");
    }

    function _strikes(address party) internal view returns (uint32 strikes) {
        return registry.participantOf(party).strikes;
    }

    /// @dev How many faults the record holds.
    function _faults() internal view returns (uint256) {
        return anomalies.faultCount();
    }

    /// @dev Beyond the deadline in force.
    function _pass(bytes32 jobId) internal {
        vm.warp(jobs.deadlineOf(jobId) + 1);
    }

    /// @dev The log of `emitter` with this signature, the last one recorded.
    function _last(Vm.Log[] memory logs, address emitter, bytes32 signature) internal pure returns (Vm.Log memory) {
        for (uint256 i = logs.length; i > 0; --i) {
            if (logs[i - 1].emitter == emitter && logs[i - 1].topics[0] == signature) return logs[i - 1];
        }
        revert NotTrue("no such event");
    }

    function assertReason(IUplinkLedger.Reason found, IUplinkLedger.Reason expected, string memory what) internal pure {
        assertEq(uint256(found), uint256(expected), what);
    }

    function assertPhase(bytes32 jobId, IJobManager.Phase expected) internal view {
        assertEq(uint256(jobs.phaseOf(jobId)), uint256(expected), "phase");
    }

    function assertStatus(address party, IParticipantRegistry.Status expected) internal view {
        assertEq(uint256(registry.statusOf(party)), uint256(expected), "status");
    }
}
