"""Covers: honest ones pass, whatever is opened; those that the opened rows or the auditor's own counts belie do not."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.bench.models import made_up_model
from fedchain.contribution.covers import UNLIKELY, _is_out_of_reach, check_covers, check_known_covers
from fedchain.contribution.open_model import open_model
from fedchain.errors import ContributionError
from fedchain.model.shard import Shard, Tree
from fedchain.types import AuditReason

MADE = made_up_model(3, rows=900, trees=6, depth=4, seed=31)
OPEN = open_model(MADE.shards[0])
REACHED = np.logical_and.reduce(MADE.bits)


@given(st.sets(st.integers(0, 899), min_size=1, max_size=900))
@settings(max_examples=40, deadline=None)
def test_honest_covers_pass_whatever_is_opened(rows: set[int]) -> None:
    check_covers(OPEN, REACHED[sorted(rows)])


@pytest.mark.parametrize("seed", range(12))
def test_honest_covers_pass_in_other_models(seed: int) -> None:
    made = made_up_model(2, rows=500, trees=10, depth=5, seed=100 + seed)
    check_covers(open_model(made.shards[0]), np.logical_and.reduce(made.bits))


def moved(tree: Tree, node: int, share: float) -> Tree:
    """The tree with a share of the node's rows said to go left; below it the covers are scaled, and add up."""
    covers = dict(zip(tree.shape.nodes, tree.covers, strict=True))
    owner = dict(zip(tree.shape.nodes, tree.shape.owners, strict=True))
    first = round(share * covers[node])
    open_nodes = [(2 * node + 1, first), (2 * node + 2, covers[node] - first)]
    while open_nodes:
        place, cover = open_nodes.pop()
        old, covers[place] = covers[place], cover
        if owner[place] >= 0:
            left = round(cover * covers[2 * place + 1] / old)
            open_nodes += [(2 * place + 1, left), (2 * place + 2, cover - left)]
    return msgspec.structs.replace(tree, covers=tuple(covers[one] for one in tree.shape.nodes))


def scaled(tree: Tree, rows: int) -> Tree:
    """The tree as if so few rows had trained: nearly all of them went left everywhere."""
    covers, owner = {0: rows}, dict(zip(tree.shape.nodes, tree.shape.owners, strict=True))
    for node in tree.shape.nodes:
        if owner[node] >= 0:
            covers[2 * node + 2] = max(0, min(1, covers[node] - 1))
            covers[2 * node + 1] = covers[node] - covers[2 * node + 2]
    return msgspec.structs.replace(tree, covers=tuple(covers[one] for one in tree.shape.nodes))


def lying(share: float) -> Shard:
    return msgspec.structs.replace(OPEN, trees=(OPEN.trees[0], moved(OPEN.trees[1], 0, share), *OPEN.trees[2:]))


@pytest.mark.parametrize("share", [0.0005, 0.9995])
def test_covers_that_leave_one_side_to_nobody_are_refused(share: float) -> None:
    with pytest.raises(ContributionError, match=r"tree 2 .* left of node 0, where \d+ of 299") as caught:
        check_covers(lying(share), REACHED[:299])
    assert (caught.value.culprit, caught.value.reason) == (OPEN.roster[0], AuditReason.SHAPES)
    check_covers(lying(share), REACHED[:299], earlier_trees=2)  # of the rows of another job


def test_small_covers_pass_for_anything_unless_the_roots_are_known() -> None:
    few = msgspec.structs.replace(OPEN, trees=(OPEN.trees[0], scaled(OPEN.trees[1], 10), *OPEN.trees[2:]))
    check_covers(few, REACHED[:299])
    roots = {tree.covers[0] for tree in OPEN.trees}
    assert len(roots) == 1
    (root,) = roots
    check_covers(OPEN, REACHED[:299], trained=root)
    with pytest.raises(ContributionError, match=rf"tree 2 of 10 training rows, it was grown with {root}") as caught:
        check_covers(few, REACHED[:299], trained=root)
    assert caught.value.reason == AuditReason.SHAPES
    check_covers(few, REACHED[:299], earlier_trees=2, trained=root)


def test_the_tail_is_the_beta_binomials() -> None:
    """Against the distribution itself, summed up term by term."""

    def tail(left: int, rows: int, a: int, b: int) -> float:
        def term(k: int) -> float:
            return math.comb(rows, k) * math.exp(
                math.lgamma(k + a) + math.lgamma(rows - k + b) - math.lgamma(rows + a + b)
                - math.lgamma(a) - math.lgamma(b) + math.lgamma(a + b)
            )  # fmt: skip

        above = sum(term(k) for k in range(left, rows + 1))
        below = sum(term(k) for k in range(left + 1))
        return min(above, below)

    for cover_left, cover in ((0, 40), (7, 300), (1000, 2000), (5, 100_000)):
        for rows in (1, 20, 150):
            for left in range(0, rows + 1, max(1, rows // 30)):
                likely = tail(left, rows, cover_left + 1, cover - cover_left + 1)
                if not 0.5 < likely / UNLIKELY < 2:
                    assert _is_out_of_reach(left, rows, cover_left, cover) == (likely <= UNLIKELY)


@settings(deadline=None)
@given(st.integers(0, 10**4), st.integers(0, 10**4), st.integers(0, 2**53), st.integers(0, 2**53))
def test_any_numbers_are_judged(left: int, right: int, cover_left: int, cover_right: int) -> None:
    _is_out_of_reach(left, left + right, cover_left, cover_left + cover_right)


def test_covers_that_the_auditor_knows_must_be_those() -> None:
    known = [dict(zip(tree.shape.nodes, tree.covers, strict=True)) for tree in OPEN.trees]
    known[0].popitem()  # not all need be known
    check_known_covers(OPEN, known, 0, "a")
    check_known_covers(OPEN, known[2:], 2, "a")
    refused = [(lying(0.52), known, 0, "tree 2"), (OPEN, known[1:], 0, "number of trees"), (OPEN, known, 1, "number")]
    for model, own, earlier, match in refused:
        with pytest.raises(ContributionError, match=match) as caught:
            check_known_covers(model, own, earlier, "a")
        assert (caught.value.culprit, caught.value.reason) == ("a", AuditReason.SHAPES)
