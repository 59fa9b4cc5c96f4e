"""From request tags to rows. A tag that is not there takes the same steps as one that is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchain.messages.online import TAG_BYTES

_FEW = 64


class TagTable:
    """The tags of one pair and one epoch, and the row of each; 24 bytes per tag.

    Half of each tag is searched for by bisection, always to the bottom; then all 128 bits are compared.
    """

    def __init__(self, tags: bytes, positions: NDArray[np.int64] | None = None) -> None:
        """Sort the tags; about 0.15 s for a million.

        Args:
            tags: 16 bytes each, joined, all different.
            positions: (n,) int64: the row of each tag; None: 0, 1, 2, …

        Raises:
            ValueError: no whole number of tags, another number of positions, or a tag that is there twice.
        """
        if len(tags) % TAG_BYTES:
            raise ValueError(f"{len(tags)} bytes are no whole number of tags")
        words = np.frombuffer(tags, "<u8").reshape(-1, 2)
        rows = np.arange(len(words), dtype=np.int64) if positions is None else positions
        if len(rows) != len(words):
            raise ValueError(f"{len(words)} tags need as many positions, not {len(rows)}")
        order = np.lexsort((words[:, 1], words[:, 0]))
        low, high = words[order, 0], words[order, 1]
        same = low[1:] == low[:-1]
        if (same & (high[1:] == high[:-1])).any():
            raise ValueError("a tag is there twice")
        self._run = _longest_run(same)
        end = np.full(self._run, np.iinfo(np.uint64).max, np.uint64)  # so that a search may end behind the last tag
        self._low, self._high = np.concatenate([low, end]), np.concatenate([high, end])
        self._rows = np.concatenate([rows[order], np.full(self._run, -1, np.int64)])

    def __len__(self) -> int:
        """Number of tags."""
        return len(self._low) - self._run

    def find(self, tags: bytes) -> NDArray[np.int64]:
        """The row of each tag, -1 for one that is not there.

        Args:
            tags: 16 bytes each, joined.

        Returns:
            (n,) int64, in the order asked for.

        Raises:
            ValueError: no whole number of tags.
        """
        if len(tags) % TAG_BYTES:
            raise ValueError(f"{len(tags)} bytes are no whole number of tags")
        words = np.frombuffer(tags, "<u8").reshape(-1, 2)
        if len(words) <= _FEW:
            return self._find(words)
        order = np.argsort(words[:, 0])  # neighbours are searched for in neighbours
        found = np.empty(len(words), np.int64)
        found[order] = self._find(words[order])
        return found

    def _find(self, words: NDArray[np.uint64]) -> NDArray[np.int64]:
        low, high = words[:, 0], words[:, 1]
        bound = len(self._low) - self._run
        first = np.minimum(np.searchsorted(self._low, low), bound)
        found = np.full(len(words), -1, np.int64)
        for offset in range(self._run):  # once, unless two tags share their first half
            place = first + offset
            same = (self._low[place] == low) & (self._high[place] == high)
            found = np.maximum(found, np.where(same, self._rows[place], -1))  # the end's rows are -1, and override none
        return found


def _longest_run(same: NDArray[np.bool_]) -> int:
    """How many neighbours are equal at most, from which ones equal their predecessor."""
    breaks = np.flatnonzero(np.concatenate([[True], ~same, [True]]))
    return int(np.diff(breaks).max(initial=1))
