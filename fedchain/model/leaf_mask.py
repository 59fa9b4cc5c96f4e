"""Leaf-compatibility bits: which leaves a row can still reach, given one party's splits alone.

A row reaches the one leaf that every party finds compatible, so the product of all parties' bits is the prediction
path (SecureBoost inference in one round). The receiver of a party's bits learns that party's decision at every node
that is compatible with the party's own path. A party that knows only the part of a tree that it split itself sends bits
for the leaves of that part; of a tree in which it has no split, none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchain.errors import ProtocolViolationError
from fedchain.model.shard import Shard, Tree, TreeShape

Bits = NDArray[np.bool_]


def view_of(shard: Shard, tree: Tree, party: int) -> TreeShape:
    """The shape of a tree as a party on the roster knows it, from the active party's shard."""
    return tree.shape if shard.shares_shapes or party == 0 else tree.shape.seen_by(party)


def bit_count(shard: Shard, party: int) -> int:
    """Bits per row that a party answers with, from the active party's shard or from the party's own."""
    return sum(view_of(shard, tree, party).bit_count for tree in shard.trees)


def leaf_bits(shard: Shard, bins: NDArray[np.uint8], n_bins: NDArray[np.int64]) -> Bits:
    """Bits of every row for every leaf that this party sends bits for.

    Args:
        shard: this party's.
        bins: shape (rows, features), binned by the shard's own mapper.
        n_bins: value bins per feature; a bin >= that is missing.

    Returns:
        Shape (rows, `bit_count` of this party), trees in order, leaves by ascending node id.
    """
    columns = [_tree_bits(tree, bins, n_bins) for tree in shard.trees if tree.shape.bit_count]
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


def whole_bits(shard: Shard, party: int, bits: Bits) -> Bits:
    """A party's bits spread over all leaves of all trees; the active party's shard only.

    Args:
        bits: shape (rows, `bit_count` of the party).

    Returns:
        Shape (rows, leaves of all trees).
    """
    spread: Bits = np.concatenate([bits, np.ones((len(bits), 1), dtype=bool)], axis=1)[:, leaf_places(shard, party)]
    return spread


def leaf_places(shard: Shard, party: int) -> NDArray[np.int64]:
    """Which of a party's bits stands for each leaf of all trees; the active party's shard only.

    Returns:
        (leaves of all trees,) int64; `bit_count` of the party, one beyond its bits, for leaves of trees in which it has
        no split: they are compatible with every row.
    """
    places: list[int] = []
    start, none = 0, bit_count(shard, party)
    for tree in shard.trees:
        leaves, view = tree.shape.leaves(), view_of(shard, tree, party)
        place = {leaf: start + i for i, leaf in enumerate(view.leaves())} if view.bit_count else {}
        places += [place[_known_ancestor(leaf, place)] if place else none for leaf in leaves]
        start += view.bit_count
    return np.array(places, dtype=np.int64)


def _known_ancestor(leaf: int, known: dict[int, int]) -> int:
    while leaf not in known:
        leaf = (leaf - 1) // 2
    return leaf


def require_decisions(shard: Shard, party: int, bits: Bits, culprit: str) -> None:
    """A party's leaf bits must be those of a decision at each of its nodes, and say nothing at the others'.

    At a node of the party's own that a row can reach, one side has all its bits; at another's node, both sides have
    some. Without this, bits of leaves that the other parties exclude could be anything: they change no score, but they
    do change what the model says without the others.

    Args:
        shard: the active party's, or its open model.
        party: place on the roster.
        bits: (rows, `bit_count` of the party) bool.
        culprit: who is named.

    Raises:
        ProtocolViolationError: they are not; names `culprit`.
    """
    start = 0
    for number, tree in enumerate(shard.trees, start=1):
        view = view_of(shard, tree, party)
        if not view.bit_count:
            continue
        columns = np.asfortranarray(bits[:, start : start + view.bit_count])
        start += view.bit_count
        leaves = iter(range(view.bit_count - 1, -1, -1))
        some: dict[int, Bits] = {}
        for node, owner in zip(reversed(view.nodes), reversed(view.owners), strict=True):
            if owner < 0:
                some[node] = columns[:, next(leaves)]
                continue
            left, right = some.pop(2 * node + 1), some.pop(2 * node + 2)
            if (left & right).any() if owner == party else (left != right).any():
                raise ProtocolViolationError(culprit, f"leaf bits of tree {number} are no decisions at its nodes")
            some[node] = left | right
        if not some[0].all():
            raise ProtocolViolationError(culprit, f"leaf bits of tree {number} exclude every leaf")


def pack_bits(bits: Bits) -> bytes:
    """Rows of whole bytes, little-endian bit order."""
    return np.packbits(bits, axis=1, bitorder="little").tobytes()


def unpack_bits(packed: bytes, rows: int, count: int, sender: str) -> Bits:
    """Inverse of `pack_bits` for `count` bits per row.

    Raises:
        ProtocolViolationError: wrong length; names `sender`.
    """
    width = (count + 7) // 8
    if len(packed) != rows * width:
        raise ProtocolViolationError(sender, f"answer has {len(packed)} bytes, {rows * width} expected")
    raw = np.frombuffer(packed, dtype=np.uint8).reshape(rows, width)
    return np.unpackbits(raw, axis=1, bitorder="little")[:, :count].astype(bool)


def leaf_weights(shard: Shard) -> NDArray[np.float64]:
    """Weights of all leaves, trees in order; the active party's shard only."""
    return np.concatenate([np.asarray(tree.weights, dtype=np.float64) for tree in shard.trees] or [np.zeros(0)])


def tree_starts(shard: Shard) -> NDArray[np.int64]:
    """Where each tree's leaves start among all leaves, and the end; the active party's shard only."""
    counts = [len(tree.shape.leaves()) for tree in shard.trees]
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts, dtype=np.int64)])


def absent_factors(shard: Shard, party: int) -> NDArray[np.float64]:
    """What an absent party counts for: per leaf, the product of training cover fractions at its nodes on the path.

    The active party's shard only. Shape (leaves of all trees,).
    """
    return np.concatenate([_tree_factors(tree, party) for tree in shard.trees] or [np.zeros(0)])


def _tree_factors(tree: Tree, party: int) -> NDArray[np.float64]:
    covers = dict(zip(tree.shape.nodes, tree.covers, strict=True))
    factor = {0: 1.0}
    leaves = []
    for node, owner in zip(tree.shape.nodes, tree.shape.owners, strict=True):
        if owner < 0:
            leaves.append(factor[node])
            continue
        for child in (2 * node + 1, 2 * node + 2):
            share = covers[child] / covers[node] if owner == party else 1.0
            factor[child] = factor[node] * share
    return np.asarray(leaves)


def require_one_leaf(bits: Bits, shard: Shard, culprits: str) -> None:
    """Every row must reach exactly one leaf per tree, or somebody's bits are wrong.

    Raises:
        ProtocolViolationError: names `culprits`.
    """
    starts = tree_starts(shard)
    if len(starts) > 1 and not (np.add.reduceat(bits, starts[:-1], axis=1, dtype=np.int64) == 1).all():
        raise ProtocolViolationError(culprits, "leaf bits do not lead every row to exactly one leaf of each tree")
