"""Sample alignment by private set intersection: elliptic-curve Diffie-Hellman around a ring of two to eight parties.

Steps of party i of P (roster order):

1. hash the own ids to the curve under the session salt, shuffle them, blind them with a fresh secret;
2. for s = 0 … P−2: send the set in hand, which has s + 1 blindings and is that of party i − s, to party i + 1;
   blind what comes from party i − 1;
3. the set in hand now has all P blindings and is that of party i + 1: publish a 16-byte tag for each element;
4. an own id is in the intersection if its tag is in everybody's set; order the intersection by id; declare its digest.

Reveals to each party: the sizes of all sets; which of its own ids are in the intersection of all, and, with three
parties or more, which of the others hold each of its own ids (it can compare its tags with each set). Of ids that it
does not hold it sees uniformly random points. Semi-honest. Sources: Meadows 1986; Huberman, Franklin, Hogg 1999.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchain.compute.executor import Executor
from fedchain.crypto import psi
from fedchain.crypto.points import PointArray
from fedchain.data.ids import sort_ids
from fedchain.errors import AlignmentError, InvalidPointError, ProtocolViolationError
from fedchain.messages import BlindedIds
from fedchain.protocol import DeclareAligned, Party, Send, Stage, receive, remember
from fedchain.types import PartyId

POINT_BYTES = 65
TAG_BYTES = 16
SECRET_BYTES = 32


Admit = Callable[[PartyId, int, int], None]
"""Looks at a peer's name, the size of its set and that of the own set, and raises to refuse to align with it."""


@dataclass(frozen=True)
class Aligned:
    """What a party has after alignment.

    Attributes:
        ids: own spelling of the common ids, in the order that all parties share.
        order_digest: 32 bytes, equal for all parties; reveals nothing of the ids.
        set_sizes: number of ids of every party, roster order.
    """

    ids: tuple[str, ...]
    order_digest: bytes
    set_sizes: tuple[int, ...]


def align(
    me: PartyId,
    roster: Sequence[PartyId],
    ids: Sequence[str],
    session_salt: bytes,
    *,
    min_rows: int,
    executor: Executor,
    admit: Admit | None = None,
) -> Party[Aligned]:
    """One party's side of the alignment.

    Args:
        me: this party.
        roster: all parties, in the job's order.
        ids: this party's ids, distinct and not blank.
        session_salt: 32 bytes that all parties agreed on, fresh for each run.
        min_rows: the job's least number of common rows.
        executor: where the curve arithmetic runs.
        admit: asked before any id of a peer's set is blinded here: whoever is refused learns nothing of the own ids.

    Raises:
        AlignmentError: no id, an empty intersection, or one below `min_rows`.
        ProtocolViolationError: a peer sent something out of shape; names it.
    """
    parties, index = len(roster), roster.index(me)
    if not ids:
        raise AlignmentError(f"party '{me}' has no usable id: every id is blank or the table is empty")
    following, preceding = roster[(index + 1) % parties], roster[(index - 1) % parties]
    secret = int.from_bytes((yield from remember("psi_secret", _new_secret)), "big")
    shuffled = _shuffled(ids, (yield from remember("psi_order", lambda: os.urandom(SECRET_BYTES))))

    yield Stage("align", 0, parties + 1, f"blinding {len(ids)} ids")
    points = psi.hash_to_curve([one.encode() for one in shuffled], session_salt, executor)
    in_hand, origin = psi.blind(points, secret, executor), index
    for step in range(parties - 1):
        yield Send(_points_message(origin, step + 1, in_hand), step, following)
        message = yield from receive(BlindedIds, step, preceding, to_me=True)
        origin = (index - 1 - step) % parties
        received = _parse_points(message, origin, step + 1, preceding)
        if admit is not None:
            admit(roster[origin], len(received), len(ids))
        yield Stage("align", step + 1, parties + 1, f"blinding {len(received)} ids of {roster[origin]}")
        in_hand = psi.blind(received, secret, executor)

    tags_out = psi.tags(in_hand)
    published = BlindedIds(origin, parties, len(tags_out), tags_out.tobytes())
    yield Send(published, parties - 1)
    yield Stage("align", parties, parties + 1, "comparing")
    tags: dict[int, NDArray[np.bytes_]] = {origin: _parse_tags(published, origin, parties, me)}
    for other in range(1, parties):
        sender_index = (index + other) % parties
        sender, its_origin = roster[sender_index], (sender_index + 1) % parties
        message = yield from receive(BlindedIds, parties - 1, sender)
        tags[its_origin] = _parse_tags(message, its_origin, parties, sender)

    own = tags[index]
    if len(own) != len(shuffled):
        raise ProtocolViolationError(preceding, f"returned {len(own)} tags for {len(shuffled)} ids")
    common = np.ones(len(own), dtype=bool)
    for theirs in tags.values():
        common &= np.isin(own, theirs)
    by_id = {shuffled[position]: own[position] for position in np.flatnonzero(common)}
    ordered = tuple(sort_ids(list(by_id)))
    if len(ordered) < max(1, min_rows):
        raise AlignmentError(
            f"{len(ordered)} ids are common to all {parties} parties, the job asks for at least {min_rows}; "
            "check that the id columns mean the same and are spelled alike, or lower [alignment] min_rows"
        )
    digest = hashlib.sha256(b"fedchain-order-1" + b"".join(_full_tag(by_id[one]) for one in ordered)).digest()
    yield DeclareAligned(digest, len(ordered))
    yield Stage("align", parties + 1, parties + 1, f"{len(ordered)} common rows")
    return Aligned(ordered, digest, tuple(len(tags[party]) for party in range(parties)))


def _new_secret() -> bytes:
    return psi.random_secret().to_bytes(SECRET_BYTES, "big")


def _shuffled(ids: Sequence[str], secret: bytes) -> list[str]:
    """In an order that only the secret tells: the position of an element must not tell the row."""

    def key(one: str) -> bytes:
        return hashlib.blake2b(one.encode(), key=secret, digest_size=SECRET_BYTES).digest()

    return sorted(ids, key=key)


def _points_message(origin: int, blindings: int, points: PointArray) -> BlindedIds:
    return BlindedIds(origin, blindings, len(points), points.to_sec1())


def _check_header(message: BlindedIds, origin: int, blindings: int, width: int, sender: PartyId) -> None:
    if (message.origin, message.blindings) != (origin, blindings):
        raise ProtocolViolationError(sender, "sent the blinded ids of another party or another step")
    if len(message.points) != width * message.count or message.count == 0:
        raise ProtocolViolationError(sender, "blinded ids do not have the announced length")


def _parse_points(message: BlindedIds, origin: int, blindings: int, sender: PartyId) -> PointArray:
    _check_header(message, origin, blindings, POINT_BYTES, sender)
    try:
        return PointArray.from_sec1(message.points, message.count, sender)
    except InvalidPointError as error:
        raise ProtocolViolationError(sender, f"blinded ids: {error}") from error


def _parse_tags(message: BlindedIds, origin: int, blindings: int, sender: PartyId) -> NDArray[np.bytes_]:
    _check_header(message, origin, blindings, TAG_BYTES, sender)
    tags = np.frombuffer(message.points, dtype=f"S{TAG_BYTES}")
    if len(np.unique(tags)) != len(tags):
        raise ProtocolViolationError(sender, "published the same tag twice")
    return tags


def _full_tag(tag: bytes) -> bytes:
    return bytes(tag).ljust(TAG_BYTES, b"\0")  # numpy drops trailing zero bytes
