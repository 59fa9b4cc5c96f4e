"""Margins of all aligned rows under a finished model, before a job continues it: every party's side.

Every passive party sends its leaf bits of all aligned rows to the active party, sealed to it; the active party adds the
leaf weights. It is the exchange of an inference request over all rows, in the first round of training: hence a
partition by its kind, for only such an uplink may be sent then. It shares its step with the gradients, no other
partition does.

Reveals to the active party each passive party's decisions on every aligned row, at those of its nodes in the finished
model that its own path allows; nothing else to anybody.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fedchain.errors import ProtocolViolationError
from fedchain.inference.request import Answerer, Positions
from fedchain.inference.scoring import margins
from fedchain.messages import Partition
from fedchain.model.leaf_mask import bit_count, pack_bits, unpack_bits, whole_bits
from fedchain.protocol import Party, Send, gather

STEP = 0
CONTEXT = "warm_start/bits"
CHUNK = 2**16
"""Rows whose bits are unpacked at a time."""


def send_leaf_bits(answerer: Answerer) -> Party[None]:
    """Passive party: send own leaf bits of all aligned rows, sealed to the active party."""
    packed = b"".join(pack_bits(answerer.bits(positions)) for positions in _chunks(answerer.aligned_rows))
    yield Send(Partition((), answerer.seal_to(answerer.active, packed, CONTEXT)), STEP, answerer.active)


def collect_margins(answerer: Answerer) -> Party[NDArray[np.float64]]:
    """Active party: margins of all aligned rows, tree by tree in training order.

    Returns:
        Shape (aligned rows, outputs): bit for bit those that training left behind.

    Raises:
        ProtocolViolationError: leaf bits out of shape; names their sender, or all senders where they contradict.
    """
    shard, rows, passive = answerer.shard, answerer.aligned_rows, answerer.roster[1:]
    messages = yield from gather(Partition, STEP, passive, to_me=True)
    packed, widths = [], []
    for index, party in enumerate(passive, start=1):
        if messages[party].nodes:
            raise ProtocolViolationError(party, "named nodes where leaf bits of the checkpoint were due")
        packed.append(answerer.open_from(party, messages[party].sealed, CONTEXT))
        widths.append((bit_count(shard, index) + 7) // 8)
        if len(packed[-1]) != rows * widths[-1]:
            raise ProtocolViolationError(party, "sent leaf bits of another number of rows or leaves")
    parts = []
    for positions in _chunks(rows):
        first, last = int(positions[0]), int(positions[-1]) + 1
        bits = [whole_bits(shard, 0, answerer.bits(positions))]
        for index, party in enumerate(passive, start=1):
            raw = packed[index - 1][first * widths[index - 1] : last * widths[index - 1]]
            own = unpack_bits(raw, len(positions), bit_count(shard, index), party)
            bits.append(whole_bits(shard, index, own))
        parts.append(margins(shard, bits, ", ".join(passive)))
    return np.concatenate(parts)


def _chunks(rows: int) -> Iterator[Positions]:
    for first in range(0, rows, CHUNK):
        yield np.arange(first, min(first + CHUNK, rows), dtype=np.int64)
