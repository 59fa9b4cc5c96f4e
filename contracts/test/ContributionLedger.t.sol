// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Kinds} from "../src/Kinds.sol";
import {IContributionLedger} from "../src/interfaces/IContributionLedger.sol";
import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {Deployed} from "./utils/Deployed.sol";

contract ContributionLedgerTest is Deployed {
    int64 internal constant FULL = -100_000;
    int64 internal constant EMPTY = -240_000;

    bytes32 internal jobId;
    bytes32 internal uplinkId;
    int64[] internal shares;

    function setUp() public override {
        super.setUp();
        jobId = _evaluating();
        uplinkId = _accept(ALICE, _envelope(jobId, 2, Kinds.CONTRIBUTION));
        shares = [int64(150_000), -20_000, 10_000];
    }

    function _record(address party) internal {
        vm.prank(party);
        contributions.record(jobId, uplinkId, shares, FULL, EMPTY);
    }

    function test_record_storesTheShares_whenTheyAddUp() public {
        vm.roll(9);
        vm.expectEmit(true, true, false, true, address(contributions));
        emit IContributionLedger.ContributionRecorded(jobId, ALICE, roster, shares, FULL, EMPTY);
        _record(ALICE);
        (address[] memory parties, int64[] memory stored, int64 full, int64 empty, uint64 blockNumber) =
            contributions.contributionOf(jobId);
        assertEq(parties.length, 3, "roster");
        assertEq(parties[2], CAROL, "roster order");
        assertEq(stored.length, 3, "shares");
        for (uint256 i = 0; i < 3; ++i) {
            assertEq(int256(stored[i]), int256(shares[i]), "share");
        }
        assertEq(int256(full), int256(FULL), "full");
        assertEq(int256(empty), int256(EMPTY), "empty");
        assertEq(blockNumber, 9, "block");
    }

    function test_record_reverts_whenRepeated() public {
        _record(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IContributionLedger.AlreadyRecorded.selector, jobId));
        _record(ALICE);
    }

    function test_record_reverts_whenCallerIsNotActive() public {
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotActiveParty.selector, jobId, BOB));
        _record(BOB);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, DAVE));
        _record(DAVE);
    }

    function test_record_reverts_whenPhaseIsWrong() public {
        for (uint256 i = 0; i < 3; ++i) {
            _accept(roster[i], _envelope(jobId, 2, Kinds.SHARD_DIGEST));
        }
        vm.expectRevert(
            abi.encodeWithSelector(
                IJobManager.WrongPhase.selector, IJobManager.Phase.Evaluating, IJobManager.Phase.Completed
            )
        );
        _record(ALICE);
        jobId = "none";
        vm.expectRevert(abi.encodeWithSelector(IJobManager.UnknownJob.selector, jobId));
        _record(ALICE);
    }

    function test_record_reverts_whenSharesAreMissingOrDoNotSum() public {
        shares[0] += 1;
        vm.expectRevert(abi.encodeWithSelector(IContributionLedger.SharesDoNotSum.selector, 140_000, 140_001));
        _record(ALICE);
        shares.pop();
        vm.expectRevert(abi.encodeWithSelector(IContributionLedger.ShareCountInvalid.selector, 3, 2));
        _record(ALICE);
    }

    function test_record_sumsWithoutOverflow_whenSharesAreExtreme() public {
        shares = [type(int64).max, type(int64).max, int64(1)];
        vm.expectRevert(
            abi.encodeWithSelector(
                IContributionLedger.SharesDoNotSum.selector, 140_000, 2 * int256(type(int64).max) + 1
            )
        );
        _record(ALICE);
    }

    function test_record_reverts_whenUplinkIsNotTheContributionOfThisJob() public {
        bytes32 ofOther = uplinkId;
        uplinkId = _accept(ALICE, _envelope(jobId, 2, Kinds.PREDICT_ANSWER));
        vm.expectRevert(abi.encodeWithSelector(IContributionLedger.NotContributionUplink.selector, jobId, uplinkId));
        _record(ALICE);
        jobId = _evaluating();
        uplinkId = ofOther;
        vm.expectRevert(abi.encodeWithSelector(IContributionLedger.NotContributionUplink.selector, jobId, uplinkId));
        _record(ALICE);
    }

    function test_contributionOf_isEmpty_whenNothingWasRecorded() public view {
        (address[] memory parties, int64[] memory stored,,, uint64 blockNumber) = contributions.contributionOf(jobId);
        assertEq(parties.length + stored.length + blockNumber, 0, "empty");
    }

    function testFuzz_record_acceptsExactlyTheSum(int32 a, int32 b, int32 c, int8 off) public {
        shares = [int64(a), int64(b), int64(c)];
        int64 total = int64(a) + b + c;
        vm.prank(ALICE);
        if (off != 0) {
            vm.expectRevert(
                abi.encodeWithSelector(IContributionLedger.SharesDoNotSum.selector, int256(total) + off, int256(total))
            );
        }
        contributions.record(jobId, uplinkId, shares, total + off + 5, 5);
    }
}
