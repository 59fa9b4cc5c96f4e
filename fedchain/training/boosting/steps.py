"""Step numbers within a round: 0 gradients; then 3 per turn and tree; last the leaf weights.

A turn is a level, or one split of a tree that grows leaf by leaf; `turns` bounds their number per tree
(`BoostingParams.turns`), so that steps of different trees never meet. A warm start's leaf bits are partitions of step 0
(`fedchain.inference.checkpoint`).
"""

from __future__ import annotations

GRADIENTS = 0


def histogram(tree: int, turns: int, turn: int) -> int:
    """Passive parties' histograms of a turn of the round's tree number `tree` (from 0)."""
    return 1 + 3 * (tree * turns + turn)


def split(tree: int, turns: int, turn: int) -> int:
    """The active party's split announcement of a turn."""
    return histogram(tree, turns, turn) + 1


def partition(tree: int, turns: int, turn: int) -> int:
    """The split owners' partitions of a turn."""
    return histogram(tree, turns, turn) + 2


def leaf_weights(trees: int, turns: int) -> int:
    """The active party's leaf weights, which close a round of so many trees."""
    return 1 + 3 * trees * turns
