"""Binary logistic loss: base score, gradients and hessians, and their integers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchain.crypto.fixed_point import choose_scale, encode
from fedchain.model.logistic import sigmoid

Floats = NDArray[np.float64]


def base_margin(labels: Floats) -> float:
    """Margin of the mean label: XGBoost's `base_score` for binary logistic."""
    mean = float(labels.mean())
    return float(np.log(mean / (1 - mean)))


def logistic_gradients(margin: Floats, labels: Floats) -> Floats:
    """Shape (rows, 2): gradient p − y in (−1, 1) and hessian p(1 − p) in (0, 1/4]."""
    probability = sigmoid(margin)
    return np.stack([probability - labels, np.maximum(probability * (1 - probability), 1e-16)], axis=1)


def quantise(values: Floats) -> tuple[NDArray[np.int64], tuple[float, float]]:
    """Integers of gradients and hessians and their scales; every sum stays within the decryptable range."""
    scales = (choose_scale(values[:, 0]), choose_scale(values[:, 1]))
    columns = [encode(values[:, part], scales[part]) for part in range(2)]
    return np.stack(columns, axis=1), scales
