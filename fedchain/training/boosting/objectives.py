"""What trees minimise: base margins, gradients and hessians. Pure numpy: no parties, no ciphertext.

The formulas are XGBoost's (its objectives `binary:logistic`, `multi:softprob`, `reg:squarederror`, `count:poisson`,
`reg:tweedie`, its intercepts since 3.1), in float64 instead of float32.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedchain.data.label import MAX_CLASSES, MAX_WEIGHT
from fedchain.errors import ConfigError, DataError, TrainingError
from fedchain.model.link import OBJECTIVES, ObjectiveName, exponential, predictions, sigmoid, softmax

Floats = NDArray[np.float64]

MIN_HESSIAN = 1e-16
CLASS_SHARE_FLOOR = 1e-6
"""Added to the share of each class before its logarithm, as XGBoost does."""


class Objective(ABC):
    """A loss of margins, `columns` of them per row.

    Attributes:
        name: as in the job file.
        max_delta_step: bound on |leaf weight| before shrinkage, 0 for none: part of the objective for ``poisson``.
    """

    name: ClassVar[ObjectiveName]
    max_delta_step: float = 0.0

    @property
    def columns(self) -> int:
        """Margins per row, so trees per round: the number of classes for ``multiclass``, else 1."""
        return 1

    @abstractmethod
    def validate_labels(self, labels: Floats) -> None:
        """Check that labels fit the objective.

        Args:
            labels: shape (rows,).

        Raises:
            DataError: they do not; says what was found and what to set. For the label holder's eyes: it shows values.
        """

    def base_margin(self, labels: Floats, weights: Floats | None = None) -> Floats:
        """Where boosting starts: the margins of the (weighted) mean label.

        Args:
            labels: shape (rows,), valid for this objective.
            weights: shape (rows,), not negative; None for all 1.

        Returns:
            Shape (columns,), finite.

        Raises:
            DataError: weights of another shape, all zero, or zero for all rows of one class or all positive counts.
        """
        with np.errstate(divide="ignore"):
            base = self._base_margin(labels, _checked(labels, weights))
        if not np.isfinite(base).all():
            raise DataError("labels: with these weights nothing but one value is left to learn; mend the weights")
        return base

    @abstractmethod
    def _base_margin(self, labels: Floats, weights: Floats) -> Floats: ...

    def gradients(self, margin: Floats, labels: Floats, weights: Floats | None = None) -> tuple[Floats, Floats]:
        """First and second derivatives of the weighted loss by the margins.

        Args:
            margin: shape (rows, columns).
            labels: shape (rows,), valid for this objective.
            weights: shape (rows,), not negative; None for all 1.

        Returns:
            Gradient and hessian, each of shape (rows, columns), finite; hessians are not negative.

        Raises:
            DataError: weights of another shape, or all zero.
            TrainingError: margins have diverged, so that a derivative is no finite number.
        """
        if margin.shape != (len(labels), self.columns):
            raise TrainingError(f"margins have shape {margin.shape}, expected ({len(labels)}, {self.columns})")
        gradient, hessian = self._gradients(margin, labels, _checked(labels, weights)[:, None])
        if not (np.isfinite(gradient).all() and np.isfinite(hessian).all()):
            raise TrainingError("margins have diverged; lower learning_rate, or scale the labels down")
        return gradient, hessian

    @abstractmethod
    def _gradients(self, margin: Floats, labels: Floats, weights: Floats) -> tuple[Floats, Floats]: ...

    def predictions(self, margin: Floats) -> Floats:
        """What margins mean; see `fedchain.model.link.predictions`."""
        return predictions(self.name, margin)


def _checked(labels: Floats, weights: Floats | None) -> Floats:
    if weights is None:
        return np.ones(len(labels))
    if weights.shape != labels.shape:
        raise DataError(f"weights have shape {weights.shape}, labels {labels.shape}; every row needs one of each")
    if not ((weights >= 0) & (weights <= MAX_WEIGHT)).all():
        raise DataError(f"weights must be numbers from 0 to {MAX_WEIGHT:g}")
    if not weights.any():
        raise DataError("the weights of all training rows are 0; set some above 0")
    return weights


def _mean(labels: Floats, weights: Floats) -> float:
    return float((labels * weights).sum() / weights.sum())


def _shown(values: Floats) -> str:
    return ", ".join(f"{value:g}" for value in values[:5]) + (", …" if len(values) > 5 else "")


def _distinct(labels: Floats, objective: str) -> Floats:
    """Sorted distinct labels, all finite, at least one."""
    if labels.ndim != 1 or len(labels) == 0:
        raise DataError(f"labels: objective '{objective}' needs at least one row, found shape {labels.shape}")
    unfit = int((~np.isfinite(labels)).sum())
    if unfit:
        raise DataError(f"labels: {unfit} of {len(labels)} are missing or infinite; fill them or drop those rows")
    return np.unique(labels)


@dataclass(frozen=True)
class BinaryLogistic(Objective):
    """Log loss of two classes (XGBoost's ``binary:logistic``).

    Attributes:
        scale_pos_weight: factor on the weight of rows with label 1, for rare positives.
    """

    name: ClassVar[ObjectiveName] = "binary"
    scale_pos_weight: float = 1.0

    def validate_labels(self, labels: Floats) -> None:
        """Labels are 0 and 1, both present; raises DataError."""
        found = _distinct(labels, self.name)
        if list(found) == [0.0, 1.0]:
            return
        if set(found) <= {0.0, 1.0}:
            raise DataError(f"labels: found only {_shown(found)}, expected both 0 and 1; add rows of the other class")
        whole = bool((found == np.floor(found)).all()) and len(found) <= MAX_CLASSES
        remedy = "multiclass" if whole else "squared_error"
        raise DataError(
            f"labels: found {len(found)} distinct values ({_shown(found)}), expected 0 and 1; "
            f'set objective = "{remedy}"'
        )

    def _base_margin(self, labels: Floats, weights: Floats) -> Floats:
        mean = _mean(labels, weights)
        if self.scale_pos_weight == 1.0 or not 0 < mean < 1:
            return np.array([np.log(mean) - np.log1p(-mean)])
        scaled = self._scaled(labels, weights)  # one Newton step from margin 0, as XGBoost takes in this case
        return np.array([4 * float((scaled * (labels - 0.5)).sum()) / float(scaled.sum())])

    def _gradients(self, margin: Floats, labels: Floats, weights: Floats) -> tuple[Floats, Floats]:
        probability, label = sigmoid(margin), labels[:, None]
        scaled = self._scaled(label, weights)
        return (probability - label) * scaled, np.maximum(probability * (1 - probability), MIN_HESSIAN) * scaled

    def _scaled(self, labels: Floats, weights: Floats) -> Floats:
        return np.where(labels == 1.0, weights * self.scale_pos_weight, weights)


@dataclass(frozen=True)
class Softmax(Objective):
    """Log loss of several classes, one tree per class (XGBoost's ``multi:softprob``, hessian 2·p·(1 − p)).

    Attributes:
        classes: how many, at least 2; labels are 0 .. classes − 1.
    """

    name: ClassVar[ObjectiveName] = "multiclass"
    classes: int = 2

    @property
    def columns(self) -> int:
        """One margin per class."""
        return self.classes

    def validate_labels(self, labels: Floats) -> None:
        """Labels are 0 .. classes − 1, all present; raises DataError."""
        found = _distinct(labels, self.name)
        if list(found) == list(range(self.classes)):
            return
        strange = found[(found != np.floor(found)) | (found < 0) | (found >= self.classes)]
        if len(strange):
            raise DataError(
                f"labels: found {_shown(strange)}, expected whole numbers 0 to {self.classes - 1}; "
                'read them with label_type "classes", or set objective = "squared_error"'
            )
        absent = np.setdiff1d(np.arange(self.classes, dtype=np.float64), found)
        raise DataError(
            f"labels: no row has class {_shown(absent)} of the {self.classes} classes; "
            "add such rows or drop the class from the table"
        )

    def _base_margin(self, labels: Floats, weights: Floats) -> Floats:
        sums = np.bincount(labels.astype(np.int64), weights=weights, minlength=self.classes)
        logs = np.log(sums / weights.sum() + CLASS_SHARE_FLOOR)
        return np.asarray(logs - logs.mean(), dtype=np.float64)

    def _gradients(self, margin: Floats, labels: Floats, weights: Floats) -> tuple[Floats, Floats]:
        probability = softmax(margin)
        hessian = np.maximum(2 * probability * (1 - probability) * weights, MIN_HESSIAN)
        probability[np.arange(len(labels)), labels.astype(np.int64)] -= 1
        return probability * weights, hessian


@dataclass(frozen=True)
class SquaredError(Objective):
    """Half the squared difference (XGBoost's ``reg:squarederror``)."""

    name: ClassVar[ObjectiveName] = "squared_error"

    def validate_labels(self, labels: Floats) -> None:
        """Labels are finite and not all equal; raises DataError."""
        found = _distinct(labels, self.name)
        if len(found) < 2:
            raise DataError(f"labels: all are {_shown(found)}, so there is nothing to learn; use another label column")

    def _base_margin(self, labels: Floats, weights: Floats) -> Floats:
        return np.array([_mean(labels, weights)])

    def _gradients(self, margin: Floats, labels: Floats, weights: Floats) -> tuple[Floats, Floats]:
        return (margin - labels[:, None]) * weights, np.broadcast_to(weights, margin.shape).copy()


@dataclass(frozen=True)
class Poisson(Objective):
    """Poisson likelihood of counts, log link (XGBoost's ``count:poisson``).

    Attributes:
        max_delta_step: in the hessian exp(margin + max_delta_step), and the bound on leaf weights before shrinkage.
    """

    name: ClassVar[ObjectiveName] = "poisson"
    max_delta_step: float = 0.7

    def validate_labels(self, labels: Floats) -> None:
        """Labels are whole, not negative, some positive; raises DataError."""
        found = _distinct(labels, self.name)
        strange = found[(found < 0) | (found != np.floor(found))]
        if len(strange):
            remedy = "squared_error" if (found < 0).any() else "tweedie"
            raise DataError(f'labels: found {_shown(strange)}, expected counts 0, 1, 2 …; set objective = "{remedy}"')
        _check_some_positive(found)

    def _base_margin(self, labels: Floats, weights: Floats) -> Floats:
        return np.array([np.log(_mean(labels, weights))])

    def _gradients(self, margin: Floats, labels: Floats, weights: Floats) -> tuple[Floats, Floats]:
        with np.errstate(over="ignore"):  # infinite ones are refused by the caller
            return (
                (exponential(margin) - labels[:, None]) * weights,
                np.exp(margin + self.max_delta_step) * weights,
            )


@dataclass(frozen=True)
class Tweedie(Objective):
    """Tweedie likelihood of amounts with many zeros, log link (XGBoost's ``reg:tweedie``).

    Attributes:
        variance_power: between 1 (towards Poisson) and 2 (towards gamma), both excluded.
    """

    name: ClassVar[ObjectiveName] = "tweedie"
    variance_power: float = 1.5

    def validate_labels(self, labels: Floats) -> None:
        """Labels are not negative, some positive; raises DataError."""
        found = _distinct(labels, self.name)
        if found[0] < 0:
            raise DataError(
                f"labels: found {_shown(found[found < 0])}, expected amounts of at least 0; "
                'set objective = "squared_error"'
            )
        _check_some_positive(found)

    def _base_margin(self, labels: Floats, weights: Floats) -> Floats:
        return np.array([np.log(_mean(labels, weights))])

    def _gradients(self, margin: Floats, labels: Floats, weights: Floats) -> tuple[Floats, Floats]:
        one, two, label = 1 - self.variance_power, 2 - self.variance_power, labels[:, None]
        with np.errstate(over="ignore", invalid="ignore"):  # infinite ones are refused by the caller
            falling, rising = label * np.exp(one * margin), np.exp(two * margin)
            return (rising - falling) * weights, (two * rising - one * falling) * weights


def _check_some_positive(found: Floats) -> None:
    if found[-1] == 0:
        raise DataError("labels: all are 0, so there is nothing to learn; use another label column")


def objective_of(
    name: str,
    *,
    classes: int = 2,
    scale_pos_weight: float = 1.0,
    tweedie_variance_power: float = 1.5,
    max_delta_step: float = 0.7,
) -> Objective:
    """The objective of a job; settings of other objectives are not looked at.

    Args:
        name: ``binary``, ``multiclass``, ``squared_error``, ``poisson`` or ``tweedie``.
        classes: ``multiclass``: 2..64.
        scale_pos_weight: ``binary``: positive factor on the weight of rows with label 1.
        tweedie_variance_power: ``tweedie``: between 1 and 2, both excluded.
        max_delta_step: ``poisson``: above 0, at most 100.

    Raises:
        ConfigError: no such objective, or its setting is out of range.
    """
    if name == "binary":
        _check_range("scale_pos_weight", scale_pos_weight, 0 < scale_pos_weight <= 1e6, "above 0, at most 1e6")
        return BinaryLogistic(scale_pos_weight)
    if name == "multiclass":
        _check_range("classes", classes, 2 <= classes <= MAX_CLASSES, f"2 to {MAX_CLASSES}")
        return Softmax(classes)
    if name == "squared_error":
        return SquaredError()
    if name == "poisson":
        _check_range("max_delta_step", max_delta_step, 0 < max_delta_step <= 100, "above 0, at most 100")
        return Poisson(max_delta_step)
    if name == "tweedie":
        power = tweedie_variance_power
        _check_range("tweedie_variance_power", power, 1 < power < 2, "between 1 and 2, both excluded")
        return Tweedie(power)
    raise ConfigError(f"objective '{name}' is unknown; there are {', '.join(OBJECTIVES)}")


def _check_range(key: str, value: float, inside: bool, expected: str) -> None:
    if not inside:
        raise ConfigError(f"{key} is {value}, expected {expected}")
