"""The plaintext reference: XGBoost on the joined bins of all parties.

It needs what a federation exists to avoid, every party's rows in one place. So it serves the demo, the benchmark and
tests, on tables that one person holds anyway; no node runs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchain.data.feature import BinnedFeature
from fedchain.errors import DataError
from fedchain.training.boosting.objectives import BinaryLogistic, Objective, Poisson, Softmax, SquaredError, Tweedie

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


def _check_shapes(
    bin_matrices: Sequence[BinMatrix],
    labels: NDArray[np.float64],
    holdout: NDArray[np.bool_],
    weights: NDArray[np.float64] | None,
) -> None:
    rows = len(labels)
    if labels.shape != (rows,) or holdout.shape != (rows,) or any(bins.shape[0] != rows for bins, _ in bin_matrices):
        raise DataError("plaintext reference: labels, held-out mask and bins must have the same rows")
    if weights is not None and weights.shape != (rows,):
        raise DataError("plaintext reference: weights and labels must have the same rows")
    if any(bins.shape[1] != len(features) for bins, features in bin_matrices):
        raise DataError("plaintext reference: each matrix needs one feature per column")
    if sum(len(features) for _, features in bin_matrices) == 0:
        raise DataError("plaintext reference: no features to train on")


def xgboost_parameters(objective: Objective) -> dict[str, Any]:
    """What XGBoost calls an objective and its settings."""
    if isinstance(objective, BinaryLogistic):
        return {"objective": "binary:logistic", "scale_pos_weight": objective.scale_pos_weight}
    if isinstance(objective, Softmax):
        return {"objective": "multi:softprob", "num_class": objective.classes}
    if isinstance(objective, SquaredError):
        return {"objective": "reg:squarederror"}
    if isinstance(objective, Poisson):
        return {"objective": "count:poisson", "max_delta_step": objective.max_delta_step}
    if isinstance(objective, Tweedie):
        return {"objective": "reg:tweedie", "tweedie_variance_power": objective.variance_power}
    raise DataError(f"plaintext reference: objective '{objective.name}' has no peer in XGBoost")


@dataclass(frozen=True)
class Fitted:
    """A trained model with the rows that it was made for.

    Attributes:
        booster: XGBoost's.
        objective: what it minimised.
        base: margins that it starts from, one per output.
        values: (rows, all features) float32: bins as numbers, NaN where missing.
    """

    booster: Any
    objective: Objective
    base: NDArray[np.float64]
    values: NDArray[np.float32]

    def margins(self) -> NDArray[np.float64]:
        """(rows, outputs) float64 of all rows."""
        import xgboost

        whole = xgboost.DMatrix(self.values)
        whole.set_base_margin(_starts(self.base, len(self.values)))
        margin = np.asarray(self.booster.predict(whole, output_margin=True), dtype=np.float64)
        return margin.reshape(len(self.values), self.objective.columns)


def predict(
    bin_matrices: Sequence[BinMatrix], labels: NDArray[np.float64], holdout: NDArray[np.bool_], **settings: Any
) -> NDArray[np.float64]:
    """Train as `fit` does, and predict all rows.

    Returns:
        (rows,) float64, or (rows, classes) for ``multiclass``: as `fedchain.model.link.predictions`.

    Raises:
        DataError: as `fit`.
    """
    fitted = fit(bin_matrices, labels, holdout, **settings)
    return fitted.objective.predictions(fitted.margins())


def fit(
    bin_matrices: Sequence[BinMatrix],
    labels: NDArray[np.float64],
    holdout: NDArray[np.bool_],
    *,
    objective: Objective | None = None,
    weights: NDArray[np.float64] | None = None,
    trees: int = 30,
    depth: int = 3,
    learning_rate: float = 0.3,
    l1: float = 0.0,
    l2: float = 1.0,
    gamma: float = 0.0,
    min_child_weight: float = 1.0,
    max_leaves: int = 0,
) -> Fitted:
    """Train on the rows that are not held out.

    XGBoost's histogram method with as many bins as our bins have values, so that every one of ours stays its own and
    candidate splits are those of the federation. It starts from `objective.base_margin` of the training rows, as a
    federation does.

    Args:
        bin_matrices: one per party, of the same rows in the same order.
        labels: (rows,) float64, as the objective wants them.
        holdout: (rows,) bool, True = not trained on (held-out and validation rows).
        objective: what to minimise, with its settings; None: binary log loss.
        weights: (rows,) float64 row weights; None for all 1.
        trees: rounds of trees, at least 1; a round has one tree per class for ``multiclass``.
        depth: levels of splits, at least 1; 0: no bound, where `max_leaves` is one.
        learning_rate: shrinkage of leaf weights.
        l1: penalty on absolute leaf weights.
        l2: penalty on squared leaf weights.
        gamma: least gain of a split.
        min_child_weight: least sum of hessians in a leaf (p(1-p) per row for binary).
        max_leaves: 0: trees grow level by level; else leaf by leaf, best gain first, up to so many.

    Raises:
        DataError: shapes disagree, labels do not fit the objective, or there are no features.
    """
    import xgboost  # imported late: it takes a second

    used = objective or BinaryLogistic()
    _check_shapes(bin_matrices, labels, holdout, weights)
    values = _join(bin_matrices)
    train = ~holdout
    own = None if weights is None else weights[train]
    used.validate_labels(labels[train])
    base = used.base_margin(labels[train], own)
    parameters: dict[str, Any] = {
        **xgboost_parameters(used),
        "tree_method": "hist",
        "max_bin": 256,
        "max_depth": depth,
        "learning_rate": learning_rate,
        "reg_alpha": l1,
        "reg_lambda": l2,
        "gamma": gamma,
        "min_child_weight": min_child_weight,
        "grow_policy": "lossguide" if max_leaves else "depthwise",
        "max_leaves": max_leaves,
        "nthread": 1,  # small tables: threads would spin beside the parties
        "verbosity": 0,
    }
    training = xgboost.DMatrix(values[train], label=labels[train], weight=own)
    training.set_base_margin(_starts(base, int(train.sum())))
    booster = xgboost.train(parameters, training, num_boost_round=trees)
    return Fitted(booster, used, base, values)


def _starts(base: NDArray[np.float64], rows: int) -> NDArray[np.float32]:
    """The base margin of each row, (rows,) or (rows, classes)."""
    starts = np.tile(base.astype(np.float32), (rows, 1))
    return starts[:, 0].copy() if len(base) == 1 else starts
