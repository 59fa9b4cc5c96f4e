"""How split owners tell the others which rows go left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchain.errors import ProtocolViolationError, SealError
from fedchain.messages import Partition
from fedchain.messages.training import SplitNode
from fedchain.protocol import Party, Send, gather
from fedchain.training.boosting.tree import Rows, pack_left, unpack_left
from fedchain.types import PartyId

Masks = dict[int, NDArray[np.bool_]]


@dataclass(frozen=True)
class Sealing:
    """A party's sealing in a job, handed in by its session; contexts bind a payload to its place in the job.

    Attributes:
        to_roster: seal for everybody.
        to_one: seal for one party.
        unseal: open what a party sealed; raises SealError.
    """

    to_roster: Callable[[bytes, str], bytes]
    to_one: Callable[[PartyId, bytes, str], bytes]
    unseal: Callable[[bytes, str, PartyId], bytes]


@dataclass(frozen=True)
class Place:
    """Where in a round a partition belongs.

    Attributes:
        round, tree, turn: number of the round, tree within it, turn of the tree.
        step: of the uplink.
        shared: whether it goes to the roster; else to the active party alone.
    """

    round: int
    tree: int
    turn: int
    step: int
    shared: bool

    @property
    def context(self) -> str:
        """What the seal is bound to."""
        return f"partition/{self.round}/{self.tree}/{self.turn}"


def exchange_partitions(
    me: PartyId,
    roster: tuple[PartyId, ...],
    place: Place,
    rows: Mapping[int, Rows],
    decisions: Mapping[int, SplitNode],
    own: Masks,
    sealing: Sealing,
) -> Party[Masks]:
    """Send the masks of own splits, gather those of the others' as far as this party may know them.

    Reveals the partition of every split node to the roster (shared) or to the active party, and to nobody else.

    Args:
        own: node -> which of the node's rows go left, for the splits that this party owns.

    Returns:
        Masks of all split nodes that this party knows of.

    Raises:
        ProtocolViolationError: a partition out of shape; names its sender.
    """
    by_owner: dict[int, list[int]] = {}
    for node in sorted(decisions):
        if decisions[node].owner >= 0:
            by_owner.setdefault(decisions[node].owner, []).append(node)
    active, masks = roster[0], dict(own)
    my_nodes = tuple(by_owner.pop(roster.index(me), []))
    if my_nodes and (place.shared or me != active):
        packed = pack_left(own[node] for node in my_nodes)
        if place.shared:
            yield Send(Partition(my_nodes, sealing.to_roster(packed, place.context)), place.step)
        else:
            yield Send(Partition(my_nodes, sealing.to_one(active, packed, place.context)), place.step, active)
    if not place.shared and me != active:
        return masks
    senders = tuple(roster[owner] for owner in sorted(by_owner))
    if not senders:
        return masks
    messages = yield from gather(Partition, place.step, senders, to_me=not place.shared)
    for sender in senders:
        message, nodes = messages[sender], by_owner[roster.index(sender)]
        if list(message.nodes) != nodes:
            raise ProtocolViolationError(sender, "partition does not cover exactly the nodes it owns")
        try:
            packed = sealing.unseal(message.sealed, place.context, sender)
        except SealError as error:
            raise ProtocolViolationError(sender, f"partition: {error}") from error
        lengths = [len(rows[node]) for node in nodes]
        masks.update(zip(nodes, unpack_left(packed, lengths, sender), strict=True))
    return masks
