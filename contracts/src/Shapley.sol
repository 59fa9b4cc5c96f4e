// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Shapley values of up to eight parties, exactly, in integers.
/// @notice The share of party i is the sum, over the coalitions S without it, of s!(p−s−1)!/p! · (U(S ∪ i) − U(S)), with s
/// parties in S and p in all. 840 times each of these weights is an integer for p ≤ 8, so that shares of scale 840 are exact.
/// Source: Shapley, A Value for n-Person Games (1953).
library Shapley {
    /// @notice The most parties.
    uint256 internal constant MAX_PARTIES = 8;
    /// @notice Shares are this many times what they are in utilities' units: the least common multiple of all weights' 1..8.
    uint256 internal constant SCALE = 840;
    /// @notice Utilities lie between minus this and zero.
    uint256 internal constant MAX_LOSS = 1e15;

    uint256 private constant LANES = 4;
    uint256 private constant LANE_BITS = 64;
    uint256 private constant LANE = type(uint64).max;
    /// @dev How many bits a number of four bits has, for each of them, four bits each.
    uint256 private constant COUNTS = 0x4332322132212110;

    /// @notice There are 2^p utilities for p = 2..8 parties.
    error UtilityCountInvalid(uint256 expected, uint256 found);
    /// @notice A utility is positive, or below −MAX_LOSS.
    error UtilityInvalid(uint256 coalition, int256 utility);

    /// @notice The shares, scaled by 840. They sum to 840 · (U(all) − U(nobody)).
    /// @param utilities of each coalition, −MAX_LOSS..0; bit i of the index stands for party i.
    /// @param parties p, 2..8.
    /// @return shares of each party, at most 840 · MAX_LOSS up or down.
    /// @dev With losses L = −U ≥ 0 and the weight w(s), the share of i is B − A(i), where B is the sum of w(s)·L(S) over all S
    /// but the whole roster, and A(i) that of (w(s−1) + w(s))·L(S) over all S with i. So one product per coalition serves all
    /// its parties at once: four sums of 64 bits lie in one word, and multiplying by a word with a one in the lanes of the
    /// members adds to their lanes alone. No lane overflows: A(i) ≤ 840·(1 + 1/2 + … + 1/8)·MAX_LOSS < 2.3e18 < 2^64.
    function shares840(int64[] memory utilities, uint256 parties) internal pure returns (int64[] memory shares) {
        uint256 count = parties < 2 || parties > MAX_PARTIES ? 0 : 1 << parties;
        if (count == 0 || utilities.length != count) revert UtilityCountInvalid(count, utilities.length);
        (uint256[] memory without, uint256[] memory within) = _weights(parties);
        uint256 base;
        uint256 low;
        uint256 high;
        for (uint256 coalition = 0; coalition < count; ++coalition) {
            int256 utility = utilities[coalition];
            // forge-lint: disable-next-line(unsafe-typecast)
            if (utility > 0 || utility < -int256(MAX_LOSS)) revert UtilityInvalid(coalition, utility);
            // all terms are bounded, see above
            unchecked {
                uint256 size = _count(coalition);
                // forge-lint: disable-next-line(unsafe-typecast)
                uint256 loss = uint256(-utility);
                base += without[size] * loss;
                uint256 both = within[size] * loss;
                low += both * _spread(coalition & 15);
                high += both * _spread(coalition >> LANES);
            }
        }
        shares = new int64[](parties);
        int256 sum = 0;
        for (uint256 i = 0; i < parties; ++i) {
            uint256 lanes = i < LANES ? low : high;
            // forge-lint: disable-next-line(unsafe-typecast)
            int256 share = int256(base) - int256((lanes >> (LANE_BITS * (i % LANES))) & LANE);
            // forge-lint: disable-next-line(unsafe-typecast)
            shares[i] = int64(share); // 840e15 < 2^63
            sum += share;
        }
        // forge-lint: disable-next-line(unsafe-typecast)
        assert(sum == int256(SCALE) * (int256(utilities[count - 1]) - utilities[0]));
    }

    /// @dev By the size s of a coalition: w(s), zero for the whole roster, and w(s−1) + w(s), where w(−1) is zero.
    function _weights(uint256 parties) private pure returns (uint256[] memory without, uint256[] memory within) {
        without = new uint256[](parties + 1);
        within = new uint256[](parties + 1);
        uint256 choices = 1; // of s among the other p − 1
        uint256 before = 0;
        for (uint256 s = 0; s < parties; ++s) {
            uint256 weight = SCALE / (parties * choices);
            without[s] = weight;
            within[s] = before + weight;
            before = weight;
            choices = choices * (parties - 1 - s) / (s + 1);
        }
        within[parties] = before;
    }

    /// @dev How many parties a coalition has.
    function _count(uint256 coalition) private pure returns (uint256) {
        return ((COUNTS >> (4 * (coalition & 15))) & 15) + ((COUNTS >> (4 * (coalition >> 4))) & 15);
    }

    /// @dev A one in the lane of each of four bits.
    function _spread(uint256 four) private pure returns (uint256) {
        return (four & 1) | ((four & 2) << 63) | ((four & 4) << 126) | ((four & 8) << 189);
    }
}
