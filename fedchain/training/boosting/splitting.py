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

    @property
    def cuts(self) -> int:
        """Ways to split: bins less one of each feature."""
        return int(np.maximum(self.widths - 1, 0).sum())


@dataclass(frozen=True)
class Regularisation:
    """What keeps trees small; the fields of `BoostingParams` that splitting needs."""

    l2: float
    gamma: float
    min_child_weight: float
    l1: float = 0.0
    min_leaf_rows: int = 0
    max_delta_step: float = 0.0


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


def best_split(
    sums: Sums,
    layout: Layout,
    scales: tuple[float, float],
    rules: Regularisation,
    counts: NDArray[np.int64] | None = None,
) -> Candidate | None:
    """The split of highest gain, or None if none passes the rules.

    Args:
        sums: shape (layout.total, 2), int64: gradients and hessians per bin.
        layout: how the bins lie.
        scales: integer value per unit of gradient and of hessian.
        rules: regularisation.
        counts: rows per bin, shape (layout.total,), where they are known: then `min_leaf_rows` is enforced here
            (a passive party enforces it by merging its bins).

    Ties go to the first feature, then the lowest bin, then missing to the right.
    """
    if layout.total == 0 or max(layout.n_bins) == 0:
        return None
    columns = sums if counts is None else np.concatenate([sums, counts[:, None]], axis=1)
    left, total = _left_sums(columns, layout)
    right = total[:, None, None, :] - left
    g_left, h_left = left[..., 0] / scales[0], left[..., 1] / scales[1]
    g_right, h_right = right[..., 0] / scales[0], right[..., 1] / scales[1]

    n_bins, width = np.asarray(layout.n_bins), left.shape[1]
    has_missing = np.asarray(layout.has_missing)
    last = np.arange(width) == (n_bins - 1)[:, None]
    inside = np.arange(width) < n_bins[:, None]
    floor = max(rules.min_child_weight, 1e-12)
    valid = inside[:, :, None] & (h_left >= floor) & (h_right >= floor)
    valid[:, :, 1] &= ~last & has_missing[:, None]
    valid[:, :, 0] &= ~(last & ~has_missing[:, None])
    if counts is not None:
        valid &= (left[..., 2] >= rules.min_leaf_rows) & (right[..., 2] >= rules.min_leaf_rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = (
            score(g_left, h_left, rules)
            + score(g_right, h_right, rules)
            - score(total[:, 0] / scales[0], total[:, 1] / scales[1], rules)[:, None, None]
        )
    gain = np.where(valid, gain, -np.inf)
    best = int(np.argmax(gain))
    feature, split_bin, way = np.unravel_index(best, gain.shape)
    value = float(gain[feature, split_bin, way])
    if not value > max(MIN_GAIN, rules.gamma):
        return None
    chosen = left[feature, split_bin, way]
    return Candidate(value, int(feature), int(split_bin), bool(way), (int(chosen[0]), int(chosen[1])))


def _left_sums(columns: Sums, layout: Layout) -> tuple[Sums, Sums]:
    """Sums left of every boundary, (features, bins, missing right or left, columns); totals, (features, columns)."""
    offsets, widths = layout.offsets[:-1], layout.widths
    n_bins = np.asarray(layout.n_bins, dtype=np.int64)
    width = int(n_bins.max())
    inside = np.arange(width) < n_bins[:, None]
    index = np.where(inside, offsets[:, None] + np.arange(width), 0)
    values = np.where(inside[:, :, None], columns[index], 0)
    at_missing = columns[np.minimum(offsets + n_bins, len(columns) - 1)]
    missing = np.where((widths > n_bins)[:, None], at_missing, 0)
    left = np.cumsum(values, axis=1)
    return np.stack([left, left + missing[:, None, :]], axis=2), values.sum(axis=1) + missing


def score(gradient: NDArray[np.float64], hessian: NDArray[np.float64], rules: Regularisation) -> NDArray[np.float64]:
    """Twice the loss reduction of leaves with these sums, at their best weights."""
    if not rules.max_delta_step:
        shrunk = np.sign(gradient) * np.maximum(np.abs(gradient) - rules.l1, 0.0)
        return np.asarray(shrunk**2 / (hessian + rules.l2))
    weight = best_weight(gradient, hessian, rules)
    return np.asarray(-(2 * gradient * weight + (hessian + rules.l2) * weight**2) - 2 * rules.l1 * np.abs(weight))


def best_weight(
    gradient: NDArray[np.float64], hessian: NDArray[np.float64], rules: Regularisation
) -> NDArray[np.float64]:
    """Leaf weight before shrinkage: soft-thresholded, bounded by `max_delta_step` where that is above 0."""
    shrunk = np.sign(gradient) * np.maximum(np.abs(gradient) - rules.l1, 0.0)
    weight = -shrunk / (hessian + rules.l2)
    return np.clip(weight, -rules.max_delta_step, rules.max_delta_step) if rules.max_delta_step else weight


def leaf_weight(
    sums: tuple[int, int], scales: tuple[float, float], rules: Regularisation, learning_rate: float
) -> float:
    """Shrunk leaf weight of integer sums (gradient, hessian); 0 for an empty leaf without regularisation."""
    gradient, hessian = np.asarray([sums[0] / scales[0]]), np.asarray([sums[1] / scales[1]])
    if hessian[0] + rules.l2 <= 0:
        return 0.0
    return float(learning_rate * best_weight(gradient, hessian, rules)[0])
