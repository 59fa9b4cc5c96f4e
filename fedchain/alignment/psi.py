"""Sample alignment by private set intersection: elliptic-curve Diffie-Hellman around a ring of two to eight parties.

Steps of party i of P (roster order), all sets in chunks of `chunks.CHUNK_IDS`:

1. put the own ids (and dummies, where the job pads) in secret order, hash them to the curve under the session salt,
   blind them with a fresh secret; commit to the blinded chunks and tell the set's size;
2. once all have committed, send the own chunks to party i + 1; blind what comes from party i − 1 and pass it on;
3. a chunk that now has all P blindings is of party i + 1: publish a 16-byte tag for each element;
4. an own id is in the intersection if its tag is in everybody's set; order the intersection by id; declare its digest.

Reveals to each party: the sizes of all sets (padded, where the job pads); which of its own ids are in the intersection
of all, and, with three parties or more, which of the others hold each of its own ids (it can compare its tags with each
set), and how many ids any two of the others share. Of ids that it does not hold it sees uniformly random points.
Semi-honest; with `proven_blinding` a wrong second blinding is caught and its sender named. Sources: Meadows 1986;
Huberman, Franklin, Hogg 1999.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedchain.alignment.chunks import CHUNK_IDS, chunk_count
from fedchain.alignment.matching import Matcher, Tags, tags_repeat
from fedchain.alignment.ownset import SEED_BYTES, OwnSet, padded
from fedchain.alignment.ring import Ring
from fedchain.compute.executor import Executor
from fedchain.crypto import psi
from fedchain.data.idarray import Ids
from fedchain.data.ids import sorted_rows
from fedchain.errors import AlignmentError, ProtocolViolationError
from fedchain.protocol import DeclareAligned, Party, Stage, remember
from fedchain.types import PartyId

SECRET_BYTES = 32

Admit = Callable[[PartyId, int, int], None]
"""Looks at a peer's name, the size of its set and that of the own set, and raises to refuse to align with it."""


@dataclass(frozen=True)
class Aligned:
    """What a party has after alignment.

    Attributes:
        ids: own spelling of the common ids, in the order that all parties share.
        order_digest: 32 bytes, equal for all parties; reveals nothing of the ids.
        set_sizes: number of ids of every party, roster order; padded, where the job pads.
        tags: 16 bytes for each common id, joined, in that order; equal for all parties (`request_tags`).
        partial_ids: own spelling of the ids that this and the active party hold and not all others do, by id; at the
            active party those that any other party holds, but not all. Empty unless `align` was told to keep them.
        partial_tags: their tags, 16 bytes each.
        partial_holders: a byte for each: bit i is set where the roster's party i holds the id.
    """

    ids: tuple[str, ...]
    order_digest: bytes
    set_sizes: tuple[int, ...]
    tags: bytes = b""
    partial_ids: tuple[str, ...] = ()
    partial_tags: bytes = b""
    partial_holders: bytes = b""


def align(
    me: PartyId,
    roster: Sequence[PartyId],
    ids: Sequence[str],
    session_salt: bytes,
    *,
    min_rows: int,
    executor: Executor,
    pad_to: int | str | None = None,
    proven_blinding: bool = False,
    admit: Admit | None = None,
    chunk_ids: int = CHUNK_IDS,
    keep_partial: bool = False,
) -> Party[Aligned]:
    """One party's side of the alignment.

    Args:
        me: this party.
        roster: all parties, in the job's order.
        ids: this party's ids, distinct and not blank.
        session_salt: 32 bytes that all parties agreed on, fresh for each run.
        min_rows: the job's least number of common rows; a smaller set is refused.
        executor: where the curve arithmetic runs.
        pad_to: show the size of the set as the next multiple of this number, or as the next power of two
            (`"power_of_two"`); None shows it as it is.
        proven_blinding: whether every blinding of others' ids is proven.
        admit: asked before any id of a peer's set is blinded here: whoever is refused learns nothing of the own ids.
        chunk_ids: ids in a chunk, the same at all parties.
        keep_partial: whether to keep ids that some of the others do not hold; nothing more is sent or learned for it.

    Raises:
        AlignmentError: no id, a set or an intersection below `min_rows`, or an empty intersection.
        ProtocolViolationError: a peer sent something out of shape, or not what it committed to; names it.
    """
    if not ids:
        raise AlignmentError(f"party '{me}' has no usable id: every id is blank or the table is empty")
    secret = int.from_bytes((yield from remember("psi_secret", _new_secret)), "big")
    seed = yield from remember("psi_order", lambda: os.urandom(SEED_BYTES))
    own = OwnSet(ids, seed, padded(len(ids), pad_to), chunk_ids)
    ring = Ring(me, roster, own, session_salt, secret, chunk_ids, proven_blinding, min_rows, pad_to, executor)
    try:
        yield Stage("align", 0, ring.blindings, f"blinding {len(ids)} ids")
        yield from ring.commit()
        if admit is not None:
            for party, header in zip(roster, ring.headers, strict=True):
                if party != me:
                    admit(party, header.count, len(ids))
        yield from ring.turn()
    finally:
        ring.close()
    tags, holders = yield from _compare(ring, own)
    everybody = (1 << len(roster)) - 1
    common = np.flatnonzero(holders == everybody).astype(np.int64)
    if len(common) < max(1, min_rows):
        raise AlignmentError(
            f"{len(common)} ids are common to all {len(roster)} parties, the job asks for at least {min_rows}; "
            "check that the id columns mean the same and are spelled alike, or lower [alignment] min_rows"
        )
    ordered, places = _in_order(ids, own, common)
    ordered_tags = tags[places].tobytes()
    digest = hashlib.sha256(b"fedchain-order-1" + ordered_tags).digest()
    yield DeclareAligned(digest, len(ordered))
    yield Stage("align", ring.blindings, ring.blindings, f"{len(ordered)} common rows")
    aligned = Aligned(ordered, digest, tuple(header.count for header in ring.headers), ordered_tags)
    return _with_partial(aligned, ids, own, tags, holders, ring.index, everybody) if keep_partial else aligned


def _in_order(ids: Sequence[str], own: OwnSet, places: NDArray[np.int64]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The ids at these places of the secret order, no dummy among them, in the order that all share; and the places."""
    chosen = Ids.of(ids).take(own.rows(places))
    order = sorted_rows(chosen)
    return tuple(chosen.take(order)), places[order]


def _with_partial(
    aligned: Aligned,
    ids: Sequence[str],
    own: OwnSet,
    tags: Tags,
    holders: NDArray[np.uint8],
    me: int,
    everybody: int,
) -> Aligned:
    """The same with the ids that the active and another party hold and not all do."""
    with_active = (holders & 1) != 0 if me else holders > 1
    places = np.flatnonzero(with_active & (holders != everybody)).astype(np.int64)
    ordered, chosen = _in_order(ids, own, places)
    return replace(
        aligned,
        partial_ids=ordered,
        partial_tags=tags[chosen].tobytes(),
        partial_holders=holders[chosen].tobytes(),
    )


def _compare(ring: Ring, own: OwnSet) -> Party[tuple[Tags, NDArray[np.uint8]]]:
    """Own tags, and for each the parties whose sets have it, a bit each, 0 for a dummy; a chunk of theirs at a time."""
    parties, preceding = ring.parties, ring.preceding
    tags = yield from ring.tags_of(ring.index)
    if tags_repeat(tags):
        raise ProtocolViolationError(preceding, "published the same tag twice")
    matcher = Matcher(tags)
    real = own.real()
    holders = real.astype(np.uint8) * np.uint8(1 << ring.index)
    for ahead in range(1, parties):
        origin = (ring.index + ahead) % parties
        publisher = ring.roster[(origin - 1) % parties]
        theirs = np.zeros(len(tags), np.uint8)
        for chunk in range(chunk_count(ring.headers[origin].count, ring.chunk_ids)):
            found = matcher.find((yield from ring.tag_chunk(origin, chunk)))
            if theirs[found].any():
                raise ProtocolViolationError(publisher, "published the same tag twice")
            theirs[found] = 1
        holders |= (theirs & real) * np.uint8(1 << origin)
    return tags, holders


def _new_secret() -> bytes:
    return psi.random_secret().to_bytes(SECRET_BYTES, "big")
