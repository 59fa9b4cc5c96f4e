"""PointArray: n points of secp256k1 in one numpy array, no Python object per point.

The library aborts the process when it is fed a zeroed struct. So infinity is a bit in a mask, zeroed structs exist
only under that bit, and every operation that hands structs to the library refuses an array that holds infinity.

Source: SEC 1 v2.0 section 2.3.3 (encodings); bitcoin-core/secp256k1 for the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial

import numpy as np
import numpy.typing as npt

from fedchain.compute.executor import Executor, chunks, default_executor
from fedchain.crypto import curve, pairs
from fedchain.crypto.curve import COMPRESSED_BYTES, STRUCT_BYTES, UNCOMPRESSED_BYTES, Bools, Bytes2D, Int64s
from fedchain.errors import InvalidPointError

MULTIPLY_CHUNK = 512
PARSE_CHUNK = 256
PARSE_BATCH = 1 << 14
ADD_CHUNK = 2048
SUM_CHUNK_MEMBERS = 16384


class PointArray:
    """n points, immutable.

    Attributes:
        structs: (n, 64) uint8, read-only `secp256k1_pubkey` structs of this machine: never sent anywhere.
        infinity: (n,) bool, read-only; true only in results of sums.
    """

    __slots__ = ("infinity", "structs")

    def __init__(self, structs: Bytes2D, infinity: Bools | None = None) -> None:
        """Take structs that this process computed itself (what peers send comes through `from_sec1`).

        Args:
            structs: (n, 64) uint8; copied unless contiguous.
            infinity: (n,) bool, where a zeroed struct stands for infinity; None where there is none.

        Raises:
            InvalidPointError: wrong shape, or a zeroed struct that is not marked as infinity.
        """
        if structs.ndim != 2 or structs.shape[1] != STRUCT_BYTES or structs.dtype != np.uint8:
            raise InvalidPointError(f"point structs must be uint8 (n, {STRUCT_BYTES}), found {structs.shape}")
        self.structs = np.ascontiguousarray(structs).view()
        self.infinity = np.zeros(len(structs), np.bool_) if infinity is None else np.array(infinity, np.bool_)
        if self.infinity.shape != (len(structs),):
            raise InvalidPointError("the infinity mask must have one bit per point")
        zeroed = curve.zeroed(self.structs)
        if (zeroed != self.infinity).any():
            index = int(np.flatnonzero(zeroed != self.infinity)[0])
            raise InvalidPointError(f"struct {index} is zeroed but not marked as infinity (or the reverse)")
        self.structs.setflags(write=False)
        self.infinity.setflags(write=False)

    @classmethod
    def from_sec1(
        cls, data: bytes, count: int, culprit: str, *, compressed: bool = False, executor: Executor | None = None
    ) -> PointArray:
        """Parse `count` SEC1 points from an untrusted sender; every one is checked to be on the curve.

        Args:
            data: exactly ``count * 65`` bytes (``count * 33`` if `compressed`). Hybrid encodings are refused.
            count: how many points the protocol expects.
            culprit: who sent them; named in the error.

        Raises:
            InvalidPointError: wrong length, or bytes that are no point; names the culprit and the index.
        """
        size = COMPRESSED_BYTES if compressed else UNCOMPRESSED_BYTES
        if count < 0 or len(data) != count * size:
            raise InvalidPointError(f"{culprit}: {count} points have {count * size} bytes, found {len(data)}")
        encoded = np.frombuffer(data, np.uint8).reshape(count, size)
        prefixes = (2, 3) if compressed else (4,)
        wrong = np.flatnonzero(~np.isin(encoded[:, 0], prefixes))
        if len(wrong):
            raise InvalidPointError(f"{culprit}: point {wrong[0]} of {count} has SEC1 prefix {encoded[wrong[0], 0]}")
        structs = np.empty((count, STRUCT_BYTES), np.uint8)
        for batch in chunks(count, PARSE_BATCH):
            cuts = [
                slice(batch.start + cut.start, batch.start + cut.stop)
                for cut in chunks(batch.stop - batch.start, PARSE_CHUNK if compressed else PARSE_BATCH)
            ]
            # 0.5 µs an uncompressed point: threads would only fight over the interpreter lock
            results = (executor or default_executor()).map(curve.try_parse, [encoded[cut] for cut in cuts])
            for cut, (parsed, valid) in zip(cuts, results, strict=True):
                if not valid.all():
                    invalid = cut.start + int(np.flatnonzero(~valid)[0])
                    raise InvalidPointError(f"{culprit}: point {invalid} of {count} is not on secp256k1")
                structs[cut] = parsed
        return cls(structs)

    def to_sec1(self, *, compressed: bool = False) -> bytes:
        """``n * 65`` bytes (``n * 33`` if `compressed`) of SEC1.

        Raises:
            InvalidPointError: the array holds infinity, which has no encoding of that size.
        """
        self.require_finite()
        if not curve.layout_is_little_endian():
            return curve.serialize(self.structs, compressed).tobytes()
        encoded = np.empty((len(self), COMPRESSED_BYTES if compressed else UNCOMPRESSED_BYTES), np.uint8)
        encoded[:, 1:33] = self.structs[:, 31::-1]
        if compressed:
            encoded[:, 0] = 2 + (self.structs[:, 32] & 1)
        else:
            encoded[:, 0] = 4
            encoded[:, 33:] = self.structs[:, :31:-1]
        return encoded.tobytes()

    def x_words(self) -> npt.NDArray[np.uint64]:
        """(n,) uint64: the low 64 bits of each x coordinate (zero for infinity)."""
        if curve.layout_is_little_endian():
            return np.ascontiguousarray(self.structs[:, :8]).view("<u8").astype(np.uint64).reshape(len(self))
        encoded = curve.serialize(self.structs[~self.infinity], True)
        words = np.zeros(len(self), np.uint64)
        words[~self.infinity] = np.ascontiguousarray(encoded[:, 25:]).view(">u8").reshape(-1)
        return words

    def odd_y(self) -> Bools:
        """(n,) bool: whether each y coordinate is odd (false for infinity)."""
        odd: Bools = np.zeros(len(self), np.bool_)
        if curve.layout_is_little_endian():
            odd[:] = self.structs[:, 32] & 1
        else:
            odd[~self.infinity] = curve.serialize(self.structs[~self.infinity], True)[:, 0] == 3
        return odd

    def require_finite(self) -> None:
        """Raise unless every point may enter the library.

        Raises:
            InvalidPointError: a point is infinity; names the first.
        """
        if self.infinity.any():
            raise InvalidPointError(f"point {int(np.flatnonzero(self.infinity)[0])} of {len(self)} is infinity")

    def multiply(self, scalar: int, executor: Executor | None = None) -> PointArray:
        """Every point times one secret scalar in [1, n-1]; about 33 µs per point and core.

        Raises:
            InvalidPointError: the array holds infinity.
            ValueError: the scalar is out of range.
        """
        self.require_finite()
        parts = [self.structs[cut] for cut in chunks(len(self), MULTIPLY_CHUNK)]
        return PointArray(_stack((executor or default_executor()).map(partial(curve.multiply, scalar), parts)))

    def add(self, other: PointArray, executor: Executor | None = None) -> PointArray:
        """Pairwise sums with an array of the same length (or of length 1); infinity where they cancel.

        Raises:
            InvalidPointError: an input holds infinity, or the lengths differ.
        """
        count = len(self)
        if len(other) not in (1, count):
            raise InvalidPointError(f"cannot add {count} points and {len(other)} points")
        for array in (self, other):
            array.require_finite()
        right = np.broadcast_to(other.structs, self.structs.shape)
        tasks = [(self.structs[cut], right[cut]) for cut in chunks(count, ADD_CHUNK)]
        parts = (executor or default_executor()).map(_add_task, tasks)
        if not parts:
            return concat([])
        return PointArray(_stack([s for s, _ in parts]), np.concatenate([infinity for _, infinity in parts]))

    def equals(self, other: PointArray) -> Bools:
        """(n,) bool: which points are the same as in an array of the same length."""
        same: Bools = (self.structs == other.structs).all(axis=1)
        return same

    def __len__(self) -> int:
        return len(self.structs)

    def __getitem__(self, index: slice | Int64s | Bools) -> PointArray:
        """The points at a slice, at an array of positions, or under a mask."""
        return PointArray(self.structs[index], self.infinity[index])

    def __repr__(self) -> str:
        return f"PointArray(n={len(self)})"


@lru_cache(maxsize=1)
def generator() -> PointArray:
    """The base point G, as an array of one."""
    return PointArray.from_sec1(curve.GENERATOR, 1, "secp256k1")


def concat(arrays: Sequence[PointArray]) -> PointArray:
    """One array of all the points, in order."""
    if not arrays:
        return PointArray(_stack([]))
    return PointArray(_stack([a.structs for a in arrays]), np.concatenate([a.infinity for a in arrays]))


def sum_groups(
    sources: Sequence[PointArray], members: Int64s, offsets: Int64s, executor: Executor | None = None
) -> PointArray:
    """Sums of groups of points, one library call per group; about 0.28 µs per member and core, 4 µs per group.

    Args:
        sources: arrays numbered through as if concatenated; none may hold infinity.
        members: (m,) int64 positions in that numbering.
        offsets: (k + 1,) int64, ascending from 0 to m; group i is ``members[offsets[i]:offsets[i+1]]``.

    Returns:
        k points; infinity for empty groups and for sums that cancel.

    Raises:
        InvalidPointError: infinity among the sources, or positions or offsets out of range.
    """
    for source in sources:
        source.require_finite()
    members, offsets = np.ascontiguousarray(members, np.int64), np.ascontiguousarray(offsets, np.int64)
    check_groups(sum(len(source) for source in sources), members, offsets)
    structs = [source.structs for source in sources]
    groups = len(offsets) - 1
    per_chunk = max(1, SUM_CHUNK_MEMBERS * groups // max(len(members), 1, groups))
    tasks = [
        (structs, members[offsets[lo] : offsets[hi]], offsets[lo : hi + 1] - offsets[lo])
        for lo, hi in ((cut.start, cut.stop) for cut in chunks(groups, per_chunk))
    ]
    parts = (executor or default_executor()).map(_sum_task, tasks)
    if not parts:
        return concat([])
    return PointArray(_stack([s for s, _ in parts]), np.concatenate([infinity for _, infinity in parts]))


def check_groups(total: int, members: Int64s, offsets: Int64s) -> None:
    """Refuse positions outside ``range(total)`` and offsets that do not ascend from 0 to ``len(members)``.

    Raises:
        InvalidPointError: they would read memory that is not a point.
    """
    if len(members) and (members.min() < 0 or members.max() >= total):
        raise InvalidPointError(f"a group's member is outside the {total} points given")
    if len(offsets) < 1 or offsets[0] != 0 or offsets[-1] != len(members) or (np.diff(offsets) < 0).any():
        raise InvalidPointError("group offsets must ascend from 0 to the number of members")


def _add_task(task: tuple[Bytes2D, Bytes2D]) -> tuple[Bytes2D, Bools]:
    return pairs.add(*task)


def _sum_task(task: tuple[list[Bytes2D], Int64s, Int64s]) -> tuple[Bytes2D, Bools]:
    return curve.sum_groups(*task)


def _stack(parts: Sequence[Bytes2D]) -> Bytes2D:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.zeros((0, STRUCT_BYTES), np.uint8)
