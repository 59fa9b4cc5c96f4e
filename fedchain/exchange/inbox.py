"""What the chain has brought for one job: accepted uplinks by slot, phases, rounds, and what went wrong.

The subscriber delivers events in chain order; a job's thread waits. Receivers get accepted uplinks only: a rejected
one of any roster member ends every wait at once.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

from fedchain.chain.deadline_events import JobExpired, PartyMissing
from fedchain.chain.events import (
    ChainEvent,
    JobAborted,
    PhaseChanged,
    RequestClosed,
    RoundBegan,
    UplinkJudged,
)
from fedchain.errors import (
    DeadlineError,
    DigestMismatchError,
    FedchainError,
    JobAbortedError,
    JobExpiredError,
    ProtocolViolationError,
    UplinkRejectedError,
)
from fedchain.exchange.arrivals import Arrival, Arrivals
from fedchain.exchange.audited import Audited
from fedchain.exchange.commitments import Commitments
from fedchain.exchange.declared import Declared
from fedchain.exchange.directory import Directory
from fedchain.exchange.failures import ANY_ROUND, Failures
from fedchain.exchange.fetcher import Fetcher
from fedchain.exchange.replays import Replays
from fedchain.exchange.rounds import Rounds
from fedchain.exchange.slot import Slot, describe, slot_of
from fedchain.exchange.waits import Patience, Wait, Waits
from fedchain.messages import Envelope
from fedchain.protocol.actions import AuditStage
from fedchain.types import JobId, Kind, PartyId, Phase, Reason

T = TypeVar("T")

_NOBODY = bytes(20)


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
        pipelined: whether uplinks of training are taken as they come directly from their senders.
        working_attempt: of a pipelined job, the last one for which this party has started over; a later one ends its
            waits.
        on_equivocation: called with sender and second envelope when a slot is found to hold two digests; the inbox is
            locked.
        on_replay: called with sender, first and second envelope when a ciphertext comes again in another round; the
            inbox is locked.
        waits: where each wait is entered.
        patience: the job's policy about parties that are late; set by who runs the job.
        waiting: how many threads wait for the chain now.
        trouble: why the chain cannot be read at the moment, for errors; empty where it can.
        arrivals: the uplinks that have come.
        aborted_by: address of the party that aborted the job, as far as the chain tells; empty if nobody has.
        rejected: addresses of parties of which an uplink of the evaluation was rejected before the job ended.
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
    pipelined: bool = False
    working_attempt: int | None = None
    on_equivocation: Callable[[str, Envelope], None] = lambda sender, envelope: None
    on_replay: Callable[[str, Envelope, Envelope], None] = lambda sender, first, second: None
    waits: Waits = field(default_factory=Waits)
    patience: Patience | None = None
    waiting: int = 0
    trouble: str = ""
    aborted_by: str = ""
    rejected: set[str] = field(default_factory=set)
    _height: int = -1
    _changed: threading.Condition = field(default_factory=threading.Condition, repr=False)
    _seen: set[tuple[bytes, int]] = field(default_factory=set, repr=False)
    _failures: Failures = field(default_factory=Failures, repr=False)
    _commitments: Commitments = field(default_factory=Commitments, repr=False)
    _names: dict[str, str] = field(default_factory=dict, repr=False)
    _declared: Declared = field(default_factory=Declared, repr=False)
    _audited: Audited = field(default_factory=Audited, repr=False)
    _missing: tuple[str, ...] = ()
    _accused: set[str] = field(default_factory=set, repr=False)
    _working: int = 1
    _fatal: BaseException | None = None

    def __post_init__(self) -> None:
        self._rounds = Rounds(pipelined=self.pipelined)
        self._replays = Replays(self.on_replay)
        self.arrivals = Arrivals(fetch=self._start_fetch, accuse=self._accuse, mismatch=self._mismatch)

    @property
    def attempt(self) -> int:
        """Of the last round that was begun, as far as the chain tells."""
        return self._rounds.attempt

    @property
    def is_overlapping(self) -> bool:
        """Whether rounds overlap now: messages are acted on before their verdicts, which are awaited meanwhile."""
        return self.pipelined and self.phase == Phase.TRAINING

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

    def rewind(self, phase: Phase) -> None:
        """After a reorganisation: forget what came, but not what was taken; all of it is about to be delivered again.

        Args:
            phase: of the job before the first block that is delivered again.
        """
        with self._changed:
            self.arrivals.forget_accepted()
            self._failures, self._seen = Failures(), set()
            self._commitments, self._rounds = Commitments(), Rounds(pipelined=self.pipelined)
            self.phase, self._height = phase, -1
            self._declared, self._replays = Declared(), Replays(self.on_replay)
            self._audited = Audited()
            self.aborted_by, self.rejected = "", set()

    def fail(self, error: BaseException) -> None:
        """End every wait, present and future, with this error."""
        with self._changed:
            self._fatal = self._fatal or error
            self._changed.notify_all()

    def _take_note(self, event: ChainEvent) -> None:
        self._declared.take_note(event)
        self._audited.take_note(event)
        if isinstance(event, UplinkJudged):
            if event.reason == Reason.ACCEPTED:
                self._accept(event)
            elif event.sender in self.roster:
                if self.phase is Phase.EVALUATING:  # what was rejected before is no reason to end a job in its audit
                    self.rejected.add(event.sender)
                self._reject(event)
        elif isinstance(event, PhaseChanged):
            self.phase, self._missing = event.phase, ()
            if event.phase == Phase.EVALUATING:
                self._rounds.end()
        elif isinstance(event, RoundBegan):
            if self._rounds.begin(event):
                self._commitments.forget_rejections()
                self._working = min(self._working, event.round)  # it may be one that is closed here
            self._failures.forget_passing()
            self._missing = ()
        elif isinstance(event, PartyMissing):
            self._missing += (event.party,)
        elif isinstance(event, JobExpired):
            self._failures.add(self._expiry(event, self._missing), None, lasting=True)
        elif isinstance(event, JobAborted):
            self.aborted_by = event.by
            self._failures.add(self._abortion(event), None, lasting=True)
        elif isinstance(event, RequestClosed):
            self._failures.add(self._closing(event), event.request_id, lasting=True)

    def _reject(self, event: UplinkJudged) -> None:
        """Where rounds overlap, a rejection is for those who need the uplink; else it ends what all are doing."""
        if not self.is_overlapping:
            self._failures.add(self._rejection(event), event.envelope.round, lasting=False)
        elif event.envelope.attempt >= self.attempt:
            with contextlib.suppress(ValueError):  # a kind that there is not: nobody waits for it
                slot = slot_of(event.sender, event.envelope)
                self._commitments.reject(slot, event.envelope.digest, self._rejection(event))

    def _rejection(self, event: UplinkJudged) -> Callable[[], FedchainError]:
        reason = Reason(event.reason).name
        return lambda: UplinkRejectedError(self.directory.name_of(event.sender), describe(event.envelope), reason)

    def _abortion(self, event: JobAborted) -> Callable[[], FedchainError]:
        return lambda: JobAbortedError(
            f"job {self.job_id} was aborted by party '{self.directory.name_of(event.by)}': {event.reason!r}"
        )

    def _expiry(self, event: JobExpired, missing: tuple[str, ...]) -> Callable[[], FedchainError]:
        def error() -> FedchainError:
            names = ", ".join(map(self.directory.name_of, missing))
            why = f"its deadline passed without {names}" if names else "its time was over, or a party of it suspended"
            return JobExpiredError(f"job {self.job_id} expired: {why}; ended by '{self.directory.name_of(event.by)}'")

        return error

    def _closing(self, event: RequestClosed) -> Callable[[], FedchainError]:
        return lambda: JobAbortedError(
            f"inference request {event.request_id} of job {self.job_id} was closed by party "
            f"'{self.directory.name_of(event.by)}'"
        )

    def _accept(self, event: UplinkJudged) -> None:
        envelope = event.envelope
        if event.sender != self.me:
            self._replays.seen(event.sender, envelope)
        slot = slot_of(event.sender, envelope)
        if self.is_overlapping:
            if self._is_closed(slot):
                return
            self._commitments.accept(slot, envelope.digest)
        if event.sender == self.me or envelope.recipient not in (_NOBODY, bytes.fromhex(self.me[2:])):
            return
        self.arrivals.accepted(event, is_batched=self.pipelined)

    def deliver_directly(self, sender: str, envelope: Envelope, payload: bytes | None) -> None:
        """Take an uplink of a pipelined round that came from its sender, whose signature was checked.

        Args:
            sender: checksummed address.
            envelope: signed by it.
            payload: of the envelope's digest; None where it was lost: it is fetched again when it is asked for.

        Raises:
            ProtocolViolationError: the sender has put another digest into that slot; names it.
        """
        with self._changed:
            if self._is_closed(slot_of(sender, envelope)):
                return  # since it was admitted
            self._replays.seen(sender, envelope)
            try:
                self.arrivals.delivered(sender, envelope, payload)
            finally:
                self._changed.notify_all()

    def takes(self, round: int, attempt: int) -> bool:
        """Whether direct deliveries of a round may be of use: of the one that this party works on, or of the next.

        They may come before the chain tells of a new attempt, which may be one of a round that is closed here.
        """
        with self._changed:
            ahead = attempt - self.attempt
            return ahead in (0, 1) and self._working - ahead <= round <= self._working + 1

    def has_accused(self, sender: str) -> bool:
        """Whether a sender has shown two digests for one slot."""
        with self._changed:
            return sender in self._accused

    def held_of(self, sender: str) -> tuple[int, int]:
        """Number and bytes of a sender's uplinks that came directly and were not taken yet."""
        with self._changed:
            return self.arrivals.held_of(sender)

    def _is_closed(self, slot: Slot) -> bool:
        """Whether this party is done with a slot of training: its round is closed, or its attempt overtaken."""
        attempt = self.attempt if self.working_attempt is None else self.working_attempt
        return slot.attempt < attempt or (slot.attempt == attempt and slot.round < self._working)

    def _accuse(self, sender: str, envelope: Envelope) -> ProtocolViolationError:
        def error() -> ProtocolViolationError:
            name = self.directory.name_of(sender)
            return ProtocolViolationError(name, f"two digests in one slot ({describe(envelope)})")

        self._accused.add(sender)
        self._failures.add(error, envelope.round, lasting=True)
        self.on_equivocation(sender, envelope)
        return error()

    def _mismatch(self, sender: str, envelope: Envelope) -> ProtocolViolationError:
        name = self.directory.name_of(sender)
        return ProtocolViolationError(name, f"payload does not match its digest ({describe(envelope)})")

    def _start_fetch(self, arrival: Arrival) -> Future[bytes]:
        fetch = self.fetcher.submit(
            arrival.sender,
            arrival.digest,
            arrival.size,
            job_id=self.job_id,
            max_bytes=self.max_payload_bytes,
            deadline_seconds=self.deadline_seconds,
        )
        fetch.add_done_callback(lambda _: self._notify())
        return fetch

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # -- the job's side ---------------------------------------------------------------------------------------------

    def take(self, slots: Sequence[Slot], deadline: float) -> list[bytes]:
        """Wait for the accepted uplinks of slots that differ in their senders alone.

        Args:
            slots: which ones; at least one.
            deadline: in `time.monotonic()` seconds.

        Returns:
            Their payloads, each verified against the digest on chain.

        Raises:
            ProtocolViolationError: a sender served other bytes; names it.
            PayloadUnavailableError: a sender does not serve them.
            DeadlineError, UplinkRejectedError, JobAbortedError: see `_wait`; all that are missing are named.
        """
        slot, begun = slots[0], time.monotonic()
        senders = {one: self.directory.name_of(self._checksummed(one.sender)) for one in slots}
        about = slot.kind.name.lower()
        what = f"{about} in round {slot.round} step {slot.step}"
        payloads: dict[Slot, bytes] = {}

        def ready(wait: Wait) -> bool | None:
            is_fetching = False
            for one in slots:
                is_ready, arrival = (False, None) if one in payloads else self.arrivals.ready(one)
                if arrival is not None and is_ready:
                    payloads[one] = self._payload(one, arrival, senders[one])
                    if len(slots) > 1 and self.patience is not None:  # where it is for one, the wait itself teaches
                        self.waits.learn(self.job_id, senders[one], about, time.monotonic() - begun)
                is_fetching |= arrival is not None and not is_ready
            wait.what = f"payload of {what}" if is_fetching else what
            return True if len(payloads) == len(slots) else None

        self._wait(
            ready,
            deadline,
            round=slot.round,
            about=about,
            what=what,
            who=lambda: tuple(senders[one] for one in slots if one not in payloads),
            on_chain=not self.is_overlapping,
        )
        return [payloads[one] for one in slots]

    def _payload(self, slot: Slot, arrival: Arrival, sender: PartyId) -> bytes:
        """Take an uplink that is ready."""
        payload = self.arrivals.take(slot, arrival)
        if arrival.error is not None:
            raise arrival.error
        if payload is not None:
            return payload
        assert arrival.fetch is not None
        try:
            return arrival.fetch.result(0)  # it is done
        except DigestMismatchError as error:
            raise ProtocolViolationError(sender, str(error).removeprefix(f"party '{sender}' ")) from error

    def wait_committed(self, wanted: Mapping[Slot, bytes], deadline: float, *, round: int) -> None:
        """Wait until the contract has accepted these digests in these slots.

        Raises:
            ProtocolViolationError: it accepted another digest of a slot; names the sender.
            DeadlineError: a verdict is missing; names the senders of what is missing.
            UplinkRejectedError: it has rejected a missing one; names the sender.
            JobAbortedError, RoundRolledBackError: see `raise_if_failed`.
        """

        def ready(wait: Wait) -> bool | None:
            waits = self._commitments.missing(wanted)
            other = self._commitments.contradicted(waits)
            if other is not None:
                raise ProtocolViolationError(self._name(other), "committed to another digest than it had signed")
            rejection = self._commitments.rejection(wanted)
            if rejection is not None:
                raise rejection()
            wait.what = f"verdicts on {len(waits)} uplinks in round {round}"
            return None if waits else True

        def who() -> tuple[str, ...]:
            senders = {self._checksummed(slot.sender) for slot in self._commitments.missing(wanted)}
            return tuple(sorted(self._names.get(one, one) for one in senders))

        self._wait(ready, deadline, round=round, about="verdict", what=f"verdicts in round {round}", who=who)
        with self._changed:
            self._commitments.forget_rejections()

    def taken_in(self, round: int, attempt: int) -> dict[Slot, bytes]:
        """What was taken in a round, and its digests."""
        with self._changed:
            return self.arrivals.taken_in(round, attempt)

    def wait_attempt(self, after: int, deadline: float) -> None:
        """Wait until the active party tries a round again: always ends with an error.

        Raises:
            RoundRolledBackError: it does.
            JobAbortedError: it, or another party, gave up.
            DeadlineError: it did not in time.
        """
        self._wait(
            lambda _: True if self.attempt > after else None,
            deadline,
            round=ANY_ROUND,
            about="attempt",
            what=f"attempt {after + 1} of a round that was not accepted",
            who=self._active,
        )
        error = self._rounds.rolled_back_since(after)
        assert error is not None
        raise error

    def _name(self, slot: Slot) -> str:
        return self.directory.name_of(self._checksummed(slot.sender))

    def wait_phase(self, phase: Phase, deadline: float) -> None:
        """Wait until the job has reached a phase, or a later one."""

        def who() -> tuple[str, ...]:
            return tuple(self._names.get(one, one) for one in self._declared.missing(phase, self.roster))

        self._wait(
            lambda _: True if self.phase >= phase else None,
            deadline,
            round=0,
            about="phase",
            what=f"phase {phase.name}",
            who=who,
        )

    def wait_round(self, round: int, deadline: float) -> int:
        """Wait until the active party has begun a round; returns its attempt."""
        return self._wait(
            lambda _: self._rounds.begun(round),
            deadline,
            round=round,
            about="round",
            what=f"beginning of round {round}",
            who=self._active,
        )

    def wait_first_round(self, deadline: float) -> None:
        """Wait until the active party has begun any round."""
        self._wait(
            lambda _: True if self._rounds.any_begun else None,
            deadline,
            round=0,
            about="round",
            what="beginning of the first round",
            who=self._active,
        )

    def wait_audit(self, stage: AuditStage, deadline: float, *, round: int) -> None:
        """Wait until the audit has come so far, or has ended.

        Raises:
            DeadlineError: it has not in time; names who is missing.
        """
        self._wait(
            lambda _: True if self._audited.is_concluded or not self._audited.missing(stage, self.roster) else None,
            deadline,
            round=round,
            about="audit",
            what=f"step of the audit ({stage})",
            who=lambda: tuple(self._names.get(one, one) for one in self._audited.missing(stage, self.roster)),
        )

    def wait_concluded(self, deadline: float, *, round: int) -> bool:
        """Wait until the audit has ended, which is the active party's to do first; False if it has not in time.

        Raises:
            JobAbortedError, UplinkRejectedError: see `raise_if_failed`.
        """
        self._learn_names()
        what = "end of the audit"
        with self._waiting(), self.waits.on(self._active(), "conclusion", what, deadline, job_id=self.job_id):
            while not self._audited.is_concluded:
                self.raise_if_failed(round)
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return False
                self._changed.wait(min(remaining, 0.5))
            return True

    @property
    def place(self) -> tuple[Phase, int, int]:
        """Phase, round and attempt in force, as far as the chain tells: what a deadline belongs to."""
        with self._changed:
            return self.phase, self._rounds.last, self._rounds.attempt

    def _active(self) -> tuple[str, ...]:
        return (self._names.get(self.roster[0], self.roster[0]),)

    def _learn_names(self) -> None:
        """Without the lock: the registry may have to be asked, and while one waits it may not be."""
        for address in self.roster:
            name = self._names.get(address) or self.directory.name_of(address)
            if name != address:
                self._names[address] = name

    def wait_height(self, height: int, deadline: float) -> bool:
        """Wait until the events up to a block are here; False if they are not in time. Raises nothing."""
        with self._waiting():
            while self._height < height and self._fatal is None:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return False
                self._changed.wait(min(remaining, 0.5))
            return self._fatal is None

    def pause(self, seconds: float) -> None:
        """Pass the time. Raises what ended the reading of the chain, StoppingError for example, and nothing else."""
        with self._changed:
            self._changed.wait_for(lambda: self._fatal is not None, seconds)
            if self._fatal is not None:
                raise self._fatal

    def raise_if_failed(self, round: int) -> None:
        """Raise what ends the work on a round: rejected uplink, aborted job, closed request, dead subscriber."""
        with self._changed:
            if self._fatal is not None:
                raise self._fatal
            if self.working_attempt is not None:
                rolled_back = self._rounds.rolled_back_since(self.working_attempt)
                if rolled_back is not None:
                    raise rolled_back
            self._failures.raise_for(round)

    def forget_before(self, round: int) -> None:
        """Drop the payloads of earlier rounds (but not of inference requests): this party now works on that one."""
        with self._changed:
            self._working = max(1, round)
            self.arrivals.drop(
                lambda slot: slot.round < round and slot.kind != Kind.PUBLIC_KEY
            )  # who starts over needs them
            self._commitments.drop(lambda slot: slot.round < round)

    def begin_work(self, round: int, attempt: int) -> set[bytes]:
        """In a pipelined job: this party now works on a round; drop what belongs to closed ones or overtaken attempts.

        Returns:
            The digests of the payloads that were dropped and are nobody else's.
        """
        with self._changed:
            self._working, self.working_attempt = round, attempt
            self._commitments.drop(self._is_closed)
            return self.arrivals.drop(lambda slot: self._is_closed(slot) and slot.kind != Kind.PUBLIC_KEY)

    def forget_request(self, request_id: int) -> None:
        """Drop an inference request's payloads and its failures."""
        with self._changed:
            self.arrivals.drop(lambda slot: slot.round == request_id)
            self._failures.forget_round(request_id)

    def _wait(
        self,
        ready: Callable[[Wait], T | None],
        deadline: float,
        *,
        round: int,
        about: str,
        what: str,
        who: Callable[[], tuple[str, ...]],
        on_chain: bool = True,
    ) -> T:
        """Wait until `ready()` gives something; it and `who` are called with the inbox locked.

        The wait is entered in the register of waits, with those who are waited for at each moment. What is not awaited
        from the chain (`on_chain`) is no reason to look at it more often.

        Raises:
            UplinkRejectedError: an uplink of a roster member was rejected, unless rounds overlap now.
            JobAbortedError: the job was aborted, or the inference request closed.
            DeadlineError: nothing came before the deadline (`time.monotonic()` seconds), or, where the job's policy
                says so, before the hard deadline of those who are waited for; names what and whom.
        """
        self._learn_names()
        with (
            self._waiting(on_chain),
            self.waits.on(who(), about, what, deadline, job_id=self.job_id, patience=self.patience) as wait,
        ):
            while True:
                self.raise_if_failed(round)
                value = ready(wait)
                if value is not None:
                    return value
                wait.who = who()
                self.waits.look(wait)
                remaining = wait.give_up_at - time.monotonic()
                if remaining <= 0:
                    raise self._overdue(wait, deadline)
                self._changed.wait(min(remaining, 0.5))

    def _overdue(self, wait: Wait, deadline: float) -> DeadlineError:
        trouble = f" ({self.trouble})" if self.trouble else ""
        in_time = "in time" if time.monotonic() >= deadline else f"within {wait.hard_seconds:.1f} s, the hard deadline"
        names = ", ".join(wait.who)
        return DeadlineError(f"job {self.job_id}: no {wait.what} from {names} {in_time}{trouble}", wait.who)

    def _waiting(self, on_chain: bool = True) -> _Waiting:
        return _Waiting(self, on_chain)

    def _checksummed(self, lowered: str) -> str:
        return next((address for address in self.roster if address.lower() == lowered), lowered)


class _Waiting:
    """Holds the inbox's lock and counts who waits for the chain, so that the subscriber polls briskly."""

    def __init__(self, inbox: Inbox, on_chain: bool) -> None:
        self._inbox, self._on_chain = inbox, on_chain

    def __enter__(self) -> None:
        self._inbox._changed.acquire()
        if self._on_chain:
            self._inbox.waiting += 1
            self._inbox.on_wait()

    def __exit__(self, *_: object) -> None:
        self._inbox.waiting -= int(self._on_chain)
        self._inbox._changed.release()
