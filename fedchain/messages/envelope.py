"""The envelope of an uplink: what the contract judges."""

from __future__ import annotations

from dataclasses import dataclass

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
