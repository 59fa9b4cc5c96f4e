"""Merging of bins as `privacy-and-trust` says it, with sets of original bins; the reference's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.uint8]


@dataclass(frozen=True)
class Groups:
    """Groups of one feature at a node: sets of original bins in order, and whether missing values are apart.

    A missing bin that was folded is a member of the last group.
    """

    members: tuple[frozenset[int], ...]
    missing_apart: bool


def every_bin(n_bins: int, has_missing: bool) -> Groups:
    return Groups(tuple(frozenset([one]) for one in range(n_bins)), has_missing)


def merged(above: Groups, nodes: Sequence[Column], n_bins: int, min_bin_rows: int, min_leaf_rows: int) -> Groups:
    """Groups of nodes that are children of one node (or of the root alone), from their rows' bins."""
    if max(min_bin_rows, min_leaf_rows) <= 1:
        return above

    def enough(bins: frozenset[int], least: int) -> bool:
        held = [sum(int((column == one).sum()) for one in bins) for column in nodes]
        return all(count == 0 or count >= least for count in held)

    members, apart = list(above.members), above.missing_apart
    floor, values = max(min_bin_rows, min_leaf_rows), frozenset(range(n_bins))
    if apart and not (enough(frozenset([n_bins]), floor) and enough(values, floor)):
        members[-1], apart = members[-1] | {n_bins}, False
    everything = frozenset().union(*members)
    done: list[frozenset[int]] = []
    current: frozenset[int] = frozenset()
    for one in members:
        current |= one
        left = current.union(*done)
        cut = enough(left, min_leaf_rows) and enough(everything - left, min_leaf_rows)
        if cut and enough(current, min_bin_rows):
            done.append(current)
            current = frozenset()
    while current:
        if not done:
            done = [current]
            break
        current |= done.pop()
        if enough(current, min_bin_rows):
            done.append(current)
            break
    return Groups(tuple(done), apart)
