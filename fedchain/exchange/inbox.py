"""What the chain has brought for one job: accepted uplinks by slot, phases, rounds, and what went wrong.

The subscriber delivers events in chain order; a job's thread waits. Receivers get accepted uplinks only: a rejected
one of any roster member ends every wait at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

from fedchain.chain.events import (
    ChainEvent,
    JobAborted,
    PhaseChanged,
    RequestClosed,
    RoundBegan,
    UplinkJudged,
)
from fedchain.crypto.merkle import payload_digest
from fedchain.errors import (
    DeadlineError,
    DigestMismatchError,
    FedchainError,
    JobAbortedError,
    ProtocolViolationError,
    UplinkRejectedError,
)
from fedchain.exchange.directory import Directory
from fedchain.exchange.fetcher import Fetcher
from fedchain.exchange.slot import Slot, describe
from fedchain.types import INLINE_LIMIT, REQUEST_BASE, JobId, Kind, Phase, Reason

T = TypeVar("T")

EAGER_BYTES = 256 * 2**20
"""Payloads by reference are fetched as soon as they are accepted while no more than this many bytes are held."""

_NOBODY = bytes(20)


@dataclass
class _Arrival:
    sender: str
    digest: bytes
    size: int
    payload: bytes | None = None
    fetch: Future[bytes] | None = None
    error: FedchainError | None = None


@dataclass(frozen=True)
class _Failure:
    """Something that ends waits; `round` is None for the whole job."""

    error: Callable[[], FedchainError]
    round: int | None
    lasting: bool


@dataclass
class Inbox:
    """Thread-safe; one per job.

    Attributes:
        job_id: the job.
        me: this node's address.
        roster: addresses, the active party first.
        max_payload_bytes: the job policy's bound.
        directory: for names in errors.
        fetcher: for payloads by reference.
        on_wait: called when somebody begins to wait, so that the subscriber polls at once.
        deadline_seconds: how long a fetch may take; set by who runs the job.
        phase: the last phase seen.
    """

    job_id: JobId
    me: str
    roster: tuple[str, ...]
    max_payload_bytes: int
    directory: Directory
    fetcher: Fetcher
    on_wait: Callable[[], None]
    deadline_seconds: float = 60.0
    phase: Phase = Phase.PROPOSED
    waiting: int = 0
    trouble: str = ""
    _height: int = -1
    _changed: threading.Condition = field(default_factory=threading.Condition, repr=False)
    _arrivals: dict[Slot, _Arrival] = field(default_factory=dict, repr=False)
    _attempts: dict[int, int] = field(default_factory=dict, repr=False)
    _failures: list[_Failure] = field(default_factory=list, repr=False)
    _seen: set[tuple[bytes, int]] = field(default_factory=set, repr=False)
    _fatal: BaseException | None = None

    # -- the subscriber's side --------------------------------------------------------------------------------------

    def deliver(self, events: Sequence[ChainEvent], height: int) -> None:
        """Take this job's events of the blocks up to `height`, in chain order; an event delivered twice counts once."""
        with self._changed:
            for event in events:
                key = (event.block_hash, event.log_index)
                if key not in self._seen:
                    self._seen.add(key)
                    self._take_note(event)
            self._height = max(self._height, height)
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """End every wait, present and future, with this error."""
        with self._changed:
            self._fatal = self._fatal or error
            self._changed.notify_all()

    def _take_note(self, event: ChainEvent) -> None:
        if isinstance(event, UplinkJudged):
            if event.reason == Reason.ACCEPTED:
                self._accept(event)
            elif event.sender in self.roster:
                self._fail_with(_Failure(self._rejection(event), event.envelope.round, lasting=False))
        elif isinstance(event, PhaseChanged):
            self.phase = event.phase
        elif isinstance(event, RoundBegan):
            self._attempts[event.round] = event.attempt
            self._failures = [failure for failure in self._failures if failure.lasting]
        elif isinstance(event, JobAborted):
            self._fail_with(_Failure(self._abortion(event), None, lasting=True))
        elif isinstance(event, RequestClosed):
            self._fail_with(_Failure(self._closing(event), event.request_id, lasting=True))

    def _fail_with(self, failure: _Failure) -> None:
        self._failures.append(failure)

    def _rejection(self, event: UplinkJudged) -> Callable[[], FedchainError]:
        reason = Reason(event.reason).name
        return lambda: UplinkRejectedError(self.directory.name_of(event.sender), describe(event.envelope), reason)

    def _abortion(self, event: JobAborted) -> Callable[[], FedchainError]:
        return lambda: JobAbortedError(
            f"job {self.job_id} was aborted by party '{self.directory.name_of(event.by)}': {event.reason!r}"
        )

    def _closing(self, event: RequestClosed) -> Callable[[], FedchainError]:
        return lambda: JobAbortedError(
            f"inference request {event.request_id} of job {self.job_id} was closed by party "
            f"'{self.directory.name_of(event.by)}'"
        )

    def _accept(self, event: UplinkJudged) -> None:
        envelope, me = event.envelope, bytes.fromhex(self.me[2:])
        if event.sender == self.me or envelope.recipient not in (_NOBODY, me):
            return
        recipient = "" if envelope.recipient == _NOBODY else self.me.lower()
        slot = Slot(
            envelope.round, envelope.attempt, envelope.step, Kind(envelope.kind), event.sender.lower(), recipient
        )
        arrival = _Arrival(event.sender, envelope.digest, envelope.size)
        earlier = self._arrivals.get(slot)
        if earlier is not None:
            if earlier.digest != envelope.digest:
                earlier.error = ProtocolViolationError(
                    self.directory.name_of(event.sender), f"two digests in one slot ({describe(envelope)})"
                )
            return
        self._arrivals[slot] = arrival
        if envelope.size > INLINE_LIMIT:
            held = sum(a.size for a in self._arrivals.values() if a.fetch is not None)
            if held + envelope.size <= EAGER_BYTES:
                self._start_fetch(arrival)
        elif len(event.payload) == envelope.size and payload_digest(event.payload) == envelope.digest:
            arrival.payload = event.payload
        else:
            arrival.error = ProtocolViolationError(
                self.directory.name_of(event.sender), f"payload does not match its digest ({describe(envelope)})"
            )

    def _start_fetch(self, arrival: _Arrival) -> None:
        arrival.fetch = self.fetcher.submit(
            arrival.sender,
            arrival.digest,
            arrival.size,
            max_bytes=self.max_payload_bytes,
            deadline_seconds=self.deadline_seconds,
        )
        arrival.fetch.add_done_callback(lambda _: self._notify())

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # -- the job's side ---------------------------------------------------------------------------------------------

    def take(self, slot: Slot, deadline: float) -> bytes:
        """Wait for the accepted uplink of a slot.

        Args:
            slot: which one.
            deadline: in `time.monotonic()` seconds.

        Returns:
            Its payload, verified against the digest on chain.

        Raises:
            ProtocolViolationError: the sender served other bytes; names it.
            PayloadUnavailableError: the sender does not serve them.
            DeadlineError, UplinkRejectedError, JobAbortedError: see `wait`.
        """
        sender = self.directory.name_of(self._checksummed(slot.sender))

        def ready() -> _Arrival | None:
            arrival = self._arrivals.get(slot)
            if arrival is None or arrival.payload is not None or arrival.error is not None:
                return arrival
            if arrival.fetch is None:
                self._start_fetch(arrival)
            assert arrival.fetch is not None
            return arrival if arrival.fetch.done() else None

        what = f"{slot.kind.name.lower()} in round {slot.round} step {slot.step}"
        arrival = self.wait(ready, deadline, round=slot.round, what=what, who=sender)
        if arrival.error is not None:
            raise arrival.error
        if arrival.payload is not None:
            return arrival.payload
        assert arrival.fetch is not None
        try:
            return arrival.fetch.result()
        except DigestMismatchError as error:
            raise ProtocolViolationError(sender, str(error).removeprefix(f"party '{sender}' ")) from error

    def wait_phase(self, phase: Phase, deadline: float) -> None:
        """Wait until the job has reached a phase, or a later one."""
        who = "the roster's other parties"
        self.wait(lambda: True if self.phase >= phase else None, deadline, round=0, what=f"phase {phase.name}", who=who)

    def wait_round(self, round: int, deadline: float) -> int:
        """Wait until the active party has begun a round; returns its attempt."""
        who = self.directory.name_of(self.roster[0])
        return self.wait(
            lambda: self._attempts.get(round), deadline, round=round, what=f"beginning of round {round}", who=who
        )

    def wait_height(self, height: int, deadline: float) -> bool:
        """Wait until the events up to a block are here; False if they are not in time. Raises nothing."""
        with self._waiting():
            while self._height < height and self._fatal is None:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return False
                self._changed.wait(min(remaining, 0.5))
            return self._fatal is None

    def raise_if_failed(self, round: int) -> None:
        """Raise what ends the work on a round: rejected uplink, aborted job, closed request, dead subscriber."""
        with self._changed:
            if self._fatal is not None:
                raise self._fatal
            for failure in self._failures:
                if failure.round is None or _same_work(failure.round, round):
                    raise failure.error()

    def forget_before(self, round: int) -> None:
        """Drop the payloads of earlier rounds (but not of inference requests)."""
        self._drop(lambda slot: slot.round < round)

    def forget_request(self, request_id: int) -> None:
        """Drop an inference request's payloads and its failures."""
        self._drop(lambda slot: slot.round == request_id)
        with self._changed:
            self._failures = [failure for failure in self._failures if failure.round != request_id]

    def wait(self, ready: Callable[[], T | None], deadline: float, *, round: int, what: str, who: str) -> T:
        """Wait until `ready()` gives something; it is called with the inbox locked.

        Raises:
            UplinkRejectedError: an uplink of a roster member was rejected while this round was on.
            JobAbortedError: the job was aborted, or the inference request closed.
            DeadlineError: nothing came before the deadline (`time.monotonic()` seconds); names what and whom.
        """
        with self._waiting():
            while True:
                self.raise_if_failed(round)
                value = ready()
                if value is not None:
                    return value
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    trouble = f" ({self.trouble})" if self.trouble else ""
                    raise DeadlineError(f"job {self.job_id}: no {what} from {who} in time{trouble}")
                self._changed.wait(min(remaining, 0.5))

    def _waiting(self) -> _Waiting:
        return _Waiting(self)

    def _drop(self, which: Callable[[Slot], bool]) -> None:
        with self._changed:
            for slot in [slot for slot in self._arrivals if which(slot)]:
                fetch = self._arrivals.pop(slot).fetch
                if fetch is not None:
                    fetch.cancel()

    def _checksummed(self, lowered: str) -> str:
        return next((address for address in self.roster if address.lower() == lowered), lowered)


class _Waiting:
    """Holds the inbox's lock and counts the waiter, so that the subscriber polls briskly."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def __enter__(self) -> None:
        self._inbox._changed.acquire()
        self._inbox.waiting += 1
        self._inbox.on_wait()

    def __exit__(self, *_: object) -> None:
        self._inbox.waiting -= 1
        self._inbox._changed.release()


def _same_work(failed: int, waited: int) -> bool:
    """Whether a failure in one round ends work on another: training rounds belong together, requests do not."""
    if failed >= REQUEST_BASE or waited >= REQUEST_BASE:
        return failed == waited
    return True
