"""One-time masks of ElGamal ciphertexts: computed fresh, or taken from a pool that is filled in idle time.

The key holder's mask of a row is (r·G, r·x_1·G - S·G, …, r·x_c·G - S·G). The shift S is public and larger than any
small plaintext, so the plaintext's point (m + S)·G comes from a short table and is never infinity; the shifts cancel.

A zero is an encryption of zero, (s·G, s·h_1, …, s·h_c), by which whoever sums ciphertexts re-randomises the sums.

A mask used twice shows the difference of two plaintexts, a zero used twice which sums changed. So a pool hands each
out once, whatever becomes of the caller, keeps them in the memory of one process, and starts empty after a fork
(`compute.pool`).

Source: as for `elgamal`; Even, Goldreich, Micali, "On-line/off-line digital signatures" (1996) for work done ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fedchain.compute.executor import Executor, chunks, default_executor
from fedchain.compute.pool import BATCH, BackgroundPool, Block
from fedchain.crypto import pairs
from fedchain.crypto.curve import STRUCT_BYTES, Bytes2D, Int64s
from fedchain.crypto.scalars import affine, random_limbs
from fedchain.crypto.tables import FixedBaseTable, generator_table, offset_of
from fedchain.errors import InvalidPointError

if TYPE_CHECKING:
    from fedchain.crypto.elgamal import KeyPair
    from fedchain.crypto.keys import PublicKey

Maker = Callable[[int], Block]

SMALL_LIMIT = 1 << 12
"""Largest |m| whose point comes from the table of small multiples."""

SHIFT = SMALL_LIMIT + 1
FRESH_CHUNK = 512


class MaskPool(BackgroundPool):
    """Masks of the key holder for `KeyPair.encrypt_rows`; close it with the job."""

    def __init__(self, keys: KeyPair, capacity: int, batch: int = BATCH) -> None:
        """Start filling.

        Args:
            keys: whose masks.
            capacity: most masks in stock, ``64 * (1 + columns)`` bytes each; the rows of one tree are enough.
            batch: masks made at a time, about 7 µs of one core per component.
        """
        self.keys = keys
        super().__init__(keys.mask_maker(), capacity, batch)

    def take(self, wanted: int, executor: Executor | None = None) -> Block:
        """Exactly `wanted` masks, each handed out this once; what the stock lacks is computed now.

        Returns:
            1 + c arrays (wanted, 64) of structs: r·G, then (r·x_j - S)·G.
        """
        return self.draw_or_make(wanted, partial(fresh, self.keys.mask_maker(), executor=executor))


class ZeroPool(BackgroundPool):
    """Encryptions of zero under a public key, for `histogram`; close it with the job."""

    def __init__(self, public_key: PublicKey, capacity: int, batch: int = BATCH) -> None:
        """Start filling; builds the key's tables first.

        Args:
            public_key: the key of the ciphertexts to re-randomise.
            capacity: most zeros in stock, ``64 * (1 + columns)`` bytes each; about the bins of one tree's sums.
            batch: zeros made at a time.
        """
        self.public_key = public_key
        super().__init__(zero_maker(public_key), capacity, batch)

    def take(self, wanted: int, executor: Executor | None = None) -> Block:
        """Exactly `wanted` zeros, each handed out this once; what the stock lacks is computed now.

        Returns:
            1 + c arrays (wanted, 64) of structs: s·G, then s·h_j.
        """
        return self.draw_or_make(wanted, partial(fresh, zero_maker(self.public_key), executor=executor))


def fresh(make: Maker, count: int, executor: Executor | None = None) -> Block:
    """`count` items of a maker, on all the executor's workers."""
    cuts = chunks(count, FRESH_CHUNK) or [slice(0, 0)]
    blocks = (executor or default_executor()).map(make, [cut.stop - cut.start for cut in cuts])
    return tuple(np.concatenate(parts) for parts in zip(*blocks, strict=True))


def mask_maker(secrets: tuple[int, ...]) -> Maker:
    """A function of a number that gives so many masks of these secrets."""
    return partial(_masks, generator_table(), secrets)


def zero_maker(public_key: PublicKey, columns: Sequence[int] | None = None) -> Maker:
    """A function of a number that gives so many encryptions of zero, for all columns of the key or only for some."""
    tables = public_key.tables()
    chosen = range(len(tables)) if columns is None else columns
    return partial(_zeros, generator_table(), tuple(tables[j] for j in chosen))


def encrypt_fresh(table: FixedBaseTable, secrets: tuple[int, ...], values: Int64s) -> Block:
    """(r·G, (m_j + r·x_j)·G) for a chunk of rows, under randomness of its own.

    Args:
        table: the table of G.
        secrets: c scalars x_j.
        values: (k, c) plaintexts m_j.

    Returns:
        1 + c arrays (k, 64).
    """
    return _masked(table, secrets, len(values), 0, values)


def encrypt_masked(small: Bytes2D, task: tuple[Int64s, Block]) -> Block:
    """The same from masks that are ready: one addition per plaintext.

    Args:
        small: `small_multiples`.
        task: (k, c) plaintexts, |m| <= 2^12, and k masks.
    """
    values, masks = task
    count, columns = values.shape
    plain = small[values.T.reshape(-1) + (SHIFT - 1)]
    sums, infinity = pairs.add(plain, np.concatenate(masks[1:]))
    _require_finite(infinity)
    return (masks[0], *sums.reshape(columns, count, STRUCT_BYTES))


@lru_cache(maxsize=1)
def small_multiples() -> Bytes2D:
    """(8193, 64): the points (m + S)·G for m from -2^12 to 2^12; built on first use, 0.05 s."""
    points = generator_table().multiply_base(range(1, SHIFT + SMALL_LIMIT + 1))
    points.require_finite()
    return points.structs


def _masks(table: FixedBaseTable, secrets: tuple[int, ...], count: int) -> Block:
    return _masked(table, secrets, count, -SHIFT, None)


def _masked(table: FixedBaseTable, secrets: tuple[int, ...], count: int, shift: int, values: Int64s | None) -> Block:
    """(r·G, (r·x_j + shift + m_j)·G) for `count` fresh r."""
    offset = offset_of(table.window_bits)
    lowered = random_limbs(count)  # r - offset
    rows = [lowered]
    for j, x in enumerate(secrets):
        rows.append(affine(lowered, x, offset * x - offset + shift, None if values is None else values[:, j]))
    structs, infinity = table.multiply_lowered(np.concatenate(rows))
    _require_finite(infinity)
    return tuple(structs.reshape(len(rows), count, STRUCT_BYTES))


def _zeros(table: FixedBaseTable, key_tables: tuple[FixedBaseTable, ...], count: int) -> Block:
    """(s·G, s·h_j) for `count` fresh s."""
    lowered = random_limbs(count)  # s - the offset of G's table
    structs, infinity = table.multiply_lowered(lowered)
    _require_finite(infinity)
    lowered = affine(lowered, 1, offset_of(table.window_bits) - offset_of(key_tables[0].window_bits))
    columns = []
    for key_table in key_tables:
        column, infinity = key_table.multiply_lowered(lowered)
        _require_finite(infinity)
        columns.append(column)
    return (structs, *columns)


def _require_finite(infinity: npt.NDArray[np.bool_]) -> None:
    if infinity.any():
        raise InvalidPointError("a mask is infinity")  # probability 2^-250
