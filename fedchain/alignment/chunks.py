"""How sets are cut into chunks, and the step of the round in which each chunk travels."""

from __future__ import annotations

from dataclasses import dataclass

CHUNK_IDS = 1 << 15
"""Ids in a chunk: 2 MB of points, about a second of one core."""

HEADER_STEP = 0

POINT_BYTES = 65
_ENVELOPE_BYTES = 128
"""What a message has around its points, at most."""


def chunk_ids_within(max_payload_bytes: int) -> int:
    """Ids in a chunk so that its message keeps to the job's bound; `CHUNK_IDS` where that is large enough."""
    return max(1, min(CHUNK_IDS, (max_payload_bytes - _ENVELOPE_BYTES) // POINT_BYTES))


def chunk_count(count: int, chunk_ids: int) -> int:
    """Chunks of a set of so many ids."""
    return -(-count // chunk_ids)


def chunk_length(count: int, chunk_ids: int, chunk: int) -> int:
    """Ids in one of them."""
    return min(chunk_ids, count - chunk * chunk_ids)


def step_of(chunk: int, blindings: int, parties: int) -> int:
    """The step in which a chunk with so many blindings (1 to `parties`) travels."""
    return HEADER_STEP + 1 + chunk * parties + blindings - 1


@dataclass(frozen=True)
class Item:
    """A chunk that comes in.

    Attributes:
        chunk: its number within its set.
        blindings: that it has as it comes in; 1 to parties - 1.
        origin: roster index of the party whose ids these are.
    """

    chunk: int
    blindings: int
    origin: int


def items_of(tick: int, index: int, chunks: tuple[int, ...]) -> list[Item]:
    """What the party at `index` of the ring takes and blinds in a tick, in order.

    In tick t come chunk t of the preceding party's set, chunk t - 1 of the set of the one before, and so on: all of
    it was sent in earlier ticks, so that every party works in every tick, and a party holds but a few chunks at a time.

    Args:
        tick: from 0.
        index: of the party.
        chunks: of each party's set, roster order.
    """
    parties = len(chunks)
    found = [Item(tick - hop, hop + 1, (index - 1 - hop) % parties) for hop in range(parties - 1)]
    return [item for item in found if 0 <= item.chunk < chunks[item.origin]]


def ticks(chunks: tuple[int, ...]) -> int:
    """Ticks until every chunk has been around."""
    return max(chunks) + len(chunks) - 2
