"""Step numbers within the round of one tree: 0 gradients; 3 per level; one more for the leaf weights."""

from __future__ import annotations

GRADIENTS = 0


def histogram(level: int) -> int:
    """Passive parties' histograms of a level."""
    return 1 + 3 * level


def split(level: int) -> int:
    """The active party's split announcement of a level."""
    return 2 + 3 * level


def partition(level: int) -> int:
    """The split owners' partitions of a level."""
    return 3 + 3 * level


def leaf_weights(depth: int) -> int:
    """The active party's leaf weights, which close the tree."""
    return 1 + 3 * depth
