"""The wire types between nodes: fetching a payload by its digest, and delivering an uplink directly.

They are not uplinks: nothing of them reaches the chain. Encoded as MessagePack arrays like the uplinks' messages.
A fetch is answered with the hashes of all chunks (only when it begins at the first chunk), then with runs of chunks.
A delivery is a head, which holds signature and payload of a small uplink; else runs of chunks follow, then the
signature: what a sender has not recorded yet may be on its way, but binds it to nothing, and nobody acts on it.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from fedchain.crypto.merkle import CHUNK_BYTES, DIGEST_BYTES
from fedchain.errors import MessageError

RUN_CHUNKS = 4
"""Chunks per message: fewer messages cost less, and 256 KiB is where TLS stops gaining."""

RUN_BYTES = RUN_CHUNKS * CHUNK_BYTES

MAX_PAYLOAD_BYTES = 2**31
"""Upper bound of any payload, whatever a job's policy says."""

MAX_ENVELOPE_BYTES = 1024
"""Upper bound of an encoded envelope."""

SIGNATURE_BYTES = 65

MAX_WIRE_BYTES = RUN_BYTES + 4096
"""Upper bound of one encoded wire message."""

_Chunk = Annotated[int, msgspec.Meta(ge=0, le=MAX_PAYLOAD_BYTES // CHUNK_BYTES)]
_Size = Annotated[int, msgspec.Meta(ge=1, le=MAX_PAYLOAD_BYTES)]


class PayloadRequest(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Ask a sender for the bytes behind a digest. Reveals to the sender that the asker works on that uplink.

    Attributes:
        digest: 32-byte Merkle root.
        size: the payload's length in bytes as committed on chain.
        first: chunk to begin with; 0 asks for the hashes of all chunks, too.
    """

    digest: Annotated[bytes, msgspec.Meta(min_length=DIGEST_BYTES, max_length=DIGEST_BYTES)]
    size: _Size
    first: _Chunk = 0


class PayloadLeaves(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Hashes of a payload's chunks, in order: the leaves under its digest. All together 1/2048 of the payload.

    Attributes:
        first: the chunk of the first hash.
        hashes: 32 bytes each.
        signature: with the first ones, the sender's under the digest of what it serves and the one that was asked for
            (`Faults.served_statement`): 65 bytes, or none of a node that only reads.
    """

    first: _Chunk
    hashes: Annotated[bytes, msgspec.Meta(min_length=DIGEST_BYTES, max_length=RUN_BYTES)]
    signature: Annotated[bytes, msgspec.Meta(max_length=SIGNATURE_BYTES)] = b""


class PayloadRun(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Neighbouring chunks of a payload.

    Attributes:
        first: the first chunk's position.
        data: 1 byte to 4 chunks; every chunk but the payload's last one is full. Decoded, a view of the message.
    """

    first: _Chunk
    data: Annotated[memoryview, msgspec.Meta(min_length=1, max_length=RUN_BYTES)]


class DeliveryHead(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Announces a signed uplink that comes directly from its sender; the payload is in it, or follows.

    Attributes:
        envelope: the encoded envelope, 1 to 1024 bytes.
        signature: 65 bytes, by the sender's account; empty where the payload follows.
        size: the payload's length in bytes.
        payload: all of it, where it has no more than 4 chunks; else empty.
    """

    envelope: Annotated[bytes, msgspec.Meta(min_length=1, max_length=MAX_ENVELOPE_BYTES)]
    signature: Annotated[bytes, msgspec.Meta(max_length=SIGNATURE_BYTES)]
    size: _Size
    payload: Annotated[memoryview, msgspec.Meta(max_length=RUN_BYTES)] = memoryview(b"")


class DeliveryEnd(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Ends a delivery whose payload followed its head: from now on the uplink counts.

    Attributes:
        signature: 65 bytes, by the sender's account.
    """

    signature: Annotated[bytes, msgspec.Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]


WireMessage = PayloadRequest | PayloadLeaves | PayloadRun | DeliveryHead | DeliveryEnd
W = TypeVar("W", PayloadRequest, PayloadLeaves, PayloadRun, DeliveryHead, DeliveryEnd)


def encode_wire(message: WireMessage) -> bytes:
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
