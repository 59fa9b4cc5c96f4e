// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Whole points in proportion to shares.
/// @notice By largest remainder: each party gets the whole points of its quota, and those that are left go, one each, to
/// the largest fractions, the earlier party first where two are equal. Source: Hamilton's method of apportionment.
library Points {
    /// @notice Divides the budget in proportion to the shares that are positive.
    /// @param shares of any one scale.
    /// @param budget points, at most 2^64 − 1.
    /// @return points one number per share; their sum is the budget if any share is positive, else 0.
    function divide(int64[] memory shares, uint256 budget) internal pure returns (uint64[] memory points) {
        uint256 count = shares.length;
        points = new uint64[](count);
        uint256 total = 0;
        for (uint256 i = 0; i < count; ++i) {
            total += _positive(shares[i]);
        }
        if (total == 0) return points;
        uint256[] memory fractions = new uint256[](count);
        uint256 left = budget;
        for (uint256 i = 0; i < count; ++i) {
            uint256 product = budget * _positive(shares[i]);
            // forge-lint: disable-next-line(unsafe-typecast)
            points[i] = uint64(product / total);
            fractions[i] = product % total;
            left -= points[i];
        }
        for (; left > 0; --left) {
            uint256 best = 0;
            for (uint256 i = 1; i < count; ++i) {
                if (fractions[i] > fractions[best]) best = i;
            }
            ++points[best];
            fractions[best] = 0;
        }
    }

    function _positive(int64 share) private pure returns (uint256) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return share > 0 ? uint256(int256(share)) : 0;
    }
}
