// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Faults} from "./Faults.sol";
import {IAnomalyPolicy} from "./interfaces/IAnomalyPolicy.sol";

/// @title AnomalyPolicy
/// @notice See {IAnomalyPolicy}. Medians are exact: an even number of values has the mean of the two in the middle, so
/// the values are kept doubled and the MAD fourfold until the one division at the end.
contract AnomalyPolicy is IAnomalyPolicy {
    uint16 private constant VERSION = 2;
    uint256 private constant WINDOW = 32;
    uint256 private constant MIN_VALUES = 8;
    uint64 private constant MAX_SCORE_E6 = 5_000_000;
    /// @dev 0.6745, the 75 % quantile of the standard normal distribution.
    uint256 private constant QUARTILE_E6 = 674_500;

    /// @inheritdoc IAnomalyPolicy
    function version() external pure returns (uint16) {
        return VERSION;
    }

    /// @inheritdoc IAnomalyPolicy
    function window() external pure returns (uint8) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint8(WINDOW);
    }

    /// @inheritdoc IAnomalyPolicy
    function maxScoreE6() external pure returns (uint64) {
        return MAX_SCORE_E6;
    }

    /// @inheritdoc IAnomalyPolicy
    function scoreE6(uint64[] calldata values, uint64 x) external pure returns (uint64) {
        return _scoreE6(values, x);
    }

    /// @inheritdoc IAnomalyPolicy
    function isOutlier(uint64[] calldata values, uint64 x) external pure returns (bool flagged, uint64 score) {
        score = _scoreE6(values, x);
        flagged = score > MAX_SCORE_E6;
    }

    /// @inheritdoc IAnomalyPolicy
    function answerTo(uint8 reason, bool repeated) external pure returns (uint8 answer) {
        if (reason == Faults.DEADLINE_MISSED || reason == Faults.MISSING) {
            return repeated ? Faults.STRIKE : Faults.RECORDED;
        }
        if (reason == 0 || reason == Faults.SENDER_SUSPENDED) return Faults.RECORDED;
        if (reason <= Faults.LAST_STRUCTURAL) return Faults.STRIKE;
        if (reason == Faults.EQUIVOCATION) return Faults.SUSPENSION;
        bool proven = reason == Faults.PAYLOAD_MISMATCH || reason == Faults.REPLAY || reason == Faults.STATISTIC_FALSE
            || reason == Faults.CONTRIBUTION_FALSE || reason == Faults.AUDIT_REFUSED;
        return proven ? Faults.STRIKE : Faults.RECORDED;
    }

    /// @inheritdoc IAnomalyPolicy
    function tally(uint256 confirming, uint256 voting) external pure returns (bool confirmed) {
        return voting >= 2 && confirming >= voting - voting / 3; // 3·confirming ≥ 2·voting, without overflow
    }

    function _scoreE6(uint64[] calldata values, uint64 x) private pure returns (uint64) {
        uint256 count = values.length;
        if (count > WINDOW) revert WindowTooLarge(count, WINDOW);
        if (count < MIN_VALUES) return 0;
        uint256[] memory sorted = _sorted(values);
        uint256 median2 = sorted[(count - 1) / 2] + sorted[count / 2];
        uint256 deviation2 = _distance(2 * uint256(x), median2);
        if (deviation2 == 0) return 0;
        // 0.6745 · (deviation2 / 2) / max(mad4 / 4, median2 / 200), numerator and denominator times 200
        uint256 mad50 = 50 * _mad4(sorted, median2);
        uint256 denominator = mad50 > median2 ? mad50 : median2;
        if (denominator == 0) return type(uint64).max;
        uint256 score = QUARTILE_E6 * 100 * deviation2 / denominator;
        // forge-lint: disable-next-line(unsafe-typecast)
        return score > type(uint64).max ? type(uint64).max : uint64(score);
    }

    /// @dev Four times the median of the distances to the median. In ascending order they lie on both sides of it, so that
    /// two cursors that walk outwards meet the values by distance: no second sort.
    function _mad4(uint256[] memory sorted, uint256 median2) private pure returns (uint256) {
        uint256 count = sorted.length;
        uint256 right = count / 2;
        uint256 left = right; // one beyond the next value on the left
        uint256 previous;
        uint256 latest;
        for (uint256 taken = 0; taken <= count / 2; ++taken) {
            previous = latest;
            uint256 below = left == 0 ? type(uint256).max : median2 - 2 * sorted[left - 1];
            uint256 above = right == count ? type(uint256).max : 2 * sorted[right] - median2;
            if (below < above) {
                latest = below;
                --left;
            } else {
                latest = above;
                ++right;
            }
        }
        return count % 2 == 1 ? 2 * latest : previous + latest;
    }

    /// @dev Insertion sort: for 32 values it beats whatever divides them. One loop over memory, since checked access to the
    /// array costs three times as much.
    function _sorted(uint64[] calldata values) private pure returns (uint256[] memory sorted) {
        uint256 count = values.length;
        sorted = new uint256[](count);
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            let first := add(sorted, 32)
            let end := add(first, mul(count, 32))
            let source := values.offset
            for { let at := first } lt(at, end) { at := add(at, 32) } {
                let value := and(calldataload(source), 0xffffffffffffffff)
                source := add(source, 32)
                let hole := at
                for {} gt(hole, first) {} {
                    let before := mload(sub(hole, 32))
                    if iszero(gt(before, value)) { break }
                    mstore(hole, before)
                    hole := sub(hole, 32)
                }
                mstore(hole, value)
            }
        }
    }

    function _distance(uint256 a, uint256 b) private pure returns (uint256) {
        return a > b ? a - b : b - a;
    }
}
