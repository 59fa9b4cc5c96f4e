"""Margins of the whole model where some parties' decisions are those of other rows.

A party's leaf bits of a tree are a word of up to 64 bits (several for a larger tree); all parties' words of a row have
one bit in common, the row's leaf. Taking a party's word from another row leaves that true: any decisions of parties
lead to one leaf. So a permutation costs a gather, an AND and a look-up per row and tree, whatever the number of leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchain.model.leaf_mask import Bits, leaf_weights, tree_starts
from fedchain.model.shard import Shard

_WORD = 64
_BLOCK_ROWS = 4096
"""Rows that are worked on at a time: their words stay in a core's cache."""
_CELLS = 2**20
"""Margins that are held at a time, 8 MiB."""
Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
_Words = NDArray[np.unsignedinteger[Any]]


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
        self._tree_starts = np.searchsorted([first for first, _, _ in columns], starts).astype(np.int64)
        most = max((last - first for first, last, _ in columns), default=1)
        word = next(np.dtype(f"<u{size}") for size in (1, 2, 4, 8) if most <= 8 * size)
        self._words: list[_Words] = [_packed(bits, columns, word) for bits in bits_by_party]
        # by the place of a word's bit, counted from 1; 0 for no bit; one more where bits that lead to several leaves
        # were rounded up
        self._weights = np.zeros((len(columns), _WORD + 2))
        for place, (first, last, _) in enumerate(columns):
            self._weights[place, 1 : last - first + 1] = weights[first:last]
        self._offsets = np.arange(len(columns), dtype=np.int64) * (_WORD + 2)
        self._others: tuple[frozenset[int], _Words] | None = None

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
        margins = np.tile(self._base, (self.rows, 1))
        for few, added in self._added(elsewhere, _BLOCK_ROWS):
            for output in range(len(self._base)):
                margins[few, output] += self._of(output, added).sum(axis=1)
        return margins

    def margins_in_steps(self, elsewhere: Mapping[int, Rows], ends: Sequence[int]) -> Iterator[tuple[slice, Floats]]:
        """Margins after some first trees of the model, for some rows at a time.

        Args:
            elsewhere: as in `margins`.
            ends: numbers of trees, ascending, 0 or more.

        Yields:
            Which rows, and (rows, ends, outputs) float64.
        """
        stops = self._tree_starts[np.asarray(ends, dtype=np.int64)]
        step = max(1, min(_BLOCK_ROWS, _CELLS // (len(stops) * len(self._base))))
        for few, added in self._added(elsewhere, step):
            margins = np.empty((len(added), len(stops), len(self._base)))
            sums = np.zeros((len(added), added.shape[1] + 1))
            for output, base in enumerate(self._base):
                np.cumsum(np.where(self._outputs == output, added, 0.0), axis=1, out=sums[:, 1:])
                margins[:, :, output] = base + sums[:, stops]
            yield few, margins

    def _added(self, elsewhere: Mapping[int, Rows], step: int) -> Iterator[tuple[slice, Floats]]:
        """What each word's leaf adds to the margin of its output, (rows, words), for `step` rows at a time."""
        others = self._common(frozenset(elsewhere))
        for first in range(0, self.rows, step):
            few = slice(first, min(first + step, self.rows))
            common = others[few]
            for party, rows in elsewhere.items():
                common = common & self._words[party][rows[few]]
            _, place = np.frexp(common.astype(np.float64))
            yield few, self._weights.ravel()[place + self._offsets]

    def _of(self, output: int, added: Floats) -> Floats:
        return added if len(self._base) == 1 else added[:, self._outputs == output]

    def _common(self, without: frozenset[int]) -> _Words:
        """Bits that all the other parties have in common; the last answer is kept."""
        if self._others is None or self._others[0] != without:
            common = ~np.zeros_like(self._words[0])
            for party, words in enumerate(self._words):
                if party not in without:
                    common &= words
            self._others = without, common
        return self._others[1]


def _packed(bits: Bits, columns: Sequence[tuple[int, int, int]], word: np.dtype[Any]) -> _Words:
    """(rows, columns) words, the first leaf in the lowest bit."""
    words = np.zeros((len(bits), len(columns)), dtype=word)
    for place, (first, last, _) in enumerate(columns):
        raw = np.zeros((len(bits), word.itemsize), dtype=np.uint8)
        packed = np.packbits(bits[:, first:last], axis=1, bitorder="little")
        raw[:, : packed.shape[1]] = packed
        words[:, place] = raw.view(word)[:, 0]
    return words
