"""Which own ids are in another party's set: by their tags, in numpy, chunk by chunk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TAG_BYTES = 16
Words = NDArray[np.uint64]
Tags = NDArray[np.uint64]
"""(n, 2) uint64: 16-byte tags as two little-endian words."""


def as_tags(raw: bytes) -> Tags:
    """Tags of 16 bytes each as words."""
    return np.frombuffer(raw, "<u8").reshape(-1, 2)


def repeats(words: Sequence[Words]) -> bool:
    """Whether any value is there twice."""
    joined = np.sort(np.concatenate(words))
    return bool((joined[1:] == joined[:-1]).any())


def tags_repeat(tags: Tags) -> bool:
    """Whether any tag is there twice."""
    low = np.sort(tags[:, 0])
    if not (low[1:] == low[:-1]).any():
        return False
    order = np.lexsort((tags[:, 1], tags[:, 0]))  # half a tag is there twice: of honest ones 1 in 10^7 at a million
    ordered = tags[order]
    return bool((ordered[1:] == ordered[:-1]).all(axis=1).any())


class Matcher:
    """The own set's tags, looked up for the tags of another set as its chunks come.

    Kept per own id: 16 bytes of tag, 12 of index, and a bit for each other set. Of another set nothing is kept.
    """

    def __init__(self, own: Tags) -> None:
        """Index the own tags, all different."""
        self._own = own
        self._order = np.argsort(own[:, 0], kind="stable").astype(np.uint32)
        self._low = own[self._order, 0]

    def find(self, theirs: Tags) -> NDArray[np.int64]:
        """Places of the own tags that are among theirs, in any order; one that theirs has twice, twice."""
        if not len(theirs):
            return np.zeros(0, np.int64)
        sorted_theirs = theirs[np.argsort(theirs[:, 0], kind="stable")]  # neighbours are looked up in neighbours
        first = np.searchsorted(self._low, sorted_theirs[:, 0], side="left")
        found: list[NDArray[np.int64]] = []
        offset = 0
        while True:
            place = first + offset
            inside = place < len(self._low)
            inside[inside] = self._low[place[inside]] == sorted_theirs[inside, 0]
            if not inside.any():
                return np.concatenate(found) if found else np.zeros(0, np.int64)
            candidates = self._order[place[inside]].astype(np.int64)
            same = self._own[candidates, 1] == sorted_theirs[inside, 1]
            found.append(candidates[same])
            offset += 1  # own tags that share their first half stand side by side
