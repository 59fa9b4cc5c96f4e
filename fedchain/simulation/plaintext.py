"""The plaintext reference: XGBoost on the joined bins of all parties.

It needs what a federation exists to avoid, every party's rows in one place. So it serves the demo, the benchmark and
tests, on tables that one person holds anyway; no node runs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchain.data.feature import BinnedFeature
from fedchain.errors import DataError

BinMatrix = tuple[NDArray[np.uint8], Sequence[BinnedFeature]]
"""(rows, features) uint8 in aligned order, and what its columns are."""


def _join(bin_matrices: Sequence[BinMatrix]) -> NDArray[np.float32]:
    """(rows, all features) float32: bins as numbers, NaN where missing."""
    parts = []
    for bins, features in bin_matrices:
        limits = np.array([feature.n_bins for feature in features], dtype=np.uint8)
        part = bins.astype(np.float32)
        part[bins >= limits[None, :]] = np.nan
        parts.append(part)
    return np.hstack(parts)


def predict_proba(
    bin_matrices: Sequence[BinMatrix],
    labels: NDArray[np.float64],
    holdout: NDArray[np.bool_],
    *,
    trees: int = 30,
    depth: int = 3,
    learning_rate: float = 0.3,
    l2: float = 1.0,
    gamma: float = 0.0,
    min_child_weight: float = 1.0,
) -> NDArray[np.float64]:
    """Train on the rows that are not held out, and score all rows.

    XGBoost's histogram method with as many bins as our bins have values, so that every one of ours stays its own and
    candidate splits are those of the federation. `base_score` is the mean of the training labels.

    Args:
        bin_matrices: one per party, of the same rows in the same order.
        labels: (rows,) float64 of 0 and 1.
        holdout: (rows,) bool, True = not trained on.
        trees: number of trees, at least 1.
        depth: levels of splits, at least 1.
        learning_rate: shrinkage of leaf weights.
        l2: penalty on squared leaf weights.
        gamma: least gain of a split.
        min_child_weight: least sum of hessians in a leaf (p(1-p) per row).

    Returns:
        (rows,) float64 probabilities of label 1.

    Raises:
        DataError: shapes disagree, or there are no features.
    """
    import xgboost  # imported late: it takes a second

    rows = len(labels)
    if labels.shape != (rows,) or holdout.shape != (rows,) or any(bins.shape[0] != rows for bins, _ in bin_matrices):
        raise DataError("plaintext reference: labels, held-out mask and bins must have the same rows")
    if any(bins.shape[1] != len(features) for bins, features in bin_matrices):
        raise DataError("plaintext reference: each matrix needs one feature per column")
    if sum(len(features) for _, features in bin_matrices) == 0:
        raise DataError("plaintext reference: no features to train on")
    values = _join(bin_matrices)
    train = ~holdout
    parameters: dict[str, Any] = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "max_bin": 256,
        "max_depth": depth,
        "learning_rate": learning_rate,
        "reg_lambda": l2,
        "gamma": gamma,
        "min_child_weight": min_child_weight,
        "base_score": float(labels[train].mean()),
        "nthread": 1,  # small tables: threads would spin beside the parties
        "verbosity": 0,
    }
    booster = xgboost.train(parameters, xgboost.DMatrix(values[train], label=labels[train]), num_boost_round=trees)
    scores: NDArray[np.float64] = np.asarray(booster.predict(xgboost.DMatrix(values)), dtype=np.float64)
    return scores


def plaintext_auc(
    bin_matrices: Sequence[BinMatrix],
    labels: NDArray[np.float64],
    holdout: NDArray[np.bool_],
    *,
    trees: int = 30,
    depth: int = 3,
    learning_rate: float = 0.3,
    l2: float = 1.0,
    gamma: float = 0.0,
    min_child_weight: float = 1.0,
) -> float:
    """Area under the ROC curve of `predict_proba` (same arguments) on the held-out rows, 0..1.

    Raises:
        DataError: as `predict_proba`; or the held-out rows lack a class.
    """
    from sklearn.metrics import roc_auc_score

    scores = predict_proba(
        bin_matrices,
        labels,
        holdout,
        trees=trees,
        depth=depth,
        learning_rate=learning_rate,
        l2=l2,
        gamma=gamma,
        min_child_weight=min_child_weight,
    )
    if len(np.unique(labels[holdout])) < 2:
        raise DataError("plaintext reference: held-out rows lack a class, so there is no AUC")
    return float(roc_auc_score(labels[holdout], scores[holdout]))
