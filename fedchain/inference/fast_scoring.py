"""Margins from packed leaf bits, in one of two ways: few rows at a time, or whole planes.

Bit for bit those of `fedchain.inference.scoring.margins`: a row's leaf weights are added in training order to its base
margin, one after the other, in float64, whatever the way and whoever else is in the batch.

Every row must reach exactly one leaf of each tree. Row by row, the reached leaves are listed and each must be of its
tree. In planes, neighbouring leaves are joined pair by pair: two that overlap are an error, and so is a row that is
missing once all are joined. On the way up, the planes of the right-hand halves are the bits of the leaf's number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedchain.errors import ProtocolViolationError
from fedchain.inference.bitplanes import BLOCK_ROWS, Planes, plane_bytes
from fedchain.model.leaf_mask import bit_count, leaf_places, leaf_weights, tree_starts, unpack_bits
from fedchain.model.shard import Shard

Margins = NDArray[np.float64]
FEW = 1024
"""Rows that are scored at a time where bits come row by row."""


class Scorer:
    """The active party's side: adds up leaf weights. Made once for a model; safe to use from several threads.

    Attributes:
        bit_counts: leaf bits per row of each party, roster order.
    """

    def __init__(self, shard: Shard) -> None:
        """Lay the model out for scoring.

        Args:
            shard: the active party's.
        """
        self._roster = shard.roster
        self._culprits = ", ".join(shard.roster[1:])
        self._base = np.asarray(shard.base_margins, np.float64)
        self._weights = leaf_weights(shard)
        self._outputs = np.array([tree.output for tree in shard.trees], np.int64)
        self._starts = tree_starts(shard)
        self._tree_of = np.repeat(np.arange(len(shard.trees)), np.diff(self._starts))
        parties = range(len(shard.roster))
        self.bit_counts = tuple(bit_count(shard, party) for party in parties)
        self._places = [leaf_places(shard, party) for party in parties]
        self._trees = [self._tree(number) for number in range(len(shard.trees))]

    def score_rows(self, bits_by_party: Sequence[bytes], rows: int) -> Margins:
        """Margins from bits that came row by row; about a tenth of a millisecond for one row of 50 trees.

        Args:
            bits_by_party: of every party, roster order, as `pack_bits` gives them.
            rows: number of rows.

        Returns:
            (rows, outputs) float64.

        Raises:
            ProtocolViolationError: a length is wrong, then its sender is named; or some row does not reach exactly one
                leaf of a tree, then all passive parties are.
        """
        raw = []
        for name, packed, count in zip(self._roster, bits_by_party, self.bit_counts, strict=True):
            raw.append((packed, -(-count // 8), count, name))
            if len(packed) != rows * raw[-1][1]:
                unpack_bits(packed, rows, count, name)
        parts = []
        for first in range(0, rows, FEW):
            few = min(FEW, rows - first)
            reached = np.ones((few, len(self._weights)), np.bool_)
            for (packed, width, count, name), places in zip(raw, self._places, strict=True):
                bits = unpack_bits(packed[first * width : (first + few) * width], few, count, name)
                reached &= np.concatenate([bits, np.ones((few, 1), np.bool_)], axis=1)[:, places]
            parts.append(self._margins(reached))
        return np.concatenate(parts) if parts else np.zeros((0, len(self._base)))

    def score_planes(self, planes_by_party: Sequence[Planes], rows: int) -> Margins:
        """Margins from planes.

        Args:
            planes_by_party: of every party, roster order: (its `bit_counts`, ceil(rows / 8)) uint8, no bit set beyond
                the last row (`as_planes` sees to that).
            rows: number of rows.

        Returns:
            (rows, outputs) float64.

        Raises:
            ProtocolViolationError: as `score_rows`.
        """
        for name, planes, count in zip(self._roster, planes_by_party, self.bit_counts, strict=True):
            if planes.shape != (count, plane_bytes(rows)):
                raise ProtocolViolationError(
                    name, f"planes have shape {planes.shape}, {(count, plane_bytes(rows))} expected"
                )
        result = np.tile(self._base, (rows, 1))
        for first in range(0, rows, BLOCK_ROWS):
            last = min(first + BLOCK_ROWS, rows)
            block = [planes[:, first // 8 : plane_bytes(last)] for planes in planes_by_party]
            self._add_block(block, result[first:last])
        return result

    # -- row by row -------------------------------------------------------------------------------------------------

    def _margins(self, reached: NDArray[np.bool_]) -> Margins:
        rows, trees = len(reached), len(self._outputs)
        leaves = np.flatnonzero(reached) % max(1, len(self._weights))
        if len(leaves) != rows * trees or (self._tree_of[leaves].reshape(rows, trees) != np.arange(trees)).any():
            self._refuse()
        added = self._weights[leaves].reshape(rows, trees)
        result = np.tile(self._base, (rows, 1))
        for output in range(len(self._base)):
            column = np.concatenate([result[:, output : output + 1], added[:, self._outputs == output]], axis=1)
            result[:, output] = np.add.accumulate(column, axis=1)[:, -1]  # one after the other; a sum may pair them
        return result

    def _refuse(self) -> None:
        raise ProtocolViolationError(self._culprits, "leaf bits do not lead every row to exactly one leaf of each tree")

    # -- planes -----------------------------------------------------------------------------------------------------

    def _tree(self, number: int) -> tuple[NDArray[np.float64], list[NDArray[np.int64] | None]]:
        """Weights by leaf number, and of each party the planes of the leaves, None where it has no say."""
        start, stop = int(self._starts[number]), int(self._starts[number + 1])
        places: list[NDArray[np.int64] | None] = []
        for own, count in zip(self._places, self.bit_counts, strict=True):
            here = own[start:stop]
            places.append(None if (here == count).all() else here)
        return self._weights[start:stop], places

    def _add_block(self, block: Sequence[Planes], result: Margins) -> None:
        rows = len(result)
        every = np.packbits(np.ones(rows, np.bool_), bitorder="little")
        for (weights, places), output in zip(self._trees, self._outputs, strict=True):
            leaves = len(weights)
            reached = np.zeros((1 << (leaves - 1).bit_length(), len(every)), np.uint8)
            reached[:leaves] = every
            for planes, own in zip(block, places, strict=True):
                if own is not None:
                    reached[:leaves] &= planes[own]
            index = np.zeros(rows, np.uint8)
            level = 0
            while len(reached) > 1:
                left, right = reached[0::2], reached[1::2]
                if (left & right).any():
                    self._refuse()
                high = np.bitwise_or.reduce(right, axis=0)
                index |= np.unpackbits(high, count=rows, bitorder="little") << level
                reached = left | right
                level += 1
            if not np.array_equal(reached[0], every):
                self._refuse()
            result[:, output] += weights[index]
