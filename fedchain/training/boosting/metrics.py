"""How good predictions are, and when no better ones come: judged by the label holder, on rows that do not train.

All take labels of shape (rows,), predictions as `fedchain.model.link.predictions` gives them, and weights of shape
(rows,) or None. Ties of scores never depend on the order of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedchain.errors import ConfigError, DataError, TrainingError
from fedchain.model.link import ObjectiveName

Floats = NDArray[np.float64]
Judge = Callable[[Floats, Floats, Floats], float]

MetricName = Literal[
    "logloss", "mlogloss", "auc", "ks", "accuracy", "f1", "rmse", "mae", "poisson_deviance", "tweedie_deviance"
]

SMALLEST_PROBABILITY = float(np.finfo(np.float64).eps)
SMALLEST_MEAN = 1e-16


@dataclass(frozen=True)
class Metric:
    """One number for predictions.

    Attributes:
        name: as in the job file.
        higher_is_better: direction.
    """

    name: MetricName
    higher_is_better: bool
    _judge: Judge

    def value(self, labels: Floats, predictions: Floats, weights: Floats | None = None) -> float:
        """The metric, a finite float.

        Args:
            labels: shape (rows,), at least one.
            predictions: shape (rows,), or (rows, classes) for ``multiclass``.
            weights: shape (rows,), not negative; None for all 1.

        Raises:
            DataError: shapes disagree, all weights are zero, or AUC and KS lack a class.
        """
        used = np.ones(len(labels)) if weights is None else weights
        if len(labels) == 0 or labels.shape != (len(predictions),) or used.shape != labels.shape:
            raise DataError(
                f"metric {self.name}: labels {labels.shape}, predictions {predictions.shape} and weights {used.shape} "
                "must have the same rows, at least one"
            )
        if not used.sum() > 0:
            raise DataError(f"metric {self.name}: the weights of all rows are 0; set some above 0")
        value = self._judge(labels, predictions, used)
        if not np.isfinite(value):
            raise TrainingError(f"metric {self.name} is {value}: predictions have diverged; lower learning_rate")
        return value

    def better(self, one: float, other: float) -> bool:
        """Whether `one` is strictly better than `other`."""
        return one > other if self.higher_is_better else one < other


def _mean(values: Floats, weights: Floats) -> float:
    return float((values * weights).sum() / weights.sum())


def _logloss(labels: Floats, probability: Floats, weights: Floats) -> float:
    p = np.clip(probability, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return _mean(-np.where(labels == 1.0, np.log(p), np.log1p(-p)), weights)


def _mlogloss(labels: Floats, probability: Floats, weights: Floats) -> float:
    own = probability[np.arange(len(labels)), labels.astype(np.int64)]
    return _mean(-np.log(np.clip(own, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)), weights)


def _sums_by_score(labels: Floats, scores: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weight of negatives and of positives per distinct score, ascending, as shares of their class."""
    _, place = np.unique(scores, return_inverse=True)
    negative = np.bincount(place, weights=np.where(labels == 1.0, 0.0, weights))
    positive = np.bincount(place, weights=np.where(labels == 1.0, weights, 0.0))
    if not (negative.sum() > 0 and positive.sum() > 0):
        raise DataError("AUC and KS need rows of both classes with a weight above 0; use logloss, or more rows")
    return negative / negative.sum(), positive / positive.sum()


def _auc(labels: Floats, scores: Floats, weights: Floats) -> float:
    negative, positive = _sums_by_score(labels, scores, weights)
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum())


def _ks(labels: Floats, scores: Floats, weights: Floats) -> float:
    negative, positive = _sums_by_score(labels, scores, weights)
    return float(np.abs(np.cumsum(negative) - np.cumsum(positive)).max())


def _decided(predictions: Floats) -> Floats:
    """Class of highest probability, the first of equal ones; label 1 above one half."""
    if predictions.ndim == 1:
        return (predictions > 0.5).astype(np.float64)
    classes: Floats = predictions.argmax(axis=1).astype(np.float64)
    return classes


def _accuracy(labels: Floats, predictions: Floats, weights: Floats) -> float:
    return _mean((_decided(predictions) == labels).astype(np.float64), weights)


def _f1(labels: Floats, predictions: Floats, weights: Floats) -> float:
    """Of label 1; with several classes the mean over those that occur or are predicted. 0 where nothing is right."""
    decided = _decided(predictions)
    classes = np.array([1.0]) if predictions.ndim == 1 else np.union1d(labels, decided)
    scores = []
    for each in classes:
        right = float(weights[(labels == each) & (decided == each)].sum())
        named = float(weights[labels == each].sum() + weights[decided == each].sum())
        scores.append(2 * right / named if named > 0 else 0.0)
    return float(np.mean(scores))


def _rmse(labels: Floats, values: Floats, weights: Floats) -> float:
    return float(np.sqrt(_mean((labels - values) ** 2, weights)))


def _mae(labels: Floats, values: Floats, weights: Floats) -> float:
    return _mean(np.abs(labels - values), weights)


def _poisson_deviance(labels: Floats, means: Floats, weights: Floats) -> float:
    mean = np.maximum(means, SMALLEST_MEAN)
    ratio = np.where(labels > 0, labels, mean) / mean
    return 2 * _mean(labels * np.log(ratio) - labels + mean, weights)


def _tweedie_deviance(power: float) -> Judge:
    def judge(labels: Floats, means: Floats, weights: Floats) -> float:
        mean, one, two = np.maximum(means, SMALLEST_MEAN), 1 - power, 2 - power
        return 2 * _mean(labels**two / (one * two) - labels * mean**one / one + mean**two / two, weights)

    return judge


_HIGHER: frozenset[MetricName] = frozenset({"auc", "ks", "accuracy", "f1"})
_JUDGES: dict[MetricName, Judge] = {
    "logloss": _logloss,
    "mlogloss": _mlogloss,
    "auc": _auc,
    "ks": _ks,
    "accuracy": _accuracy,
    "f1": _f1,
    "rmse": _rmse,
    "mae": _mae,
    "poisson_deviance": _poisson_deviance,
}

METRICS: dict[ObjectiveName, tuple[MetricName, ...]] = {
    "binary": ("logloss", "auc", "ks", "accuracy", "f1"),
    "multiclass": ("mlogloss", "accuracy", "f1"),
    "squared_error": ("rmse", "mae"),
    "poisson": ("poisson_deviance", "rmse", "mae"),
    "tweedie": ("tweedie_deviance", "rmse", "mae"),
}
"""Metrics of each objective; the first is the default."""


def default_metric(objective: ObjectiveName) -> MetricName:
    """The metric that an objective's own loss suggests."""
    return METRICS[objective][0]


def metric_of(name: str, objective: ObjectiveName, *, tweedie_variance_power: float = 1.5) -> Metric:
    """A metric by name.

    Args:
        name: one of `METRICS[objective]`.
        objective: whose predictions it judges.
        tweedie_variance_power: for ``tweedie_deviance``; between 1 and 2, both excluded.

    Raises:
        ConfigError: no metric of this objective; lists those that are. Or a power out of range.
    """
    for known in METRICS[objective]:
        if known == name:
            if known != "tweedie_deviance":
                return Metric(known, known in _HIGHER, _JUDGES[known])
            if not 1 < tweedie_variance_power < 2:
                raise ConfigError(
                    f"tweedie_variance_power is {tweedie_variance_power}, expected between 1 and 2, both excluded"
                )
            return Metric(known, False, _tweedie_deviance(tweedie_variance_power))
    raise ConfigError(f"metric '{name}' does not fit objective '{objective}'; it has {', '.join(METRICS[objective])}")


@dataclass
class EarlyStopping:
    """Stop once the metric has not improved for some trees. Its state is plain numbers: a checkpoint can keep it.

    Attributes:
        metric: what is fed.
        patience: trees without improvement after which to stop, at least 1.
        min_delta: an improvement must exceed it, at least 0.
        seen: values fed so far.
        best_tree: number of trees at the best value, counted from 1; 0 before the first.
        best_value: the best value, or None before the first.
    """

    metric: Metric
    patience: int
    min_delta: float = 0.0
    seen: int = 0
    best_tree: int = 0
    best_value: float | None = None

    def __post_init__(self) -> None:
        """Check settings.

        Raises:
            ConfigError: patience below 1, or min_delta negative or not finite.
        """
        if self.patience < 1:
            raise ConfigError(f"patience is {self.patience}, expected at least 1 tree")
        if not (np.isfinite(self.min_delta) and self.min_delta >= 0):
            raise ConfigError(f"min_delta is {self.min_delta}, expected a finite number of at least 0")

    def update(self, value: float) -> bool:
        """Feed the metric after one more tree (one more round of trees with several classes).

        Returns:
            Whether to stop. Values fed after that go on counting.

        Raises:
            TrainingError: the value is no finite number.
        """
        if not np.isfinite(value):
            raise TrainingError(f"metric {self.metric.name} is {value} after {self.seen + 1} trees; cannot compare")
        self.seen += 1
        best, step = self.best_value, self.min_delta if self.metric.higher_is_better else -self.min_delta
        if best is None or self.metric.better(value, best + step):
            self.best_value, self.best_tree = value, self.seen
        return self.seen - self.best_tree >= self.patience
