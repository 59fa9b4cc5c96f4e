// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Points} from "../src/Points.sol";
import {Shapley} from "../src/Shapley.sol";
import {TestBase} from "./utils/TestBase.sol";

/// @title The library's functions as calls, so that their reverts are seen.
contract ShapleyCaller {
    function shares840(int64[] calldata utilities, uint256 parties) external pure returns (int64[] memory) {
        return Shapley.shares840(utilities, parties);
    }

    function divide(int64[] calldata shares, uint256 budget) external pure returns (uint64[] memory) {
        return Points.divide(shares, budget);
    }
}

contract ShapleyTest is TestBase {
    int64 internal constant LOWEST = -1e15;

    ShapleyCaller internal caller;

    function setUp() public {
        caller = new ShapleyCaller();
    }

    // -- shares -----------------------------------------------------------------------------------------------------------

    function test_shares840_areTheTextbooks_whenComputedByHand() public view {
        // U(nobody) = −10; 1 alone −6, 2 alone −8, both −1: 1 gets (4 + 7) / 2, 2 gets (2 + 5) / 2
        int64[] memory utilities = new int64[](4);
        (utilities[0], utilities[1], utilities[2], utilities[3]) = (-10, -6, -8, -1);
        int64[] memory shares = caller.shares840(utilities, 2);
        assertEq(int256(shares[0]), 840 * 11 / 2, "first");
        assertEq(int256(shares[1]), 840 * 7 / 2, "second");
    }

    function test_shares840_bearGoldenNumbers_forThreeParties() public view {
        // a gloves game in losses: 0 has a left glove, 1 and 2 right ones; a pair is worth 6: shares 4, 1, 1
        int64[] memory utilities = new int64[](8);
        for (uint256 s = 0; s < 8; ++s) {
            utilities[s] = s & 1 != 0 && s & 6 != 0 ? int64(0) : int64(-6);
        }
        int64[] memory shares = caller.shares840(utilities, 3);
        assertEq(int256(shares[0]), 840 * 4, "left");
        assertEq(int256(shares[1]), 840, "right");
        assertEq(int256(shares[2]), 840, "other right");
    }

    function test_shares840_holdTheExtremes_ofEightParties() public view {
        int64[] memory utilities = new int64[](256);
        for (uint256 s = 0; s < 256; ++s) {
            utilities[s] = LOWEST;
        }
        int64[] memory shares = caller.shares840(utilities, 8);
        for (uint256 i = 0; i < 8; ++i) {
            assertEq(int256(shares[i]), 0, "all lose alike");
        }
        // one party decides everything: it has all, and the others nothing
        for (uint256 decisive = 0; decisive < 8; ++decisive) {
            for (uint256 s = 0; s < 256; ++s) {
                utilities[s] = (s >> decisive) & 1 != 0 ? int64(0) : LOWEST;
            }
            shares = caller.shares840(utilities, 8);
            for (uint256 i = 0; i < 8; ++i) {
                assertEq(int256(shares[i]), i == decisive ? int256(840e15) : int256(0), "decisive");
            }
            for (uint256 s = 0; s < 256; ++s) {
                utilities[s] = LOWEST - utilities[s];
            }
            shares = caller.shares840(utilities, 8);
            assertEq(int256(shares[decisive]), -840e15, "ruinous");
        }
    }

    function testFuzz_shares840_areTheDefinition(uint256 seed, uint256 parties) public view {
        parties = bound(parties, 2, 8);
        int64[] memory utilities = _utilities(seed, parties);
        int64[] memory shares = caller.shares840(utilities, parties);
        int256 sum = 0;
        for (uint256 i = 0; i < parties; ++i) {
            assertEq(int256(shares[i]), _share840(utilities, parties, i), "share");
            sum += shares[i];
        }
        assertEq(sum, 840 * (int256(utilities[(1 << parties) - 1]) - utilities[0]), "efficiency");
    }

    function testFuzz_shares840_ofNullAndTwinParties(uint256 seed) public view {
        int64[] memory utilities = _utilities(seed, 5);
        for (uint256 s = 0; s < 32; ++s) {
            if (s & 16 != 0) utilities[s] = utilities[s & 15]; // 4 adds nothing
            if (s & 3 == 2) utilities[s] = utilities[s ^ 3]; // 0 and 1 are alike
            if (s & 19 == 18) utilities[s] = utilities[(s ^ 3) & 15];
        }
        int64[] memory shares = caller.shares840(utilities, 5);
        assertEq(int256(shares[4]), 0, "null");
        assertEq(int256(shares[0]), int256(shares[1]), "twins");
    }

    function test_shares840_revert_forAnyOtherNumberOfUtilitiesOrParties() public {
        uint256[5] memory parties = [uint256(0), 1, 9, 2, 8];
        uint256[5] memory expected = [uint256(0), 0, 0, 4, 256];
        for (uint256 i = 0; i < parties.length; ++i) {
            for (uint256 count = 0; count < 520; count += 129) {
                vm.expectRevert(abi.encodeWithSelector(Shapley.UtilityCountInvalid.selector, expected[i], count));
                caller.shares840(new int64[](count), parties[i]);
            }
        }
    }

    function test_shares840_revert_whenAUtilityIsPositiveOrTooLow() public {
        int64[] memory utilities = new int64[](4);
        utilities[2] = 1;
        vm.expectRevert(abi.encodeWithSelector(Shapley.UtilityInvalid.selector, 2, int256(1)));
        caller.shares840(utilities, 2);
        utilities[2] = LOWEST - 1;
        vm.expectRevert(abi.encodeWithSelector(Shapley.UtilityInvalid.selector, 2, int256(LOWEST) - 1));
        caller.shares840(utilities, 2);
        utilities[2] = type(int64).min;
        vm.expectRevert(abi.encodeWithSelector(Shapley.UtilityInvalid.selector, 2, int256(type(int64).min)));
        caller.shares840(utilities, 2);
    }

    // -- points -----------------------------------------------------------------------------------------------------------

    function test_divide_givesTheLargestFractionsWhatIsLeft() public view {
        int64[] memory shares = new int64[](4);
        (shares[0], shares[1], shares[2], shares[3]) = (3, 5, 2, -7);
        uint64[] memory points = caller.divide(shares, 7); // 2.1, 3.5, 1.4
        assertEq(points[0], 2, "first");
        assertEq(points[1], 4, "second");
        assertEq(points[2], 1, "third");
        assertEq(points[3], 0, "who harmed");
    }

    function test_divide_prefersTheEarlierParty_whereFractionsAreEqual() public view {
        int64[] memory shares = new int64[](3);
        (shares[0], shares[1], shares[2]) = (1, 1, 1);
        uint64[] memory points = caller.divide(shares, 5);
        assertEq(points[0], 2, "first");
        assertEq(points[1], 2, "second");
        assertEq(points[2], 1, "third");
    }

    function test_divide_givesNothing_whereNoShareIsPositive() public view {
        int64[] memory shares = new int64[](2);
        (shares[0], shares[1]) = (0, -5);
        uint64[] memory points = caller.divide(shares, 2 ** 53);
        assertEq(points[0] + points[1], 0, "none");
        assertEq(caller.divide(new int64[](0), 5).length, 0, "nobody");
    }

    function testFuzz_divide_sumsToTheBudget_andIsWithinOneOfTheQuota(uint256 seed, uint256 parties, uint256 budget)
        public
        view
    {
        parties = bound(parties, 1, 8);
        budget = bound(budget, 0, seed % 2 == 0 ? 100 : 2 ** 53);
        int64[] memory shares = new int64[](parties);
        uint256 total = 0;
        for (uint256 i = 0; i < parties; ++i) {
            int256 drawn = int256(uint256(keccak256(abi.encode(seed, i))) % 1680e15) - 840e15;
            shares[i] = int64(drawn);
            if (drawn > 0) total += uint256(drawn);
        }
        uint64[] memory points = caller.divide(shares, budget);
        uint256 sum = 0;
        for (uint256 i = 0; i < parties; ++i) {
            sum += points[i];
            uint256 due = shares[i] > 0 ? budget * uint256(int256(shares[i])) : 0;
            if (total == 0) continue;
            assertTrue(points[i] == due / total || points[i] == due / total + 1, "within one of the quota");
            if (shares[i] <= 0) assertEq(points[i], 0, "no share, no points");
        }
        assertEq(sum, total == 0 ? 0 : budget, "sum");
    }

    // -- the definition, straight -----------------------------------------------------------------------------------------

    function _share840(int64[] memory utilities, uint256 parties, uint256 party) private pure returns (int256 share) {
        for (uint256 s = 0; s < utilities.length; ++s) {
            if ((s >> party) & 1 != 0) continue;
            uint256 size = 0;
            for (uint256 i = 0; i < parties; ++i) {
                size += (s >> i) & 1;
            }
            uint256 weight = 840 * _factorial(size) * _factorial(parties - size - 1);
            assertEq(weight % _factorial(parties), 0, "a whole weight");
            int256 gain = int256(utilities[s | (1 << party)]) - utilities[s];
            share += int256(weight / _factorial(parties)) * gain;
        }
    }

    function _factorial(uint256 n) private pure returns (uint256 product) {
        product = 1;
        for (uint256 i = 2; i <= n; ++i) {
            product *= i;
        }
    }

    function _utilities(uint256 seed, uint256 parties) private pure returns (int64[] memory utilities) {
        utilities = new int64[](1 << parties);
        uint256 span = seed % 3 == 0 ? 4 : 1e15 + 1; // few different ones now and then
        for (uint256 s = 0; s < utilities.length; ++s) {
            utilities[s] = -int64(uint64(uint256(keccak256(abi.encode(seed, s))) % span));
        }
    }
}
