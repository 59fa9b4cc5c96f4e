"""Fixed-base tables: many scalars times one public point at about 6 µs each, instead of 19 to 33.

The scalar is written in w digits of b bits. Window i holds (d + 1)·2^(b·i)·P for digit d: the shift by one keeps
infinity out of the table, and the scalar is lowered by Σ 2^(b·i) (mod n) beforehand to make up for it. The product is
then a sum of w table entries: one library call.

    bits  windows    entries    MB   core seconds to build   µs per multiply and core
      16       16  1,048,576    67                    1.90                        4.8   G, for large jobs
      14       19    303,120    19                    0.53                        5.5
      12       22     86,032   5.5                    0.14                        6.2   G: once per process
      10       26     26,176   1.7                    0.06                        7.1   a job's public keys
       8       32      8,192   0.5                    0.02                        8.2

Source: Brickell, Gordon, McCurley, Wilson, "Fast Exponentiation with Precomputation" (1992).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import numpy as np

from fedchain.compute.executor import Executor, chunks, default_executor
from fedchain.crypto import curve, pairs
from fedchain.crypto.curve import ORDER, STRUCT_BYTES, Bools, Bytes2D, Int64s
from fedchain.crypto.points import PointArray, generator
from fedchain.crypto.scalars import Limbs, digits, to_limbs
from fedchain.errors import InvalidPointError

GENERATOR_BITS = 12
KEY_BITS = 10
MAX_BITS = 16
MULTIPLY_CHUNK = 1024

_lock = threading.Lock()


def windows_of(window_bits: int) -> int:
    """How many windows of that width cover 256 bits."""
    return -(-256 // window_bits)


def offset_of(window_bits: int) -> int:
    """By how much a scalar is lowered, to make up for digit d standing for d + 1."""
    return sum(1 << (window_bits * i) for i in range(windows_of(window_bits))) % ORDER


class FixedBaseTable:
    """Multiples of one public point.

    Attributes:
        point: the base, an array of one.
        window_bits: b, 4 to 16.
        windows: w, how many entries make a product.
        entries: points; entry ``i * 2**b + d`` is (d + 1)·2^(b·i)·P.
    """

    __slots__ = ("entries", "point", "window_bits", "windows")

    def __init__(self, point: PointArray, executor: Executor | None = None, window_bits: int = GENERATOR_BITS) -> None:
        """Build the table.

        Raises:
            InvalidPointError: not exactly one finite point.
            ValueError: a width out of range.
        """
        if not 4 <= window_bits <= MAX_BITS:
            raise ValueError(f"windows have 4 to {MAX_BITS} bits, asked for {window_bits}")
        if len(point) != 1:
            raise InvalidPointError(f"a fixed-base table needs one point, found {len(point)}")
        point.require_finite()
        self.point = point
        self.window_bits, self.windows = window_bits, windows_of(window_bits)
        build = partial(_build_window, point.structs, window_bits)
        self.entries = PointArray(np.concatenate((executor or default_executor()).map(build, range(self.windows))))

    def multiply_base(self, scalars: Sequence[int], executor: Executor | None = None) -> PointArray:
        """Each scalar times the base; about 6 µs per scalar and core.

        Args:
            scalars: any integers, taken mod n; zero gives infinity.

        Returns:
            ``len(scalars)`` points.
        """
        parts = [scalars[cut] for cut in chunks(len(scalars), MULTIPLY_CHUNK)]
        multiply = partial(_multiply, self.entries.structs, self.window_bits)
        results = (executor or default_executor()).map(multiply, parts)
        if not results:
            return self.point[:0]
        return PointArray(np.concatenate([s for s, _ in results]), np.concatenate([i for _, i in results]))

    def multiply_lowered(self, lowered: Limbs) -> tuple[Bytes2D, Bools]:
        """The multiples by scalars from which `offset_of` this width is already taken.

        Args:
            lowered: (n, 16) uint16 limbs, each below 2^256.

        Returns:
            (n, 64) structs and (n,) bool, which are infinity.
        """
        return pairs.sum_rows([self.entries.structs], _members(lowered, self.window_bits))

    def __reduce__(self) -> tuple[Callable[..., FixedBaseTable], tuple[object, ...]]:
        """To another process the table of G goes as its width alone: each process builds it once."""
        if self.point.equals(generator()).all():
            return generator_table_of, (self.window_bits,)
        return _restored, (self.point, self.entries, self.window_bits)


_generator_tables: list[FixedBaseTable] = []


def window_members(scalars: Sequence[int], window_bits: int = GENERATOR_BITS) -> Int64s:
    """Which table entries sum to each multiple; the same for the table of any point of that width.

    Args:
        scalars: n integers, taken modulo the order.
        window_bits: 4 to 16.

    Returns:
        (n, windows) int64 positions in `FixedBaseTable.entries`.
    """
    offset = offset_of(window_bits)
    return _members(to_limbs([scalar - offset for scalar in scalars]), window_bits)


def generator_table() -> FixedBaseTable:
    """The table of G, 12 bits wide: built on first use, kept for the life of the process."""
    with _lock:
        if not _generator_tables:
            _generator_tables.append(FixedBaseTable(generator()))
        return _generator_tables[0]


@lru_cache(maxsize=1)
def generator_table_of(window_bits: int) -> FixedBaseTable:
    """The table of G of that width, for work that comes from another process."""
    table = generator_table()
    return table if table.window_bits == window_bits else FixedBaseTable(generator(), Executor(1), window_bits)


def _restored(point: PointArray, entries: PointArray, window_bits: int) -> FixedBaseTable:
    table = FixedBaseTable.__new__(FixedBaseTable)
    table.point, table.entries = point, entries
    table.window_bits, table.windows = window_bits, windows_of(window_bits)
    return table


def _members(lowered: Limbs, window_bits: int) -> Int64s:
    members = digits(lowered, window_bits, windows_of(window_bits))
    members += np.arange(members.shape[1], dtype=np.int64) << window_bits
    return members


def _multiply(entries: Bytes2D, window_bits: int, scalars: Sequence[int]) -> tuple[Bytes2D, Bools]:
    return pairs.sum_rows([entries], window_members(scalars, window_bits))


def _build_window(point: Bytes2D, window_bits: int, window: int) -> Bytes2D:
    """(2^b, 64), or fewer for the top window: the multiples 1, 2, 3 … of 2^(b·window)·P."""
    base = curve.multiply(pow(2, window_bits * window, ORDER), point)
    count = 1 << min(window_bits, 256 - window_bits * window)
    half = 1 << (window_bits // 2)
    low = _multiples(base, min(half, count))
    if count <= half:
        return low
    high = _multiples(low[-1:], count // half - 1)
    sums, infinity = pairs.add(np.repeat(high, half, axis=0), np.tile(low, (len(high), 1)))
    if infinity.any():
        raise InvalidPointError("a table entry is infinity")
    return np.concatenate([low, sums])


def _multiples(base: Bytes2D, count: int) -> Bytes2D:
    """(count, 64): 1, 2, …, count times the base, each block from the one before by adding its last."""
    result = np.zeros((count, STRUCT_BYTES), np.uint8)
    result[0] = base[0]
    done = 1
    while done < count:
        block = min(done, count - done)
        step = np.broadcast_to(result[done - 1], (block, STRUCT_BYTES))
        result[done : done + block], _ = pairs.add(result[:block], step)
        done += block
    return result
