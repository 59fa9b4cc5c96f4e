// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {AnomalyPolicy} from "../../src/AnomalyPolicy.sol";
import {AnomalyRecord} from "../../src/AnomalyRecord.sol";
import {FaultProofs} from "../../src/FaultProofs.sol";
import {Kinds} from "../../src/Kinds.sol";
import {IAnomalyRecord} from "../../src/interfaces/IAnomalyRecord.sol";
import {IJobManager} from "../../src/interfaces/IJobManager.sol";
import {IParticipantRegistry} from "../../src/interfaces/IParticipantRegistry.sol";
import {IStewards} from "../../src/interfaces/IStewards.sol";
import {IUplinkLedger} from "../../src/interfaces/IUplinkLedger.sol";
import {JobsDouble, LedgerDouble, RegistryDouble, StewardsDouble} from "./GateDoubles.sol";
import {TestBase} from "./TestBase.sol";

/// @title The anomaly contracts alone, with doubles of all that they talk to.
/// @dev Alice, Bob, Carol are the roster of every job; Dave is accredited and on none. A party's key is its number.
abstract contract Gated is TestBase {
    uint256 internal constant ALICE_KEY = 0xA11CE;
    uint256 internal constant BOB_KEY = 0xB0B;
    uint256 internal constant CAROL_KEY = 0xCA401;
    uint256 internal constant DAVE_KEY = 0xDA7E;
    address internal constant STEWARD = address(0x57E3);
    address internal constant OTHER_STEWARD = address(0x57E4);
    address internal constant THIRD_STEWARD = address(0x57E5);
    /// @dev Reports what contribution audits found.
    address internal constant AUDITS = address(0xA0D175);
    address internal constant STRANGER = address(0x5712A);
    bytes32 internal constant JOB = keccak256("job");
    bytes32 internal constant OTHER_JOB = keccak256("other job");
    uint64 internal constant MEDIAN_E6 = 1_000_000;
    uint64 internal constant HOUR = 3600;
    uint256 internal constant START = 1_700_000_000;

    address internal alice;
    address internal bob;
    address internal carol;
    address internal dave;
    address[] internal roster;

    StewardsDouble internal stewards;
    RegistryDouble internal registry;
    JobsDouble internal jobs;
    LedgerDouble internal ledger;
    AnomalyPolicy internal policy;
    AnomalyRecord internal record;
    FaultProofs internal proofs;

    function setUp() public virtual {
        vm.warp(START);
        address[] memory members = new address[](3);
        (members[0], members[1], members[2]) = (STEWARD, OTHER_STEWARD, THIRD_STEWARD);
        stewards = new StewardsDouble(members);
        registry = new RegistryDouble();
        jobs = new JobsDouble();
        ledger = new LedgerDouble();
        policy = new AnomalyPolicy();
        record = new AnomalyRecord(IStewards(address(stewards)), IParticipantRegistry(address(registry)), policy);
        proofs = new FaultProofs(
            IParticipantRegistry(address(registry)), IJobManager(address(jobs)), IUplinkLedger(address(ledger)), record
        );
        registry.setGate(address(record));
        record.setReporters(address(jobs), address(ledger), address(proofs), AUDITS);
        alice = _join(ALICE_KEY);
        bob = _join(BOB_KEY);
        carol = _join(CAROL_KEY);
        dave = _join(DAVE_KEY);
        roster = [alice, bob, carol];
        jobs.setRoster(roster);
    }

    function _join(uint256 key) internal returns (address party) {
        party = vm.addr(key);
        registry.setParty(party, party, IParticipantRegistry.Status.Accredited);
    }

    function _suspend(address party) internal {
        registry.setStatus(party, IParticipantRegistry.Status.Suspended);
    }

    function _report(address party, uint8 reason) internal returns (uint256 faultId) {
        vm.prank(address(ledger));
        return record.report(party, JOB, 1, reason, "evidence");
    }

    function _observe(address party, uint64 statisticE6) internal {
        vm.prank(address(ledger));
        record.observe(party, JOB, 1, Kinds.CONTRIBUTION, "uplink", statisticE6);
    }

    /// @dev A window of equal values, then one far out: Bob's, flagged as fault 1 if it is the first.
    function _flagged() internal returns (uint256 faultId) {
        for (uint256 i = 0; i < 8; ++i) {
            _observe(i % 2 == 0 ? alice : carol, MEDIAN_E6);
        }
        _observe(bob, 2 * MEDIAN_E6);
        return record.faultCount();
    }

    function _commitment(uint256 faultId, address party, bool confirms) internal pure returns (bytes32) {
        return keccak256(abi.encode(faultId, party, confirms, bytes32("salt")));
    }

    function _commit(uint256 faultId, address party, bool confirms) internal {
        vm.prank(party);
        record.commitVote(faultId, _commitment(faultId, party, confirms));
    }

    function _reveal(uint256 faultId, address party, bool confirms) internal {
        vm.prank(party);
        record.revealVote(faultId, confirms, "salt");
    }

    function _overturn(uint256 faultId) internal {
        vm.prank(STEWARD);
        record.overturn(faultId, "why");
        vm.prank(OTHER_STEWARD);
        record.overturn(faultId, "why");
    }

    function _envelope(uint8 kind) internal pure returns (IUplinkLedger.Envelope memory envelope) {
        envelope.jobId = JOB;
        envelope.round = 1;
        envelope.kind = kind;
        envelope.schema = 1;
        envelope.digest = sha256("digest");
        envelope.size = 100;
    }

    function _signed(uint256 key, bytes32 message) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(key, keccak256(abi.encodePacked("\x19Ethereum Signed Message:\n32", message)));
        return abi.encodePacked(r, s, v);
    }

    function assertAnswer(uint256 faultId, uint8 expected) internal view {
        assertEq(record.faultOf(faultId).answer, expected, "answer");
    }

    function assertCounts(address party, uint256 upheld, uint256 overturned) internal view {
        (uint256 found, uint256 foundOverturned) = record.faultsOf(party);
        assertEq(found, upheld, "upheld");
        assertEq(foundOverturned, overturned, "overturned");
    }

    function assertStatus(address party, IParticipantRegistry.Status expected) internal view {
        assertEq(uint256(registry.statusOf(party)), uint256(expected), "status");
    }

    function assertVotePhase(uint256 faultId, IAnomalyRecord.VotePhase expected) internal view {
        assertEq(uint256(record.votePhaseOf(faultId)), uint256(expected), "vote phase");
    }
}
