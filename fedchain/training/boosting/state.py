"""What a party needs to go on with training after a round: its checkpoint, as bytes for its own eyes."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from fedchain.errors import TrainingError
from fedchain.model.shard import Tree

NAME = "training"
VERSION = 2
READABLE = (1, VERSION)
"""Version 1 had no gains and no commitments of leaf weights: a job that was begun under it is not audited."""
_State = TypeVar("_State", "ActiveState", "PassiveState")


class ActiveState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At the active party, after a round.

    Attributes:
        rounds: trees of the rounds so far, with weights and covers.
        margin: float64 margins of all aligned rows, row by row, little-endian.
        keep: rounds that the model keeps once the last is over, else 0.
        gains: gain of all splits of each round, by roster index; fewer where an older fedchain trained the first.
        seen, best_tree, best_value: of `EarlyStopping`, where it judges.
        watch: of `Watch`, where there is one; empty of an older fedchain, whose watch begins anew.
    """

    rounds: tuple[tuple[Tree, ...], ...]
    margin: bytes
    keep: int
    seen: int = 0
    best_tree: int = 0
    best_value: float | None = None
    gains: tuple[tuple[float, ...], ...] = ()
    version: int = VERSION
    watch: bytes = b""


class PassiveState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At a passive party, after a round.

    Attributes:
        number: rounds so far.
        trees: of these rounds, as far as this party knows them.
        keep: as in `ActiveState`.
        commitments: to the leaf weights of each round, 32 bytes; fewer where an older fedchain trained the first.
        covers: of each of `trees`, rows that enter histograms by node, as far as this party knows them.
        routed: aligned rows that trained or validated so far, as bits; empty where this party saw none.
    """

    number: int
    trees: tuple[Tree, ...]
    keep: int
    commitments: tuple[bytes, ...] = ()
    covers: tuple[dict[int, int], ...] = ()
    routed: bytes = b""
    version: int = VERSION


def pack(state: ActiveState | PassiveState) -> bytes:
    """The state as bytes."""
    return msgspec.msgpack.encode(state)


def unpack_active(raw: bytes, margin_bytes: int) -> ActiveState:
    """The active party's state.

    Raises:
        TrainingError: of a version that is not read, or of other rows.
    """
    state = _decoded(raw, ActiveState)
    if len(state.margin) != margin_bytes:
        raise TrainingError("the checkpoint of training is of other aligned rows; abort the job and start it anew")
    return state


def unpack_passive(raw: bytes) -> PassiveState:
    """A passive party's state.

    Raises:
        TrainingError: of a version that is not read.
    """
    return _decoded(raw, PassiveState)


def _decoded(raw: bytes, kind: type[_State]) -> _State:
    try:
        state = msgspec.msgpack.decode(raw, type=kind)
    except (msgspec.DecodeError, ValueError) as error:
        raise TrainingError(f"the checkpoint of training cannot be read: {error}") from error
    if state.version not in READABLE:
        raise TrainingError(
            f"the checkpoint of training has version {state.version}, this fedchain reads up to {VERSION}"
        )
    return state
