"""Made-up models: full trees whose nodes belong to all parties alike, without any training.

What a contribution costs to compute depends on rows, trees, leaves and parties, and not on what the trees say.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedchain.model.leaf_mask import Bits, leaf_bits, whole_bits
from fedchain.model.shard import OwnSplit, Shard, Tree, TreeShape

FEATURES = 4
BINS = 32
_TRAIN_ROWS = 4096
_BLOCK_ROWS = 512


@dataclass(frozen=True)
class MadeUpModel:
    """A model with rows to judge it by.

    Attributes:
        shards: of each party, roster order; standard mode, binary.
        bits: (rows, leaves of all trees) bool each, roster order.
        labels: (rows,) 0.0 or 1.0, drawn by the model's own margins: so every party's decisions are worth something.
    """

    shards: tuple[Shard, ...]
    bits: tuple[Bits, ...]
    labels: NDArray[np.float64]


def made_up_model(parties: int, *, rows: int, trees: int, depth: int, seed: int) -> MadeUpModel:
    """A model of full binary trees; the same arguments give the same one.

    Args:
        parties: 2 to 8.
        rows: to judge it by.
        trees, depth: of the model; each tree has 2^depth leaves.
        seed: of owners, splits, covers, weights, rows and labels.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    inner, nodes = 2**depth - 1, tuple(range(2 ** (depth + 1) - 1))
    of_party: list[list[Tree]] = [[] for _ in range(parties)]
    for _ in range(trees):
        owners = random.integers(0, parties, inner).tolist()
        shape = TreeShape(nodes, (*owners, *[-1] * (inner + 1)))
        weights = tuple(random.normal(0, 1.5 / trees**0.5, inner + 1).tolist())
        splits = [
            OwnSplit(node, int(random.integers(FEATURES)), int(random.integers(4, BINS - 4)), False)
            for node in range(inner)
        ]
        for party, own in enumerate(of_party):
            mine = tuple(split for split, owner in zip(splits, owners, strict=True) if owner == party)
            own.append(Tree(shape, mine, *(((), weights) if party == 0 else ())))
    roster = tuple(f"party_{number + 1}" for number in range(parties))
    shards = tuple(
        Shard(
            party=name,
            roster=roster,
            mode="standard",
            objective="binary",
            base_margins=(0.0,) if party == 0 else (),
            binning={},
            trees=tuple(of_party[party]),
        )
        for party, name in enumerate(roster)
    )
    n_bins = np.full(FEATURES, BINS)
    shards = (_covered(shards, random, n_bins), *shards[1:])
    bits = []
    for party, shard in enumerate(shards):
        columns = random.integers(0, BINS, (rows, FEATURES)).astype(np.uint8)
        bits.append(whole_bits(shards[0], party, leaf_bits(shard, columns, n_bins)))
    reached = np.logical_and.reduce(bits)
    margin = reached @ np.concatenate([np.asarray(tree.weights) for tree in shards[0].trees])
    labels = (random.random(rows) < 1 / (1 + np.exp(-margin))).astype(np.float64)
    return MadeUpModel(shards, tuple(bits), labels)


def _covered(shards: tuple[Shard, ...], random: np.random.Generator, n_bins: NDArray[np.int64]) -> Shard:
    """The active party's shard with covers of rows like those that judge the model; no leaf is without any."""
    active = shards[0]
    counts = np.ones(sum(len(tree.weights) for tree in active.trees), dtype=np.int64)
    for _ in range(0, _TRAIN_ROWS, _BLOCK_ROWS):
        reached = np.ones((_BLOCK_ROWS, len(counts)), dtype=bool)
        for shard in shards:
            reached &= leaf_bits(shard, random.integers(0, BINS, (_BLOCK_ROWS, FEATURES)).astype(np.uint8), n_bins)
        counts += reached.sum(axis=0)
    trees, start = [], 0
    for tree in active.trees:
        leaves, inner = len(tree.weights), len(tree.weights) - 1
        covers = [0] * inner + counts[start : start + leaves].tolist()
        for node in reversed(range(inner)):
            covers[node] = covers[2 * node + 1] + covers[2 * node + 2]
        trees.append(msgspec.structs.replace(tree, covers=tuple(covers)))
        start += leaves
    return msgspec.structs.replace(active, trees=tuple(trees))
