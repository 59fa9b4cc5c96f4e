"""Best split of a node from integer histograms. Pure numpy: no parties, no ciphertext.

Gain and leaf weight are XGBoost's (arXiv:1603.02754, equations 5 to 7), without the constant factor 1/2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_GAIN = 1e-6
Sums = NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """How one party's features lie in a histogram: feature after feature, value bins first, then the missing bin.

    Attributes:
        n_bins: value bins per feature.
        has_missing: whether a missing bin follows.
    """

    n_bins: tuple[int, ...]
    has_missing: tuple[bool, ...]

    @property
    def widths(self) -> NDArray[np.int64]:
        """Bins per feature, the missing one included."""
        return np.asarray(self.n_bins, dtype=np.int64) + np.asarray(self.has_missing, dtype=np.int64)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each feature starts, and the end: shape (features + 1,)."""
        return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(self.widths)])

    @property
    def total(self) -> int:
        """Bins of all features."""
        return int(self.widths.sum())


@dataclass(frozen=True)
class Regularisation:
    """What keeps trees small; the fields of `BoostingParams` that splitting needs."""

    l2: float
    gamma: float
    min_child_weight: float


@dataclass(frozen=True)
class Candidate:
    """A split of one node at one party.

    Attributes:
        gain: XGBoost's loss reduction (twice the paper's, gamma not subtracted).
        feature, bin, missing_left: what goes left.
        left: integer sums (gradient, hessian) of the left rows.
    """

    gain: float
    feature: int
    bin: int
    missing_left: bool
    left: tuple[int, int]


def best_split(sums: Sums, layout: Layout, scales: tuple[float, float], rules: Regularisation) -> Candidate | None:
    """The split of highest gain, or None if none passes the rules.

    Args:
        sums: shape (layout.total, 2), int64: gradients and hessians per bin.
        layout: how the bins lie.
        scales: integer value per unit of gradient and of hessian.
        rules: regularisation.

    Ties go to the first feature, then the lowest bin, then missing to the right.
    """
    if layout.total == 0:
        return None
    offsets, widths = layout.offsets, layout.widths
    n_bins = np.asarray(layout.n_bins, dtype=np.int64)
    features, width = len(n_bins), int(n_bins.max())
    index = offsets[:-1, None] + np.arange(width)
    inside = np.arange(width) < n_bins[:, None]
    values = np.where(inside[:, :, None], sums[np.where(inside, index, 0)], 0)
    missing = np.where((widths > n_bins)[:, None], sums[np.minimum(offsets[:-1] + n_bins, len(sums) - 1)], 0)
    total = values.sum(axis=1) + missing  # (features, 2), equal for all features of a node

    left_without = np.cumsum(values, axis=1)
    left = np.stack([left_without, left_without + missing[:, None, :]], axis=2)  # (features, bins, 2 ways, 2)
    right = total[:, None, None, :] - left
    g_left, h_left = left[..., 0] / scales[0], left[..., 1] / scales[1]
    g_right, h_right = right[..., 0] / scales[0], right[..., 1] / scales[1]
    g, h = total[:, 0] / scales[0], total[:, 1] / scales[1]

    floor = max(rules.min_child_weight, 1e-12)
    last = np.arange(width) == (n_bins - 1)[:, None]
    valid = inside[:, :, None] & (h_left >= floor) & (h_right >= floor)
    valid[:, :, 1] &= ~last & (widths > n_bins)[:, None]
    valid[:, :, 0] &= ~(last & (widths == n_bins)[:, None])
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = (
            g_left**2 / (h_left + rules.l2) + g_right**2 / (h_right + rules.l2) - (g**2 / (h + rules.l2))[:, None, None]
        )
    gain = np.where(valid, gain, -np.inf)
    best = int(np.argmax(gain))
    feature, split_bin, way = np.unravel_index(best, (features, width, 2))
    value = float(gain[feature, split_bin, way])
    if not value > max(MIN_GAIN, rules.gamma):
        return None
    chosen = left[feature, split_bin, way]
    return Candidate(value, int(feature), int(split_bin), bool(way), (int(chosen[0]), int(chosen[1])))


def leaf_weight(sums: tuple[int, int], scales: tuple[float, float], l2: float, learning_rate: float) -> float:
    """Shrunk leaf weight of integer sums (gradient, hessian)."""
    hessian = sums[1] / scales[1] + l2
    return 0.0 if hessian <= 0 else -learning_rate * (sums[0] / scales[0]) / hessian
