"""Where to cut a numeric column into bins."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


def _between(low: float, high: float) -> float:
    """A cut c with low < c <= high: the midpoint where floats have one, else `high`."""
    middle = low / 2 + high / 2
    return middle if low < middle <= high else high


def _distinct(
    values: NDArray[np.float64], weights: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ascending distinct values, and the rows or the positive weight that each has."""
    if weights is None:
        distinct, counts = np.unique(values, return_counts=True)
        return distinct, counts.astype(np.float64)
    counted = weights > 0
    values, weights = values[counted], weights[counted]
    order = np.lexsort((weights, values))  # sums of floats hang on their order
    distinct, place = np.unique(values[order], return_inverse=True)
    return distinct, np.bincount(place, weights=weights[order], minlength=len(distinct)).astype(np.float64)


def quantile_cuts(
    values: NDArray[np.float64], max_bins: int, weights: NDArray[np.float64] | None = None
) -> tuple[float, ...]:
    """Cuts of a numeric column into bins of about equally many rows (or weight); equal values always share a bin.

    With at most `max_bins` distinct values each gets a bin of its own. Otherwise bins are filled from the low end:
    each takes the distinct values that bring it nearest to (rows left) / (bins left), so that one frequent value does
    not cost the others their bins. Deterministic; depends on the multiset of values (and weights) alone.

    Args:
        values: (rows,) float64, finite, in any order.
        max_bins: at least 1.
        weights: (rows,) float64, finite, at least 0; None for all 1. Rows of weight 0 do not count at all; a row of
            weight 2 counts as two rows.

    Returns:
        At most ``max_bins - 1`` strictly ascending finite cuts, at midpoints between neighbouring distinct values.
        A value v lies in bin ``number of cuts <= v``; no bin of these values is empty.
    """
    distinct, counts = _distinct(values, weights)
    if len(distinct) <= max_bins:
        return tuple(_between(float(a), float(b)) for a, b in pairwise(distinct))
    reached = np.cumsum(counts)
    total = float(reached[-1])
    cuts: list[float] = []
    start, before = 0, 0.0
    for bins_left in range(max_bins, 1, -1):
        last_allowed = len(distinct) - bins_left
        target = before + (total - before) / bins_left
        end = int(np.searchsorted(reached, target))
        if end > start and target - reached[end - 1] <= reached[end] - target:
            end -= 1
        end = min(max(end, start), last_allowed)
        cuts.append(_between(float(distinct[end]), float(distinct[end + 1])))
        start, before = end + 1, float(reached[end])
    return tuple(cuts)


def apply_cuts(values: NDArray[np.float64], cuts: tuple[float, ...]) -> NDArray[np.uint8]:
    """Bin of each value: the number of cuts <= value; NaN goes to ``len(cuts) + 1``, the missing bin.

    Args:
        values: (rows,) float64.
        cuts: ascending, fewer than 255.

    Returns:
        (rows,) uint8.
    """
    bins = np.searchsorted(np.asarray(cuts, dtype=np.float64), values, side="right")
    bins[np.isnan(values)] = len(cuts) + 1
    return bins.astype(np.uint8)
