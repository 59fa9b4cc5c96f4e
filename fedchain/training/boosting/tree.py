"""Shape of a tree and who is where: node ids, sibling choice, partitions. No labels, no ciphertext.

Node ids are those of a binary heap: the root is 0, the children of `n` are `2n+1` (left) and `2n+2` (right).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from fedchain.errors import ProtocolViolationError
from fedchain.messages.training import Split, SplitNode

Rows = NDArray[np.int64]


def left_child(node: int) -> int:
    """Id of the left child."""
    return 2 * node + 1


def right_child(node: int) -> int:
    """Id of the right child."""
    return 2 * node + 2


def parent(node: int) -> int:
    """Id of the parent of a node other than the root."""
    return (node - 1) // 2


def sibling(node: int) -> int:
    """Id of the other child of the parent."""
    return node + 1 if node % 2 else node - 1


def level_of(node: int) -> int:
    """How many splits lie above a node."""
    return (node + 1).bit_length() - 1


def summed_nodes(sizes: Mapping[int, int]) -> tuple[int, ...]:
    """Nodes whose rows a passive party sums: the root, else the smaller sibling (the left one if equal).

    Every party that takes part can tell them, and the active party derives the others by subtraction in plaintext
    (histogram subtraction, as in LightGBM).

    Args:
        sizes: rows that enter histograms, per open node.
    """
    chosen = []
    for node in sorted(sizes):
        if node == 0:
            chosen.append(node)
        elif node % 2:  # left children stand for their pair
            other = sibling(node)
            chosen.append(node if sizes[node] <= sizes[other] else other)
    return tuple(sorted(chosen))


def goes_left(column: NDArray[np.uint8], split_bin: int, n_bins: int, missing_left: bool) -> NDArray[np.bool_]:
    """Which rows of a binned column (missing: bins >= `n_bins`) satisfy a split."""
    if missing_left:
        return (column <= split_bin) | (column >= n_bins)
    return column <= split_bin


def pack_left(masks: Iterable[NDArray[np.bool_]]) -> bytes:
    """Join the left masks of several nodes, each in whole bytes, little-endian bit order."""
    return b"".join(np.packbits(mask, bitorder="little").tobytes() for mask in masks)


def unpack_left(packed: bytes, lengths: Iterable[int], sender: str) -> list[NDArray[np.bool_]]:
    """Inverse of `pack_left`.

    Raises:
        ProtocolViolationError: wrong length or stray bits; names `sender`.
    """
    masks, offset = [], 0
    for length in lengths:
        size = (length + 7) // 8
        piece = np.frombuffer(packed[offset : offset + size], dtype=np.uint8)
        if len(piece) != size:
            raise ProtocolViolationError(sender, "partition is shorter than the rows of its nodes")
        bits = np.unpackbits(piece, bitorder="little")
        if bits[length:].any():
            raise ProtocolViolationError(sender, "partition has bits beyond the rows of its node")
        masks.append(bits[:length].astype(bool))
        offset += size
    if offset != len(packed):
        raise ProtocolViolationError(sender, "partition is longer than the rows of its nodes")
    return masks


def check_split(split: Split, open_nodes: Iterable[int], roster_size: int, active: str) -> dict[int, SplitNode]:
    """The announced decision per node, once it is known to cover exactly the open nodes.

    Raises:
        ProtocolViolationError: nodes missing, strange or out of order, or an owner off the roster.
    """
    expected = sorted(open_nodes)
    if [node.node for node in split.nodes] != expected:
        raise ProtocolViolationError(active, "split announcement does not cover exactly the open nodes")
    if any(node.owner >= roster_size for node in split.nodes):
        raise ProtocolViolationError(active, "split announcement names an owner who is not on the roster")
    return {node.node: node for node in split.nodes}


def check_best_leaf(split: Split, open_nodes: Iterable[int], roster_size: int, active: str) -> SplitNode | None:
    """The one node that a leaf-wise tree splits next, None if it splits none any more.

    Raises:
        ProtocolViolationError: more than one node, none that is open, or an owner off the roster.
    """
    if not split.nodes:
        return None
    node = split.nodes[0]
    if len(split.nodes) > 1 or node.node not in set(open_nodes) or not 0 <= node.owner < roster_size:
        raise ProtocolViolationError(active, "split announcement is not of one open node")
    return node


def children_rows(
    rows: Mapping[int, Rows], decisions: Mapping[int, SplitNode], left: Mapping[int, NDArray[np.bool_]]
) -> dict[int, Rows]:
    """Rows of every child of the nodes that split."""
    children: dict[int, Rows] = {}
    for node, decision in decisions.items():
        if decision.owner >= 0:
            mask = left[node]
            children[left_child(node)] = rows[node][mask]
            children[right_child(node)] = rows[node][~mask]
    return children
