"""Envelopes, leaves of batches, and verdicts as the ledger's events have them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from contracts.script.report.deployed import Done

NOBODY = "0x" + "00" * 20
CHUNK_BYTES = 65_536

_REASON_BITS = 8


def digest_of(payload: bytes) -> bytes:
    """The root of the SHA-256 tree over 64 KiB chunks, by its definition."""
    level = [hashlib.sha256(b"\0" + payload[i : i + CHUNK_BYTES]).digest() for i in range(0, len(payload), CHUNK_BYTES)]
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [hashlib.sha256(b"\1" + b"".join(pair)).digest() if len(pair) == 2 else pair[0] for pair in pairs]
    return level[0]


def envelope_of(job: bytes, round_: int, kind: int, payload: bytes = b"", **changes: object) -> dict[str, Any]:
    """A sound envelope of a payload, for the whole roster, with fields replaced by `changes`."""
    sound: dict[str, Any] = {
        "jobId": job,
        "round": round_,
        "attempt": 0,
        "step": 0,
        "kind": kind,
        "recipient": NOBODY,
        "schema": 1,
        "digest": digest_of(payload) if payload else b"",
        "size": len(payload),
        "statisticE6": 0,
    }
    if not set(changes) <= set(sound):
        raise ValueError(f"an envelope has no {', '.join(set(changes) - set(sound))}")
    return {**sound, **changes}


def leaf_of(envelope: Mapping[str, Any]) -> dict[str, Any]:
    """The same as a leaf of a batch."""
    recipient = int(envelope["recipient"], 16)
    place = recipient << 96 | envelope["step"] << 64 | envelope["size"] << 8 | envelope["kind"]
    return {"place": place, "digest": envelope["digest"]}


def reasons(done: Done) -> list[int]:
    """The reason of each verdict that a transaction gave, in order; 0 is accepted."""
    return [judged["place"] & (2**_REASON_BITS - 1) for judged in done.all("UplinkJudged")]
