"""From logs to `UplinkJudged`, the one event that comes by the thousand: its fixed layout is read without a codec.

Topics: signature, job id, sender, uplink id. Data, in words of 32 bytes: place (recipient, step, round, attempt, kind,
reason), measure (schema, size, statistic), digest, offset and length of the payload, the payload. Source:
`IUplinkLedger.UplinkJudged` in `contracts/src/interfaces/IUplinkLedger.sol`.
"""

from __future__ import annotations

import struct
from typing import Any

from fedchain.chain.abi import checksum
from fedchain.chain.events import UplinkJudged
from fedchain.chain.views import kind_of_number
from fedchain.errors import ChainError
from fedchain.messages.envelope import Envelope
from fedchain.types import JobId, Reason

SIGNATURE = "UplinkJudged(bytes32,address,bytes32,uint256,uint256,bytes32,bytes)"
"""Whose topic these logs have; a test compares it with the artifact."""

_HEAD = struct.Struct(">20sIIHBB14sHQQ32s24xQ24xQ")
_OFFSET = 128


def decode_judgment(topics: list[str], data: bytes, place: dict[str, Any]) -> UplinkJudged:
    """The event of a log.

    Args:
        topics: the log's, 0x-prefixed hex.
        data: the log's.
        place: the fields of `ChainEvent`.

    Raises:
        ChainError: the log does not have this layout.
    """
    try:
        (
            recipient, step, round, attempt, kind, reason, unused, schema, size, statistic_e6, digest, offset, length,
        ) = _HEAD.unpack_from(data)  # fmt: skip
        _, job, sender, uplink_id = topics
        payload = data[_HEAD.size : _HEAD.size + length]
        if offset != _OFFSET or len(data) != _HEAD.size + length + -length % 32 or any(unused):
            raise ValueError("offset, length or padding")
        return UplinkJudged(
            **place,
            job_id=JobId(job.lower()),
            sender=checksum("0x" + sender[26:].lower()),
            uplink_id=bytes.fromhex(uplink_id[2:]),
            reason=Reason(reason),
            envelope=Envelope(
                job_id=bytes.fromhex(job[2:]),
                round=round,
                attempt=attempt,
                step=step,
                kind=kind_of_number(kind),
                recipient=recipient,
                digest=digest,
                size=size,
                statistic_e6=statistic_e6,
                schema=schema,
            ),
            payload=payload,
        )
    except (struct.error, ValueError) as error:
        raise ChainError(f"UplinkJudged does not decode; deployment and chain do not fit together: {error}") from error
