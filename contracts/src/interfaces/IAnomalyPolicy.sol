// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title What counts as an anomaly, and which answer it gets. Pure: the same version always says the same.
/// @notice Reasons of faults: 1..31 structural, as {IUplinkLedger-Reason}; 32 equivocation, 33 payload mismatch,
/// 34 replay, each provable; 48 an outlying statistic, 49 a statistic that its receivers found false; 50 contributions that
/// auditors found false, 51 steps of an audit let pass, 52 a declared statistic that a receiver says is false, 53 an audit that
/// the active party kept from going on; 64 missing at a deadline. Scores are fixed point, scaled by 1e6.
interface IAnomalyPolicy {
    /// @notice At most `max` values are weighed.
    error WindowTooLarge(uint256 count, uint256 max);

    /// @notice The version; a job keeps the one it was proposed under.
    function version() external pure returns (uint16);

    /// @notice How many of the last statistics are weighed: 32.
    function window() external pure returns (uint8);

    /// @notice The largest score that is no outlier's: 5, scaled by 1e6.
    function maxScoreE6() external pure returns (uint64);

    /// @notice Robust score 0.6745·|x − median| / max(MAD, 1 % of the median), rounded down; 0.6745·MAD estimates a
    /// Gaussian's standard deviation, so that the score counts those.
    /// @param values the last statistics before `x`, in any order and of any scale, at most 32.
    /// @param x the statistic in question, of the same scale.
    /// @return score scaled by 1e6; 0 with fewer than 8 values; type(uint64).max where it is larger, or the
    /// denominator is zero and x is not the median.
    /// Requirements: at most 32 values.
    /// Source: Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993), the modified z-score.
    function scoreE6(uint64[] calldata values, uint64 x) external pure returns (uint64 score);

    /// @notice Whether the score is above 5; among 32 Gaussian values 0.03 % are, of heavy-tailed ones 1.5 %.
    /// Parameters and requirements as {scoreE6}.
    function isOutlier(uint64[] calldata values, uint64 x) external pure returns (bool flagged, uint64 score);

    /// @notice The answer to a fault: 0 recorded only, 1 a strike, 2 suspension at once. A reason that this version does
    /// not know is recorded only.
    /// @param reason see above.
    /// @param repeated whether the party had an upheld fault of the same reason in the same job before.
    function answerTo(uint8 reason, bool repeated) external pure returns (uint8 answer);

    /// @notice Whether votes confirm a fault, or a contribution audit: at least two voted, and two thirds of them confirm.
    /// @param confirming votes that confirm.
    /// @param voting votes in all, at least `confirming`.
    function tally(uint256 confirming, uint256 voting) external pure returns (bool confirmed);
}
