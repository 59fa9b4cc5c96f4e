"""Messages of an audit of contributions: what parties open once the audit's seed is known.

An opening is sealed to the roster. It shows the labels, leaf bits and losses of the opened rows; by sums on the path
the labels of up to as many rows again, and how many rows of small groups have which label; and of the label holder's
shard the *open model*: which party owns which node, covers, leaf weights and base margins; no column, no cut.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from fedchain.messages.base import Message, Wire
from fedchain.types import Kind

MAX_OPENED = 10_000
"""Rows that an audit opens."""
MAX_LEAF_BYTES = 2**20
"""What a tree of rows commits to in one row."""
SALT_BYTES = 32
LOSS_BYTES = 8
SUM_BYTES = 16

_MAX_PATH = 2**24
_MAX_ROUNDS = 2**20

Bytes32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Salts = Annotated[bytes, msgspec.Meta(min_length=SALT_BYTES, max_length=SALT_BYTES * MAX_OPENED)]
Hashes = Annotated[bytes, msgspec.Meta(max_length=_MAX_PATH)]


class AuditOpening(Message, frozen=True):
    """What the label holder opens, sealed to the roster; to others it reveals its size alone.

    Attributes:
        sealed: an `ActiveOpening`.
    """

    kind: ClassVar[Kind] = Kind.AUDIT

    sealed: Annotated[bytes, msgspec.Meta(min_length=1, max_length=2**31)]


class OpenedRows(Wire, frozen=True):
    """Some rows of a salted Merkle tree (`fedchain.contribution.commitments`). Reveals nothing of the other rows.

    Attributes:
        leaves: what is committed to in each opened row, ascending by row.
        salts: 32 bytes for each of them.
        path: 32 bytes for each other node that is needed, level by level from the leaves, ascending.
    """

    leaves: Annotated[
        tuple[Annotated[bytes, msgspec.Meta(max_length=MAX_LEAF_BYTES)], ...],
        msgspec.Meta(min_length=1, max_length=MAX_OPENED),
    ]
    salts: Salts
    path: Hashes


class OpenedLosses(Wire, frozen=True):
    """Some rows of a loss tree (`fedchain.contribution.loss_tree`), with sums of groups of the other rows.

    Attributes:
        losses: 8 bytes big-endian for each coalition of each opened row, row after row, ascending.
        salts: 32 bytes for each opened row.
        path: hashes, 32 bytes each, of the other nodes that are needed, level by level from the leaves, ascending.
        sums: of the same nodes, 16 bytes big-endian for each coalition. Of a single row they are its losses, and tell
            its label.
    """

    losses: Annotated[bytes, msgspec.Meta(min_length=LOSS_BYTES * 4, max_length=LOSS_BYTES * 256 * MAX_OPENED)]
    salts: Salts
    path: Hashes
    sums: Annotated[bytes, msgspec.Meta(max_length=2**30)]


class ActiveOpening(Wire, frozen=True):
    """What the label holder opens. Reveals to the roster the open model, and opened rows' labels, bits and losses.

    And by `OpenedLosses.sums` labels of about as many rows again.

    Attributes:
        model: the open model's canonical bytes (`fedchain.contribution.open_model`).
        unit: what squared errors are divided by: 1.0 for classes, else the variance of the held-out labels.
        salt: of the commitment to model and unit.
        weight_salts: 32 bytes per round that the job added and the model keeps: of the `LeafWeights` commitments.
        bits_root: of the tree of its own leaf bits; committed to together with the model.
        bits: leaf bits of the opened rows of every party, roster order, each with the path to that party's own root.
        labels_root: of the tree of labels; committed to together with the unit and the base margins.
        labels: of the opened rows.
        losses: of the opened rows.
    """

    model: Annotated[bytes, msgspec.Meta(min_length=1, max_length=2**30)]
    unit: float
    salt: Bytes32
    weight_salts: Annotated[bytes, msgspec.Meta(max_length=SALT_BYTES * _MAX_ROUNDS)]
    bits_root: Bytes32
    bits: Annotated[tuple[OpenedRows, ...], msgspec.Meta(min_length=2, max_length=8)]
    labels_root: Bytes32
    labels: OpenedRows
    losses: OpenedLosses
