"""Real numbers to integers whose sums stay within the decryption range, and back.

Scales carry their name: a value is ``encoded / scale``.

Source: the design rule "scale = min(2^12 / max|v|, 2^30 / Σ|v|)": 12 bits per value are finer than the noise of a
gradient, and no sum of any subset of rows can leave ±2^30, whatever the objective.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fedchain.errors import CryptoError

VALUE_LIMIT = 1 << 12
SUM_LIMIT = 1 << 30

Floats = npt.NDArray[np.floating]


def choose_scale(values: Floats) -> float:
    """The scale of one column: the largest that keeps |value| <= 2^12 and every subset sum <= 2^30.

    Rounding adds at most 1/2 per row, so half the number of rows is kept back from the sum's limit.

    Args:
        values: (n,) finite floats, n < 2^31.

    Returns:
        A positive finite float; 1.0 for a column of zeros (or no rows).

    Raises:
        CryptoError: a value is not finite, or there are too many rows.
    """
    magnitudes = np.abs(np.asarray(values, np.float64))
    if not np.isfinite(magnitudes).all():
        raise CryptoError("a column to encrypt has values that are not finite")
    room = SUM_LIMIT - (magnitudes.size + 1) // 2
    if room <= 0:
        raise CryptoError(f"{magnitudes.size} rows are too many for sums up to 2^30")
    largest = float(magnitudes.max(initial=0.0))
    if largest == 0.0:
        return 1.0
    relative_sum = float((magnitudes / largest).sum())  # cannot overflow
    scale = min(VALUE_LIMIT, room / relative_sum) / largest
    return scale if np.isfinite(scale) else float(np.finfo(np.float64).max)


def encode(values: Floats, scale: float) -> npt.NDArray[np.int64]:
    """Round ``values * scale`` half to even.

    Args:
        values: (n,) or any shape, finite.
        scale: positive, as chosen by `choose_scale`.

    Returns:
        int64 of the same shape, in ±2^12 when the scale was chosen for these values.

    Raises:
        CryptoError: a scale that is not positive and finite, or a product beyond ±2^30.
    """
    _check_scale(scale)
    scaled = np.rint(np.asarray(values, np.float64) * scale)
    if not (np.abs(scaled) <= SUM_LIMIT).all():
        raise CryptoError("an encoded value is beyond ±2^30 or not finite; the scale is not this column's")
    return scaled.astype(np.int64)


def decode(encoded: npt.NDArray[np.integer], scale: float) -> npt.NDArray[np.float64]:
    """``encoded / scale``; works for values and for their sums.

    Raises:
        CryptoError: a scale that is not positive and finite.
    """
    _check_scale(scale)
    decoded: npt.NDArray[np.float64] = np.asarray(encoded, np.float64) / scale
    return decoded


def _check_scale(scale: float) -> None:
    if not (np.isfinite(scale) and scale > 0):
        raise CryptoError(f"a scale must be positive and finite, found {scale}")
