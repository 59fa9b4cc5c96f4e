"""The inference router, typed: a job's terms, reservations against its quota, anchored receipts, strict requests."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fedchain.chain.artifacts import ROUTER
from fedchain.chain.events import ChainEvent, RequestClosed
from fedchain.chain.gas import ask_gas
from fedchain.chain.inference_events import ReceiptsAnchored, RequestAsked, RequestRefused, Reserved
from fedchain.chain.reads import job_id_bytes
from fedchain.chain.stewarding import Read, Write
from fedchain.chain.transaction import Receipt
from fedchain.chain.views import RequestStatus
from fedchain.errors import ChainError, QuotaExceededError, TransactionError
from fedchain.types import JobId, Reason

MAX_REQUESTS = 64
"""Requests of one call of `ask` or `close_many`, as in `InferenceRouter`."""
MAX_SEALED_BYTES = 4096
"""Bytes of a strict request's body, as in `InferenceRouter`."""
MAX_RESERVED = 2**24
"""Serials of one reservation, as in `InferenceRouter`."""
ANSWER_SECONDS = 600
"""How long a strict request may stay open before anybody on the roster may end it, unless the terms say otherwise."""

_QUOTA = re.compile(r"QuotaExceeded\(requester=\w+, left=(\d+), windowEnds=(\d+)\)")

_E = TypeVar("_E", bound=ChainEvent)

WriteWithin = Callable[..., Receipt]
Events = Callable[[int, int], list[ChainEvent]]


@dataclass(frozen=True)
class Terms:
    """How often a job's model may be asked: the same for each party of its roster.

    Attributes:
        quota: rows that one requester may reserve and ask strictly in one window, 1..2^40.
        window_seconds: length of a window; windows begin at the multiples of this on the chain's clock.
        answer_seconds: how long a strict request may stay open before anybody on the roster may end it.
    """

    quota: int
    window_seconds: int
    answer_seconds: int = ANSWER_SECONDS


@dataclass(frozen=True)
class Reservation:
    """Serial numbers that the chain has counted against a requester's quota.

    Attributes:
        first: the first of them.
        count: their number.
        window: in which they count; it ends at `(window + 1) * window_seconds` on the chain's clock.
    """

    first: int
    count: int
    window: int

    @property
    def end(self) -> int:
        """The first serial behind them."""
        return self.first + self.count


@dataclass(frozen=True)
class Usage:
    """What a requester has of its quota now.

    Attributes:
        next: the first serial that it has not reserved: it reserved all below.
        used_in_window: rows that count in `window`.
        window: the window in force; 0 without terms.
    """

    next: int
    used_in_window: int
    window: int


@dataclass(frozen=True)
class Anchor:
    """Receipts that a requester anchored.

    Attributes:
        index: the anchor's number, from 0 per job and requester.
        root: of the receipts' Merkle tree, 32 bytes.
        count: how many serials they are about.
        block_number: in which it was anchored.
    """

    index: int
    root: bytes
    count: int
    block_number: int


@dataclass(frozen=True)
class Asked:
    """A strict request and the contract's judgement.

    Attributes:
        request_id: its number, whatever the judgement.
        reason: ACCEPTED: it is open; otherwise why it was rejected at once.
    """

    request_id: int
    reason: Reason


class Inference:
    """The router of a consortium; `Consortium.inference` is one.

    Every method raises `ChainUnreachableError` when the chain's node does not answer; those that write wait until it is
    mined, and raise `TransactionError` with the contract's typed error. Everyone on the chain sees who asks, when and
    how often.

    Args:
        read: calls a view: contract, function, arguments.
        write: sends a transaction: the same.
        write_within: sends a transaction that is not estimated: gas limit, contract, function, arguments.
        events: the contracts' events in a closed range of blocks.
        head: number of the newest block.
    """

    def __init__(
        self, read: Read, write: Write, write_within: WriteWithin, events: Events, head: Callable[[], int]
    ) -> None:
        self._read = read
        self._write = write
        self._write_within = write_within
        self._events = events
        self._head = head

    # -- terms and quota --------------------------------------------------------------------------------------------

    def knows_terms(self) -> bool:
        """Whether the router is of a version that knows terms: jobs of an earlier one have none, and get none."""
        try:
            self._read(ROUTER, "termsOf", bytes(32))
        except TransactionError:
            return False
        return True

    def terms(self, job_id: JobId) -> Terms | None:
        """A job's terms, None if it has none: then nothing can be reserved or asked strictly."""
        try:
            (found,) = self._read(ROUTER, "termsOf", job_id_bytes(job_id))
        except TransactionError:  # the view never reverts; a router of an earlier version has no such view
            return None
        if not found["quota"]:
            return None
        return Terms(found["quota"], found["windowSeconds"], found["answerSeconds"])

    def set_terms(self, job_id: JobId, terms: Terms) -> Receipt:
        """Active party: set a job's terms, once and for ever, while it is Proposed or Aligning.

        Raises:
            TransactionError: `TermsInvalid()`, `TermsAlreadySet(…)`, `TermsTooLate(…)`, `NotActiveParty(…)` …
        """
        numbers = (terms.quota, terms.window_seconds, terms.answer_seconds)
        return self._write(ROUTER, "setTerms", job_id_bytes(job_id), *numbers)

    def reserve(self, job_id: JobId, count: int) -> Reservation:
        """Roster party: reserve serials for as many rows of a completed job; they count at once, used or not.

        Args:
            job_id: the job.
            count: rows, 1..`MAX_RESERVED`.

        Raises:
            QuotaExceededError: the quota of this window leaves less.
            TransactionError: `TermsMissing(…)`, `WrongPhase(…)`, `CountInvalid(…)` …
        """
        try:
            receipt = self._write(ROUTER, "reserve", job_id_bytes(job_id), count)
        except TransactionError as error:
            raise _typed(error, job_id) from error
        event = _only(receipt, Reserved, "reserve")
        return Reservation(event.first, event.count, event.window)

    def reserved(self, job_id: JobId, address: str) -> Usage:
        """What a requester has of its quota now."""
        return Usage(*self._read(ROUTER, "reservationOf", job_id_bytes(job_id), address))

    def reservations(
        self, job_id: JobId, address: str, from_block: int, to_block: int | None = None
    ) -> list[Reservation]:
        """A requester's reservations, in their order, from events.

        Args:
            job_id: the job.
            address: the requester's.
            from_block: the first block to look at.
            to_block: the last one, None for the newest.
        """
        end = self._head() if to_block is None else to_block
        return [
            Reservation(event.first, event.count, event.window)
            for event in self._events(from_block, end)
            if isinstance(event, Reserved) and (event.job_id, event.requester) == (job_id, address)
        ]

    # -- receipts ---------------------------------------------------------------------------------------------------

    def anchor(self, job_id: JobId, root: bytes, count: int) -> Anchor:
        """Roster party: anchor the receipts that it got since its last anchor.

        Args:
            job_id: the job.
            root: of their SHA-256 Merkle tree, 32 bytes, not zero.
            count: how many serials they are about, however many parties answered each; all anchors together are about
                no more than were reserved.
        """
        receipt = self._write(ROUTER, "anchor", job_id_bytes(job_id), root, count)
        event = _only(receipt, ReceiptsAnchored, "anchor")
        return Anchor(event.index, event.root, event.count, event.block_number)

    def anchored(self, job_id: JobId, address: str) -> tuple[int, int]:
        """How many anchors a requester has, and how many serials they are about together."""
        count, serials = self._read(ROUTER, "anchorsOf", job_id_bytes(job_id), address)
        return int(count), int(serials)

    def is_anchored(self, job_id: JobId, address: str, index: int, root: bytes) -> bool:
        """Whether a requester's anchor of that number has that root."""
        return bool(self._read(ROUTER, "isAnchored", job_id_bytes(job_id), address, index, root)[0])

    def anchors(self, job_id: JobId, address: str, from_block: int, to_block: int | None = None) -> list[Anchor]:
        """A requester's anchors, in their order, from events; parameters as for `reservations`."""
        end = self._head() if to_block is None else to_block
        return [
            Anchor(event.index, event.root, event.count, event.block_number)
            for event in self._events(from_block, end)
            if isinstance(event, ReceiptsAnchored) and (event.job_id, event.requester) == (job_id, address)
        ]

    # -- strict requests --------------------------------------------------------------------------------------------

    def ask(self, job_id: JobId, sealed: Sequence[bytes]) -> list[Asked]:
        """Roster party: ask strictly, several requests in one transaction; each counts as one row once accepted.

        Everyone on the chain sees the sealed bodies.

        Args:
            job_id: a completed job.
            sealed: 1..`MAX_REQUESTS` bodies of 1..`MAX_SEALED_BYTES` bytes.

        Returns:
            Number and judgement of each, in their order. A rejection is no error: reasons are SENDER_SUSPENDED,
            UNKNOWN_JOB, NOT_ON_ROSTER, WRONG_PHASE, SIZE_OUT_OF_BOUNDS, RATE_EXCEEDED (no terms, or the quota of this
            window is used up).

        Raises:
            TransactionError: `CallerNotAccredited(…)`: never accredited; `ListsInvalid(…)`.
        """
        digests = [hashlib.sha256(body).digest() for body in sealed]
        gas = ask_gas(len(sealed), sum(map(len, sealed)))
        receipt = self._write_within(gas, ROUTER, "ask", job_id_bytes(job_id), digests, list(sealed))
        found = [
            Asked(event.request_id, event.reason if isinstance(event, RequestRefused) else Reason.ACCEPTED)
            for event in receipt.events
            if isinstance(event, (RequestAsked, RequestRefused))
        ]
        if len(found) != len(sealed):
            raise _unfit("ask", "verdict on each request")
        return found

    def close_many(self, job_id: JobId, outcomes: Sequence[tuple[int, RequestStatus]]) -> list[int]:
        """Requester or active party: close several requests in one transaction.

        Args:
            job_id: the job.
            outcomes: 1..`MAX_REQUESTS` pairs of request and outcome.

        Returns:
            The requests that this call closed: those that were closed before are passed over.
        """
        ids, numbers = [one for one, _ in outcomes], [int(outcome) for _, outcome in outcomes]
        receipt = self._write(ROUTER, "closeMany", job_id_bytes(job_id), ids, numbers)
        return [event.request_id for event in receipt.events if isinstance(event, RequestClosed)]

    def expire(self, job_id: JobId, request_id: int) -> Receipt:
        """Roster party: end a strict request that stayed open for longer than the terms' `answer_seconds`."""
        return self._write(ROUTER, "expire", job_id_bytes(job_id), request_id)

    def reason(self, job_id: JobId, request_id: int) -> Reason:
        """How a request was judged when it was asked; ACCEPTED for one that was opened.

        Raises:
            TransactionError: `UnknownRequest(…)`.
        """
        return Reason(self._read(ROUTER, "reasonOf", job_id_bytes(job_id), request_id)[0])

    def deadline(self, job_id: JobId, request_id: int) -> int:
        """The last second of the chain's clock before `expire` may end a strict request; 0 if closed, or not strict.

        Raises:
            TransactionError: `UnknownRequest(…)`.
        """
        return int(self._read(ROUTER, "deadlineOf", job_id_bytes(job_id), request_id)[0])


def _typed(error: TransactionError, job_id: JobId) -> TransactionError:
    match = _QUOTA.search(error.reason)
    return error if match is None else QuotaExceededError(job_id, int(match[1]), int(match[2]))


def _only(receipt: Receipt, kind: type[_E], name: str) -> _E:
    for event in receipt.events:
        if isinstance(event, kind):
            return event
    raise _unfit(name, kind.__name__)


def _unfit(name: str, what: str) -> ChainError:
    return ChainError(f"the receipt of {name} holds no {what}; deployment and chain do not fit together")
