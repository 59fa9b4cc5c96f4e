// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Stewards} from "../src/Stewards.sol";
import {IStewards} from "../src/interfaces/IStewards.sol";
import {Membership} from "./utils/Membership.sol";

contract StewardsTest is Membership {
    bytes32 internal constant MOTION = keccak256("motion");

    function _change(address caller, address[] memory accounts, uint32 threshold) internal returns (bool carried) {
        vm.prank(caller);
        return stewards.change(accounts, threshold);
    }

    function _many(uint256 count) internal pure returns (address[] memory accounts) {
        accounts = new address[](count);
        for (uint256 i = 0; i < count; ++i) {
            accounts[i] = address(uint160(0x1000 + i));
        }
    }

    function _expectNotSteward(address account) internal {
        vm.expectRevert(abi.encodeWithSelector(IStewards.NotSteward.selector, account));
    }

    function _expectInvalid(uint256 count, uint32 threshold) internal {
        vm.expectRevert(abi.encodeWithSelector(IStewards.StewardsInvalid.selector, count, threshold));
    }

    function test_constructor_takesTheFirstStewards() public {
        vm.expectEmit(false, false, false, true);
        emit IStewards.StewardsChanged(_three(), 2, 1);
        Stewards fresh = new Stewards(_three(), 2);
        assertEq(fresh.epoch(), 1, "epoch");
        assertEq(fresh.threshold(), 2, "threshold");
        assertEq(keccak256(abi.encode(fresh.stewards())), keccak256(abi.encode(_three())), "stewards");
        assertTrue(fresh.isSteward(SECOND) && !fresh.isSteward(EVE) && !fresh.isSteward(address(0)), "isSteward");
    }

    function test_constructor_reverts_whenNobodyOrTooManyOrTheThresholdIsOutOfReach() public {
        _expectInvalid(0, 1);
        new Stewards(new address[](0), 1);
        _expectInvalid(33, 1);
        new Stewards(_many(33), 1);
        _expectInvalid(3, 0);
        new Stewards(_three(), 0);
        _expectInvalid(3, 4);
        new Stewards(_three(), 4);
        Stewards full = new Stewards(_many(32), 32);
        assertEq(full.stewards().length, 32, "the most");
    }

    function test_constructor_reverts_whenAStewardIsZeroOrStandsTwice() public {
        address[] memory accounts = _three();
        accounts[2] = address(0);
        _expectInvalid(3, 2);
        new Stewards(accounts, 2);
        accounts[2] = FIRST;
        _expectInvalid(3, 2);
        new Stewards(accounts, 2);
    }

    function test_vote_carries_atTheThreshold() public {
        vm.expectEmit(true, true, true, true, address(stewards));
        emit IStewards.VoteCast(address(this), MOTION, FIRST, 1, 2);
        assertTrue(!stewards.vote(FIRST, MOTION), "one of two");
        assertEq(stewards.votesOf(address(this), MOTION), 1, "votes");
        assertTrue(stewards.hasVoted(address(this), MOTION, FIRST), "the first has voted");
        assertTrue(!stewards.hasVoted(address(this), MOTION, SECOND), "the second has not");
        vm.expectEmit(true, true, true, true, address(stewards));
        emit IStewards.VoteCast(address(this), MOTION, THIRD, 2, 2);
        vm.expectEmit(true, true, false, true, address(stewards));
        emit IStewards.MotionCarried(address(this), MOTION);
        assertTrue(stewards.vote(THIRD, MOTION), "two of two");
    }

    function test_vote_startsAnew_onceTheMotionIsCarried() public {
        stewards.vote(FIRST, MOTION);
        stewards.vote(SECOND, MOTION);
        assertEq(stewards.votesOf(address(this), MOTION), 0, "votes");
        assertTrue(!stewards.hasVoted(address(this), MOTION, FIRST), "cleared");
        assertTrue(!stewards.vote(FIRST, MOTION), "again one of two");
        assertTrue(stewards.vote(SECOND, MOTION), "again carried");
    }

    function test_vote_reverts_whenTheStewardHasVoted() public {
        stewards.vote(FIRST, MOTION);
        vm.expectRevert(abi.encodeWithSelector(IStewards.AlreadyVoted.selector, FIRST, MOTION));
        stewards.vote(FIRST, MOTION);
    }

    function test_vote_reverts_whenTheVoterIsNoSteward() public {
        _expectNotSteward(EVE);
        stewards.vote(EVE, MOTION);
        _expectNotSteward(address(0));
        stewards.vote(address(0), MOTION);
    }

    function test_vote_countsForTheCallerAlone() public {
        stewards.vote(FIRST, MOTION);
        vm.prank(EVE);
        assertTrue(!stewards.vote(SECOND, MOTION), "another domain");
        assertEq(stewards.votesOf(address(this), MOTION), 1, "own votes");
        assertEq(stewards.votesOf(EVE, MOTION), 1, "the stranger's");
        vm.prank(EVE);
        assertTrue(stewards.vote(FIRST, MOTION), "a stranger may play with stewards' names in its own domain");
        assertEq(stewards.votesOf(address(this), MOTION), 1, "which changes nothing elsewhere");
    }

    function test_vote_takesTheZeroMotion() public {
        stewards.vote(FIRST, 0);
        assertTrue(stewards.vote(SECOND, 0), "carried");
    }

    function test_change_replacesTheStewards_whenCarried() public {
        address[] memory next = new address[](2);
        (next[0], next[1]) = (SECOND, EVE);
        bytes32 motion = stewards.changeMotionOf(next, 1);
        vm.expectEmit(true, true, true, true, address(stewards));
        emit IStewards.VoteCast(address(stewards), motion, FIRST, 1, 2);
        assertTrue(!_change(FIRST, next, 1), "one of two");
        assertEq(stewards.votesOf(address(stewards), motion), 1, "votes");
        assertTrue(stewards.isSteward(THIRD), "not yet");
        vm.expectEmit(false, false, false, true, address(stewards));
        emit IStewards.StewardsChanged(next, 1, 2);
        assertTrue(_change(SECOND, next, 1), "two of two");
        assertTrue(!stewards.isSteward(FIRST) && !stewards.isSteward(THIRD), "left");
        assertTrue(stewards.isSteward(SECOND) && stewards.isSteward(EVE), "stayed and came");
        assertEq(stewards.threshold(), 1, "threshold");
        assertEq(stewards.epoch(), 2, "epoch");
        assertEq(keccak256(abi.encode(stewards.stewards())), keccak256(abi.encode(next)), "stewards");
        _expectNotSteward(FIRST);
        _change(FIRST, _three(), 2);
        assertTrue(_change(EVE, _three(), 2), "the new one decides alone");
    }

    function test_change_voidsAllOpenVotes() public {
        stewards.vote(FIRST, MOTION);
        _change(FIRST, _many(2), 1);
        _change(FIRST, _three(), 1);
        _change(SECOND, _three(), 1);
        assertEq(stewards.votesOf(address(this), MOTION), 0, "votes on a motion");
        assertEq(stewards.votesOf(address(stewards), stewards.changeMotionOf(_many(2), 1)), 0, "votes on a change");
        assertTrue(!stewards.hasVoted(address(this), MOTION, FIRST), "hasVoted");
        assertTrue(stewards.vote(FIRST, MOTION), "the earlier voter votes again, and one is enough now");
    }

    function test_change_reverts_whenACallerIsNoStewardOrVotesTwice() public {
        _expectNotSteward(EVE);
        _change(EVE, _three(), 1);
        _expectNotSteward(gate);
        _change(gate, _three(), 1);
        _change(FIRST, _three(), 1);
        vm.expectRevert(
            abi.encodeWithSelector(IStewards.AlreadyVoted.selector, FIRST, stewards.changeMotionOf(_three(), 1))
        );
        _change(FIRST, _three(), 1);
    }

    function test_change_reverts_whenEmptyOrTooLargeOrOutOfReach() public {
        _expectInvalid(0, 0);
        _change(FIRST, new address[](0), 0);
        _expectInvalid(33, 33);
        _change(FIRST, _many(33), 33);
        _expectInvalid(3, 4);
        _change(FIRST, _three(), 4);
        _expectInvalid(3, 0);
        _change(FIRST, _three(), 0);
    }

    function test_change_takesTheMaximum() public {
        _change(FIRST, _many(32), 32);
        _change(SECOND, _many(32), 32);
        for (uint256 i = 0; i < 32; ++i) {
            assertTrue(stewards.vote(_many(32)[i], MOTION) == (i == 31), "the last of 32 carries");
        }
    }

    function test_change_leavesEverything_whenAStewardStandsTwice() public {
        address[] memory accounts = _three();
        accounts[2] = FIRST;
        _change(FIRST, accounts, 1);
        _expectInvalid(3, 1);
        _change(SECOND, accounts, 1);
        assertTrue(stewards.isSteward(THIRD), "still there");
        assertEq(stewards.epoch(), 1, "epoch");
    }

    function testFuzz_vote_carriesExactlyAtTheThreshold(uint256 count, uint256 threshold, uint256 order) public {
        count = bound(count, 1, 32);
        threshold = bound(threshold, 1, count);
        address[] memory accounts = _many(count);
        // forge-lint: disable-next-line(unsafe-typecast)
        Stewards fresh = new Stewards(accounts, uint32(threshold));
        for (uint256 i = 0; i < count; ++i) {
            // whoever votes, in whatever order
            uint256 pick = i + uint256(keccak256(abi.encode(order, i))) % (count - i);
            (accounts[i], accounts[pick]) = (accounts[pick], accounts[i]);
            assertTrue(fresh.vote(accounts[i], MOTION) == ((i + 1) % threshold == 0), "carried");
            assertEq(fresh.votesOf(address(this), MOTION), (i + 1) % threshold, "votes");
        }
    }

    function testFuzz_vote_reverts_forStrangers(address account, bytes32 motion) public {
        vm.assume(!stewards.isSteward(account));
        _expectNotSteward(account);
        stewards.vote(account, motion);
    }

    function testFuzz_change_takesExactlyTheSetsWithinBounds(address[] memory accounts, uint32 threshold) public {
        threshold %= 40; // the whole range would almost never be within reach
        bool valid = accounts.length > 0 && accounts.length <= 32 && threshold > 0 && threshold <= accounts.length;
        bool distinct = true;
        for (uint256 i = 0; i < accounts.length; ++i) {
            if (accounts[i] == address(0)) distinct = false;
            for (uint256 j = 0; j < i; ++j) {
                if (accounts[i] == accounts[j]) distinct = false;
            }
        }
        if (!valid) _expectInvalid(accounts.length, threshold);
        _change(FIRST, accounts, threshold);
        if (!valid) return;
        if (!distinct) _expectInvalid(accounts.length, threshold);
        _change(SECOND, accounts, threshold);
        if (distinct) assertEq(stewards.stewards().length, accounts.length, "stewards");
    }
}
