"""The robust score of a statistic, in the integers of `AnomalyPolicy`: the contract gives the same number.

score = 0.6745 · |x - median| / max(MAD, 1 % of the median) over the last values; above 5 is an outlier. Median and MAD
(median absolute deviation) are exact: an even number of values has the mean of the two in the middle, so values are
kept doubled and the MAD fourfold until the one division.

Source: Iglewicz and Hoaglin, "How to Detect and Handle Outliers" (1993), the modified z-score.
"""

from __future__ import annotations

from collections.abc import Sequence

WINDOW = 32
"""Values that a score looks back at."""

MIN_VALUES = 8
"""With fewer there is no score."""

MAX_SCORE_E6 = 5_000_000
"""Above it a statistic is an outlier."""

MAX_E6 = 2**64 - 1
"""Largest value and score."""

_QUARTILE_E6 = 674_500


def score_e6(values: Sequence[int], x: int, *, least: int = MIN_VALUES) -> int:
    """How far a statistic is from those before it.

    Args:
        values: at most `WINDOW` earlier statistics, 0..`MAX_E6`, in any order.
        x: the statistic, 0..`MAX_E6`.
        least: with fewer values there is no score, 1 or more; the contracts' number is `MIN_VALUES`.

    Returns:
        The score, scale 1e6; 0 with fewer than `least` values; at most `MAX_E6`.

    Raises:
        ValueError: too many values, or one out of range.
    """
    if len(values) > WINDOW:
        raise ValueError(f"a score looks back at {WINDOW} values, not {len(values)}")
    if any(not 0 <= one <= MAX_E6 for one in (*values, x)):
        raise ValueError("statistics are unsigned 64-bit integers")
    count = len(values)
    if count < least:
        return 0
    median2 = _doubled_median(sorted(values))
    deviation2 = abs(2 * x - median2)
    if deviation2 == 0:
        return 0
    mad4 = _doubled_median(sorted(abs(2 * value - median2) for value in values))
    denominator = max(50 * mad4, median2)
    if denominator == 0:
        return MAX_E6
    return min(_QUARTILE_E6 * 100 * deviation2 // denominator, MAX_E6)


def is_outlier(score: int) -> bool:
    """Whether a score (scale 1e6) is above the threshold."""
    return score > MAX_SCORE_E6


def _doubled_median(ordered: Sequence[int]) -> int:
    count = len(ordered)
    return ordered[(count - 1) // 2] + ordered[count // 2]
