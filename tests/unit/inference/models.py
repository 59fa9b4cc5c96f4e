"""Made-up models and rows that tests of inference share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchain.model.shard import OwnSplit, Shard, Tree, TreeShape

FEATURES, BINS = 3, 4
N_BINS = np.full(FEATURES, BINS)
Bins = NDArray[np.uint8]


def some_bins(random: np.random.Generator, rows: int) -> Bins:
    """Bins of some rows; bin 4 is missing."""
    return random.integers(0, BINS + 1, (rows, FEATURES)).astype(np.uint8)


def full_model(random: np.random.Generator, trees: int, leaves_log2: int) -> list[Shard]:
    """Full trees over three parties; every owner of nodes is drawn."""
    inner = 2**leaves_log2 - 1
    shapes = [
        TreeShape(tuple(range(2 * inner + 1)), (*random.integers(0, 3, inner).tolist(), *[-1] * (inner + 1)))
        for _ in range(trees)
    ]
    roster = ("a", "b", "c")

    def tree(shape: TreeShape, party: int) -> Tree:
        owned = tuple(
            OwnSplit(node, int(random.integers(FEATURES)), int(random.integers(BINS)), bool(random.integers(2)))
            for node, owner in zip(shape.nodes, shape.owners, strict=True)
            if owner == party
        )
        weights = () if party else tuple(random.normal(size=inner + 1).tolist())
        covers = () if party else tuple(2 ** (leaves_log2 + 4 - node.bit_length()) for node in range(1, 2 * inner + 2))
        return Tree(shape, owned, covers=covers, weights=weights)

    return [
        Shard(
            party=name,
            roster=roster,
            mode="standard",
            objective="binary",
            base_margins=() if index else (0.1,),
            binning={},
            trees=tuple(tree(shape, index) for shape in shapes),
        )
        for index, name in enumerate(roster)
    ]
