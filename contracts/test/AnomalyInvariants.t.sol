// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Faults} from "../src/Faults.sol";
import {Kinds} from "../src/Kinds.sol";
import {IAnomalyRecord} from "../src/interfaces/IAnomalyRecord.sol";
import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {RegistryDouble} from "./utils/GateDoubles.sol";
import {Gated} from "./utils/Gated.sol";
import {TestBase} from "./utils/TestBase.sol";

// solhint-disable no-empty-blocks

/// @title Random reports, statistics, votes, proofs and overturnings, by those who may and by those who may not.
contract AnomalyHandler is Gated {
    uint256 internal constant MAX_FAULTS = 24;

    mapping(uint256 faultId => bytes32) public recordedAs;
    mapping(uint256 faultId => bool) public wasOverturned;
    mapping(uint256 faultId => bool) public counts;
    mapping(bytes32 like => uint256) public standing;
    mapping(uint256 faultId => uint256) public tallies;
    mapping(address party => uint256) public suspensions;
    uint256 internal seen;
    uint256 internal now_ = START;
    uint256 public confirmations;

    constructor() {
        setUp();
        registry.setStrikesSuspend(false);
        for (uint256 i = 0; i < 8; ++i) {
            _observe(alice, MEDIAN_E6);
        }
    }

    /// @dev Notes what was recorded for the first time.
    function _note() internal {
        while (seen < record.faultCount()) {
            ++seen;
            IAnomalyRecord.Fault memory fault = record.faultOf(seen);
            assertTrue(!fault.overturned, "recorded as overturned");
            recordedAs[seen] = keccak256(abi.encode(fault));
            bytes32 like = keccak256(abi.encode(fault.party, fault.jobId, fault.reason));
            counts[seen] = policy.answerTo(fault.reason, standing[like] != 0) != Faults.RECORDED;
            ++standing[like];
            if (fault.answer == Faults.SUSPENSION) ++suspensions[fault.party];
        }
    }

    function _noteOverturned(uint256 faultId) internal {
        IAnomalyRecord.Fault memory fault = record.faultOf(faultId);
        --standing[keccak256(abi.encode(fault.party, fault.jobId, fault.reason))];
        wasOverturned[faultId] = true;
    }

    function _fault(uint256 seed) internal view returns (uint256) {
        return seed % (record.faultCount() + 2); // 0 and one beyond the last among them
    }

    function report(uint256 seed, uint32 round, uint8 reason) external {
        if (record.faultCount() > MAX_FAULTS) return;
        vm.prank(seed % 2 == 0 ? address(ledger) : address(jobs));
        record.report(roster[seed % 3], seed % 5 == 0 ? OTHER_JOB : JOB, round, reason % 70, bytes32(seed));
        _note();
    }

    function equivocate(uint256 seed) external {
        if (record.faultCount() > MAX_FAULTS) return;
        uint256 key = [ALICE_KEY, BOB_KEY, CAROL_KEY][seed % 3];
        address party = vm.addr(key);
        IUplinkLedger.Envelope memory a = _envelope(Kinds.GRADIENTS);
        a.step = uint32(seed % 8);
        IUplinkLedger.Envelope memory b = _envelope(Kinds.GRADIENTS);
        (b.step, b.digest) = (a.step, sha256("another digest"));
        bytes memory signatureA = _signed(key, ledger.uplinkIdOf(party, a));
        bytes memory signatureB = _signed(key, ledger.uplinkIdOf(party, b));
        bool proven = proofs.isProven(keccak256(abi.encode(uint256(Faults.EQUIVOCATION), ledger.slotOf(party, a))));
        try proofs.proveEquivocation(party, a, signatureA, b, signatureB) {
            assertTrue(!proven, "proven twice");
        } catch {
            assertTrue(proven, "not proven");
        }
        _note();
    }

    function observe(uint256 seed, bool far) external {
        if (record.faultCount() > MAX_FAULTS) return;
        _observe(roster[seed % 3], far ? MEDIAN_E6 * uint64(2 + seed % 9) : MEDIAN_E6 + uint64(seed % 2000));
        _note();
    }

    /// @dev All that can vote on a flag do, as drawn; then the hours pass.
    function vote(uint256 seed, uint8 votes) external {
        if (record.faultCount() > MAX_FAULTS) return;
        uint256 faultId = _fault(seed);
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(roster[i]);
            try record.commitVote(faultId, _commitment(faultId, roster[i], votes >> i & 1 == 1)) {
                assertTrue(record.faultOf(faultId).party != roster[i], "voted on its own");
                assertEq(record.faultOf(faultId).reason, Faults.STATISTIC_OUTLIER, "voted on another fault");
            } catch {}
        }
        vm.warp(now_ += HOUR);
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(roster[i]);
            try record.revealVote(faultId, votes >> i & 1 == 1, "salt") {} catch {}
        }
    }

    function tally(uint256 seed, bool wait) external {
        if (wait) vm.warp(now_ += HOUR);
        for (uint256 i = 0; i < 12; ++i) {
            uint256 faultId = _fault(seed + i);
            uint256 before = record.faultCount();
            try record.tally(faultId) {
                ++tallies[faultId];
                if (record.faultCount() > before) ++confirmations;
            } catch {}
        }
        _note();
    }

    function overturn(uint256 seed, bool byStranger) external {
        uint256 faultId = _fault(seed);
        address[2] memory voters = [byStranger ? roster[seed % 3] : STEWARD, OTHER_STEWARD];
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(voters[i]);
            try record.overturn(faultId, "why") returns (bool carried) {
                assertTrue(i == 1 || !byStranger, "a party overturned");
                if (carried) _noteOverturned(faultId);
            } catch {}
        }
    }

    function reinstate(uint256 seed) external {
        address party = roster[seed % 3];
        if (registry.statusOf(party) != IParticipantRegistry.Status.Suspended) return;
        registry.setStatus(party, IParticipantRegistry.Status.Accredited);
    }

    function intrude(uint256 seed) external {
        address[5] memory others = [STRANGER, alice, STEWARD, address(ledger), address(proofs)];
        address other = others[seed % 5];
        vm.startPrank(other);
        try registry.strike(bob, JOB, 1, 5) {
            assertTrue(false, "struck");
        } catch (bytes memory error) {
            assertEq(keccak256(error), keccak256(abi.encodeWithSelector(RegistryDouble.NotGate.selector, other)), "e");
        }
        if (seed % 5 < 3) {
            try record.report(bob, JOB, 1, 5, 0) {
                assertTrue(false, "reported");
            } catch {}
            try record.observe(bob, JOB, 1, 8, 0, 1) {
                assertTrue(false, "observed");
            } catch {}
        }
        vm.stopPrank();
    }

    function assertInvariants() external view {
        uint256 count = record.faultCount();
        assertEq(count, seen, "a fault came from nowhere");
        uint256[3] memory struck;
        uint256[3] memory upheld;
        uint256[3] memory overturned;
        for (uint256 faultId = 1; faultId <= count; ++faultId) {
            IAnomalyRecord.Fault memory fault = record.faultOf(faultId);
            assertTrue(fault.overturned == wasOverturned[faultId], "overturned");
            for (uint256 i = 0; i < 3; ++i) {
                if (roster[i] != fault.party || !counts[faultId]) continue;
                if (fault.overturned) ++overturned[i];
                else ++upheld[i];
                if (!fault.overturned && fault.answer == Faults.STRIKE) ++struck[i];
            }
            fault.overturned = false;
            assertEq(keccak256(abi.encode(fault)), recordedAs[faultId], "a fault changed");
            assertTrue(tallies[faultId] <= 1, "tallied twice");
            assertTrue(record.ballotOf(faultId).tallied == (tallies[faultId] == 1), "tallied");
        }
        for (uint256 i = 0; i < 3; ++i) {
            assertEq(registry.strikesOf(roster[i]), struck[i], "strikes = struck faults that stand");
            assertEq(registry.suspensionsOf(roster[i]), suspensions[roster[i]], "suspensions");
            assertCounts(roster[i], upheld[i], overturned[i]);
        }
    }
}

contract AnomalyInvariantsTest is TestBase {
    AnomalyHandler internal handler;

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function setUp() public {
        handler = new AnomalyHandler();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function targetSelectors() public view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](9);
        selectors[0] = AnomalyHandler.report.selector;
        selectors[1] = AnomalyHandler.observe.selector;
        selectors[2] = selectors[8] = AnomalyHandler.vote.selector;
        selectors[3] = AnomalyHandler.tally.selector;
        selectors[4] = AnomalyHandler.overturn.selector;
        selectors[5] = AnomalyHandler.equivocate.selector;
        selectors[6] = AnomalyHandler.reinstate.selector;
        selectors[7] = AnomalyHandler.intrude.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), selectors);
    }

    function invariant_strikesAreUpheldFaults_andTheRecordNeverChanges() public view {
        handler.assertInvariants();
    }

    /// @dev The dance of a vote, so that a random run that never confirms cannot make the invariants vacuous.
    function test_handler_reachesAConfirmation() public {
        handler.observe(1, true); // Bob's, fault 1
        handler.vote(1, 7);
        handler.tally(1, true);
        assertEq(handler.confirmations(), 1, "confirmed");
        handler.overturn(2, false);
        assertTrue(handler.wasOverturned(2), "not overturned");
        handler.assertInvariants();
    }
}
