"""Margins to predictions, per objective: what the label holder applies to the sum of base margin and leaf weights."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fedchain.errors import ModelFormatError

Floats = NDArray[np.float64]

ObjectiveName = Literal["binary", "multiclass", "squared_error", "poisson", "tweedie"]
OBJECTIVES: tuple[ObjectiveName, ...] = get_args(ObjectiveName)

LARGEST_MARGIN = 709.0
"""Its exponential still is a float64."""


def sigmoid(margin: Floats) -> Floats:
    """1 / (1 + exp(−margin)), without overflow; same shape."""
    small = np.exp(-np.abs(margin))
    return np.where(margin >= 0, 1 / (1 + small), small / (1 + small))


def softmax(margin: Floats) -> Floats:
    """Probabilities of the classes, without overflow: shape (rows, classes), each row sums to 1."""
    powers = np.exp(margin - margin.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def exponential(margin: Floats) -> Floats:
    """exp(margin), same shape; margins above 709 give exp(709), the largest there is, and never infinity."""
    powers: Floats = np.exp(np.minimum(margin, LARGEST_MARGIN))
    return powers


def predictions(objective: ObjectiveName, margin: Floats) -> Floats:
    """What a margin means.

    Args:
        objective: of the job.
        margin: shape (rows, columns); columns is the number of classes for ``multiclass``, else 1.

    Returns:
        ``binary``: (rows,) probability of label 1. ``multiclass``: (rows, classes) probabilities. ``squared_error``:
        (rows,) the value. ``poisson``, ``tweedie``: (rows,) the expected value, positive.

    Raises:
        ModelFormatError: another number of columns.
    """
    if margin.ndim != 2 or (margin.shape[1] < 2) == (objective == "multiclass") or margin.shape[1] < 1:
        expected = "(rows, classes)" if objective == "multiclass" else "(rows, 1)"
        raise ModelFormatError(f"objective '{objective}' needs margins of shape {expected}, found {margin.shape}")
    if objective == "multiclass":
        return softmax(margin)
    if objective == "binary":
        return sigmoid(margin[:, 0])
    return margin[:, 0].copy() if objective == "squared_error" else exponential(margin[:, 0])
