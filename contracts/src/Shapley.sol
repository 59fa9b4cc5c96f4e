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
    uint256 private constant WEIGHT_BITS = 16;
    /// @dev How many bits a number of four bits has, for each of them, in the lower sixteen bytes.
    uint256 private constant COUNTS = 0x00010102010202030102020302030304;

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
        (uint256 without, uint256 within) = _weights(parties);
        uint256 base;
        uint256 low;
        uint256 high;
        uint256 bad;
        // one loop without checks, as all terms are bounded: with checks it costs twice as much
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            function spread(four) -> ones {
                ones := or(or(and(four, 1), shl(63, and(four, 2))), or(shl(126, and(four, 4)), shl(189, and(four, 8))))
            }
            let at := add(utilities, 32)
            for { let coalition := 0 } lt(coalition, count) { coalition := add(coalition, 1) } {
                let loss := sub(0, mload(at))
                // a positive utility is a huge loss
                if gt(loss, MAX_LOSS) {
                    bad := add(coalition, 1)
                    break
                }
                at := add(at, 32)
                let lower := and(coalition, 15)
                let upper := shr(4, coalition)
                let shift := shl(4, add(byte(add(16, lower), COUNTS), byte(add(16, upper), COUNTS)))
                base := add(base, mul(loss, and(shr(shift, without), 0xffff)))
                let both := mul(loss, and(shr(shift, within), 0xffff))
                low := add(low, mul(both, spread(lower)))
                high := add(high, mul(both, spread(upper)))
            }
        }
        if (bad != 0) revert UtilityInvalid(bad - 1, utilities[bad - 1]);
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

    /// @dev By the size s of a coalition, 16 bits for each: w(s), zero for the whole roster, and w(s−1) + w(s), where w(−1)
    /// is zero. Neither is above 840.
    function _weights(uint256 parties) private pure returns (uint256 without, uint256 within) {
        uint256 choices = 1; // of s among the other p − 1
        uint256 before = 0;
        for (uint256 s = 0; s < parties; ++s) {
            uint256 weight = SCALE / (parties * choices);
            without |= weight << (WEIGHT_BITS * s);
            within |= (before + weight) << (WEIGHT_BITS * s);
            before = weight;
            choices = choices * (parties - 1 - s) / (s + 1);
        }
        within |= before << (WEIGHT_BITS * parties);
    }
}
