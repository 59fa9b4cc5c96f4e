"""Which rows an audit opens: the same at everybody who knows the seed, on every machine, in every language.

Block i = SHA-256("fedchain-sample-1" ‖ seed ‖ u32 i) gives four 64-bit numbers, all big-endian. One below the largest
multiple of the number of rows counts as its remainder (others are skipped, so no row is likelier than another); a row
that was drawn before is skipped. Draws end with the wanted number of rows.
"""

from __future__ import annotations

import hashlib
import struct

import numpy as np
from numpy.typing import NDArray

_NAME = b"fedchain-sample-1"


def sample_rows(seed: bytes, rows: int, count: int) -> NDArray[np.int64]:
    """Draw rows without replacement, every set of them equally likely.

    Args:
        seed: 32 bytes.
        rows: how many there are, 1 to 2^31.
        count: how many to draw, 1 to `rows`.

    Returns:
        (count,) int64, ascending, distinct, each below `rows`.

    Raises:
        ValueError: out of range.
    """
    if len(seed) != 32 or not 1 <= count <= rows <= 2**31:
        raise ValueError(f"{count} of {rows} rows by a seed of {len(seed)} bytes cannot be drawn")
    limit = 2**64 - 2**64 % rows
    drawn: set[int] = set()
    block = 0
    while len(drawn) < count:
        digest = hashlib.sha256(_NAME + seed + block.to_bytes(4, "big")).digest()
        for number in struct.unpack(">4Q", digest):
            if number < limit and len(drawn) < count:
                drawn.add(number % rows)
        block += 1
    return np.array(sorted(drawn), dtype=np.int64)
