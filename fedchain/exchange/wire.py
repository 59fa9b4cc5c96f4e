"""The two wire types of payload transfer between nodes: a request, and a chunk of the answer.

They are not uplinks: nothing of them reaches the chain. Encoded as MessagePack arrays like the uplinks' messages.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from fedchain.errors import MessageError

CHUNK_BYTES = 64 * 1024
"""Bytes per chunk, the same as the Merkle tree's leaves."""

MAX_PAYLOAD_BYTES = 2**31
"""Upper bound of any payload, whatever a job's policy says."""

MAX_WIRE_BYTES = CHUNK_BYTES + 1024
"""Upper bound of one encoded wire message."""


class PayloadRequest(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Ask a sender for the bytes behind a digest. Reveals to the sender that the asker works on that uplink.

    Attributes:
        digest: 32-byte Merkle root.
        size: the payload's length in bytes as committed on chain.
    """

    digest: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    size: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAYLOAD_BYTES)]


class PayloadChunk(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One piece of a payload.

    Attributes:
        index: position of the chunk, from 0.
        data: 1 to 65536 bytes; every chunk but the last one is full.
    """

    index: Annotated[int, msgspec.Meta(ge=0, le=MAX_PAYLOAD_BYTES // CHUNK_BYTES)]
    data: Annotated[bytes, msgspec.Meta(min_length=1, max_length=CHUNK_BYTES)]


W = TypeVar("W", PayloadRequest, PayloadChunk)


def encode_wire(message: PayloadRequest | PayloadChunk) -> bytes:
    """Bytes of a wire message."""
    return msgspec.msgpack.encode(message)


def decode_wire(raw: bytes, wire_type: type[W]) -> W:
    """Parse a wire message of at most `MAX_WIRE_BYTES`.

    Raises:
        MessageError: too long, malformed, or out of bounds.
    """
    if len(raw) > MAX_WIRE_BYTES:
        raise MessageError(f"{wire_type.__name__} of {len(raw)} bytes is longer than {MAX_WIRE_BYTES}")
    try:
        return msgspec.msgpack.decode(raw, type=wire_type)
    except (msgspec.DecodeError, ValueError, OverflowError) as error:
        raise MessageError(f"bytes are not a valid {wire_type.__name__}: {error}") from error
