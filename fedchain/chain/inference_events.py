"""The events of `InferenceRouter` about terms, quotas, receipts and strict requests."""

from __future__ import annotations

from dataclasses import dataclass

from fedchain.chain.events import ChainEvent
from fedchain.types import JobId, Reason


@dataclass(frozen=True, kw_only=True)
class TermsSet(ChainEvent):
    """The active party set how often a job's model may be asked; see `Terms`."""

    job_id: JobId
    by: str
    quota: int
    window_seconds: int
    answer_seconds: int


@dataclass(frozen=True, kw_only=True)
class RequestAsked(ChainEvent):
    """A roster party asked strictly, and the request is open.

    Attributes:
        digest: SHA-256 of `sealed`, 32 bytes.
        sealed: the request's body, 1..`MAX_SEALED_BYTES` bytes, sealed by the requester to whom it concerns.
    """

    job_id: JobId
    request_id: int
    requester: str
    digest: bytes
    sealed: bytes


@dataclass(frozen=True, kw_only=True)
class RequestRefused(ChainEvent):
    """Somebody asked strictly, and the contract rejected it; `digest` is the one it claimed."""

    job_id: JobId
    request_id: int
    requester: str
    digest: bytes
    reason: Reason


@dataclass(frozen=True, kw_only=True)
class Reserved(ChainEvent):
    """A roster party reserved the serials `first`..`first + count - 1`; they count in `window`."""

    job_id: JobId
    requester: str
    first: int
    count: int
    window: int


@dataclass(frozen=True, kw_only=True)
class ReceiptsAnchored(ChainEvent):
    """A roster party anchored receipts for `count` of its serials under a Merkle root, 32 bytes."""

    job_id: JobId
    requester: str
    index: int
    root: bytes
    count: int


INFERENCE_EVENTS: tuple[type[ChainEvent], ...] = (TermsSet, RequestAsked, RequestRefused, Reserved, ReceiptsAnchored)
