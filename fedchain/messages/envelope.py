"""The envelope of an uplink: what the contract judges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec

from fedchain.errors import MessageError
from fedchain.types import SCHEMA_VERSION, Kind


@dataclass(frozen=True)
class Envelope:
    """Mirrors `UplinkLedger.Envelope`; the sender is the transaction's.

    Attributes:
        job_id: 32 bytes.
        round: boosting iteration; 0 in alignment, from `REQUEST_BASE` up an inference request.
        attempt: how often the round was tried before.
        step: number within the round.
        kind: what the payload is.
        recipient: 20-byte address, zeros for the whole roster.
        digest: 32-byte Merkle root of the payload.
        size: payload's length in bytes.
        statistic_e6: declared statistic, scale 1e6.
        schema: version of the wire schema.
    """

    job_id: bytes
    round: int
    attempt: int
    step: int
    kind: Kind
    recipient: bytes
    digest: bytes
    size: int
    statistic_e6: int = 0
    schema: int = SCHEMA_VERSION

    def to_bytes(self) -> bytes:
        """Canonical bytes, for deliveries that go ahead of the chain."""
        return msgspec.msgpack.encode(_Wire(**{name: getattr(self, name) for name in _Wire.__struct_fields__}))

    @classmethod
    def from_bytes(cls, raw: bytes) -> Envelope:
        """Parse what `to_bytes` made.

        Raises:
            MessageError: malformed, out of bounds, or not canonical.
        """
        try:
            wire = msgspec.msgpack.decode(raw, type=_Wire)
        except (msgspec.DecodeError, ValueError, OverflowError) as error:
            raise MessageError(f"bytes are not a valid envelope: {error}") from error
        if msgspec.msgpack.encode(wire) != raw:
            raise MessageError("bytes are not the canonical encoding of an envelope")
        return cls(**{name: getattr(wire, name) for name in _Wire.__struct_fields__})


def _uint(bits: int) -> msgspec.Meta:
    return msgspec.Meta(ge=0, le=2 ** min(bits, 63) - 1)


def _length(count: int) -> msgspec.Meta:
    return msgspec.Meta(min_length=count, max_length=count)


class _Wire(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    job_id: Annotated[bytes, _length(32)]
    round: Annotated[int, _uint(32)]
    attempt: Annotated[int, _uint(16)]
    step: Annotated[int, _uint(32)]
    kind: Kind
    recipient: Annotated[bytes, _length(20)]
    digest: Annotated[bytes, _length(32)]
    size: Annotated[int, _uint(64)]
    statistic_e6: Annotated[int, _uint(64)]
    schema: Annotated[int, _uint(16)]
