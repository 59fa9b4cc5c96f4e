"""Plaintext histograms over integer gradients: the active party's own, and the mirror of what passive ones encrypt."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchain.training.boosting.splitting import Layout, Sums


def plain_histogram(
    bins: NDArray[np.uint8], rows: NDArray[np.int64], values_q: NDArray[np.int64], layout: Layout
) -> tuple[Sums, NDArray[np.int64]]:
    """Sum `values_q` of `rows` per bin.

    Args:
        bins: shape (all rows, features); missing values have bin `n_bins` of their feature.
        rows: positions into `bins` and `values_q`.
        values_q: shape (all rows, 2), integers below 2^53 in sum.
        layout: of these features.

    Returns:
        Sums of shape (layout.total, 2), and rows per bin of shape (layout.total,), both int64.
    """
    sums, counts = np.zeros((layout.total, 2), dtype=np.int64), np.zeros(layout.total, dtype=np.int64)
    own = values_q[rows].astype(np.float64)
    for feature, (offset, width) in enumerate(zip(layout.offsets[:-1], layout.widths, strict=True)):
        column = bins[rows, feature]
        counts[offset : offset + width] = np.bincount(column, minlength=width)[:width]
        for part in range(2):  # float64 holds these integers exactly
            counted = np.bincount(column, weights=own[:, part], minlength=width)
            sums[offset : offset + width, part] = counted[:width].astype(np.int64)
    return sums, counts
