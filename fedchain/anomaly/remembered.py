"""A watch's memory as bytes, for the checkpoint of training: at most about 0.3 MB, whatever the job's length."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import msgspec
import numpy as np

from fedchain.anomaly.freshness import Freshness
from fedchain.anomaly.robust import WINDOW
from fedchain.errors import TrainingError
from fedchain.types import PartyId

Windows = dict[tuple[PartyId, int], deque[int]]
"""The last statistics of each party and output, the oldest first."""


class _Memory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Windows by their name as (party, output, statistics); ciphertexts as words with the index of their sender."""

    windows: dict[str, list[tuple[str, int, tuple[int, ...]]]]
    mask: int
    senders: tuple[str, ...]
    words: bytes
    by: bytes


def pack(windows: Mapping[str, Windows], freshness: Freshness) -> bytes:
    """What is remembered once the round in force is over."""
    mask, words = freshness.after_round()
    senders = tuple(sorted(set(words.values())))
    places = {sender: place for place, sender in enumerate(senders)}
    told = {
        name: [(str(party), output, tuple(values)) for (party, output), values in kind.items()]
        for name, kind in windows.items()
    }
    return msgspec.msgpack.encode(
        _Memory(
            told,
            mask,
            senders,
            np.fromiter(words, dtype="<u8", count=len(words)).tobytes(),
            bytes(places[sender] for sender in words.values()),
        )
    )


def unpack(raw: bytes, windows: Mapping[str, Windows], freshness: Freshness) -> None:
    """Remember what `pack` gave; windows of other names are as if nothing had been seen.

    Raises:
        TrainingError: it cannot be read.
    """
    try:
        memory = msgspec.msgpack.decode(raw, type=_Memory)
        words = np.frombuffer(memory.words, dtype="<u8").tolist()
        senders = [PartyId(memory.senders[place]) for place in memory.by]
        freshness.resume(memory.mask, dict(zip(words, senders, strict=True)))
    except (msgspec.DecodeError, ValueError, IndexError) as error:
        raise TrainingError(f"what the watch of histograms remembered cannot be read: {error}") from error
    for name, kind in windows.items():
        kind.clear()
        for party, output, values in memory.windows.get(name, ()):
            kind[PartyId(party), output] = deque(values, maxlen=WINDOW)
