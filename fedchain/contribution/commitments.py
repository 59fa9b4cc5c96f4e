"""Salted Merkle trees over rows: whoever knows the root can check single rows that are opened later.

leaf i = SHA-256(0x00 ‖ salt i ‖ u32 i ‖ bytes i), node = SHA-256(0x01 ‖ left ‖ right), numbers big-endian; an odd last
node is carried up unchanged. root = SHA-256(0x02 ‖ "fedchain-rows-1" ‖ u32 rows ‖ top node): it binds the number of
rows, too, which the nodes alone do not where one is carried. Salt i = HMAC-SHA256(secret, u32 i): an opened salt
tells nothing of another row's, so a label of one bit stays hidden until its row is opened.

Several rows are opened with one path: a node that follows from opened rows is never sent.

Source: RFC 6962 section 2.1 for the shape and the separation of leaves and nodes.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fedchain.errors import ContributionError
from fedchain.messages.auditing import MAX_LEAF_BYTES, MAX_OPENED, SALT_BYTES, OpenedRows
from fedchain.types import AuditReason

MAX_ROWS = 2**31
_NAME = b"fedchain-rows-1"
Positions = NDArray[np.int64]


class RowTree:
    """The owner's side: commits to rows, and opens some of them.

    Attributes:
        root: 32 bytes.
    """

    def __init__(self, leaves: Sequence[bytes], secret: bytes) -> None:
        """Build the tree; about 4 microseconds per row.

        Args:
            leaves: bytes of each row, at most 1 MiB each; at least one row.
            secret: 32 random bytes, of this tree alone.

        Raises:
            ValueError: no row, too many, or a row that is too long; the secret is not 32 bytes.
        """
        if not 1 <= len(leaves) < MAX_ROWS or max(map(len, leaves)) > MAX_LEAF_BYTES:
            raise ValueError(f"a tree of rows has 1 row or more of at most {MAX_LEAF_BYTES} bytes")
        self._leaves, self._secret = leaves, require_secret(secret)
        levels = [[_leaf(salt_of(secret, i), i, leaf) for i, leaf in enumerate(leaves)]]
        while len(levels[-1]) > 1:
            below = levels[-1]
            above = [_node(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)]
            levels.append(above + below[len(below) - len(below) % 2 :])
        self._levels = levels
        self.root = _root(len(leaves), levels[-1][0])

    def open(self, indices: Positions) -> OpenedRows:
        """The rows' bytes and salts, and the path to the root.

        Args:
            indices: rows, ascending and distinct, 1 to 10,000.

        Raises:
            ValueError: not so.
        """
        rows = require_indices(indices, len(self._leaves))
        path = b"".join(self._levels[level][place] for level, place in path_places(rows, len(self._leaves)))
        salts = b"".join(salt_of(self._secret, row) for row in rows)
        return OpenedRows(tuple(bytes(self._leaves[row]) for row in rows), salts, path)


def check_rows(root: bytes, rows: int, indices: Positions, opening: OpenedRows, culprit: str) -> list[bytes]:
    """Check opened rows against a root.

    Args:
        root: 32 bytes.
        rows: of the whole tree.
        indices: rows that should be opened, ascending and distinct.
        opening: what came.
        culprit: who opened it.

    Returns:
        The rows' bytes, in the order of `indices`.

    Raises:
        ContributionError: they do not lead to the root; names `culprit`, reason OPENING.
        ValueError: `indices` are not those of a tree of so many rows.
    """
    wanted = require_indices(indices, rows)
    places = list(path_places(wanted, rows))
    if len(opening.leaves) != len(wanted) or len(opening.salts) != SALT_BYTES * len(wanted):
        raise _refusal(culprit, f"opened {len(opening.leaves)} rows, {len(wanted)} expected")
    if len(opening.path) != 32 * len(places):
        raise _refusal(culprit, f"a path of {len(opening.path)} bytes, {32 * len(places)} expected")
    siblings = {place: opening.path[32 * i : 32 * i + 32] for i, place in enumerate(places)}
    salts = (opening.salts[SALT_BYTES * i : SALT_BYTES * (i + 1)] for i in range(len(wanted)))
    known = {row: _leaf(salt, row, leaf) for row, salt, leaf in zip(wanted, salts, opening.leaves, strict=True)}
    level, width = 0, rows
    while width > 1:
        above: dict[int, bytes] = {}
        for place in sorted({place // 2 for place in known}):
            left, right = 2 * place, 2 * place + 1
            pair = [known[one] if one in known else siblings.get((level, one), b"") for one in (left, right)]
            above[place] = pair[0] if right >= width else _node(pair[0], pair[1])
        known, level, width = above, level + 1, (width + 1) // 2
    if not hmac.compare_digest(_root(rows, known[0]), root):
        raise _refusal(culprit, "the opened rows do not lead to the root that was committed to")
    return list(opening.leaves)


def path_places(rows: Sequence[int], width: int) -> Iterator[tuple[int, int]]:
    """Level and place of every node that opened rows need beside themselves, in the order of the path.

    Args:
        rows: opened ones, ascending and distinct.
        width: rows of the whole tree.
    """
    level, known = 0, list(rows)
    while width > 1:
        inside = set(known)
        for place in known:
            sibling = place ^ 1
            if sibling < width and sibling not in inside:
                yield level, sibling
        known = sorted({place // 2 for place in known})
        level, width = level + 1, (width + 1) // 2


def require_indices(indices: Positions, rows: int) -> list[int]:
    """The opened rows as plain numbers.

    Raises:
        ValueError: none, more than 10,000, not ascending and distinct, or not of a tree of so many rows.
    """
    plain = [int(one) for one in indices]
    ascending = all(one < other for one, other in pairwise(plain))
    if not 1 <= len(plain) <= MAX_OPENED or not ascending or plain[0] < 0 or plain[-1] >= rows:
        raise ValueError(f"opened rows are 1 to {MAX_OPENED} distinct ones of {rows}, ascending")
    return plain


def require_secret(secret: bytes) -> bytes:
    """The secret that salts are made of.

    Raises:
        ValueError: not 32 bytes.
    """
    if len(secret) != 32:
        raise ValueError(f"the secret of a tree has 32 bytes, found {len(secret)}")
    return secret


def salt_of(secret: bytes, row: int) -> bytes:
    """HMAC-SHA256(secret, u32 row), 32 bytes."""
    return hmac.digest(secret, row.to_bytes(4, "big"), "sha256")


def label_leaves(positions: Positions, labels: NDArray[np.float64]) -> list[bytes]:
    """What a tree of labels commits to: u32 big-endian aligned position ‖ float64 little-endian label, per row."""
    return [
        int(position).to_bytes(4, "big") + struct.pack("<d", float(label))
        for position, label in zip(positions, labels, strict=True)
    ]


def read_labels(leaves: Sequence[bytes], positions: Positions, culprit: str) -> NDArray[np.float64]:
    """The labels of opened rows of a tree of labels.

    Args:
        leaves: as `check_rows` gives them.
        positions: aligned positions of these rows, as the label holder asked for them in the evaluation.
        culprit: the label holder.

    Raises:
        ContributionError: a leaf is no label of the row at that position; names `culprit`, reason LABELS.
    """
    expected = [int(position).to_bytes(4, "big") for position in positions]
    if any(len(leaf) != 12 or leaf[:4] != place for leaf, place in zip(leaves, expected, strict=True)):
        raise ContributionError(culprit, AuditReason.LABELS, "committed to labels of other rows than it evaluated")
    return np.array([struct.unpack("<d", leaf[4:])[0] for leaf in leaves], dtype=np.float64)


def bit_leaves(packed: bytes, rows: int) -> list[bytes]:
    """What a tree of leaf bits commits to: a row's bits as `pack_bits` gives them.

    Args:
        packed: of all rows.
        rows: at least 1.

    Raises:
        ValueError: not a whole number of bytes per row.
    """
    width, rest = divmod(len(packed), rows)
    if rest:
        raise ValueError(f"{len(packed)} bytes are not those of {rows} rows")
    return [packed[i * width : (i + 1) * width] for i in range(rows)]


def _refusal(culprit: str, what: str) -> ContributionError:
    return ContributionError(culprit, AuditReason.OPENING, what)


def _leaf(salt: bytes, row: int, leaf: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + salt + row.to_bytes(4, "big") + leaf).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _root(rows: int, top: bytes) -> bytes:
    return hashlib.sha256(b"\x02" + _NAME + rows.to_bytes(4, "big") + top).digest()
