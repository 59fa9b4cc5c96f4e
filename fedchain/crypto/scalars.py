"""Many scalars modulo the group's order at once: numpy columns of 16-bit limbs instead of Python integers.

A scalar is a row of 16 limbs, least significant first. Products with a secret are one small matrix product in float64:
every partial sum stays below 2^53, so it is exact. A scalar below 2^256 need not be reduced: it gives the same point.

Source: Knuth, "The Art of Computer Programming" vol. 2, section 4.3.1 (carries), 3.4.1 (rejection).
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fedchain.crypto.curve import ORDER, Int64s

Limbs = npt.NDArray[np.uint16]

LIMBS = 16
_LIMB_BITS = 16
_LIMB_MASK = 0xFFFF
_WRAP = 2**256 - ORDER
"""What 2^256 is modulo n: 129 bits."""

_PRODUCT_ROWS = 256
"""Rows per matrix product: below the size at which BLAS would start threads of its own."""


def random_limbs(count: int) -> Limbs:
    """Secrets from the operating system, uniform in [0, n-1]; values from n up are drawn again.

    Args:
        count: how many, at least 0.

    Returns:
        (count, 16) uint16. Zero has probability 2^-256; its multiple is infinity, which no ciphertext may hold.
    """
    limbs = np.frombuffer(os.urandom(32 * count), "<u2").astype(np.uint16).reshape(count, LIMBS)
    while True:
        # n begins with 127 one bits: any value that is not below n begins with 112 of them
        suspects = np.flatnonzero((limbs[:, 9:] == _LIMB_MASK).all(axis=1))
        again = [i for i in suspects.tolist() if to_ints(limbs[i : i + 1])[0] >= ORDER]
        if not again:
            return limbs
        limbs[again] = np.frombuffer(os.urandom(32 * len(again)), "<u2").reshape(len(again), LIMBS)


def to_limbs(scalars: Sequence[int]) -> Limbs:
    """(n, 16) uint16 of any integers, modulo the order."""
    raw = b"".join([(scalar % ORDER).to_bytes(32, "little") for scalar in scalars])
    return np.frombuffer(raw, "<u2").astype(np.uint16).reshape(len(scalars), LIMBS)


def to_ints(limbs: Limbs) -> list[int]:
    """The integers that rows of limbs stand for, below 2^256."""
    raw = limbs.astype("<u2").tobytes()
    return [int.from_bytes(raw[i : i + 32], "little") for i in range(0, len(raw), 32)]


def affine(limbs: Limbs, factor: int, constant: int, small: Int64s | None = None) -> Limbs:
    """``limbs * factor + constant + small`` modulo the order, up to one multiple of it.

    Args:
        limbs: (n, 16) uint16.
        factor: any integer, often secret.
        constant: any integer.
        small: (n,) int64 of any sign, or None for zeros.

    Returns:
        (n, 16) uint16, each below 2^256 and congruent to the result modulo n.
    """
    count = len(limbs)
    matrix = to_limbs([factor << (_LIMB_BITS * i) for i in range(LIMBS)]).astype(np.float64)
    total = np.empty((LIMBS + 2, count), np.int64)
    for start in range(0, count, _PRODUCT_ROWS):
        product = limbs[start : start + _PRODUCT_ROWS].astype(np.float64) @ matrix  # below 16 * 2^32: exact
        total[:LIMBS, start : start + len(product)] = product.T
    total[LIMBS:] = 0
    # n is added so that a negative `small` cannot make the total negative
    lifted = constant % ORDER + ORDER
    for i in range(LIMBS + 1):
        total[i] += (lifted >> (_LIMB_BITS * i)) & _LIMB_MASK
    if small is not None:
        for i in range(3):
            total[i] += (small >> (_LIMB_BITS * i)) & _LIMB_MASK
        total[3] += small >> (3 * _LIMB_BITS)
    _carry(total)
    for _ in range(2):  # the first pass leaves at most one multiple of 2^256, the second none
        excess = total[LIMBS] + (total[LIMBS + 1] << _LIMB_BITS)
        total[LIMBS:] = 0
        for i in range(9):
            total[i] += excess * ((_WRAP >> (_LIMB_BITS * i)) & _LIMB_MASK)
        _carry(total)
    return total[:LIMBS].T.astype(np.uint16)


def digits(limbs: Limbs, bits: int, windows: int) -> Int64s:
    """The scalars in base 2^bits.

    Args:
        limbs: (n, 16) uint16.
        bits: 1 to 16 per digit.
        windows: how many digits.

    Returns:
        (n, windows) int64, least significant first.
    """
    columns = np.zeros((LIMBS + 2, len(limbs)), np.int64)
    columns[:LIMBS] = limbs.T
    result = np.empty((len(limbs), windows), np.int64)
    for i in range(windows):
        limb, shift = divmod(bits * i, _LIMB_BITS)
        window = columns[limb] >> shift
        if shift + bits > _LIMB_BITS:
            window |= columns[limb + 1] << (_LIMB_BITS - shift)
        window &= (1 << bits) - 1
        result[:, i] = window
    return result


def _carry(total: Int64s) -> None:
    """Make every limb but the last 16 bits wide, in place; limbs may be negative before."""
    for i in range(len(total) - 1):
        total[i + 1] += total[i] >> _LIMB_BITS
        total[i] &= _LIMB_MASK
