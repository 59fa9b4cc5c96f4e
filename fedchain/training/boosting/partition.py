"""How split owners tell the roster which rows go left."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from fedchain.errors import ProtocolViolationError, SealError
from fedchain.messages import Partition
from fedchain.messages.training import SplitNode
from fedchain.protocol import Party, Send, gather
from fedchain.training.boosting import steps
from fedchain.training.boosting.tree import Rows, pack_left, unpack_left
from fedchain.types import PartyId

Masks = dict[int, NDArray[np.bool_]]
Seal = Callable[[bytes, str], bytes]
Unseal = Callable[[bytes, str, PartyId], bytes]


def exchange_partitions(
    me: PartyId,
    roster: tuple[PartyId, ...],
    tree: int,
    level: int,
    rows: Mapping[int, Rows],
    decisions: Mapping[int, SplitNode],
    own: Masks,
    seal: Seal,
    unseal: Unseal,
) -> Party[Masks]:
    """Send the masks of own splits, gather those of the others'.

    Reveals the partition of every split node to the whole roster, and to nobody else (it is sealed).

    Args:
        own: node -> which of the node's rows go left, for the splits that this party owns.

    Returns:
        Masks of all split nodes.

    Raises:
        ProtocolViolationError: a partition out of shape; names its sender.
    """
    by_owner: dict[int, list[int]] = {}
    for node in sorted(decisions):
        if decisions[node].owner >= 0:
            by_owner.setdefault(decisions[node].owner, []).append(node)
    step, masks = steps.partition(level), dict(own)
    my_nodes = by_owner.pop(roster.index(me), [])
    if my_nodes:
        sealed = seal(pack_left(own[node] for node in my_nodes), _context(tree, level))
        yield Send(Partition(tuple(my_nodes), sealed), step)
    senders = tuple(roster[owner] for owner in sorted(by_owner))
    if not senders:
        return masks
    messages = yield from gather(Partition, step, senders)
    for sender in senders:
        message, nodes = messages[sender], by_owner[roster.index(sender)]
        if list(message.nodes) != nodes:
            raise ProtocolViolationError(sender, "partition does not cover exactly the nodes it owns")
        try:
            packed = unseal(message.sealed, _context(tree, level), sender)
        except SealError as error:
            raise ProtocolViolationError(sender, f"partition: {error}") from error
        lengths = [len(rows[node]) for node in nodes]
        masks.update(zip(nodes, unpack_left(packed, lengths, sender), strict=True))
    return masks


def _context(tree: int, level: int) -> str:
    return f"partition/{tree}/{level}"
