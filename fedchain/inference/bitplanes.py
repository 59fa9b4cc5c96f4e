"""Leaf bits leaf by leaf: for many rows far cheaper than row by row, because one operation serves eight rows.

A plane is one leaf's bit for every row, packed: ceil(rows / 8) bytes, little-endian bit order, bits beyond the last row
0. A party's planes stand in the order of its leaf bits. The splits of all trees are compared once each, however many
trees have the same one; then a tree is a few ANDs of packed planes.

Equal to `fedchain.model.leaf_mask.leaf_bits`, transposed and packed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchain.errors import ProtocolViolationError
from fedchain.model.shard import Shard, Tree

Planes = NDArray[np.uint8]
"""(leaves, ceil(rows / 8)) uint8, C order."""
Positions = NDArray[np.int64]
Bins = NDArray[np.uint8]

BLOCK_ROWS = 32_768
"""Rows that are worked on at a time: their planes stay in a core's cache."""

_MIRROR = tuple(
    (np.uint64(shift), np.uint64(mask))
    for shift, mask in ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0))
)


def plane_bytes(rows: int) -> int:
    """Bytes of one plane of so many rows."""
    return -(-rows // 8)


class _Splits:
    """Packed outcomes of splits on some rows; each distinct one is computed once."""

    def __init__(self, bins: Bins, n_bins: NDArray[np.int64]) -> None:
        self._bins, self._n_bins = bins, n_bins
        self._low: dict[tuple[int, int], Planes] = {}
        self._missing: dict[int, Planes] = {}

    def left(self, feature: int, bin: int, missing_left: bool) -> Planes:
        """The rows that go left."""
        low = self._low.get((feature, bin))
        if low is None:
            low = self._low[feature, bin] = np.packbits(self._bins[:, feature] <= bin, bitorder="little")
        if not missing_left:
            return low
        missing = self._missing.get(feature)
        if missing is None:
            absent = self._bins[:, feature] >= self._n_bins[feature]
            missing = self._missing[feature] = np.packbits(absent, bitorder="little")
        return low | missing


def answer_planes(shard: Shard, bins: Bins, n_bins: NDArray[np.int64]) -> Planes:
    """Planes of some rows for every leaf that this party sends bits for.

    Args:
        shard: this party's.
        bins: (rows, features) uint8, binned by the shard's own mapper; fastest in Fortran order.
        n_bins: value bins per feature; a bin >= that is missing.

    Returns:
        (`bit_count` of this party, ceil(rows / 8)) uint8.
    """
    rows = len(bins)
    trees = [tree for tree in shard.trees if tree.shape.bit_count]
    planes = np.empty((sum(tree.shape.bit_count for tree in trees), plane_bytes(rows)), np.uint8)
    for first in range(0, rows, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, rows)
        block = planes[:, first // 8 : plane_bytes(last)]
        splits = _Splits(bins[first:last], n_bins)
        every = np.packbits(np.ones(last - first, np.bool_), bitorder="little")
        start = 0
        for tree in trees:
            stop = start + tree.shape.bit_count
            _fill(tree, splits, every, block[start:stop])
            start = stop
    return planes


def _fill(tree: Tree, splits: _Splits, every: Planes, out: Planes) -> None:
    owned = {split.node: split for split in tree.splits}
    reach = {0: every}
    place = 0
    for node, owner in zip(tree.shape.nodes, tree.shape.owners, strict=True):
        mask = reach.pop(node)
        if owner < 0:
            out[place] = mask
            place += 1
            continue
        left = right = mask
        if node in owned:
            split = owned[node]
            left = mask & splits.left(split.feature, split.bin, split.missing_left)
            right = mask ^ left
        reach[2 * node + 1], reach[2 * node + 2] = left, right


def planes_of_rows(packed: bytes, rows: int, count: int, sender: str) -> Planes:
    """Bits that came row by row (`pack_bits`) as planes.

    Args:
        packed: `rows` times ceil(count / 8) bytes.
        rows: number of rows.
        count: bits per row.
        sender: is named where the length is wrong.

    Raises:
        ProtocolViolationError: wrong length; names `sender`.
    """
    width = -(-count // 8)
    if len(packed) != rows * width:
        raise ProtocolViolationError(sender, f"answer has {len(packed)} bytes, {rows * width} expected")
    blocks = np.zeros((plane_bytes(rows), 8, width), np.uint8)
    blocks.reshape(8 * len(blocks), width)[:rows] = np.frombuffer(packed, np.uint8).reshape(rows, width)
    turned = _turned(blocks)  # [rows / 8, byte, bit]: one byte has that bit of eight rows
    return np.ascontiguousarray(turned.reshape(len(blocks), 8 * width).T[:count])


def rows_of_planes(planes: Planes, rows: int) -> NDArray[np.uint8]:
    """Planes as packed bits row by row: (rows, ceil(leaves / 8)) uint8."""
    leaves, width = planes.shape
    blocks = np.zeros((-(-leaves // 8), 8, width), np.uint8)
    blocks.reshape(8 * len(blocks), width)[:leaves] = planes
    turned = _turned(blocks)  # [leaves / 8, rows / 8, row]: one byte has eight leaves of that row
    return np.ascontiguousarray(turned.reshape(len(blocks), 8 * width).T[:rows])


def _turned(blocks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(n, 8, m) bytes as (n, m, 8): each square of 8 bytes and 8 bits is mirrored at its diagonal.

    Source: Warren, Hacker's Delight (2nd ed. 2012), section 7-3.
    """
    words = np.ascontiguousarray(blocks.transpose(0, 2, 1)).view("<u8")
    for shift, mask in _MIRROR:
        swap = words >> shift
        swap ^= words
        swap &= mask
        words ^= swap
        swap <<= shift
        words ^= swap
    return words.view(np.uint8)


def as_planes(raw: bytes, rows: int, count: int, sender: str) -> Planes:
    """Planes as they came: checked for their length and for bits beyond the last row.

    Raises:
        ProtocolViolationError: wrong length, or a bit of no row is set; names `sender`.
    """
    width = plane_bytes(rows)
    if len(raw) != count * width:
        raise ProtocolViolationError(sender, f"answer has {len(raw)} bytes, {count * width} expected")
    planes = np.frombuffer(raw, np.uint8).reshape(count, width)
    if rows % 8 and count and (planes[:, -1] >> (rows % 8)).any():
        raise ProtocolViolationError(sender, "answer has bits beyond its last row")
    return planes
