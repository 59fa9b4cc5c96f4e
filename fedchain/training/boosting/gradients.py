"""Gradients and hessians as integers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchain.crypto.fixed_point import choose_scale, encode

Floats = NDArray[np.float64]


def quantise(values: Floats) -> tuple[NDArray[np.int64], tuple[float, float]]:
    """Integers of gradients and hessians and their scales; every sum stays within the decryptable range."""
    scales = (choose_scale(values[:, 0]), choose_scale(values[:, 1]))
    columns = [encode(values[:, part], scales[part]) for part in range(2)]
    return np.stack(columns, axis=1), scales
