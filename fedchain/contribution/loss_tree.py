"""The Merkle-sum tree over losses: its root commits to every row's losses and to their sums at once.

leaf i = SHA-256(0x00 ‖ salt i ‖ u32 i ‖ losses), node = SHA-256(0x01 ‖ left ‖ right ‖ sums of left ‖ sums of right);
losses and sums are u128 per coalition, all numbers big-endian; an odd last node is carried up unchanged. root =
SHA-256(0x02 ‖ "fedchain-losses-1" ‖ u32 rows ‖ top node ‖ sums of the top). A row that is opened thus shows that it
counts in the posted sums once, and that nothing below zero, and nothing above what losses can be, hides beside it.
Salts as in `commitments`, from a secret of this tree alone.

The path shows sums of unopened rows: where the neighbour of an opened row is not opened, its losses, which tell its
label; of larger groups, how many rows have which label. So up to twice as many labels as rows are opened become known.

Source: Merkle-sum trees of proofs of liabilities (Chalkias et al., "Distributed Auditing Proofs of Liabilities", 2020):
a node's hash covers the sums of both children, or a sum could be moved between them.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedchain.contribution.commitments import Positions, path_places, require_indices, require_secret, salt_of
from fedchain.contribution.losses import MOST_UNITS, Losses, loss_sums
from fedchain.errors import ContributionError
from fedchain.messages.auditing import LOSS_BYTES, SALT_BYTES, SUM_BYTES, OpenedLosses
from fedchain.types import AuditReason

_MOST_E6 = MOST_UNITS * 1_000_000
_NAME = b"fedchain-losses-1"
_BLOCK = 4096
_Wide = NDArray[np.uint64]
"""(…, 2) uint64: numbers below 2^128, the higher half first."""


class LossTree:
    """The label holder's side: commits to losses, and opens some rows.

    Attributes:
        root: 32 bytes.
        sums: of every coalition over all rows.
    """

    def __init__(self, losses: Losses, secret: bytes) -> None:
        """Build the tree; 6,000 rows of 256 coalitions take a fifth of a second.

        Args:
            losses: (rows, coalitions) int64, 0 to 1e8 (`row_losses_e6`); kept, not copied.
            secret: 32 random bytes, of this tree alone.

        Raises:
            ValueError: no row, a loss out of range, or a secret that is not 32 bytes.
        """
        if losses.ndim != 2 or not len(losses) or losses.min() < 0 or losses.max() > _MOST_E6:
            raise ValueError("a loss tree has one row or more of losses from 0 to 1e8")
        self._losses, self._secret = losses, require_secret(secret)
        self.sums = loss_sums(losses)
        self._levels = [self._leaves()]
        level_sums = _wide(losses)
        while len(self._levels[-1]) > 1:
            hashes, raw = self._levels[-1], _bytes_of(level_sums)
            width = len(raw) // len(hashes)
            above = [
                _node(
                    hashes[i], hashes[i + 1], raw[i * width : (i + 1) * width], raw[(i + 1) * width : (i + 2) * width]
                )
                for i in range(0, len(hashes) - 1, 2)
            ]
            self._levels.append(above + hashes[len(hashes) - len(hashes) % 2 :])
            pairs = len(hashes) // 2 * 2
            added = _add(level_sums[0:pairs:2], level_sums[1:pairs:2])
            level_sums = np.concatenate([added, level_sums[pairs:]])
        self.root = _root(len(losses), self._levels[-1][0], self.sums)

    def _leaves(self) -> list[bytes]:
        leaves = []
        for first in range(0, len(self._losses), _BLOCK):
            raw = _bytes_of(_wide(self._losses[first : first + _BLOCK]))
            width = SUM_BYTES * self._losses.shape[1]
            for place in range(len(raw) // width):
                row = first + place
                leaves.append(_leaf(salt_of(self._secret, row), row, raw[place * width : (place + 1) * width]))
        return leaves

    def open(self, indices: Positions) -> OpenedLosses:
        """The rows' losses and salts, and the path to the root with its sums.

        Args:
            indices: rows, ascending and distinct, 1 to 10,000.

        Raises:
            ValueError: not so.
        """
        rows = require_indices(indices, len(self._losses))
        places = list(path_places(rows, len(self._losses)))
        path = b"".join(self._levels[level][place] for level, place in places)
        sums = b"".join(
            _sum_bytes(loss_sums(self._losses[place << level : (place + 1) << level])) for level, place in places
        )
        salts = b"".join(salt_of(self._secret, row) for row in rows)
        return OpenedLosses(self._losses[rows].astype(">u8").tobytes(), salts, path, sums)


def check_losses(
    root: bytes,
    sums: Sequence[int],
    rows: int,
    indices: Positions,
    opening: OpenedLosses,
    culprit: str,
    *,
    most: int,
) -> Losses:
    """Check opened losses against a root and against posted sums.

    Args:
        root: 32 bytes.
        sums: posted for every coalition.
        rows: of the whole tree.
        indices: rows that should be opened, ascending and distinct.
        opening: what came.
        culprit: who opened it.
        most: the largest loss that a row can have (`most_loss_e6`). Sums on the path are held to it, too: a lie about
            one row that is worth more than a row needs a block of as many rows as it is worth, none of them opened.

    Returns:
        (opened rows, coalitions) int64.

    Raises:
        ContributionError: names `culprit`; reason OPENING where the losses do not lead to the root, SUMS where they
            lead to it with other sums than were posted, LOSSES where a loss, or a sum, is above what losses can be.
        ValueError: `indices` are not those of a tree of so many rows.
    """
    wanted = require_indices(indices, rows)
    places = list(path_places(wanted, rows))
    coalitions, width = len(sums), SUM_BYTES * len(sums)
    sizes = (len(opening.losses), len(opening.salts), len(opening.path), len(opening.sums))
    expected = (LOSS_BYTES * coalitions * len(wanted), SALT_BYTES * len(wanted), 32 * len(places), width * len(places))
    if sizes != expected:
        raise ContributionError(culprit, AuditReason.OPENING, f"opened losses of {sizes} bytes, {expected} expected")
    unsigned = np.frombuffer(opening.losses, dtype=">u8").astype(np.uint64).reshape(len(wanted), coalitions)
    if (unsigned > most).any():
        raise ContributionError(culprit, AuditReason.LOSSES, "a loss is above the largest there is")
    losses = unsigned.astype(np.int64)
    siblings = {
        place: (opening.path[32 * i : 32 * i + 32], _ints(opening.sums[width * i : width * (i + 1)]))
        for i, place in enumerate(places)
    }
    for (level, place), (_, several) in siblings.items():
        below = min((place + 1) << level, rows) - (place << level)
        if max(several) > most * below:
            raise ContributionError(
                culprit, AuditReason.LOSSES, f"{below} rows have losses above the largest there are"
            )
    raw = _bytes_of(_wide(losses))
    known: dict[int, tuple[bytes, NDArray[np.object_]]] = {}
    for i, row in enumerate(wanted):
        salt, own = opening.salts[SALT_BYTES * i : SALT_BYTES * (i + 1)], raw[width * i : width * (i + 1)]
        known[row] = (_leaf(salt, row, own), losses[i].astype(object))
    level, across = 0, rows
    while across > 1:
        above: dict[int, tuple[bytes, NDArray[np.object_]]] = {}
        for place in sorted({place // 2 for place in known}):
            left = known[2 * place] if 2 * place in known else siblings[level, 2 * place]
            if 2 * place + 1 >= across:
                above[place] = left
                continue
            right = known[2 * place + 1] if 2 * place + 1 in known else siblings[level, 2 * place + 1]
            sums_of_both = _sum_bytes(left[1]), _sum_bytes(right[1])
            above[place] = (_node(left[0], right[0], *sums_of_both), left[1] + right[1])
        known, level, across = above, level + 1, (across + 1) // 2
    top, found = known[0]
    if not hmac.compare_digest(_root(rows, top, found), root):
        raise ContributionError(
            culprit, AuditReason.OPENING, "the opened losses do not lead to the root that was posted"
        )
    if [int(one) for one in found] != [int(one) for one in sums]:
        raise ContributionError(culprit, AuditReason.SUMS, "the posted sums are not those of the losses' root")
    return losses


def _wide(losses: Losses) -> _Wide:
    wide = np.zeros((*losses.shape, 2), dtype=np.uint64)
    wide[..., 1] = losses
    return wide


def _add(one: _Wide, other: _Wide) -> _Wide:
    low = one[..., 1] + other[..., 1]
    carried = (low < one[..., 1]).astype(np.uint64)
    return np.stack([one[..., 0] + other[..., 0] + carried, low], axis=-1)


def _bytes_of(wide: _Wide) -> bytes:
    return wide.astype(">u8").tobytes()


def _sum_bytes(sums: Sequence[int] | NDArray[np.object_]) -> bytes:
    return b"".join(int(one).to_bytes(SUM_BYTES, "big") for one in sums)


def _ints(raw: bytes) -> NDArray[np.object_]:
    halves = np.frombuffer(raw, dtype=">u8").astype(object)
    sums: NDArray[np.object_] = (halves[0::2] << 64) | halves[1::2]
    return sums


def _leaf(salt: bytes, row: int, losses: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + salt + row.to_bytes(4, "big") + losses).digest()


def _node(left: bytes, right: bytes, left_sums: bytes, right_sums: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right + left_sums + right_sums).digest()


def _root(rows: int, top: bytes, sums: Sequence[int] | NDArray[np.object_]) -> bytes:
    return hashlib.sha256(b"\x02" + _NAME + rows.to_bytes(4, "big") + top + _sum_bytes(sums)).digest()
