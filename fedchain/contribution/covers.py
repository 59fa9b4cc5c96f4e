"""Whether an open model's covers can be true: they decide what an absent party counts for, and so everybody's shares.

Covers are counts of training rows, which an auditor does not see in all. It sees all parties' decisions on the opened
rows, drawn from the same rows as those that trained: at a node with cover N, of which k went left, so many of n opened
rows go left as a beta-binomial distribution with k + 1 and N - k + 1 says. What would happen by chance less than once
in 1e12 nodes is refused. Where the auditor knows the training rows of a node itself, the cover must be that number; of
each tree it knows those of the root, which follow from the job and the number of aligned rows. Without that, small
covers would pass whatever they said: of 10 training rows that all went left, any share of the opened ones may go right.

A cover that is false by less than chance could make it passes: by about seven standard deviations, at a node that 300
opened rows reach a fifth of them at most. More opened rows make it less.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fedchain.errors import ContributionError
from fedchain.model.leaf_mask import Bits
from fedchain.model.shard import Shard, Tree
from fedchain.types import AuditReason

UNLIKELY = 1e-12
_SUSPICIOUS = 4.0
"""Standard deviations from which on a node is looked at exactly."""


def check_covers(model: Shard, reached: Bits, earlier_trees: int = 0, trained: int | None = None) -> None:
    """Compare covers with where the opened rows went.

    Args:
        model: as `check_open_model` gives it.
        reached: (opened rows, leaves of all trees) bool: one leaf of each tree per row.
        earlier_trees: of a model that the job continued: their covers are of the rows of another job.
        trained: rows that entered each tree's histograms (`JobSpec.sampled_rows`); None where they are not known.

    Raises:
        ContributionError: some node's covers are out of reach, or a root's are others than all rows that trained; names
            the label holder, reason SHAPES.
    """
    start = 0
    for number, tree in enumerate(model.trees):
        stop = start + len(tree.weights)
        if number >= earlier_trees:
            if trained is not None and tree.covers[0] != trained:
                raise ContributionError(
                    model.roster[0],
                    AuditReason.SHAPES,
                    f"opened tree {number + 1} of {tree.covers[0]} training rows, it was grown with {trained}",
                )
            _check_tree(model, number, tree, reached[:, start:stop].sum(axis=0, dtype=np.int64).tolist())
        start = stop


def check_known_covers(model: Shard, known: Sequence[Mapping[int, int]], earlier_trees: int, culprit: str) -> None:
    """Compare covers with those that the auditor knows of training.

    Args:
        model: as `check_open_model` gives it.
        known: of each tree that the job added, by node, where the auditor knows it (`PassiveModel.covers`).
        earlier_trees: of the model that the job continued.
        culprit: the label holder.

    Raises:
        ContributionError: a cover differs, or trees are missing; names `culprit`, reason SHAPES.
    """
    if len(known) != len(model.trees) - earlier_trees:
        raise ContributionError(culprit, AuditReason.SHAPES, "opened another number of trees than were trained")
    for number, (tree, own) in enumerate(zip(model.trees[earlier_trees:], known, strict=True), earlier_trees + 1):
        stated = dict(zip(tree.shape.nodes, tree.covers, strict=True))
        for node, cover in own.items():
            if stated.get(node) != cover:
                raise ContributionError(
                    culprit,
                    AuditReason.SHAPES,
                    f"opened tree {number} with {stated.get(node)} training rows at node {node}, it had {cover}",
                )


def _check_tree(model: Shard, number: int, tree: Tree, counts: list[int]) -> None:
    """Args: counts: opened rows per leaf."""
    covers = dict(zip(tree.shape.nodes, tree.covers, strict=True))
    of_leaves = iter(reversed(counts))
    rows: dict[int, int] = {}
    for node, owner in zip(reversed(tree.shape.nodes), reversed(tree.shape.owners), strict=True):
        if owner < 0:
            rows[node] = next(of_leaves)
            continue
        left, right = rows.pop(2 * node + 1), rows.pop(2 * node + 2)
        rows[node] = left + right
        if _is_out_of_reach(left, left + right, covers[2 * node + 1], covers[node]):
            raise ContributionError(
                model.roster[0],
                AuditReason.SHAPES,
                f"opened tree {number + 1} with {covers[2 * node + 1]} of {covers[node]} training rows left of node "
                f"{node}, where {left} of {left + right} opened rows go left",
            )


def _is_out_of_reach(left: int, rows: int, cover_left: int, cover: int) -> bool:
    """Whether so many of the rows or more (or fewer) going left is less likely than once in 1e12."""
    a, b = cover_left + 1, cover - cover_left + 1
    mean = rows * a / (a + b)
    variance = mean * b / (a + b) * (a + b + rows) / (a + b + 1)
    if (left - mean) ** 2 <= _SUSPICIOUS**2 * variance:
        return False
    places = range(left, rows + 1) if left > mean else range(left, -1, -1)
    tail = 0.0
    for place in places:  # terms fall from here on
        term = math.exp(_log_beta(place + a, rows - place + b) - _log_beta(a, b) + _log_choose(rows, place))
        tail += term
        if tail > UNLIKELY or term < UNLIKELY * 1e-6:
            break
    return tail <= UNLIKELY


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
