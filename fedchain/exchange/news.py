"""What the chain has brought for one job: accepted uplinks by slot, phases, rounds, and what went wrong.

The subscriber delivers events in chain order, and peers deliver uplinks of pipelined rounds directly. Receivers get
accepted uplinks only: a rejected one of any roster member ends every wait at once.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

from fedchain.chain.deadline_events import JobExpired, PartyMissing
from fedchain.chain.events import (
    ChainEvent,
    JobAborted,
    PhaseChanged,
    RequestClosed,
    RoundBegan,
    UplinkJudged,
)
from fedchain.errors import ProtocolViolationError
from fedchain.exchange.arrivals import Arrival, Arrivals
from fedchain.exchange.audited import Audited
from fedchain.exchange.commitments import Commitments
from fedchain.exchange.declared import Declared
from fedchain.exchange.directory import Directory
from fedchain.exchange.endings import Endings
from fedchain.exchange.failures import Failures
from fedchain.exchange.fetcher import Fetcher
from fedchain.exchange.replays import Replays
from fedchain.exchange.rounds import Rounds
from fedchain.exchange.slot import Slot, slot_of
from fedchain.exchange.waits import Patience, Waits
from fedchain.messages import Envelope
from fedchain.types import JobId, Kind, Phase, Reason

_NOBODY = bytes(20)


@dataclass
class JobNews:
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
        max_uplinks: of one party in a round and attempt, by the job's policy.
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
    max_uplinks: int = 65_535
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
        self._endings = Endings(self.job_id, self.directory)
        self._rounds = Rounds(pipelined=self.pipelined)
        self._replays = Replays(self.on_replay)
        self.arrivals = Arrivals(fetch=self._start_fetch, accuse=self._accuse, mismatch=self._endings.mismatch)

    @property
    def attempt(self) -> int:
        """Of the last round that was begun, as far as the chain tells."""
        return self._rounds.attempt

    @property
    def is_overlapping(self) -> bool:
        """Whether rounds overlap now: messages are acted on before their verdicts, which are awaited meanwhile."""
        return self.pipelined and self.phase == Phase.TRAINING

    @property
    def place(self) -> tuple[Phase, int, int]:
        """Phase, round and attempt in force, as far as the chain tells: what a deadline belongs to."""
        with self._changed:
            return self.phase, self._rounds.last, self._rounds.attempt

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
            self._failures.add(self._endings.expiry(event, self._missing), None, lasting=True)
        elif isinstance(event, JobAborted):
            self.aborted_by = event.by
            self._failures.add(self._endings.abortion(event), None, lasting=True)
        elif isinstance(event, RequestClosed):
            self._failures.add(self._endings.closing(event), event.request_id, lasting=True)

    def _reject(self, event: UplinkJudged) -> None:
        """Where rounds overlap, a rejection is for those who need the uplink; else it ends what all are doing.

        But not that of an uplink of a round that is over: nobody waits for it, and it may be nobody's fault.
        """
        place = (event.envelope.round, event.envelope.attempt)
        if not self.is_overlapping:
            is_over = self.phase is Phase.TRAINING and place < (self._rounds.last, self._rounds.attempt)
            if is_over and event.reason in (Reason.WRONG_ROUND, Reason.WRONG_ATTEMPT):
                return
            self._failures.add(self._endings.rejection(event), event.envelope.round, lasting=False)
        elif event.envelope.attempt >= self.attempt:
            with contextlib.suppress(ValueError):  # a kind that there is not: nobody waits for it
                slot = slot_of(event.sender, event.envelope)
                self._commitments.reject(slot, event.envelope.digest, self._endings.rejection(event))

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

    # -- the peers' side --------------------------------------------------------------------------------------------

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
        self._accused.add(sender)
        self._failures.add(partial(self._endings.equivocation, sender, envelope), envelope.round, lasting=True)
        self.on_equivocation(sender, envelope)
        return self._endings.equivocation(sender, envelope)

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

    def taken_in(self, round: int, attempt: int) -> dict[Slot, bytes]:
        """What was taken in a round, and its digests."""
        with self._changed:
            return self.arrivals.taken_in(round, attempt)

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

    def _checksummed(self, lowered: str) -> str:
        return next((address for address in self.roster if address.lower() == lowered), lowered)
