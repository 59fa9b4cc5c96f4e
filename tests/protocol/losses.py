"""Losses of the reference: XGBoost's formulas once more, row by row, sharing no code with `fedchain.training`."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fedchain.training.boosting.params import BoostingParams

Floats = NDArray[np.float64]


def sigmoid(margin: Floats) -> Floats:
    small = np.exp(-np.abs(margin))
    return np.where(margin >= 0, 1 / (1 + small), small / (1 + small))


def predicted(params: BoostingParams, margins: Floats) -> Floats:
    """What margins of shape (rows, outputs) mean."""
    if params.objective == "binary":
        return sigmoid(margins[:, 0])
    if params.objective == "multiclass":
        powers = np.exp(margins - margins.max(axis=1, keepdims=True))
        shares: Floats = powers / powers.sum(axis=1, keepdims=True)
        return shares
    return margins[:, 0] if params.objective == "squared_error" else np.exp(margins[:, 0])


def base_margins(params: BoostingParams, labels: Floats, weights: Floats) -> list[float]:
    """Where boosting starts."""
    mean = float((labels * weights).sum() / weights.sum())
    if params.objective == "multiclass":
        share = [float(weights[labels == one].sum() / weights.sum()) for one in range(params.outputs)]
        logs = [math.log(one + 1e-6) for one in share]
        return [one - sum(logs) / len(logs) for one in logs]
    if params.objective == "squared_error":
        return [mean]
    if params.objective in ("poisson", "tweedie"):
        return [math.log(mean)]
    if params.scale_pos_weight != 1:
        scaled = weights * np.where(labels == 1, params.scale_pos_weight, 1.0)
        return [4 * float((scaled * (labels - 0.5)).sum() / scaled.sum())]
    return [math.log(mean / (1 - mean))]


def gradients(params: BoostingParams, margins: Floats, labels: Floats, weights: Floats) -> Floats:
    """Shape (rows, outputs, 2)."""
    result = np.zeros((*margins.shape, 2))
    for row, (margin, label, weight) in enumerate(zip(margins, labels, weights, strict=True)):
        if params.objective == "multiclass":
            share = predicted(params, margin[None, :])[0]
            for one in range(params.outputs):
                hessian = max(2 * share[one] * (1 - share[one]) * weight, 1e-16)
                result[row, one] = (share[one] - (1.0 if label == one else 0.0)) * weight, hessian
            continue
        f = float(margin[0])
        if params.objective == "binary":
            scaled = weight * (params.scale_pos_weight if label == 1 else 1.0)
            p = float(sigmoid(margin)[0])
            result[row, 0] = (p - label) * scaled, max(p * (1 - p), 1e-16) * scaled
        elif params.objective == "squared_error":
            result[row, 0] = (f - label) * weight, weight
        elif params.objective == "poisson":
            result[row, 0] = (np.exp(f) - label) * weight, np.exp(f + params.max_delta_step) * weight
        else:
            low, high = 1 - params.tweedie_variance_power, 2 - params.tweedie_variance_power
            falling, rising = label * np.exp(low * f), np.exp(high * f)
            result[row, 0] = (rising - falling) * weight, (high * rising - low * falling) * weight
    return result


def log_loss(labels: Floats, probability: Floats) -> float:
    """Mean over rows, natural logarithm."""
    hits = np.where(labels == 1, probability, 1 - probability)
    return float(-np.mean(np.log(hits)))
