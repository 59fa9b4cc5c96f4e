"""A pipelined job's channel: in training, messages go straight to their recipients, and the chain gets each round once.

A party acts on a signed uplink as soon as it comes. When it has done its part of a round it commits its own uplinks in
one transaction, and the round is closed for it once these and all that it took are accepted. Meanwhile the active party
has opened the next round, so that a round costs one block, and every party computes on: it is closed in a thread of its
own, which the party's next word in the job waits for, so that nothing of a round is sent, taken or kept before the one
before it is closed. A verdict that is a rejection, or does not come, rolls the round back: the active party tries it
again (`retryRound`), and every party starts over from its last round checkpoint, with fresh masks; also one that has
closed the round already. What was disclosed cannot be rolled back. Alignment and evaluation go as in a strict job.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FuturesTimeoutError
from contextvars import copy_context
from typing import Any, TypeVar

import structlog

from fedchain.errors import (
    DeadlineError,
    FedchainError,
    ProtocolViolationError,
    TransactionError,
    UplinkRejectedError,
)
from fedchain.exchange.channel import JobChannel
from fedchain.exchange.closing import Closing
from fedchain.exchange.deliverer import Deliverer
from fedchain.exchange.receiving import Receiver
from fedchain.exchange.slot import Slot
from fedchain.exchange.state import NodeState
from fedchain.exchange.waits import THE_CHAIN
from fedchain.messages import Envelope, Message
from fedchain.types import PartyId, Phase, Reason

log = structlog.get_logger(__name__)

M = TypeVar("M", bound=Message)

_MINED_SECONDS = 180.0
"""More than a transaction takes that is never mined, with its outages."""

_END_SECONDS = 10.0
"""How long a party that gives up waits for what closes its round: the job's end is news for that, too."""

MAX_RETRIES = 3
"""So often are rounds of one job tried again, altogether: then the active party gives the job up."""


class PipelinedChannel(JobChannel):
    """See the module. Arguments as for `JobChannel`, and:

    Args:
        deliverer: hands uplinks to their recipients.
        receiver: takes the peers' ones.
        state: knows for which attempt this party has started over last.
    """

    def __init__(self, *, deliverer: Deliverer, receiver: Receiver, state: NodeState, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._deliverer = deliverer
        self._receiver = receiver
        self._state = state
        self._working = False
        self._goes_on = self.resumed  # a round under way, of which an earlier process may have done a part
        self._opening: Future[None] | None = None
        self._opened = 0
        self._closing: Closing | None = None
        self._next: int | None = None  # a round that begins once the one before it is closed
        self._started_over = state.attempt(self.job_id)

    # -- messages ---------------------------------------------------------------------------------------------------

    def send(self, message: Message, step: int, recipient: PartyId | None, statistic_e6: int) -> None:
        """In a round: sign and hand over; returns at once. Else as `JobChannel.send`.

        Raises:
            RoundRolledBackError: a round is tried again.
            TrainingError: the payload is above the job's bound; nothing is sent.
            As `close_round`: of the round before.
        """
        self._go_on()
        if not self._working:
            super().send(message, step, recipient, statistic_e6)
            return
        self.inbox.raise_if_failed(self.round)
        to = None if recipient is None else self._address(recipient)
        place = (self.round, self.attempt)

        def hand_over(envelope: Envelope, payload: bytes, signature: bytes | Future[bytes]) -> None:
            for name, address in self.parties.items():
                if name != self.me and to in (None, address):
                    self._deliverer.submit(
                        address,
                        envelope.to_bytes(),
                        signature,
                        payload,
                        deadline=self._deadline(),
                        wanted=lambda: self._working and (self.round, self.attempt) == place,
                    )

        signed = self._publisher.prepare(
            message,
            job_id=self.job_id,
            round=self.round,
            attempt=self.attempt,
            step=step,
            recipient=to,
            bounds=self._bounds(),
            go_ahead=hand_over,
        )
        if signed.is_accepted or signed.went_ahead:
            return  # accepted before a restart: whoever has not got it finds it on the chain
        hand_over(signed.envelope, signed.payload, signed.signature)

    def gather(self, message_type: type[M], step: int, senders: Sequence[PartyId], *, to_me: bool) -> dict[PartyId, M]:
        """As `JobChannel.gather`.

        Raises:
            RoundRolledBackError: a round is tried again.
            As `close_round`: of the round before.
        """
        self._go_on()
        return super().gather(message_type, step, senders, to_me=to_me)

    # -- rounds -----------------------------------------------------------------------------------------------------

    def begin_round(self, round: int) -> None:
        """Begin to work on a round, which the active party has opened or is just opening; at once, or with the first
        message, where the round before is still being closed.

        Raises:
            RoundRolledBackError: an earlier round is tried again.
        """
        self._only_in_jobs("begins a round")
        if self._closing is not None:
            self._next = round
            return
        self._begin(round)

    def _begin(self, round: int) -> None:
        self.inbox.working_attempt = self._started_over
        self._waited_for = (0.0, ())
        if self.me != self.active and self._started_over > MAX_RETRIES:
            raise ProtocolViolationError(
                self.active,
                f"it tries round {round} again, attempt {self._started_over}; a job has {MAX_RETRIES} retries",
            )
        if self.me == self.active:
            if self._opened < round:
                super().begin_round(round)
                self._opened = round
        elif round == 1 or self.resumed:
            self.inbox.wait_first_round(self._deadline_of(self.active))
        self.inbox.raise_if_failed(round)
        self._goes_on, self.resumed = self.resumed, False
        self.round, self.attempt = round, self._started_over
        self._forget_before(round)
        self._working = True

    def close_round(self, round: int, *, last: bool) -> None:
        """Commit the round, and wait until all of it that concerns this party is accepted.

        That goes on while the party computes, unless the round is the last: whatever it does next in the job waits for
        it, and raises what it raises.

        Raises:
            RoundRolledBackError: the active party tries the round again.
            UplinkRejectedError: at the active party, after too many attempts; names the sender.
            DeadlineError: the same for a verdict that does not come.
            ProtocolViolationError: a sender has committed to something else than it had delivered; names it.
        """
        self._go_on()
        if last:
            self._close(round, last=True)
        else:
            self._closing = Closing(lambda: self._close(round, last=False))

    def after_closing(self, act: Callable[[], None]) -> None:
        """Do something once the round under way is closed, in the same thread: keep a checkpoint, for example."""
        if self._closing is None:
            act()
        else:
            self._closing.then(act)

    def _go_on(self) -> None:
        """Wait until the round before is closed, then begin the one that this party is at.

        Raises:
            As `close_round` and `begin_round`.
        """
        closing, self._closing = self._closing, None
        following, self._next = self._next, None
        if closing is not None:
            closing.wait()
        if following is not None:
            self._begin(following)

    def _close(self, round: int, *, last: bool) -> None:
        if self.me == self.active and not last:
            self._begin_opening(round + 1)
        try:
            self._commit(round)
        except UplinkRejectedError as error:
            self._roll_back(round, self._told_apart(error))
        except DeadlineError as error:
            self._roll_back(round, error)
        self._join_opening()
        self._working = False

    def declare_stop(self, round: int) -> None:
        """As `JobChannel.declare_stop`: the last round is closed by now.

        Raises:
            RoundRolledBackError: another party could not close it, and it is tried again.
        """
        self._go_on()
        self._working = False
        self.inbox.working_attempt = self._started_over
        job = self._read(lambda: self._consortium.job(self.job_id), "looking at the job's attempt")
        if job.phase == Phase.TRAINING and job.attempt > self._started_over:
            self.inbox.wait_attempt(self._started_over, self._deadline())
        self.resumed = True  # a stop may be declared already: for an attempt that was overtaken on its way
        super().declare_stop(round)
        self.inbox.working_attempt = None
        self.inbox.forget_before(round + 1)
        self._receiver.release(self.job_id, round + 1, self._started_over, ())

    def _phase_deadline(self) -> float:
        return self._deadline_of(self.active)  # it may have to wait for others before it does its part

    def start_over(self, attempt: int) -> None:
        """As `JobChannel.start_over`; an attempt that came meanwhile ends the next wait."""
        self._working, self._next = False, None
        self._state.set_attempt(self.job_id, attempt)
        self._started_over = self.inbox.working_attempt = attempt
        super().start_over(attempt)

    def give_up(self, reason: str) -> None:
        """As `JobChannel.give_up`; what still closes a round ends with the job."""
        self._working = False
        closing, self._closing = self._closing, None
        try:
            super().give_up(reason)
        finally:
            if closing is not None:
                closing.end(_END_SECONDS)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _deadline_of(self, *senders: PartyId) -> float:
        """In a round nobody but the recipient knows that a message is late: whoever waits for others waits longer.

        A passive party's message may hang on another passive party's, the active party's on any.
        """
        if not self._working:
            return super()._deadline_of(*senders)
        patience = 2.0 if self.me == self.active else 3.0 if self.active in senders else 1.0
        return time.monotonic() + patience * self._deadline_seconds

    def _forget_before(self, round: int) -> None:
        dropped = self.inbox.begin_work(round, self._started_over)
        self._receiver.release(self.job_id, round, self._started_over, dropped)

    def _commit(self, round: int) -> None:
        patience = self._deadline() if self.me == self.active else self._deadline_of(self.active)
        self.inbox.wait_round(round, patience)  # before it is open, its uplinks would be of a wrong round
        mine = self._publisher.commit(
            self.job_id, round, self.attempt, self._deadline(), resumed=self._goes_on, before=self._require_time
        )
        self._tell()
        me = self._address(self.me).lower()
        wanted = {
            Slot(one.round, one.attempt, one.step, one.kind, me, one.recipient.lower()): one.digest for one in mine
        }
        wanted.update(self.inbox.taken_in(round, self.attempt))
        patience = self._deadline() if self.me == self.active else self._deadline_of(self.active)
        self.inbox.wait_committed(wanted, patience, round=round)

    def _begin_opening(self, round: int) -> None:
        thread = ThreadPoolExecutor(1, thread_name_prefix="next-round")
        self._opening = thread.submit(copy_context().run, self._open, round)
        thread.shutdown(wait=False)

    def _open(self, round: int) -> None:
        def opened() -> bool | None:
            return True if self._consortium.job(self.job_id).round >= round else None

        def open_it() -> bool:
            if not (self._goes_on and opened()):
                self._consortium.begin_round(self.job_id, round)
            return True

        self._through_outages(open_it, opened, self._deadline(), f"beginning round {round}")

    def _join_opening(self) -> None:
        opening, self._opening = self._opening, None
        if opening is None:
            return
        try:
            opening.result(self._deadline_seconds + _MINED_SECONDS)
        except FuturesTimeoutError:
            raise DeadlineError(f"job {self.job_id}: the next round was not opened in time", (THE_CHAIN,)) from None
        except TransactionError:
            self._raise_what_came_first()
            raise
        self._opened = max(self._opened, self.round + 1)

    def _roll_back(self, round: int, error: UplinkRejectedError | DeadlineError) -> None:
        """Always ends with an error."""
        log.warning("a round was not accepted", job=self.job_id, round=round, attempt=self.attempt, error=str(error))
        if self.me != self.active and self.attempt < MAX_RETRIES:
            self._wait_for_retry(error)
        is_suspended = isinstance(error, UplinkRejectedError) and error.reason == Reason.SENDER_SUSPENDED.name
        if self.attempt >= MAX_RETRIES or is_suspended:
            raise error
        self._join_opening()  # a retry before it would be one of another round
        deadline = self._deadline()
        try:
            self._through_outages(
                lambda: self._consortium.retry_round(self.job_id, round),
                lambda: True if self._consortium.job(self.job_id).attempt > self.attempt else None,
                deadline,
                f"trying round {round} again",
            )
        except TransactionError:
            self._raise_what_came_first()
            raise
        self._wait_for_retry(error)

    def _wait_for_retry(self, error: FedchainError) -> None:
        """Always ends with an error: this one where there is no other."""
        try:
            self.inbox.wait_attempt(self.attempt, self._deadline_of(self.active))
        except DeadlineError:
            raise error from None
