"""Coarser bins, so that no histogram shows a handful of rows. A passive party does this before it sums.

Adjacent bins are merged until child *and* sibling each hold no row or at least `min_bin_rows` in every group, and until
every boundary leaves no row or at least `min_leaf_rows` on each side, in both. A missing bin is folded into the last
group, whose side its rows then take, where it or all value bins together hold fewer rows. Groups only get coarser down
a tree, so that the active party can subtract a child from its parent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
NO_MISSING, OWN_MISSING, FOLDED_MISSING = 0, 1, 2


@dataclass(frozen=True)
class Grouping:
    """Groups of one feature at a node and its sibling.

    Attributes:
        sizes: how many of the parent's groups (at the root: bins) each group takes; empty: the feature sits out.
        missing: `NO_MISSING`, `OWN_MISSING` (a missing bin follows the groups), or `FOLDED_MISSING` (the parent's
            missing bin is part of the last group).
        upper: last original bin of each group.
    """

    sizes: tuple[int, ...]
    missing: int
    upper: tuple[int, ...]

    @property
    def groups(self) -> int:
        """Value groups."""
        return len(self.sizes)

    @property
    def has_missing(self) -> bool:
        """Whether a missing bin follows."""
        return self.missing == OWN_MISSING

    @property
    def width(self) -> int:
        """Groups, the missing bin included."""
        return self.groups + self.has_missing


def whole(n_bins: int, has_missing: bool) -> Grouping:
    """Every bin a group of its own."""
    return Grouping((1,) * n_bins, int(has_missing), tuple(range(n_bins)))


ABSENT = Grouping((), NO_MISSING, ())
"""A feature that is not sampled for this tree."""


def coarsen(parent: Grouping, counts: tuple[Counts, ...], min_bin_rows: int, min_leaf_rows: int) -> Grouping:
    """Groups for a node and its sibling.

    Args:
        parent: the groups above; at the root, `whole`.
        counts: rows per group of `parent` (its missing bin last, if it has one), for the node and for its sibling;
            for the node alone at the root.
        min_bin_rows, min_leaf_rows: see above; both 0 leaves all groups as they are.
    """
    if parent.groups == 0 or (min_bin_rows <= 1 and min_leaf_rows <= 1):
        return Grouping((1,) * parent.groups, parent.missing & OWN_MISSING, parent.upper)
    values = np.stack([one[: parent.groups] for one in counts])  # (nodes, groups)
    missing = parent.missing & OWN_MISSING
    if missing:
        floor = max(min_bin_rows, min_leaf_rows)
        sides = [(int(one[: parent.groups].sum()), int(one[parent.groups])) for one in counts]
        if any(0 < rows < floor for side in sides for rows in side):
            missing = FOLDED_MISSING
            values = values.copy()
            values[:, -1] += np.asarray([one[parent.groups] for one in counts])
    totals = values.sum(axis=1)

    def holds(rows: Counts) -> bool:
        return bool(((rows == 0) | (rows >= min_bin_rows)).all())

    def splits(before: Counts) -> bool:
        after = totals - before
        return bool((((before == 0) | (before >= min_leaf_rows)) & ((after == 0) | (after >= min_leaf_rows))).all())

    ends: list[int] = []  # ends[i]: one past the last parent group of group i
    starts_at = np.zeros(len(counts), dtype=np.int64)
    prefix = np.zeros(len(counts), dtype=np.int64)
    cumulated: list[Counts] = []
    for group in range(parent.groups):
        prefix = prefix + values[:, group]
        if holds(prefix - starts_at) and splits(prefix):
            ends.append(group + 1)
            cumulated.append(prefix)
            starts_at = prefix
    if not ends or ends[-1] != parent.groups:  # the rest joins what is before it, until both are large enough
        while ends:
            ends.pop()
            cumulated.pop()
            before = cumulated[-1] if cumulated else np.zeros_like(totals)
            if holds(totals - before):
                break
        ends.append(parent.groups)
    sizes = tuple(int(size) for size in np.diff([0, *ends]))
    return Grouping(sizes, missing, tuple(parent.upper[end - 1] for end in ends))


def group_counts(bins: NDArray[np.uint8], grouping: Grouping, n_bins: int) -> Counts:
    """Rows per group of a binned column, the missing bin last where there is one.

    Args:
        bins: shape (rows,), original bins.
        n_bins: value bins of the feature; a bin >= that is missing.
    """
    return np.bincount(grouped(bins, grouping, n_bins), minlength=grouping.width).astype(np.int64)


def grouped(bins: NDArray[np.uint8], grouping: Grouping, n_bins: int) -> NDArray[np.uint8]:
    """Group of each row; missing values have the group after the last, or the last where they are folded."""
    table = np.searchsorted(np.asarray(grouping.upper), np.arange(n_bins)).astype(np.uint8)
    last = grouping.groups if grouping.has_missing else grouping.groups - 1
    mapped = np.append(table, np.uint8(last))[np.minimum(bins, n_bins)]
    return np.asarray(mapped, dtype=np.uint8)
