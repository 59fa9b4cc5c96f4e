"""Leaf-compatibility bits: which leaves a row can still reach, given one party's splits alone.

A row reaches the one leaf that every party finds compatible, so the product of all parties' bits is the prediction
path (SecureBoost inference in one round). The receiver of a party's bits learns that party's decision at every node
that is compatible with the party's own path.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchain.errors import ProtocolViolationError
from fedchain.model.shard import Shard, Tree

Bits = NDArray[np.bool_]
ROWS_PER_CHUNK = 65_536


def leaf_count(shard: Shard) -> int:
    """Leaves of all trees: bits per row."""
    return sum(len(tree.shape.leaves()) for tree in shard.trees)


def leaf_bits(shard: Shard, bins: NDArray[np.uint8], n_bins: NDArray[np.int64]) -> Bits:
    """Bits of every row for every leaf.

    Args:
        shard: this party's.
        bins: shape (rows, features), binned by the shard's own mapper.
        n_bins: value bins per feature; a bin >= that is missing.

    Returns:
        Shape (rows, leaves of all trees), trees in order, leaves by ascending node id.
    """
    columns = [_tree_bits(tree, bins, n_bins) for tree in shard.trees]
    return np.concatenate(columns, axis=1) if columns else np.zeros((len(bins), 0), dtype=bool)


def _tree_bits(tree: Tree, bins: NDArray[np.uint8], n_bins: NDArray[np.int64]) -> Bits:
    owned = {split.node: split for split in tree.splits}
    reach: dict[int, Bits] = {0: np.ones(len(bins), dtype=bool)}
    leaves = []
    for node, owner in zip(tree.shape.nodes, tree.shape.owners, strict=True):
        mask = reach.pop(node)
        if owner < 0:
            leaves.append(mask)
            continue
        left = right = mask
        if node in owned:
            split = owned[node]
            column = bins[:, split.feature]
            goes = column <= split.bin
            if split.missing_left:
                goes = goes | (column >= n_bins[split.feature])
            left, right = mask & goes, mask & ~goes
        reach[2 * node + 1], reach[2 * node + 2] = left, right
    return np.stack(leaves, axis=1)


def pack_bits(bits: Bits) -> bytes:
    """Rows of whole bytes, little-endian bit order."""
    return np.packbits(bits, axis=1, bitorder="little").tobytes()


def unpack_bits(packed: bytes, rows: int, leaves: int, sender: str) -> Bits:
    """Inverse of `pack_bits`.

    Raises:
        ProtocolViolationError: wrong length; names `sender`.
    """
    width = (leaves + 7) // 8
    if len(packed) != rows * width:
        raise ProtocolViolationError(sender, f"answer has {len(packed)} bytes, {rows * width} expected")
    raw = np.frombuffer(packed, dtype=np.uint8).reshape(rows, width)
    return np.unpackbits(raw, axis=1, bitorder="little")[:, :leaves].astype(bool)


def leaf_weights(shard: Shard) -> NDArray[np.float64]:
    """Weights of all leaves in bit order; the active party's shard only."""
    return np.concatenate([np.asarray(tree.weights, dtype=np.float64) for tree in shard.trees] or [np.zeros(0)])


def tree_starts(shard: Shard) -> NDArray[np.int64]:
    """Where each tree's leaves start among the bits, and the end."""
    counts = [len(tree.shape.leaves()) for tree in shard.trees]
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts, dtype=np.int64)])


def require_one_leaf(bits: Bits, shard: Shard, culprits: str) -> None:
    """Every row must reach exactly one leaf per tree, or somebody's bits are wrong.

    Raises:
        ProtocolViolationError: names `culprits`.
    """
    starts = tree_starts(shard)
    if len(starts) > 1 and not (np.add.reduceat(bits, starts[:-1], axis=1, dtype=np.int64) == 1).all():
        raise ProtocolViolationError(culprits, "leaf bits do not lead every row to exactly one leaf of each tree")
