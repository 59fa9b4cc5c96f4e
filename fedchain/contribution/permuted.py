"""Margins of the whole model where some parties' decisions are those of other rows.

A party's leaf bits of a tree are a 64-bit word (several for a larger tree); all parties' words of a row have one bit in
common, the row's leaf. Taking a party's word from another row leaves that true: any decisions of parties lead to one
leaf. So a permutation costs a gather, an AND and a look-up per row and tree, whatever the number of leaves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedchain.model.leaf_mask import Bits, leaf_weights, tree_starts
from fedchain.model.shard import Shard

_WORD = 64
Rows = NDArray[np.int64]
Floats = NDArray[np.float64]


class PermutedModel:
    """A model and all parties' leaf bits of some rows."""

    def __init__(self, shard: Shard, bits_by_party: Sequence[Bits]) -> None:
        """Pack the bits.

        Args:
            shard: the active party's.
            bits_by_party: (rows, leaves of all trees) bool each, roster order; they lead each row to one leaf of each
                tree (`require_one_leaf`).
        """
        starts, weights = tree_starts(shard), leaf_weights(shard)
        columns: list[tuple[int, int, int]] = []  # first leaf, last, output
        for tree, start, stop in zip(shard.trees, starts[:-1], starts[1:], strict=True):
            columns += [(one, min(one + _WORD, stop), tree.output) for one in range(int(start), int(stop), _WORD)]
        self._base = np.asarray(shard.base_margins, dtype=np.float64)
        self._outputs = np.array([output for _, _, output in columns], dtype=np.int64)
        self._words = [_packed(bits, columns) for bits in bits_by_party]
        # by the place of a word's bit, counted from 1; 0 for no bit; one more where bits that lead to several leaves
        # were rounded up
        self._weights = np.zeros((len(columns), _WORD + 2))
        for place, (first, last, _) in enumerate(columns):
            self._weights[place, 1 : last - first + 1] = weights[first:last]
        self._offsets = np.arange(len(columns), dtype=np.int64) * (_WORD + 2)
        self._others: tuple[frozenset[int], NDArray[np.uint64]] | None = None

    @property
    def rows(self) -> int:
        """How many."""
        return len(self._words[0])

    def margins(self, elsewhere: Mapping[int, Rows]) -> Floats:
        """Margins of all rows.

        Args:
            elsewhere: by place on the roster, (rows,) from which row each row takes this party's decisions.

        Returns:
            (rows, outputs) float64.
        """
        common = self._common(frozenset(elsewhere))
        for party, rows in elsewhere.items():
            common = common & self._words[party][rows]
        _, place = np.frexp(common.astype(np.float64))
        added = self._weights.ravel()[place + self._offsets]
        margins = np.tile(self._base, (self.rows, 1))
        for output in range(len(self._base)):
            own = added if len(self._base) == 1 else added[:, self._outputs == output]
            margins[:, output] += own.sum(axis=1)
        return margins

    def _common(self, without: frozenset[int]) -> NDArray[np.uint64]:
        """Bits that all the other parties have in common; the last answer is kept."""
        if self._others is None or self._others[0] != without:
            common = np.full_like(self._words[0], np.iinfo(np.uint64).max)
            for party, words in enumerate(self._words):
                if party not in without:
                    common &= words
            self._others = without, common
        return self._others[1]


def _packed(bits: Bits, columns: Sequence[tuple[int, int, int]]) -> NDArray[np.uint64]:
    """(rows, columns) uint64, the first leaf in the lowest bit."""
    words = np.zeros((len(bits), len(columns)), dtype=np.uint64)
    for place, (first, last, _) in enumerate(columns):
        raw = np.zeros((len(bits), 8), dtype=np.uint8)
        packed = np.packbits(bits[:, first:last], axis=1, bitorder="little")
        raw[:, : packed.shape[1]] = packed
        words[:, place] = raw.view("<u8")[:, 0]
    return words
