// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {Membership} from "./utils/Membership.sol";

contract RegistryStrikesTest is Membership {
    function _forgive(address party) internal {
        vm.prank(gate);
        registry.forgive(party);
    }

    function _expectStrikes(address party, bytes32 jobId, uint32 round, uint32 expected) internal {
        (uint32 strikes, bool suspended) = _strike(party, jobId, round);
        assertEq(strikes, expected, "strikes");
        assertTrue(suspended == (expected == 3), "suspended");
    }

    function test_strike_suspends_atTheThird() public {
        uint64 epoch = registry.epoch();
        vm.expectEmit(true, true, false, true, address(registry));
        emit IParticipantRegistry.StrikeRecorded(bob, "job", 4, 12, 1);
        _expectStrikes(bob, "job", 4, 1);
        _expectStrikes(bob, "job", 5, 2);
        assertIdentified(bob, bob, IParticipantRegistry.Status.Accredited);
        assertEq(registry.epoch(), epoch, "a strike alone is no change of standing");
        vm.expectEmit(true, true, false, true, address(registry));
        emit IParticipantRegistry.StrikeRecorded(bob, "other job", 1, 12, 3);
        vm.expectEmit(true, true, false, true, address(registry));
        emit IParticipantRegistry.ParticipantSuspended(bob, gate, "three strikes");
        _expectStrikes(bob, "other job", 1, 3);
        assertIdentified(bob, bob, IParticipantRegistry.Status.Suspended);
        assertEq(registry.epoch(), epoch + 1, "epoch");
        assertEq(_strikes(bob), 3, "strikes");
    }

    function test_gateCalls_revert_whenCallerIsNoGate() public {
        address[5] memory callers = [FIRST, bob, SAM, EVE, address(this)];
        for (uint256 i = 0; i < callers.length; ++i) {
            bytes memory denied = abi.encodeWithSelector(IParticipantRegistry.NotGate.selector, callers[i]);
            vm.startPrank(callers[i]);
            vm.expectRevert(denied);
            registry.strike(bob, "job", 1, 12);
            vm.expectRevert(denied);
            registry.suspendAtOnce(bob, "job", 32);
            vm.expectRevert(denied);
            registry.forgive(bob);
            vm.stopPrank();
        }
    }

    function test_gateCalls_revert_whenThePartyIsUnknown() public {
        bytes memory unknown = abi.encodeWithSelector(IParticipantRegistry.NotRegistered.selector, EVE);
        vm.startPrank(gate);
        vm.expectRevert(unknown);
        registry.strike(EVE, "job", 1, 12);
        vm.expectRevert(unknown);
        registry.suspendAtOnce(EVE, "job", 32);
        vm.expectRevert(unknown);
        registry.forgive(EVE);
        vm.stopPrank();
    }

    function test_strike_counts_whateverTheStatus_andSuspendsNobodyElse() public {
        address[3] memory parties = [RITA, SAM, BEN];
        for (uint256 i = 0; i < parties.length; ++i) {
            IParticipantRegistry.Status status = registry.statusOf(parties[i]);
            for (uint32 strikes = 1; strikes < 6; ++strikes) {
                (uint32 found, bool suspended) = _strike(parties[i], "job", 1);
                assertEq(found, strikes, "strikes");
                assertTrue(!suspended, "suspended");
            }
            assertStatus(parties[i], status);
        }
    }

    function test_strike_stopsCounting_atTheTypesMaximum() public {
        for (uint256 i = 0; i < 260; ++i) {
            _strike(SAM, "job", 1);
        }
        assertEq(_strikes(SAM), 255, "strikes");
    }

    function test_accredit_startsFromZeroStrikes() public {
        for (uint256 i = 0; i < 4; ++i) {
            _strike(RITA, "job", 1);
        }
        vm.prank(FIRST);
        registry.accredit(RITA);
        vm.prank(SECOND);
        registry.accredit(RITA);
        _expectStrikes(RITA, "job", 1, 1);
    }

    function test_strike_countsUntilTenRoundsHavePassed() public {
        _expectStrikes(bob, "job", 5, 1);
        _expectStrikes(bob, "job", 14, 2); // nine rounds later
        _expectStrikes(bob, "job", 15, 2); // the first has lapsed
        _expectStrikes(bob, "job", 25, 1); // and now both
        _expectStrikes(bob, "job", 34, 2);
        _expectStrikes(bob, "job", 34, 3);
    }

    function test_strike_lapses_byRoundsOfItsOwnJobAlone() public {
        _expectStrikes(bob, "job", 5, 1);
        _expectStrikes(bob, "other job", 500, 2);
        _expectStrikes(bob, "job", 15, 2);
        _expectStrikes(bob, "third job", 1, 3);
    }

    function test_strike_lapses_alsoWhenTheOlderOfTwoIsAnotherJobs() public {
        _expectStrikes(bob, "other job", 1, 1);
        _expectStrikes(bob, "job", 1, 2);
        _expectStrikes(bob, "job", 11, 2); // the second lapsed, the first stands
        _expectStrikes(bob, "other job", 10, 3);
    }

    function test_strike_takesTheLargestRound() public {
        _expectStrikes(bob, "job", type(uint32).max, 1);
        _expectStrikes(bob, "job", 0, 2); // an earlier round lapses nothing
        _expectStrikes(bob, "job", type(uint32).max, 2); // round 0 has lapsed
        _expectStrikes(bob, 0, 0, 3);
    }

    function test_forgive_takesBackTheLast_andTheSuspensionStays() public {
        _expectStrikes(bob, "job", 1, 1);
        _expectStrikes(bob, "job", 2, 2);
        _expectStrikes(bob, "job", 3, 3);
        vm.expectEmit(true, false, false, true, address(registry));
        emit IParticipantRegistry.StrikeForgiven(bob, 2);
        _forgive(bob);
        assertEq(_strikes(bob), 2, "strikes");
        assertStatus(bob, IParticipantRegistry.Status.Suspended);
        _reinstate(bob);
        assertEq(_strikes(bob), 0, "strikes");
        _expectStrikes(bob, "job", 3, 1);
    }

    function test_forgive_leavesTheEarlierOnesAsTheyWere() public {
        _expectStrikes(bob, "job", 1, 1);
        _expectStrikes(bob, "job", 5, 2);
        _forgive(bob);
        _expectStrikes(bob, "job", 10, 2); // that of round 1 still counts
        _forgive(bob);
        _expectStrikes(bob, "job", 11, 1); // it has lapsed
    }

    function test_forgive_doesNothing_whenThereIsNoStrike() public {
        vm.recordLogs();
        _forgive(bob);
        assertEq(vm.getRecordedLogs().length, 0, "events");
        assertEq(_strikes(bob), 0, "strikes");
    }

    function test_suspendAtOnce_suspendsAnAccreditedParty() public {
        vm.expectEmit(true, true, false, true, address(registry));
        emit IParticipantRegistry.FaultProven(bob, "job", 32);
        vm.expectEmit(true, true, false, true, address(registry));
        emit IParticipantRegistry.ParticipantSuspended(bob, gate, "proven fault");
        vm.prank(gate);
        assertTrue(registry.suspendAtOnce(bob, "job", 32), "suspended");
        assertStatus(bob, IParticipantRegistry.Status.Suspended);
        assertEq(_strikes(bob), 0, "strikes");
        vm.prank(gate);
        assertTrue(!registry.suspendAtOnce(bob, "job", 32), "twice");
    }

    function test_suspendAtOnce_leavesOthersAsTheyAre() public {
        address[3] memory parties = [RITA, SAM, BEN];
        for (uint256 i = 0; i < parties.length; ++i) {
            IParticipantRegistry.Status status = registry.statusOf(parties[i]);
            vm.prank(gate);
            assertTrue(!registry.suspendAtOnce(parties[i], "job", 255), "suspended");
            assertStatus(parties[i], status);
        }
    }

    function test_strike_namesTheParty_alsoAfterARotation() public {
        _rotate(BOB_SECRET, 2);
        _expectStrikes(bob, "job", 1, 1);
        _expectStrikes(bob, "job", 1, 2);
        _expectStrikes(bob, "job", 1, 3);
        assertIdentified(vm.addr(2), bob, IParticipantRegistry.Status.Suspended);
        vm.prank(gate);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.NotRegistered.selector, vm.addr(2)));
        registry.strike(vm.addr(2), "job", 1, 12); // a signer is no party
    }

    /// @dev A plain list of strikes against the packed one, for an accredited party from zero.
    function testFuzz_strike_matchesAPlainList(bytes32[12] memory draws) public {
        bytes32[] memory jobs = new bytes32[](12);
        uint256[] memory rounds = new uint256[](12);
        uint256 live = 0;
        for (uint256 n = 0; n < draws.length; ++n) {
            uint256 draw = uint256(draws[n]);
            bytes32 job = draw % 3 == 0 ? bytes32("job") : bytes32("other");
            uint32 round = uint32((draw >> 8) % 30);
            if ((draw >> 16) % 5 == 0) {
                _forgive(bob);
                if (live > 0) --live;
                assertEq(_strikes(bob), live, "after forgiving");
                continue;
            }
            uint256 kept = 0;
            for (uint256 i = 0; i < live; ++i) {
                if (jobs[i] == job && round >= rounds[i] + 10) continue;
                (jobs[kept], rounds[kept]) = (jobs[i], rounds[i]);
                ++kept;
            }
            (jobs[kept], rounds[kept]) = (job, round);
            live = kept + 1;
            (uint32 strikes, bool suspended) = _strike(bob, job, round);
            assertEq(strikes, live, "strikes");
            assertTrue(suspended == (live == 3), "suspended");
            if (suspended) {
                _reinstate(bob);
                live = 0;
            }
        }
    }

    function testFuzz_strike_neverReverts_forARegisteredParty(uint8 who, bytes32 jobId, uint32 round, uint8 reason)
        public
    {
        address[5] memory parties = [bob, CAROL, RITA, SAM, BEN];
        vm.startPrank(gate);
        registry.strike(parties[who % 5], jobId, round, reason);
        registry.suspendAtOnce(parties[who % 5], jobId, reason);
        registry.forgive(parties[who % 5]);
        vm.stopPrank();
        assertEq(_strikes(parties[who % 5]), 0, "strikes");
    }

    function testFuzz_gateCalls_revert_forAnyOtherCaller(address caller, address party, bytes32 jobId) public {
        vm.assume(caller != gate);
        bytes memory denied = abi.encodeWithSelector(IParticipantRegistry.NotGate.selector, caller);
        vm.startPrank(caller);
        vm.expectRevert(denied);
        registry.strike(party, jobId, 1, 1);
        vm.expectRevert(denied);
        registry.suspendAtOnce(party, jobId, 1);
        vm.expectRevert(denied);
        registry.forgive(party);
        vm.stopPrank();
    }
}
