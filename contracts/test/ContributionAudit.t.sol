// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Shapley} from "../src/Shapley.sol";
import {IContributionAudit} from "../src/interfaces/IContributionAudit.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {WithAudits} from "./utils/WithAudits.sol";

contract ContributionAuditTest is WithAudits {
    // -- labels -----------------------------------------------------------------------------------------------------------

    function test_commitLabels_beginsAnAudit_beforeTheFirstRound() public {
        bytes32 jobId = _training();
        IContributionAudit.Terms memory terms = _terms();
        vm.expectEmit(true, true, false, true, address(audits));
        emit IContributionAudit.LabelsCommitted(jobId, ALICE, terms.root, ROWS, 5, WINDOW, DISPUTE, BUDGET);
        _commitLabels(jobId);
        IContributionAudit.AuditView memory audit = audits.auditOf(jobId);
        assertEq(keccak256(abi.encode(audit.terms)), keccak256(abi.encode(terms)), "terms");
        assertEq(audit.outputs.length, 3, "one place for each");
        assertEq(audit.seed, 0, "no seed");
        assertEq(audit.shares840.length, 0, "no shares");
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IContributionAudit.AuditAlreadyBegun.selector, jobId));
        audits.commitLabels(jobId, terms);
    }

    function test_commitLabels_reverts_onceTheFirstRoundHasBegun() public {
        bytes32 jobId = _inRoundOne();
        vm.expectRevert(abi.encodeWithSelector(IJobManager.WrongRound.selector, 0, 1));
        _commitLabels(jobId);
    }

    function test_commitLabels_takesTheBounds_andNothingBeyond() public {
        IContributionAudit.Terms memory terms = _terms();
        (terms.rows, terms.openedRows) = (1, 1);
        _takes(terms);
        (terms.rows, terms.openedRows, terms.windowSeconds, terms.disputeSeconds) = (100, 100, 30, 0);
        _takes(terms);
        (terms.windowSeconds, terms.disputeSeconds, terms.budget) = (7 days, 90 days, 2 ** 53);
        _takes(terms);
        terms.budget = 0;
        _takes(terms);
        for (uint256 i = 0; i < 9; ++i) {
            terms = _terms();
            if (i == 0) terms.root = 0;
            if (i == 1) terms.rows = 0;
            if (i == 2) terms.rows = 101; // more than are aligned
            if (i == 3) terms.openedRows = 0;
            if (i == 4) terms.openedRows = ROWS + 1;
            if (i == 5) terms.windowSeconds = 29;
            if (i == 6) terms.windowSeconds = 7 days + 1;
            if (i == 7) terms.disputeSeconds = 90 days + 1;
            if (i == 8) terms.budget = 2 ** 53 + 1;
            _refuses(terms);
        }
    }

    function test_commitLabels_opensAtMostTenThousandRows() public {
        bytes32 jobId = _aligning();
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(roster[i]);
            jobs.declareAligned(jobId, "order", 20_000);
        }
        IContributionAudit.Terms memory terms = _terms();
        (terms.rows, terms.openedRows) = (20_000, 10_001);
        vm.prank(ALICE);
        vm.expectRevert(IContributionAudit.TermsInvalid.selector);
        audits.commitLabels(jobId, terms);
        terms.openedRows = 10_000;
        vm.prank(ALICE);
        audits.commitLabels(jobId, terms);
    }

    // -- freezing ---------------------------------------------------------------------------------------------------------

    function test_freeze_keepsWhatEachPartyCommitsTo() public {
        bytes32 jobId = _audited();
        vm.expectEmit(true, true, false, true, address(audits));
        emit IContributionAudit.OutputsFrozen(
            jobId, BOB, _outputsOf(BOB), _digestOf(jobId, BOB), _commitmentOf(BOB, jobId)
        );
        _freeze(BOB, jobId);
        assertEq(audits.deadlineOf(jobId), 0, "nothing is waited for before all have");
        _freeze(ALICE, jobId);
        vm.warp(block.timestamp + 5);
        _freeze(CAROL, jobId);
        assertEq(audits.deadlineOf(jobId), block.timestamp + WINDOW, "deadline of the losses");
        IContributionAudit.AuditView memory audit = audits.auditOf(jobId);
        for (uint256 i = 0; i < 3; ++i) {
            assertEq(audit.outputs[i], _outputsOf(roster[i]), "outputs");
            assertEq(audit.shards[i], _digestOf(jobId, roster[i]), "shard");
            assertEq(audit.commitments[i], _commitmentOf(roster[i], jobId), "commitment");
            assertEq(audit.seeds[i], 0, "seed");
        }
        vm.expectRevert(abi.encodeWithSelector(IContributionAudit.AlreadyFrozen.selector, jobId, BOB));
        _freeze(BOB, jobId);
    }

    function test_freeze_reverts_whenSomethingIsZero_orThereIsNoAudit() public {
        bytes32 jobId = _audited();
        for (uint256 i = 0; i < 3; ++i) {
            bytes32[3] memory words = [bytes32("outputs"), "shard", "commitment"];
            words[i] = 0;
            vm.prank(BOB);
            vm.expectRevert(IContributionAudit.CommitmentInvalid.selector);
            audits.freeze(jobId, words[0], words[1], words[2]);
        }
        jobId = _evaluating();
        vm.expectRevert(abi.encodeWithSelector(IContributionAudit.NoAudit.selector, jobId));
        _freeze(BOB, jobId);
    }

    // -- losses -----------------------------------------------------------------------------------------------------------

    function test_post_computesUtilitiesAndShares() public {
        bytes32 jobId = _frozenAudit();
        uint128[] memory sums = _sums();
        int64[] memory utilities = new int64[](8);
        for (uint256 s = 0; s < 8; ++s) {
            utilities[s] = -int64(uint64((sums[s] + 10) / 20)); // half a row's loss is rounded up
        }
        int64[] memory shares = Shapley.shares840(utilities, 3);
        vm.roll(77);
        vm.expectEmit(true, false, false, true, address(audits));
        emit IContributionAudit.LossesPosted(jobId, LOSSES, sums, utilities, shares, 4);
        _post(jobId, 4);
        IContributionAudit.AuditView memory audit = audits.auditOf(jobId);
        assertEq(audit.lossesRoot, LOSSES, "root");
        assertEq(audit.weakMask, 4, "weak");
        assertEq(audit.postedBlock, 77, "block");
        assertEq(audit.deadline, block.timestamp + WINDOW, "deadline of the seeds");
        assertEq(keccak256(abi.encode(audit.shares840)), keccak256(abi.encode(shares)), "shares");
        assertEq(keccak256(abi.encode(audits.sharesOf(jobId))), keccak256(abi.encode(shares)), "shares alone");
        assertTrue(shares[0] > shares[1] && shares[1] > shares[2] && shares[2] > 0, "as made");
        vm.expectRevert(abi.encodeWithSelector(IContributionAudit.AlreadyPosted.selector, jobId));
        _post(jobId, 0);
    }

    function test_post_keepsSharesOfEightParties_evenNegativeOnes() public {
        for (uint160 i = 0; i < 4; ++i) {
            address party = address(0xADD0 + i);
            _join(party, string.concat("more-", string(abi.encodePacked(bytes1(uint8(97 + i))))));
            roster.push(party);
        }
        roster.push(DAVE);
        bytes32 jobId = _frozenAudit();
        uint128[] memory sums = new uint128[](256);
        for (uint256 s = 0; s < 256; ++s) {
            sums[s] = uint128(uint256(keccak256(abi.encode("loss", s))) % (uint256(ROWS) * 1e15 + 1));
        }
        vm.prank(ALICE);
        audits.post(jobId, LOSSES, sums, 0);
        int64[] memory utilities = new int64[](256);
        for (uint256 s = 0; s < 256; ++s) {
            utilities[s] = -int64(uint64((sums[s] + 10) / 20));
        }
        int64[] memory shares = Shapley.shares840(utilities, 8);
        int64[] memory kept = audits.sharesOf(jobId);
        bool someNegative = false;
        for (uint256 i = 0; i < 8; ++i) {
            assertEq(int256(kept[i]), int256(shares[i]), "share");
            someNegative = someNegative || kept[i] < 0;
        }
        assertTrue(someNegative, "none is negative");
    }

    function test_post_reverts_beforeAllHaveFrozen() public {
        bytes32 jobId = _audited();
        _freeze(ALICE, jobId);
        _freeze(CAROL, jobId);
        vm.expectRevert(abi.encodeWithSelector(IContributionAudit.NotFrozen.selector, jobId, 5));
        _post(jobId, 0);
    }

    function test_post_reverts_whenRootSumsOrMaskAreInvalid() public {
        bytes32 jobId = _frozenAudit();
        uint128[] memory sums = _sums();
        vm.prank(ALICE);
        vm.expectRevert(IContributionAudit.CommitmentInvalid.selector);
        audits.post(jobId, 0, sums, 0);
        uint8[3] memory masks = [uint8(1), 8, 255];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IContributionAudit.WeakMaskInvalid.selector, masks[i]));
            _post(jobId, masks[i]);
        }
        for (uint256 count = 0; count < 16; count += 7) {
            vm.prank(ALICE);
            vm.expectRevert(abi.encodeWithSelector(IContributionAudit.SumCountInvalid.selector, 8, count));
            audits.post(jobId, LOSSES, new uint128[](count), 0);
        }
        uint256 max = uint256(ROWS) * 1e15;
        sums[3] = uint128(max);
        sums[5] = uint128(max + 1);
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IContributionAudit.SumTooLarge.selector, 5, max + 1, max));
        audits.post(jobId, LOSSES, sums, 0);
        sums[5] = 0;
        vm.prank(ALICE);
        audits.post(jobId, LOSSES, sums, 6);
    }

    function test_post_isTaken_afterItsTime_untilSomebodyConcludes() public {
        bytes32 jobId = _frozenAudit();
        vm.warp(block.timestamp + WINDOW + 1);
        uint256 snapshot = vm.snapshotState();
        _post(jobId, 0);
        assertEq(audits.deadlineOf(jobId), block.timestamp + WINDOW, "seeds have their time");
        vm.revertToState(snapshot);
        audits.conclude(jobId);
        vm.expectRevert(abi.encodeWithSelector(IContributionAudit.AlreadyConcluded.selector, jobId));
        _post(jobId, 0);
    }

    // -- seeds ------------------------------------------------------------------------------------------------------------

    function test_reveal_makesTheSeedKnown_whenAllHave() public {
        bytes32 jobId = _posted();
        _reveal(CAROL, jobId);
        _reveal(ALICE, jobId);
        assertEq(audits.seedOf(jobId), 0, "Bob's is missing");
        vm.warp(block.timestamp + 7);
        vm.expectEmit(true, true, false, true, address(audits));
        emit IContributionAudit.SeedRevealed(jobId, BOB, _seedOf(BOB, jobId));
        _reveal(BOB, jobId);
        assertEq(audits.seedOf(jobId), _combined(jobId, true), "seed");
        assertEq(audits.auditOf(jobId).seed, _combined(jobId, true), "seed of the view");
        assertEq(audits.deadlineOf(jobId), block.timestamp + WINDOW, "deadline of the votes");
        vm.expectRevert(abi.encodeWithSelector(IContributionAudit.AlreadyRevealed.selector, jobId, BOB));
        _reveal(BOB, jobId);
    }

    function test_theSeed_isKnownWithoutTheSilent_onceTheTimeIsOver() public {
        bytes32 jobId = _posted();
        uint256 deadline = audits.deadlineOf(jobId);
        _reveal(ALICE, jobId);
        _reveal(CAROL, jobId);
        vm.warp(deadline);
        assertEq(audits.seedOf(jobId), 0, "in its last second");
        vm.warp(deadline + 1);
        assertEq(audits.seedOf(jobId), _combined(jobId, false), "seed");
        assertEq(audits.deadlineOf(jobId), deadline + WINDOW, "deadline of the votes");
        vm.expectRevert(abi.encodeWithSelector(IJobManager.DeadlineOver.selector, deadline, deadline + 1));
        _reveal(BOB, jobId);
        _vote(BOB, jobId, true);
        assertEq(audits.auditOf(jobId).votes[1], 1, "the silent may vote");
    }

    function test_theSeed_isNeverKnown_withoutTheActivePartys() public {
        bytes32 jobId = _posted();
        _reveal(BOB, jobId);
        _reveal(CAROL, jobId);
        vm.warp(block.timestamp + 10 * WINDOW);
        assertEq(audits.seedOf(jobId), 0, "seed");
        vm.expectRevert(abi.encodeWithSelector(IContributionAudit.SeedUnknown.selector, jobId));
        _vote(BOB, jobId, true);
    }

    function test_reveal_takesOnlyTheSeedCommittedTo_andInItsLastSecond() public {
        bytes32 jobId = _posted();
        bytes32 found = keccak256(abi.encode(jobId, BOB, _seedOf(CAROL, jobId)));
        vm.prank(BOB);
        vm.expectRevert(
            abi.encodeWithSelector(IContributionAudit.SeedDiffers.selector, _commitmentOf(BOB, jobId), found)
        );
        audits.reveal(jobId, _seedOf(CAROL, jobId));
        vm.warp(audits.deadlineOf(jobId));
        _reveal(BOB, jobId);
    }

    function test_reveal_reverts_beforeTheLossesArePosted() public {
        bytes32 jobId = _frozenAudit();
        vm.expectRevert(abi.encodeWithSelector(IContributionAudit.NotPosted.selector, jobId));
        _reveal(BOB, jobId);
        vm.expectRevert(abi.encodeWithSelector(IContributionAudit.SeedUnknown.selector, jobId));
        _vote(BOB, jobId, true);
    }

    // -- votes ------------------------------------------------------------------------------------------------------------

    function test_vote_isKept_withItsReason() public {
        bytes32 jobId = _seeded();
        vm.expectEmit(true, true, false, true, address(audits));
        emit IContributionAudit.AuditVoted(jobId, CAROL, false, 8);
        vm.prank(CAROL);
        audits.vote(jobId, false, 8);
        vm.expectEmit(true, true, false, true, address(audits));
        emit IContributionAudit.AuditVoted(jobId, BOB, true, 0);
        _vote(BOB, jobId, true);
        IContributionAudit.AuditView memory audit = audits.auditOf(jobId);
        assertEq(audit.votes[0] + 10 * audit.votes[1] + 100 * audit.votes[2], 210, "votes");
        assertEq(audit.reasons[1], 0, "Bob's reason");
        assertEq(audit.reasons[2], 8, "Carol's reason");
        vm.expectRevert(abi.encodeWithSelector(IContributionAudit.AlreadyVotedOn.selector, jobId, BOB));
        _vote(BOB, jobId, false);
    }

    function test_vote_reverts_forTheActiveParty_andForAReasonThatDoesNotFit() public {
        bytes32 jobId = _seeded();
        vm.expectRevert(abi.encodeWithSelector(IContributionAudit.NotAuditor.selector, jobId, ALICE));
        _vote(ALICE, jobId, true);
        bool[4] memory sound = [true, false, false, true];
        uint8[4] memory reasons = [1, 0, 9, 255];
        for (uint256 i = 0; i < 4; ++i) {
            vm.prank(BOB);
            vm.expectRevert(abi.encodeWithSelector(IContributionAudit.VoteInvalid.selector, sound[i], reasons[i]));
            audits.vote(jobId, sound[i], reasons[i]);
        }
    }

    function test_voteAndReveal_areTaken_afterCompletion() public {
        bytes32 jobId = _posted();
        _complete(jobId);
        for (uint256 i = 0; i < 3; ++i) {
            _reveal(roster[i], jobId);
        }
        _vote(BOB, jobId, true);
        _vote(CAROL, jobId, true);
        audits.conclude(jobId);
        assertOutcome(jobId, IContributionAudit.Outcome.Verified);
    }

    function _takes(IContributionAudit.Terms memory terms) private {
        bytes32 jobId = _training();
        vm.prank(ALICE);
        audits.commitLabels(jobId, terms);
    }

    function _refuses(IContributionAudit.Terms memory terms) private {
        bytes32 jobId = _training();
        vm.prank(ALICE);
        vm.expectRevert(IContributionAudit.TermsInvalid.selector);
        audits.commitLabels(jobId, terms);
    }

    function _combined(bytes32 jobId, bool withBobs) private view returns (bytes32) {
        bytes32[] memory seeds = new bytes32[](3);
        for (uint256 i = 0; i < 3; ++i) {
            if (i != 1 || withBobs) seeds[i] = _seedOf(roster[i], jobId);
        }
        return keccak256(abi.encode(jobId, LOSSES, seeds));
    }
}
