// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {AnomalyPolicy} from "../src/AnomalyPolicy.sol";
import {IAnomalyPolicy} from "../src/interfaces/IAnomalyPolicy.sol";
import {TestBase} from "./utils/TestBase.sol";

contract AnomalyPolicyTest is TestBase {
    AnomalyPolicy internal policy = new AnomalyPolicy();

    function _filled(uint256 count, uint64 value) internal pure returns (uint64[] memory values) {
        values = new uint64[](count);
        for (uint256 i = 0; i < count; ++i) {
            values[i] = value;
        }
    }

    /// @dev 100, 200 … 3200.
    function _steps() internal pure returns (uint64[] memory values) {
        values = new uint64[](32);
        for (uint64 i = 0; i < 32; ++i) {
            values[i] = 100 * (i + 1);
        }
    }

    /// @dev The definition, twice sorted by exchanges and without regard to cost.
    function _naiveScoreE6(uint64[] memory values, uint64 x) internal pure returns (uint256) {
        uint256 count = values.length;
        if (count < 8) return 0;
        uint256[] memory doubled = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            doubled[i] = 4 * uint256(values[i]);
        }
        uint256 median4 = _naiveMedian(doubled);
        for (uint256 i = 0; i < count; ++i) {
            doubled[i] = _naiveDistance(4 * uint256(values[i]), median4);
        }
        uint256 mad4 = _naiveMedian(doubled);
        uint256 deviation4 = _naiveDistance(4 * uint256(x), median4);
        if (deviation4 == 0) return 0;
        // max(mad4, median4 / 100), both times 100
        uint256 denominator = 100 * mad4 > median4 ? 100 * mad4 : median4;
        if (denominator == 0) return type(uint64).max;
        uint256 score = deviation4 * 674_500 * 100 / denominator;
        return score > type(uint64).max ? type(uint64).max : score;
    }

    function _naiveMedian(uint256[] memory values) internal pure returns (uint256) {
        for (uint256 i = 0; i < values.length; ++i) {
            for (uint256 j = i + 1; j < values.length; ++j) {
                if (values[j] < values[i]) (values[i], values[j]) = (values[j], values[i]);
            }
        }
        uint256 half = values.length / 2;
        return values.length % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
    }

    function _naiveDistance(uint256 a, uint256 b) internal pure returns (uint256) {
        return a > b ? a - b : b - a;
    }

    function test_version_isTwo_andWindowIsThirtyTwo() public view {
        assertEq(policy.version(), 2, "version");
        assertEq(policy.window(), 32, "window");
    }

    function test_scoreE6_isTheDefinition_whenComputedByHand() public view {
        // median 1650, distances 50, 50, 150, 150 … 1550: MAD (750 + 850) / 2 = 800; 0.6745 · (9650 - 1650) / 800
        assertEq(policy.scoreE6(_steps(), 9650), 6_745_000, "even");
        assertEq(policy.scoreE6(_steps(), 1650), 0, "the median itself");
        assertEq(policy.scoreE6(_steps(), 850), 674_500, "one MAD below");
        // 1 … 9: median 5, distances 0, 1, 1, 2, 2, 3, 3, 4, 4: MAD 2; 0.6745 · (25 - 5) / 2
        uint64[] memory odd = new uint64[](9);
        for (uint64 i = 0; i < 9; ++i) {
            odd[i] = 9 - i;
        }
        assertEq(policy.scoreE6(odd, 25), 6_745_000, "odd");
    }

    function test_scoreE6_takesAHundredthOfTheMedian_whenTheMadIsSmaller() public view {
        assertEq(policy.scoreE6(_filled(32, 1_000_000), 1_010_000), 674_500, "1 % above");
        assertEq(policy.scoreE6(_filled(32, 1_000_000), 990_000), 674_500, "1 % below");
    }

    function test_scoreE6_isZero_whenThereAreFewerThanEightValues() public view {
        for (uint256 count = 0; count < 8; ++count) {
            assertEq(policy.scoreE6(_filled(count, 1), type(uint64).max), 0, "few");
        }
        assertTrue(policy.scoreE6(_filled(8, 1), type(uint64).max) > 0, "eight");
    }

    function test_scoreE6_saturates_whenTheScoreIsTooLargeOrTheDenominatorZero() public view {
        assertEq(policy.scoreE6(_filled(32, 1), type(uint64).max), type(uint64).max, "large");
        assertEq(policy.scoreE6(_filled(32, 0), 1), type(uint64).max, "zero denominator");
        assertEq(policy.scoreE6(_filled(32, 0), 0), 0, "zero of zeros");
        assertEq(policy.scoreE6(_filled(32, type(uint64).max), 0), 67_450_000, "maximal values");
    }

    function test_scoreE6_reverts_whenThereAreMoreValuesThanTheWindow() public {
        vm.expectRevert(abi.encodeWithSelector(IAnomalyPolicy.WindowTooLarge.selector, 33, 32));
        policy.scoreE6(_filled(33, 1), 1);
        vm.expectRevert(abi.encodeWithSelector(IAnomalyPolicy.WindowTooLarge.selector, 1000, 32));
        policy.isOutlier(_filled(1000, 1), 1);
    }

    function test_isOutlier_flagsAboveFive_notAtFive() public view {
        // MAD and 1 % of the median are such that a unit of x is a score of 0.6745 / 134900 · 1e6 = 5
        uint64[] memory values = _filled(32, 13_490_000);
        (bool flagged, uint64 scoreE6) = policy.isOutlier(values, 14_490_000);
        assertEq(scoreE6, 5_000_000, "at the limit");
        assertTrue(!flagged, "flagged at the limit");
        (flagged, scoreE6) = policy.isOutlier(values, 14_490_001);
        assertEq(scoreE6, 5_000_005, "above the limit");
        assertTrue(flagged, "not flagged above the limit");
    }

    function test_scoreE6_isCheap_whenTheWindowIsFullAndInTheWorstOrder() public view {
        uint64[] memory values = _steps();
        for (uint256 i = 0; i < 16; ++i) {
            (values[i], values[31 - i]) = (values[31 - i], values[i]);
        }
        uint256 before = gasleft();
        policy.isOutlier(values, 5);
        assertTrue(before - gasleft() < 150_000, "gas"); // 72,000 in optimised code
    }

    function test_answerTo_isAStrike_forEveryStructuralReasonButThree() public view {
        for (uint8 reason = 2; reason < 32; ++reason) {
            if (reason == 15) continue;
            assertEq(policy.answerTo(reason, false), 1, "first");
            assertEq(policy.answerTo(reason, true), 1, "repeated");
        }
        assertEq(policy.answerTo(1, false), 0, "sender suspended");
        assertEq(policy.answerTo(1, true), 0, "sender suspended, repeated");
        assertEq(policy.answerTo(0, true), 0, "accepted");
    }

    function test_answerTo_isAStrikeForAMissedDeadline_onlyWhenRepeated() public view {
        assertEq(policy.answerTo(15, false), 0, "deadline");
        assertEq(policy.answerTo(15, true), 1, "deadline, repeated");
        assertEq(policy.answerTo(64, false), 0, "missing");
        assertEq(policy.answerTo(64, true), 1, "missing, repeated");
    }

    function test_answerTo_suspendsForEquivocationAlone() public view {
        for (uint256 reason = 0; reason < 256; ++reason) {
            for (uint256 i = 0; i < 2; ++i) {
                bool suspends = policy.answerTo(uint8(reason), i == 1) == 2;
                assertTrue(suspends == (reason == 32), "suspension");
            }
        }
    }

    function test_answerTo_strikesForProofsAndConfirmedVotes_andOnlyRecordsTheRest() public view {
        for (uint256 reason = 33; reason < 256; ++reason) {
            if (reason == 64) continue;
            bool strikes = reason == 33 || reason == 34 || reason == 49 || reason == 50 || reason == 53;
            uint8 expected = strikes ? 1 : 0;
            assertEq(policy.answerTo(uint8(reason), false), expected, "first");
            assertEq(policy.answerTo(uint8(reason), true), expected, "repeated");
        }
    }

    function test_maxScoreE6_isTheLargestThatIsNoOutliers() public view {
        assertEq(policy.maxScoreE6(), 5_000_000, "five");
    }

    function test_tally_needsTwoVotesAndTwoThirds() public view {
        assertTrue(!policy.tally(0, 0), "nobody");
        assertTrue(!policy.tally(1, 1), "one alone");
        assertTrue(policy.tally(2, 2), "2 of 2");
        assertTrue(!policy.tally(1, 2), "1 of 2");
        assertTrue(policy.tally(2, 3), "2 of 3");
        assertTrue(!policy.tally(2, 4), "2 of 4");
        assertTrue(policy.tally(3, 4), "3 of 4");
        assertTrue(!policy.tally(4, 7), "4 of 7");
        assertTrue(policy.tally(5, 7), "5 of 7");
        assertTrue(policy.tally(type(uint256).max, type(uint256).max), "all of the most");
        assertTrue(!policy.tally(0, type(uint256).max), "none of the most");
    }

    function testFuzz_scoreE6_matchesTheNaiveDefinition(uint256 seed, uint256 count, uint256 width, uint64 x)
        public
        view
    {
        uint64[] memory values = new uint64[](bound(count, 0, 32));
        uint256 bits = bound(width, 1, 64); // narrow ones repeat
        for (uint256 i = 0; i < values.length; ++i) {
            values[i] = uint64(uint256(keccak256(abi.encode(seed, i))) >> (256 - bits));
        }
        x = uint64(uint256(x) >> (64 - bits));
        uint256 expected = _naiveScoreE6(values, x);
        assertEq(policy.scoreE6(values, x), expected, "score");
        (bool flagged, uint64 scoreE6) = policy.isOutlier(values, x);
        assertEq(scoreE6, expected, "score of isOutlier");
        assertTrue(flagged == (expected > 5_000_000), "flag");
    }

    function testFuzz_scoreE6_doesNotDependOnTheOrder(uint64[32] memory drawn, uint64 x, uint256 seed) public view {
        uint64[] memory values = new uint64[](32);
        for (uint256 i = 0; i < 32; ++i) {
            values[i] = drawn[i];
        }
        uint64 before = policy.scoreE6(values, x);
        for (uint256 i = 31; i > 0; --i) {
            uint256 j = uint256(keccak256(abi.encode(seed, i))) % (i + 1);
            (values[i], values[j]) = (values[j], values[i]);
        }
        assertEq(policy.scoreE6(values, x), before, "order");
    }

    function testFuzz_tally_isTwoThirdsOfAtLeastTwo(uint32 confirming, uint32 voting) public view {
        bool expected = voting >= 2 && 3 * uint256(confirming) >= 2 * uint256(voting);
        assertTrue(policy.tally(confirming, voting) == expected, "tally");
    }

    function testFuzz_answerTo_isZeroOneOrTwo(uint8 reason, bool repeated) public view {
        assertTrue(policy.answerTo(reason, repeated) <= 2, "answer");
        assertTrue(policy.answerTo(reason, true) >= policy.answerTo(reason, false), "a repetition is no milder");
    }
}
