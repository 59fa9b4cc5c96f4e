"""What the joined plaintext gives, beside a federation of the same tables: for the demo, benchmarks and tests.

It needs every party's rows in one place, which a federation exists to avoid; no node runs it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchain.data.binning import BinMapper
from fedchain.data.holdout import three_way
from fedchain.data.ids import sort_ids
from fedchain.data.table import Table
from fedchain.errors import AlignmentError, DataError
from fedchain.federation.party import objective_of_params
from fedchain.federation.spec import JobSpec
from fedchain.simulation.plaintext import BinMatrix, predict
from fedchain.training.boosting.metrics import Metric, default_metric, metric_of
from fedchain.training.boosting.params import Growth
from fedchain.types import PartyId

TIMED_TREES = 30
TIMED_TRIES = 5
TIMED_SECONDS = 2.0


@dataclass(frozen=True)
class Joined:
    """All parties' rows in one place, as the job bins and splits them.

    Attributes:
        ids: common ids in aligned order.
        labels: of these rows.
        weights: of these rows, or None.
        train, holdout: which of them train, and which never do.
        matrices: bins of each party, roster order.
    """

    ids: tuple[str, ...]
    labels: NDArray[np.float64]
    weights: NDArray[np.float64] | None
    train: NDArray[np.bool_]
    holdout: NDArray[np.bool_]
    matrices: tuple[BinMatrix, ...]


@dataclass(frozen=True)
class Reference:
    """Plaintext results on the rows, bins and held-out rows of a job.

    Attributes:
        ids: common ids in aligned order.
        labels: of these rows.
        holdout: which of them never train.
        metric: judges predictions of the held-out rows: AUC for binary labels, else the objective's own.
        plaintext: its value for XGBoost on the joined bins of all parties.
        active_only: the same on the active party's bins alone; of a constant where it has no feature.
    """

    ids: tuple[str, ...]
    labels: NDArray[np.float64]
    holdout: NDArray[np.bool_]
    metric: Metric
    plaintext: float
    active_only: float

    @property
    def auc_plaintext(self) -> float:
        """`plaintext`, where it is an AUC.

        Raises:
            DataError: the job's labels are not binary.
        """
        self._require_auc()
        return self.plaintext

    @property
    def auc_active_only(self) -> float:
        """`active_only`, where it is an AUC.

        Raises:
            DataError: the job's labels are not binary.
        """
        self._require_auc()
        return self.active_only

    def _require_auc(self) -> None:
        if self.metric.name != "auc":
            raise DataError(f"there is no AUC: the job's labels are not binary; its metric is {self.metric.name}")


def join(spec: JobSpec, tables: Mapping[PartyId, Table]) -> Joined:
    """Join the tables in plaintext, with the job's rows, bins and split of rows.

    Raises:
        AlignmentError: fewer common rows than the job asks for.
        DataError: no labels.
    """
    common = set.intersection(*(set(tables[name].ids) for name in spec.names))
    if len(common) < spec.alignment.min_rows:
        raise AlignmentError(
            f"{len(common)} ids are common to all {len(spec.names)} parties, "
            f"the job asks for at least {spec.alignment.min_rows}"
        )
    ids = tuple(sort_ids(common))
    active = tables[spec.names[0]]
    if active.label is None:
        raise DataError(f"{active.source}: the active party needs labels")
    rows = active.rows_of(ids)
    labels = active.label[rows]
    stratified = spec.algorithm.objective in ("binary", "multiclass")
    split = three_way(labels, spec.holdout.fraction, spec.stopping.validates, spec.holdout.seed, stratified)
    matrices = tuple(_binned(tables[name], ids, spec.algorithm.bins) for name in spec.names)
    weights = None if active.weight is None else active.weight[rows]
    return Joined(ids, labels, weights, split.train, split.holdout, matrices)


def judge(spec: JobSpec) -> Metric:
    """What a job's predictions are compared by: AUC for binary labels, else the objective's own metric."""
    params = spec.algorithm
    name = "auc" if params.objective == "binary" else default_metric(params.objective)
    return metric_of(name, params.objective, tweedie_variance_power=params.tweedie_variance_power)


def plaintext_reference(spec: JobSpec, tables: Mapping[PartyId, Table], joined: Joined | None = None) -> Reference:
    """Train XGBoost on the joined tables with the job's bins, rows, depth and regularisation.

    XGBoost has no row minima of leaves or bins, so it goes without in the modes that have them.

    Args:
        joined: what `join` gave for the same arguments, if it is there already.

    Raises:
        AlignmentError: fewer common rows than the job asks for.
        DataError: no labels or no features.
    """
    joined = joined or join(spec, tables)
    metric = judge(spec)

    def value(matrices: Sequence[BinMatrix]) -> float:
        if any(features for _, features in matrices):
            predictions = _predict(spec, joined, matrices, spec.algorithm.trees)
        else:
            objective = objective_of_params(spec.algorithm)
            weights = None if joined.weights is None else joined.weights[joined.train]
            base = objective.base_margin(joined.labels[joined.train], weights)
            predictions = objective.predictions(np.tile(base, (len(joined.labels), 1)))
        return metric.value(joined.labels[joined.holdout], predictions[joined.holdout])

    return Reference(
        joined.ids, joined.labels, joined.holdout, metric, value(joined.matrices), value(joined.matrices[:1])
    )


def plaintext_seconds_per_tree(spec: JobSpec, joined: Joined) -> float:
    """Processor seconds that XGBoost's one thread takes for a round of trees, scoring of all rows with it included.

    The slope between 1 and 31 rounds, so that reading the table does not count; each the best of several tries.
    """
    _predict(spec, joined, joined.matrices, 1)  # imports
    best = []
    for trees in (1, 1 + TIMED_TREES):
        seconds: list[float] = []
        while not seconds or (sum(seconds) < TIMED_SECONDS and len(seconds) < TIMED_TRIES):
            started = time.process_time()
            _predict(spec, joined, joined.matrices, trees)
            seconds.append(time.process_time() - started)
        best.append(min(seconds))
    return max(best[1] - best[0], 0.0) / TIMED_TREES


def _predict(spec: JobSpec, joined: Joined, matrices: Sequence[BinMatrix], trees: int) -> NDArray[np.float64]:
    return predict(matrices, joined.labels, ~joined.train, **fit_settings(spec, joined, trees))


def fit_settings(spec: JobSpec, joined: Joined, trees: int) -> dict[str, Any]:
    """A job's hyperparameters, as `fedchain.simulation.plaintext.fit` takes them."""
    params = spec.algorithm
    return {
        "objective": objective_of_params(params),
        "weights": joined.weights,
        "trees": trees,
        "depth": params.depth,
        "learning_rate": params.learning_rate,
        "l1": params.l1,
        "l2": params.l2,
        "gamma": params.gamma,
        "min_child_weight": params.min_child_weight,
        "max_leaves": params.most_leaves if params.growth is Growth.LEAF_WISE else 0,
    }


def _binned(table: Table, ids: tuple[str, ...], bins: int) -> BinMatrix:
    rows = table.rows_of(ids)
    mapper = BinMapper.from_table(table, rows, bins, None if table.weight is None else table.weight[rows])
    return mapper.transform(table, rows), mapper.features
