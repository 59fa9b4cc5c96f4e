"""Merged bins against the rule, on every kind of counts and down several levels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedchain.training.boosting.merging import (
    ABSENT,
    FOLDED_MISSING,
    NO_MISSING,
    OWN_MISSING,
    Grouping,
    coarsen,
    group_counts,
    grouped,
    whole,
)
from tests.protocol.coarser import Groups, every_bin, merged

Bins = NDArray[np.uint8]


@dataclass(frozen=True)
class Family:
    """A column's rows at a node and its sibling, level by level; the first level is the root alone."""

    n_bins: int
    has_missing: bool
    levels: tuple[tuple[Bins, ...], ...]
    min_bin_rows: int
    min_leaf_rows: int


@st.composite
def families(draw: st.DrawFn) -> Family:
    n_bins, has_missing = draw(st.integers(1, 9)), draw(st.booleans())
    weights = draw(st.lists(st.sampled_from([0, 1, 1, 4, 12]), min_size=n_bins, max_size=n_bins))
    missing = draw(st.sampled_from([0, 1, 5, 12])) if has_missing else 0
    rows = np.repeat(np.arange(n_bins + 1), [*weights, missing]).astype(np.uint8)
    levels: list[tuple[Bins, ...]] = [(rows,)]
    for _ in range(draw(st.integers(0, 3))):
        goes = np.array(draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))), dtype=bool)
        levels.append((rows[goes], rows[~goes]))
        rows = levels[-1][draw(st.integers(0, 1))]
    return Family(n_bins, has_missing, tuple(levels), draw(st.integers(0, 8)), draw(st.integers(0, 8)))


def descend(family: Family) -> list[tuple[Grouping, Grouping, tuple[Bins, ...]]]:
    """(groups above, groups found, rows of node and sibling) per level."""
    above, found = whole(family.n_bins, family.has_missing), []
    for nodes in family.levels:
        counts = tuple(group_counts(one, above, family.n_bins) for one in nodes)
        below = coarsen(above, counts, family.min_bin_rows, family.min_leaf_rows)
        found.append((above, below, nodes))
        above = below
    return found


def value_counts(grouping: Grouping, rows: Bins, n_bins: int) -> NDArray[np.int64]:
    """Rows per value group, counted from what the grouping says of original bins."""
    inside = [rows < n_bins] if grouping.missing == OWN_MISSING else [rows <= n_bins]
    ends = np.minimum(rows, n_bins - 1)
    place = np.array(
        [next(i for i, upper in enumerate(grouping.upper) if one <= upper) for one in ends], dtype=np.int64
    )
    return np.bincount(place[inside[0]], minlength=grouping.groups)


@settings(max_examples=200, deadline=None)
@given(families())
def test_groups_are_those_of_the_rule_in_sets(family: Family) -> None:
    """Against the reference's merging, which knows sets of original bins alone."""
    groups = every_bin(family.n_bins, family.has_missing)
    for _, found, nodes in descend(family):
        groups = merged(groups, nodes, family.n_bins, family.min_bin_rows, family.min_leaf_rows)
        assert as_sets(found, groups, family.n_bins) == groups


def as_sets(grouping: Grouping, like: Groups, n_bins: int) -> Groups:
    """A grouping as the reference writes it; a folded missing bin is a member of the last group."""
    starts = [0, *(upper + 1 for upper in grouping.upper[:-1])]
    members = [frozenset(range(a, b + 1)) for a, b in zip(starts, grouping.upper, strict=True)]
    if n_bins in like.members[-1]:
        assert not grouping.has_missing
        members[-1] |= {n_bins}
    return Groups(tuple(members), grouping.has_missing)


@settings(max_examples=200, deadline=None)
@given(families())
def test_every_group_holds_no_row_or_enough_and_every_boundary_leaves_enough(family: Family) -> None:
    """A feature of one value group shows no more than its node's rows, which are public."""
    for above, found, nodes in descend(family):
        merging = max(family.min_bin_rows, family.min_leaf_rows) > 1
        for rows in nodes:
            counts = value_counts(found, rows, family.n_bins)
            if merging and found.groups > 1:
                assert ((counts == 0) | (counts >= family.min_bin_rows)).all()
                left = np.cumsum(counts)[:-1]
                right = counts.sum() - left
                assert ((left == 0) | (left >= family.min_leaf_rows)).all()
                assert ((right == 0) | (right >= family.min_leaf_rows)).all()
            if merging and found.has_missing:
                missing = int((rows == family.n_bins).sum())
                for side in (missing, len(rows) - missing):
                    assert side == 0 or side >= max(family.min_bin_rows, family.min_leaf_rows)
        if not merging:
            assert found.sizes == (1,) * above.groups
            assert found.upper == above.upper
            assert found.has_missing == above.has_missing


@settings(max_examples=200, deadline=None)
@given(families())
def test_groups_only_get_coarser_and_a_missing_bin_is_folded_once_and_for_all(family: Family) -> None:
    for above, found, nodes in descend(family):
        assert sum(found.sizes) == above.groups
        assert min(found.sizes) >= 1
        assert len(found.upper) == len(found.sizes)
        assert set(found.upper) <= set(above.upper)
        ends = np.cumsum(found.sizes) - 1
        assert found.upper == tuple(above.upper[end] for end in ends)
        assert found.upper[-1] == family.n_bins - 1
        assert (found.missing != NO_MISSING) == above.has_missing, "told of while there is something to tell"
        floor = max(family.min_bin_rows, family.min_leaf_rows)
        sides = [(rows == family.n_bins).sum() for rows in nodes] + [(rows < family.n_bins).sum() for rows in nodes]
        few = any(0 < side < floor for side in sides)
        merging = max(family.min_bin_rows, family.min_leaf_rows) > 1
        assert (found.missing == FOLDED_MISSING) == (above.has_missing and few and merging)


@settings(max_examples=200, deadline=None)
@given(families())
def test_counts_of_groups_are_those_of_the_rows_and_keep_the_total(family: Family) -> None:
    for _, found, nodes in descend(family):
        for rows in nodes:
            counts = group_counts(rows, found, family.n_bins)
            assert counts.sum() == len(rows)
            assert len(counts) == found.width == found.groups + found.has_missing
            expected = value_counts(found, rows, family.n_bins).tolist()
            expected += [int((rows == family.n_bins).sum())] * found.has_missing
            assert counts.tolist() == expected
            np.testing.assert_array_equal(
                np.bincount(grouped(rows, found, family.n_bins), minlength=found.width), counts
            )


@settings(max_examples=200, deadline=None)
@given(families())
@example(Family(4, False, ((np.repeat(np.arange(4), [9, 0, 0, 2]).astype(np.uint8),),), 5, 0))
def test_nothing_is_merged_that_need_not_be(family: Family) -> None:
    """No group can be cut in two, at any boundary of the parent's, without breaking the rule; but for the last.

    The last group takes what is left over, so another way of cutting may exist; as many groups is the most it has.
    """
    merging = max(family.min_bin_rows, family.min_leaf_rows) > 1
    for above, found, nodes in descend(family):
        if not merging:
            continue
        parent_counts = []
        for rows in nodes:
            mine = value_counts(above, rows, family.n_bins)
            if found.missing == FOLDED_MISSING:
                mine = mine.copy()
                mine[-1] = (np.minimum(rows, family.n_bins - 1) > (above.upper[-2] if above.groups > 1 else -1)).sum()
            parent_counts.append(mine)
        ends = [0, *np.cumsum(found.sizes)]
        for start, end in list(pairwise(ends))[:-1]:
            for cut in range(start + 1, end):
                sound = all(
                    (piece == 0 or piece >= family.min_bin_rows)
                    for counts in parent_counts
                    for piece in (counts[start:cut].sum(), counts[cut:end].sum())
                ) and all(
                    (side == 0 or side >= family.min_leaf_rows)
                    for counts in parent_counts
                    for side in (counts[:cut].sum(), counts[cut:].sum())
                )
                assert not sound


def test_bins_by_hand() -> None:
    def at(counts: list[int], least_bin: int, least_leaf: int, missing: bool = False) -> Grouping:
        return coarsen(whole(len(counts) - missing, missing), (np.array(counts),), least_bin, least_leaf)

    assert at([20, 3, 17, 20], 20, 0) == Grouping((1, 2, 1), NO_MISSING, (0, 2, 3))
    assert at([20, 20, 19], 20, 0) == Grouping((1, 2), NO_MISSING, (0, 2))
    assert at([20, 25, 0, 0, 5], 20, 0) == Grouping((1, 4), NO_MISSING, (0, 4)), "what is left over joins enough"
    assert at([25, 0, 5], 20, 0) == Grouping((3,), NO_MISSING, (2,))
    assert at([1, 1, 1, 30], 0, 4) == Grouping((4,), NO_MISSING, (3,)), "no boundary leaves four rows on the left"
    assert at([2, 2, 1, 1, 2, 2], 0, 4) == Grouping((2, 1, 1, 2), NO_MISSING, (1, 2, 3, 5))
    assert at([9, 9, 9], 5, 5, missing=True) == Grouping((1, 1), OWN_MISSING, (0, 1))
    assert at([9, 9, 4], 5, 5, missing=True) == Grouping((1, 1), FOLDED_MISSING, (0, 1))
    assert at([9, 3, 4], 5, 5, missing=True) == Grouping((1, 1), FOLDED_MISSING, (0, 1)), "3 and 4 are enough together"
    assert at([1, 3, 9], 5, 5, missing=True) == Grouping((2,), FOLDED_MISSING, (1,)), "few rows have a value"
    assert at([0, 0, 9], 5, 5, missing=True) == Grouping((1, 1), OWN_MISSING, (0, 1)), "none has"
    assert at([9, 3, 0], 5, 5, missing=True) == Grouping((2,), OWN_MISSING, (1,))
    assert at([0, 0, 9, 9], 5, 5) == Grouping((1, 1, 1, 1), NO_MISSING, (0, 1, 2, 3)), "empty bins show nothing"


def test_a_sibling_s_few_rows_merge_bins_of_both() -> None:
    found = coarsen(whole(3, False), (np.array([30, 30, 30]), np.array([30, 2, 30])), 20, 20)
    assert found == Grouping((1, 2), NO_MISSING, (0, 2))
    assert coarsen(whole(3, False), (np.array([30, 30, 30]),), 20, 20).sizes == (1, 1, 1)
    left_over = coarsen(whole(4, False), (np.array([30, 30, 0, 5]), np.array([30, 0, 30, 0])), 20, 0)
    assert left_over == Grouping((1, 3), NO_MISSING, (0, 3)), "the last bin's few rows need the second bin's"


@pytest.mark.parametrize("minima", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_without_minima_nothing_is_merged(minima: tuple[int, int]) -> None:
    above = Grouping((2, 1), OWN_MISSING, (1, 2))
    assert coarsen(above, (np.array([1, 0, 1]), np.array([0, 1, 2])), *minima) == Grouping((1, 1), OWN_MISSING, (1, 2))


def test_a_feature_that_sits_out_stays_out() -> None:
    assert coarsen(ABSENT, (np.zeros(0, dtype=np.int64),), 20, 20) == ABSENT
    assert (ABSENT.groups, ABSENT.width, ABSENT.has_missing) == (0, 0, False)
