"""Step numbers within a round: 0 gradients; then 3 per level and tree; last the leaf weights."""

from __future__ import annotations

GRADIENTS = 0


def histogram(tree: int, depth: int, level: int) -> int:
    """Passive parties' histograms of a level of the round's tree number `tree` (from 0)."""
    return 1 + 3 * (tree * depth + level)


def split(tree: int, depth: int, level: int) -> int:
    """The active party's split announcement of a level."""
    return histogram(tree, depth, level) + 1


def partition(tree: int, depth: int, level: int) -> int:
    """The split owners' partitions of a level."""
    return histogram(tree, depth, level) + 2


def leaf_weights(trees: int, depth: int) -> int:
    """The active party's leaf weights, which close a round of so many trees."""
    return 1 + 3 * trees * depth
