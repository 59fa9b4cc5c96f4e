"""A party's leaf bits of all rows that it may be asked for, made once, so that an answer is a look-up.

The *default row* is one whose features are all missing. It answers for every row that the party does not hold. A miss
takes the steps and the memory accesses of a hit: some row is read for it, and what was read is replaced by the default
row, as what was read for a hit is replaced by itself.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from fedchain.inference.bitplanes import Bins, Planes, Positions, answer_planes, rows_of_planes
from fedchain.model.shard import Shard

MAX_TABLE_BYTES = 512 * 2**20
_BUILD_ROWS = 8192
_CELLS = 2**25
"""Bits that are held unpacked at a time, a byte each."""
_STRIDE = 2_654_435_761
Elsewhere = NDArray[np.uint64]
"""(n,) which row is read in the place of one that is not there, any number each: the same for the same question, or a
second miss would find a cold row where a second hit finds a warm one."""


def default_bits(shard: Shard, n_bins: NDArray[np.int64]) -> bytes:
    """Packed leaf bits of a row without any value, ceil(`bit_count` / 8) bytes.

    Args:
        shard: this party's.
        n_bins: value bins per feature.
    """
    missing = n_bins[np.newaxis].astype(np.uint8)
    return np.packbits(_Literals(shard, n_bins).bits(missing), axis=1, bitorder="little").tobytes()


class LeafTable:
    """Leaf bits of every row, and of the default row. Immutable: may be read from several threads.

    Attributes:
        rows: number of rows.
        bit_count: leaf bits of a row.
        row_bytes: bytes of one row's bits.
        is_whole: whether all rows' bits are kept; else they are computed from the bins at each look-up, in a few
            dozen microseconds for one row.
        default: bits of the default row, `row_bytes` bytes.
    """

    def __init__(
        self, shard: Shard, bins: Bins, n_bins: NDArray[np.int64], *, max_bytes: int = MAX_TABLE_BYTES
    ) -> None:
        """Compute the bits of all rows.

        Args:
            shard: this party's.
            bins: (rows, features) uint8, binned by the shard's own mapper; kept, not to be changed afterwards.
            n_bins: value bins per feature.
            max_bytes: a larger table is not kept.
        """
        self.rows = len(bins)
        self.bit_count = sum(tree.shape.bit_count for tree in shard.trees)
        self.row_bytes = -(-self.bit_count // 8)
        self.is_whole = self.rows * self.row_bytes <= max_bytes
        self._shard, self._n_bins = shard, n_bins
        self._used = np.unique([split.feature for tree in shard.trees for split in tree.splits]).astype(np.int64)
        self._bins = np.asfortranarray(bins)
        self._literals = _Literals(shard, n_bins)
        self.default = default_bits(shard, n_bins)
        self._default = np.frombuffer(self.default, np.uint8)
        default = np.unpackbits(self._default, count=self.bit_count, bitorder="little").astype(np.bool_)
        self._default_planes = np.where(default, np.uint8(255), np.uint8(0))[:, np.newaxis]
        self._packed = np.empty((self.rows if self.is_whole else 0, self.row_bytes), np.uint8)
        for first in range(0, len(self._packed), _BUILD_ROWS):
            block = self._bins[first : first + _BUILD_ROWS]
            planes = answer_planes(shard, block, n_bins)
            self._packed[first : first + len(block)] = rows_of_planes(planes, len(block))

    @property
    def size_bytes(self) -> int:
        """Bytes of memory."""
        return self._packed.nbytes + self._bins.nbytes

    def rows_at(self, positions: Positions, elsewhere: Elsewhere | None = None) -> bytes:
        """Packed bits of these rows, row after row.

        Args:
            positions: (n,) int64 from -1 (the default row) below `rows`.
            elsewhere: see `Elsewhere`; None for any row.
        """
        read, is_hit = self._read(positions, elsewhere)
        if not self.rows:
            return self.default * len(positions)
        if self.is_whole:
            found = self._packed.take(read, axis=0)
        else:
            step = self._literals.rows_at_a_time
            found = np.empty((len(read), self.row_bytes), np.uint8)
            for first in range(0, len(read), step):
                bits = self._literals.bits(self._bins[read[first : first + step]])
                found[first : first + step] = np.packbits(bits, axis=1, bitorder="little")
        mask = np.negative(is_hit.view(np.uint8))[:, np.newaxis]  # all bits or none; `where` would branch at each byte
        return (self._default ^ ((found ^ self._default) & mask)).tobytes()

    def planes_at(self, positions: Positions, elsewhere: Elsewhere | None = None) -> Planes:
        """The same bits as planes: (`bit_count`, ceil(n / 8)) uint8."""
        read, is_hit = self._read(positions, elsewhere)
        hits = np.packbits(is_hit, bitorder="little")
        every = np.packbits(np.ones(len(positions), np.bool_), bitorder="little")
        if not self.rows:
            return self._default_planes & every
        bins = np.zeros((self._bins.shape[1], len(positions)), np.uint8)
        for feature in self._used.tolist():
            self._bins[:, feature].take(read, out=bins[feature], mode="clip")
        planes = answer_planes(self._shard, bins.T, self._n_bins)
        planes &= hits
        planes |= self._default_planes & (every ^ hits)
        return planes

    def _read(self, positions: Positions, elsewhere: Elsewhere | None) -> tuple[Positions, NDArray[np.bool_]]:
        """A row to read for each position, and whether it is the one asked for."""
        is_hit = np.asarray(positions >= 0)
        spread = (np.arange(len(positions), dtype=np.int64) * _STRIDE + _somewhere()) % max(1, self.rows)
        if elsewhere is not None:
            spread = (elsewhere % max(1, self.rows)).astype(np.int64)
        return spread + (positions - spread) * is_hit, is_hit


def _somewhere() -> int:
    return int.from_bytes(os.urandom(4), "little")


class _Literals:
    """Leaf bits of a few rows: every split once, then for each leaf the conjunction of those on its path."""

    def __init__(self, shard: Shard, n_bins: NDArray[np.int64]) -> None:
        splits = [split for tree in shard.trees for split in tree.splits]
        self._features = np.array([split.feature for split in splits], np.int64)
        self._bins = np.array([split.bin for split in splits], np.uint8)
        self._missing_left = np.array([split.missing_left for split in splits], np.bool_)
        self._n_bins = n_bins[self._features] if len(splits) else np.zeros(0, np.int64)
        always = 2 * len(splits)
        paths: list[list[int]] = []
        first = 0
        for tree in shard.trees:
            number = {split.node: first + place for place, split in enumerate(tree.splits)}
            first += len(tree.splits)
            if tree.shape.bit_count:
                paths += [_path(leaf, number, len(splits)) for leaf in tree.shape.leaves()]
        longest = max((len(path) for path in paths), default=0)
        padded = [path + [always] * (longest - len(path)) for path in paths]
        self._paths = np.array(padded, np.int64).reshape(len(paths), longest)
        self.rows_at_a_time = max(1, min(1024, _CELLS // max(1, self._paths.size)))

    def bits(self, bins: Bins) -> NDArray[np.bool_]:
        """(rows, leaves) bool of (rows, features) bins."""
        own = bins[:, self._features]
        left = np.asarray((own <= self._bins) | (self._missing_left & (own >= self._n_bins)))
        literals = np.concatenate([left, ~left, np.ones((len(bins), 1), np.bool_)], axis=1)
        return np.asarray(literals[:, self._paths].all(axis=2), np.bool_)


def _path(leaf: int, number: dict[int, int], splits: int) -> list[int]:
    """Literals of a leaf: a split's number where the path goes left, that plus `splits` where it goes right."""
    path, node = [], leaf
    while node:
        parent = (node - 1) // 2
        if parent in number:
            path.append(number[parent] + (0 if node == 2 * parent + 1 else splits))
        node = parent
    return path
