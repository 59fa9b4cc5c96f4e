// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

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

/// @title All contracts wired, four accredited parties, and helpers that carry a job from phase to phase.
/// @dev Alice is the active party, Bob and Carol are passive, Dave is accredited but on no roster.
abstract contract Deployed is TestBase {
    address internal constant STEWARD = address(0x57E3);
    address internal constant ALICE = address(0xA11CE);
    address internal constant BOB = address(0xB0B);
    address internal constant CAROL = address(0xCA401);
    address internal constant DAVE = address(0xDA7E);
    uint32 internal constant MAX_PAYLOAD = 1_000_000;
    uint32 internal constant MAX_ROUNDS = 3;
    uint64 internal constant MAX_STATISTIC_E6 = 5_000_000;
    bytes internal constant PAYLOAD = "a payload of more than thirty-two bytes";

    ParticipantRegistry internal registry;
    JobManager internal jobs;
    UplinkLedger internal ledger;
    InferenceRouter internal router;
    ContributionLedger internal contributions;
    address[] internal roster;

    function setUp() public virtual {
        address[] memory stewards = new address[](1);
        stewards[0] = STEWARD;
        registry = new ParticipantRegistry(new Stewards(stewards, 1));
        jobs = new JobManager(registry);
        ledger = new UplinkLedger(registry, jobs);
        router = new InferenceRouter(registry, jobs);
        contributions = new ContributionLedger(jobs, ledger);
        registry.setGate(address(ledger));
        jobs.setLedger(address(ledger));
        ledger.setRouter(address(router));
        _join(ALICE, "alice");
        _join(BOB, "bob");
        _join(CAROL, "carol");
        _join(DAVE, "dave");
        roster = [ALICE, BOB, CAROL];
    }

    function _join(address party, string memory name) internal {
        vm.prank(party);
        registry.register(name, "localhost:1", _certificate(party), keccak256(abi.encode(party)));
        vm.prank(STEWARD);
        registry.accredit(party);
    }

    /// @dev Stands in for a certificate: the registry looks at its length and its hash alone.
    function _certificate(address party) internal pure returns (bytes memory) {
        return abi.encode("certificate of", party);
    }

    function _policy() internal pure virtual returns (IJobManager.Policy memory) {
        return IJobManager.Policy(MAX_PAYLOAD, MAX_ROUNDS, MAX_STATISTIC_E6, false);
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
        return keccak256(abi.encode(e.jobId, e.round, e.attempt, e.step, sender, e.recipient, e.kind));
    }

    function _strikes(address party) internal view returns (uint32 strikes) {
        return registry.participantOf(party).strikes;
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
