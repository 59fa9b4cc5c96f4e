"""What a passive party saw of a run, from the messages that it really received and its own state; nothing else.

Used by `fedchain bench leakage`. Payloads are kept as they went through the channel; those for others are left out,
sealed ones are opened with the party's own keys, or not at all. Ciphertexts are dropped: it cannot open them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fedchain.data.binning import BinMapper
from fedchain.data.table import Table
from fedchain.errors import ProtocolViolationError
from fedchain.federation.party import JobOutcome
from fedchain.federation.session import Keys
from fedchain.federation.spec import JobSpec
from fedchain.messages import Gradients, Partition, Split, decode
from fedchain.messages.training import SplitNode
from fedchain.model.shard import OwnSplit
from fedchain.simulation.channel import Slot
from fedchain.training.boosting import steps
from fedchain.training.boosting.partition import Masks, Place
from fedchain.training.boosting.tree import Rows, children_rows, goes_left, unpack_left
from fedchain.types import Kind, PartyId

Bits = NDArray[np.bool_]
M = TypeVar("M")


@dataclass
class Recorder:
    """A channel's tap that keeps what training sends to passive parties, and changes nothing.

    Attributes:
        routed: which aligned rows a round's trees route, by slot.
        splits: announced decisions, by slot.
        partitions: sealed as they came, by slot.
    """

    routed: dict[Slot, bytes] = field(default_factory=dict)
    splits: dict[Slot, Split] = field(default_factory=dict)
    partitions: dict[Slot, Partition] = field(default_factory=dict)

    def __call__(self, slot: Slot, payload: bytes) -> bytes:
        """Keep what is of use and hand on the payload."""
        if slot.kind is Kind.GRADIENTS:
            self.routed[slot] = decode(payload, Gradients).routed_bits
        elif slot.kind is Kind.SPLIT:
            self.splits[slot] = decode(payload, Split)
        elif slot.kind is Kind.PARTITION:
            self.partitions[slot] = decode(payload, Partition)
        return payload


@dataclass(frozen=True)
class View:
    """What a party knows of the aligned rows after a run.

    Attributes:
        routed: shape (rows,): rows that every tree it took part in routes.
        memberships: shape (rows, nodes): is the row in this node, for all nodes below the roots that it knows of.
        nodes: (tree, node) of each column.
        own: shape (rows, own features), uint8 bins.
    """

    routed: Bits
    memberships: Bits
    nodes: tuple[tuple[int, int], ...]
    own: NDArray[np.uint8]


def view(recorder: Recorder, spec: JobSpec, me: PartyId, table: Table, outcome: JobOutcome) -> View:
    """Put together what `me`, a passive party, saw.

    Args:
        table: its own.
        outcome: its own: shard and session.
    """
    shard, session = outcome.shard, outcome.session
    mapper = BinMapper.from_json(shard.binning)
    own = mapper.transform(table, table.rows_of(session.ids))
    n_bins = [feature.n_bins for feature in mapper.features]
    routed = np.ones(len(own), dtype=np.bool_)
    columns: list[Bits] = []
    nodes: list[tuple[int, int]] = []
    for place, tree in enumerate(shard.trees):
        number, output = place // spec.algorithm.outputs + 1, place % spec.algorithm.outputs
        inbox = _Inbox(recorder, spec, me, session.keys, number, output)
        begun = inbox.routed(len(own))
        if begun is None:
            continue
        routed &= begun
        for node, members in _walk(inbox, own, n_bins, {one.node: one for one in tree.splits}, begun).items():
            column = np.zeros(len(own), dtype=np.bool_)
            column[members] = True
            columns.append(column)
            nodes.append((place, node))
    memberships = np.stack(columns, axis=1) if columns else np.zeros((len(own), 0), dtype=np.bool_)
    return View(routed, memberships, tuple(nodes), own)


@dataclass(frozen=True)
class _Inbox:
    """The messages of one tree that are addressed to one party or to all."""

    recorder: Recorder
    spec: JobSpec
    me: PartyId
    keys: Keys
    round: int
    output: int

    @property
    def turns(self) -> int:
        return self.spec.algorithm.turns

    def routed(self, rows: int) -> Bits | None:
        packed = self._mine(self.recorder.routed, steps.GRADIENTS, self.spec.names[0], Kind.GRADIENTS)
        if packed is None:
            return None
        return np.unpackbits(np.frombuffer(packed, dtype=np.uint8), bitorder="little")[:rows].astype(np.bool_)

    def decisions(self, turn: int) -> dict[int, SplitNode]:
        step = steps.split(self.output, self.turns, turn)
        split = self._mine(self.recorder.splits, step, self.spec.names[0], Kind.SPLIT)
        return {} if split is None else {one.node: one for one in split.nodes}

    def left(self, turn: int, owner: int, rows: Mapping[int, Rows]) -> Masks:
        """Another party's partitions of a turn, if this party can open them."""
        sender = self.spec.names[owner]
        step = steps.partition(self.output, self.turns, turn)
        message = self._mine(self.recorder.partitions, step, sender, Kind.PARTITION)
        if message is None:
            return {}
        place = Place(self.round, self.output, turn, step, True)
        packed = self.keys.unseal(message.sealed, place.context, sender)
        lengths = [len(rows[node]) for node in message.nodes]
        return dict(zip(message.nodes, unpack_left(packed, lengths, sender), strict=True))

    def _mine(self, messages: Mapping[Slot, M], step: int, sender: PartyId, kind: Kind) -> M | None:
        for recipient in (None, self.me):
            message = messages.get(Slot(self.round, step, sender, recipient, kind))
            if message is not None:
                return message
        return None


def _walk(
    inbox: _Inbox, own: NDArray[np.uint8], n_bins: list[int], splits: Mapping[int, OwnSplit], routed: Bits
) -> dict[int, Rows]:
    """Routed rows of every node below the root that the party knows of."""
    me = inbox.spec.names.index(inbox.me)
    open_nodes: dict[int, Rows] = {0: np.flatnonzero(routed).astype(np.int64)}
    known: dict[int, Rows] = {}
    for turn in range(inbox.turns):
        decisions = {node: one for node, one in inbox.decisions(turn).items() if one.owner >= 0}
        left: Masks = {}
        for node in [node for node, one in decisions.items() if one.owner == me]:
            split = splits[node]
            column = own[open_nodes[node], split.feature]
            left[node] = goes_left(column, split.bin, n_bins[split.feature], split.missing_left)
        for owner in sorted({one.owner for one in decisions.values()} - {me}):
            left.update(inbox.left(turn, owner, open_nodes))
        if set(left) - set(decisions):
            raise ProtocolViolationError(inbox.me, "was told of partitions of nodes that do not split")
        children = children_rows(open_nodes, {node: decisions[node] for node in left}, left)
        known.update(children)
        open_nodes = open_nodes | children
        if not children:
            break
    return known
