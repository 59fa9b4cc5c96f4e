"""The logistic link between margins and probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sigmoid(margin: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(−margin)), without overflow; same shape."""
    small = np.exp(-np.abs(margin))
    return np.where(margin >= 0, 1 / (1 + small), small / (1 + small))
