// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Faults} from "../src/Faults.sol";
import {IAnomalyRecord} from "../src/interfaces/IAnomalyRecord.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {Gated} from "./utils/Gated.sol";

/// @title The votes of those who can recompute a statistic. Fault 1 is a flag on Bob's.
contract AnomalyVotesTest is Gated {
    function setUp() public override {
        super.setUp();
        assertEq(_flagged(), 1, "faultId");
    }

    function _toReveal() internal {
        vm.warp(START + HOUR);
    }

    function _toTally() internal {
        vm.warp(START + 2 * HOUR);
    }

    function _expectPhase(uint256 faultId, IAnomalyRecord.VotePhase expected, IAnomalyRecord.VotePhase found) internal {
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.WrongVotePhase.selector, faultId, expected, found));
    }

    /// @dev Commits and reveals both votes.
    function _vote(bool aliceConfirms, bool carolConfirms) internal {
        _commit(1, alice, aliceConfirms);
        _commit(1, carol, carolConfirms);
        _toReveal();
        _reveal(1, alice, aliceConfirms);
        _reveal(1, carol, carolConfirms);
        _toTally();
    }

    function test_votePhaseOf_advancesByTheHour() public {
        assertVotePhase(1, IAnomalyRecord.VotePhase.Committing);
        vm.warp(START + HOUR - 1);
        assertVotePhase(1, IAnomalyRecord.VotePhase.Committing);
        vm.warp(START + HOUR);
        assertVotePhase(1, IAnomalyRecord.VotePhase.Revealing);
        vm.warp(START + 2 * HOUR - 1);
        assertVotePhase(1, IAnomalyRecord.VotePhase.Revealing);
        vm.warp(START + 2 * HOUR);
        assertVotePhase(1, IAnomalyRecord.VotePhase.Tallying);
        record.tally(1);
        assertVotePhase(1, IAnomalyRecord.VotePhase.Tallied);
        assertVotePhase(2, IAnomalyRecord.VotePhase.None);
    }

    function test_tally_strikes_whenAllReceiversConfirm() public {
        _vote(true, true);
        vm.expectEmit(true, false, false, true, address(record));
        emit IAnomalyRecord.VotesTallied(1, 2, 2, true);
        vm.expectEmit(true, true, true, true, address(record));
        emit IAnomalyRecord.FaultRecorded(2, bob, JOB, 1, Faults.STATISTIC_FALSE, Faults.STRIKE, "uplink");
        vm.prank(STRANGER);
        record.tally(1);
        assertEq(registry.strikesOf(bob), 1, "strikes");
        assertCounts(bob, 1, 0);
        assertAnswer(1, Faults.RECORDED);
        IAnomalyRecord.Ballot memory ballot = record.ballotOf(1);
        assertEq(ballot.committed, 2, "committed");
        assertEq(ballot.voting, 2, "voting");
        assertEq(ballot.confirming, 2, "confirming");
        assertTrue(ballot.tallied, "tallied");
    }

    function test_tally_staysAFlag_whenTooFewConfirm() public {
        _vote(true, false);
        vm.expectEmit(true, false, false, true, address(record));
        emit IAnomalyRecord.VotesTallied(1, 1, 2, false);
        record.tally(1);
        assertEq(record.faultCount(), 1, "faults");
        assertEq(registry.strikesOf(bob), 0, "strikes");
    }

    function test_tally_staysAFlag_whenOnlyOneVotes_orNobody() public {
        _commit(1, alice, true);
        _commit(1, carol, true); // and does not reveal
        _toReveal();
        _reveal(1, alice, true);
        _toTally();
        vm.expectEmit(true, false, false, true, address(record));
        emit IAnomalyRecord.VotesTallied(1, 1, 1, false);
        record.tally(1);
        vm.warp(START);
        uint256 second = _flagged();
        vm.warp(START + 2 * HOUR);
        vm.expectEmit(true, false, false, true, address(record));
        emit IAnomalyRecord.VotesTallied(second, 0, 0, false);
        record.tally(second);
        assertEq(registry.strikesOf(bob), 0, "strikes");
    }

    function test_tally_reverts_whenEarlyOrTwice() public {
        _expectPhase(1, IAnomalyRecord.VotePhase.Tallying, IAnomalyRecord.VotePhase.Committing);
        record.tally(1);
        _commit(1, alice, true);
        _toReveal();
        _expectPhase(1, IAnomalyRecord.VotePhase.Tallying, IAnomalyRecord.VotePhase.Revealing);
        record.tally(1);
        _toTally();
        record.tally(1);
        for (uint256 i = 0; i < 2; ++i) {
            _expectPhase(1, IAnomalyRecord.VotePhase.Tallying, IAnomalyRecord.VotePhase.Tallied);
            record.tally(1);
        }
    }

    function test_votes_revert_whenThereIsNothingToVoteOn() public {
        uint256 other = _report(bob, 5);
        _expectPhase(other, IAnomalyRecord.VotePhase.Committing, IAnomalyRecord.VotePhase.None);
        _commit(other, alice, true);
        _expectPhase(other, IAnomalyRecord.VotePhase.Revealing, IAnomalyRecord.VotePhase.None);
        _reveal(other, alice, true);
        _expectPhase(other, IAnomalyRecord.VotePhase.Tallying, IAnomalyRecord.VotePhase.None);
        record.tally(other);
        uint256[3] memory unknown = [uint256(0), other + 1, type(uint256).max];
        for (uint256 i = 0; i < unknown.length; ++i) {
            bytes memory expected = abi.encodeWithSelector(IAnomalyRecord.UnknownFault.selector, unknown[i]);
            vm.expectRevert(expected);
            record.commitVote(unknown[i], "c");
            vm.expectRevert(expected);
            record.revealVote(unknown[i], true, "salt");
            vm.expectRevert(expected);
            record.tally(unknown[i]);
        }
    }

    function test_votes_revert_whenTheFlagIsOverturned() public {
        _commit(1, alice, true);
        _commit(1, carol, true);
        uint256 snapshot = vm.snapshotState();
        _overturn(1);
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.AlreadyOverturned.selector, 1));
        _commit(1, alice, true);
        _toReveal();
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.AlreadyOverturned.selector, 1));
        _reveal(1, alice, true);
        vm.revertToState(snapshot);
        _toReveal();
        _reveal(1, alice, true);
        _reveal(1, carol, true);
        _overturn(1);
        _toTally();
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.AlreadyOverturned.selector, 1));
        record.tally(1);
        assertEq(registry.strikesOf(bob), 0, "strikes");
    }

    function test_commitVote_emitsAndKeepsTheCommitment() public {
        vm.expectEmit(true, true, false, true, address(record));
        emit IAnomalyRecord.VoteCommitted(1, alice);
        _commit(1, alice, true);
        assertEq(record.commitmentOf(1, alice), _commitment(1, alice, true), "commitment");
        assertEq(record.commitmentOf(1, carol), 0, "carol");
        assertEq(record.ballotOf(1).committed, 1, "committed");
    }

    function test_commitVote_reverts_whenCallerMayNotVote() public {
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.VoterIsTarget.selector, 1, bob));
        _commit(1, bob, false);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, JOB, dave));
        _commit(1, dave, true);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, STRANGER));
        _commit(1, STRANGER, true);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, STEWARD));
        _commit(1, STEWARD, true);
        _suspend(alice);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, alice));
        _commit(1, alice, true);
        registry.setStatus(carol, IParticipantRegistry.Status.Banned);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, carol));
        _commit(1, carol, true);
        assertEq(record.ballotOf(1).committed, 0, "committed");
    }

    function test_commitVote_reverts_whenRepeatedOrEmpty() public {
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.CommitmentInvalid.selector, 1));
        record.commitVote(1, 0);
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.CommitmentInvalid.selector, 1));
        record.commitVote(1, bytes32(uint256(1)));
        record.commitVote(1, bytes32(type(uint256).max));
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.AlreadyCommitted.selector, 1, alice));
        record.commitVote(1, "another");
        vm.stopPrank();
    }

    function test_commitVote_reverts_whenLate() public {
        _toReveal();
        _expectPhase(1, IAnomalyRecord.VotePhase.Committing, IAnomalyRecord.VotePhase.Revealing);
        _commit(1, alice, true);
        _toTally();
        _expectPhase(1, IAnomalyRecord.VotePhase.Committing, IAnomalyRecord.VotePhase.Tallying);
        _commit(1, alice, true);
        record.tally(1);
        _expectPhase(1, IAnomalyRecord.VotePhase.Committing, IAnomalyRecord.VotePhase.Tallied);
        _commit(1, alice, true);
    }

    function test_votes_areThePartys_whateverKeySignsForIt() public {
        _commit(1, alice, true);
        address fresh = vm.addr(0xF4E54);
        registry.setParty(alice, fresh, IParticipantRegistry.Status.Accredited);
        _toReveal();
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, alice));
        _reveal(1, alice, true); // the key that was rotated away
        vm.expectEmit(true, true, false, true, address(record));
        emit IAnomalyRecord.VoteRevealed(1, alice, true);
        vm.prank(fresh);
        record.revealVote(1, true, "salt");
    }

    function test_votes_excludeTheTarget_whateverKeySignsForIt() public {
        address fresh = vm.addr(0xF4E54);
        registry.setParty(bob, fresh, IParticipantRegistry.Status.Accredited);
        vm.prank(fresh);
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.VoterIsTarget.selector, 1, bob));
        record.commitVote(1, "c");
    }

    function test_revealVote_reverts_whenItIsNotWhatWasCommittedTo() public {
        _commit(1, alice, true);
        _toReveal();
        bytes32 committed = _commitment(1, alice, true);
        vm.expectRevert(
            abi.encodeWithSelector(
                IAnomalyRecord.CommitmentDiffers.selector, 1, committed, _commitment(1, alice, false)
            )
        );
        _reveal(1, alice, false);
        bytes32 salted = keccak256(abi.encode(uint256(1), alice, true, bytes32("pepper")));
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IAnomalyRecord.CommitmentDiffers.selector, 1, committed, salted));
        record.revealVote(1, true, "pepper");
        assertEq(record.ballotOf(1).voting, 0, "voting");
    }

    function test_revealVote_reverts_whenNothingWasCommitted_orTwice() public {
        _commit(1, alice, true);
        _toReveal();
        _reveal(1, alice, true);
        assertEq(record.commitmentOf(1, alice), 0, "commitment");
        vm.expectRevert(
            abi.encodeWithSelector(
                IAnomalyRecord.CommitmentDiffers.selector, 1, bytes32(0), _commitment(1, alice, true)
            )
        );
        _reveal(1, alice, true);
        vm.expectRevert(
            abi.encodeWithSelector(
                IAnomalyRecord.CommitmentDiffers.selector, 1, bytes32(0), _commitment(1, carol, true)
            )
        );
        _reveal(1, carol, true);
        assertEq(record.ballotOf(1).voting, 1, "voting");
    }

    function test_revealVote_reverts_whenACommitmentWasCopied() public {
        _commit(1, alice, true);
        vm.prank(carol);
        record.commitVote(1, _commitment(1, alice, true));
        _toReveal();
        _reveal(1, alice, true);
        vm.expectRevert(
            abi.encodeWithSelector(
                IAnomalyRecord.CommitmentDiffers.selector, 1, _commitment(1, alice, true), _commitment(1, carol, true)
            )
        );
        _reveal(1, carol, true);
    }

    function test_revealVote_reverts_whenEarlyLateOrSuspended() public {
        _commit(1, alice, true);
        _expectPhase(1, IAnomalyRecord.VotePhase.Revealing, IAnomalyRecord.VotePhase.Committing);
        _reveal(1, alice, true);
        _toReveal();
        _suspend(alice);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, alice));
        _reveal(1, alice, true);
        _toTally();
        _expectPhase(1, IAnomalyRecord.VotePhase.Revealing, IAnomalyRecord.VotePhase.Tallying);
        _reveal(1, alice, true);
    }

    function test_tally_onlyRecords_whenTheTargetIsSuspendedMeanwhile() public {
        _vote(true, true);
        _suspend(bob);
        record.tally(1);
        assertAnswer(2, Faults.RECORDED);
        assertEq(registry.strikesOf(bob), 0, "strikes");
    }

    function test_overturn_forgivesTheStrikeOfAConfirmedFlag() public {
        _vote(true, true);
        record.tally(1);
        _overturn(2);
        assertEq(registry.strikesOf(bob), 0, "strikes");
        assertTrue(!record.faultOf(1).overturned, "the flag stays");
    }

    function testFuzz_tally_confirms_exactlyWhenTwoThirdsOfTheRevealedVotesDo(uint16 votes, uint16 revealed) public {
        registry.setStrikesSuspend(false);
        uint256 count = 7;
        address[] memory parties = new address[](count + 1);
        parties[count] = bob;
        for (uint256 i = 0; i < count; ++i) {
            parties[i] = _join(0xF000 + i);
        }
        jobs.setRoster(parties);
        for (uint256 i = 0; i < count; ++i) {
            _commit(1, parties[i], votes >> i & 1 == 1);
        }
        _toReveal();
        uint256 voting;
        uint256 confirming;
        for (uint256 i = 0; i < count; ++i) {
            if (revealed >> i & 1 == 0) continue;
            _reveal(1, parties[i], votes >> i & 1 == 1);
            ++voting;
            confirming += votes >> i & 1;
        }
        _toTally();
        record.tally(1);
        bool expected = voting >= 2 && 3 * confirming >= 2 * voting;
        assertEq(registry.strikesOf(bob), expected ? 1 : 0, "strikes");
        assertEq(record.faultCount(), expected ? 2 : 1, "faults");
    }
}
