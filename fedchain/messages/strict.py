"""The body of a strict request: it stands in the event that opens it, and each party can open its own part of it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from fedchain.messages.base import Wire

MAX_BODY_BYTES = 4096
"""The inference router refuses longer ones."""
MAX_PART_BYTES = 512
MAX_PARTS = 7

Bytes16 = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]


class StrictBody(Wire, frozen=True):
    """A part for each party but the requester, sealed to it; of the same size whether the party holds the row or not.

    Attributes:
        parts: a sealed `StrictPart` each, in roster order.
    """

    parts: Annotated[
        tuple[Annotated[bytes, msgspec.Meta(min_length=1, max_length=MAX_PART_BYTES)], ...],
        msgspec.Meta(min_length=1, max_length=MAX_PARTS),
    ]


class StrictPart(Wire, frozen=True):
    """What one party is asked. Reveals to it which of its rows is asked for; a random tag if it does not hold the row.

    Attributes:
        tag: request tag of the row for the pair and the epoch (`Session.request_tags`).
        epoch: of the tag, little-endian in 8 bytes, so that all parts are of one size.
        nonce: 16 random bytes: no two parts are alike, whatever the sealing does.
    """

    tag: Bytes16
    epoch: Annotated[bytes, msgspec.Meta(min_length=8, max_length=8)]
    nonce: Bytes16
