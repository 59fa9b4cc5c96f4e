"""What one party's side of one job (or of one inference request) does over the chain.

A driver carries out a generator's actions with it. The round in force is kept here: alignment is round 0, each tree a
round, evaluation the round after the last tree; an inference request's round is its id.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TypeVar

import structlog

from fedchain.chain import Consortium, Terms
from fedchain.chain.views import RequestStatus
from fedchain.errors import (
    ChainError,
    DeadlineError,
    FedchainError,
    MessageError,
    OvertakenError,
    PayloadUnavailableError,
    ProtocolViolationError,
    TrainingError,
    TransactionError,
    UplinkRejectedError,
)
from fedchain.exchange.acting import JobActor
from fedchain.exchange.auditing import JobAudit
from fedchain.exchange.bounds import Bounds, is_over, require_time
from fedchain.exchange.flagging import flag_histogram
from fedchain.exchange.inbox import Inbox
from fedchain.exchange.publisher import Publisher
from fedchain.exchange.slot import Slot
from fedchain.exchange.waits import Patience
from fedchain.messages import Message, decode
from fedchain.protocol import Flag
from fedchain.protocol.actions import RecordContribution
from fedchain.types import Kind, PartyId, Phase, Reason

log = structlog.get_logger(__name__)

M = TypeVar("M", bound=Message)

_MAX_REASON_BYTES = 200
_UNFINISHED = (Phase.PROPOSED, Phase.ALIGNING, Phase.TRAINING, Phase.EVALUATING)


class JobChannel(JobActor):
    """One party's channel for one job, used by one thread.

    Args:
        consortium: with this party's sender.
        publisher: of this node.
        inbox: of the job.
        me: this party's name.
        parties: name → address in roster order, the active party first.
        deadline_seconds: how long each wait may take; from the job's policy.
        request_id: the inference request this channel is for, None for the job itself.
        requester: who opened that request.
        patience: the job's policy about parties that are late.
        resumed: whether this party was at it before a restart: what it has done on chain is not done again.
        nudge: called with the addresses of those for whom something was put on chain; must return at once.
        finish_proofs: called before this party gives the job up: waits until what it can prove is on chain.
    """

    def __init__(
        self,
        *,
        consortium: Consortium,
        publisher: Publisher,
        inbox: Inbox,
        me: PartyId,
        parties: Mapping[PartyId, str],
        deadline_seconds: float,
        request_id: int | None = None,
        requester: PartyId | None = None,
        resumed: bool = False,
        patience: Patience | None = None,
        nudge: Callable[[Iterable[str]], None] = lambda addresses: None,
        finish_proofs: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(consortium, inbox, deadline_seconds=deadline_seconds, request_id=request_id, resumed=resumed)
        self._finish_proofs = finish_proofs
        self._nudge = nudge
        self.me = me
        self.parties = dict(parties)
        self.active: PartyId = next(iter(self.parties))
        self.requester = requester
        self._publisher = publisher
        self._last_uplinks: dict[Kind, bytes] = {}
        self._waited_for: tuple[float, tuple[PartyId, ...]] = (0.0, ())
        """The longest wait in this round: seconds, and for whom."""
        self._in_time_until = 0.0
        """By this machine's clock: until then no uplink can be late, for deadlines of rounds only move on."""
        inbox.deadline_seconds = deadline_seconds
        inbox.patience = patience or Patience(deadline_seconds)

    @cached_property
    def audit(self) -> JobAudit:
        """This party's steps in the audit of contributions, where the job has one."""
        return JobAudit(
            self._consortium.audits,
            self.inbox,
            me=self.me,
            parties=self.parties,
            transact=self._transact,
            deadline_of=self._deadline_of,
            round=lambda: self.round,
        )

    # -- messages ---------------------------------------------------------------------------------------------------

    def send(self, message: Message, step: int, recipient: PartyId | None, statistic_e6: int) -> None:
        """Uplink a message in the round in force; returns once its verdict is *accepted*.

        Raises:
            UplinkRejectedError: the contract rejected this uplink, or an earlier one of the roster.
            JobAbortedError: the job was aborted.
            OvertakenError: the active party went on while this uplink was on its way.
            DeadlineError: the round's time on the chain is over; names for whom this party waited. Nothing is sent.
            TrainingError: the job's policy would reject it. Nothing is sent.
        """
        self._not_aborted()
        to = None if recipient is None else self._address(recipient)
        try:
            self._last_uplinks[message.kind] = self._publisher.publish(
                message,
                job_id=self.job_id,
                round=self.round,
                attempt=self.attempt,
                step=step,
                recipient=to,
                statistic_e6=statistic_e6,
                deadline=self._deadline(),
                bounds=self._bounds() if self.request_id is None else None,
                before=self._require_time,
            )
        except (UplinkRejectedError, TransactionError) as error:
            self._raise_what_came_first()
            if isinstance(error, UplinkRejectedError):
                raise self._told_apart(error) from None
            raise
        self._tell(to)

    def _bounds(self) -> Bounds:
        return Bounds(
            self.inbox.max_payload_bytes, self.inbox.max_uplinks, self.inbox.is_overlapping and self.round > 1
        )

    def _require_time(self) -> None:
        """Before uplinks are sent: see `require_time`."""
        if self.request_id is not None or self.inbox.phase is not Phase.TRAINING or time.time() <= self._in_time_until:
            return
        job = self._read(lambda: self._consortium.job(self.job_id), "looking at the round's deadline")
        left = require_time(self._consortium, job, self._address(self.me), self._waited_for[1])
        self._in_time_until = time.time() + left - job.policy.round_seconds / 2

    def _told_apart(self, error: UplinkRejectedError) -> UplinkRejectedError:
        """Of a rejected uplink of this party: whether the active party overtook it."""
        is_of_place = error.reason in (Reason.WRONG_ROUND.name, Reason.WRONG_ATTEMPT.name)
        if not is_of_place or error.sender != self.me or self.me == self.active:
            return error
        job = self._read(lambda: self._consortium.job(self.job_id), "looking who went on")
        if not is_over(job, self.round, self.attempt):
            return error
        return OvertakenError(self.active, error.what, error.reason)

    def receive(self, message_type: type[M], step: int, sender: PartyId, *, to_me: bool) -> M:
        """Wait for a sender's accepted message in the round in force.

        Raises:
            ProtocolViolationError: it is not a canonical message of this type, or other bytes than committed.
            PayloadUnavailableError, DeadlineError, UplinkRejectedError, JobAbortedError: see `Inbox.take`.
        """
        return self.gather(message_type, step, (sender,), to_me=to_me)[sender]

    def receive_or_none(self, message_type: type[M], step: int, sender: PartyId, seconds: float) -> M | None:
        """As `receive`, for so many seconds; None where it does not come, or is not what was committed to."""
        try:
            return self._gather(message_type, step, (sender,), False, time.monotonic() + seconds)[sender]
        except (DeadlineError, ProtocolViolationError, PayloadUnavailableError) as error:
            log.warning("a message did not come", job=self.job_id, sender=sender, error=str(error))
            return None

    def gather(self, message_type: type[M], step: int, senders: Sequence[PartyId], *, to_me: bool) -> dict[PartyId, M]:
        """Wait for the same message from several senders at once, within one deadline; see `receive`."""
        return self._gather(message_type, step, senders, to_me, self._deadline_of(*senders))

    def _gather(
        self, message_type: type[M], step: int, senders: Sequence[PartyId], to_me: bool, deadline: float
    ) -> dict[PartyId, M]:
        mine = self._address(self.me).lower() if to_me else ""
        slots = [
            Slot(self.round, self.attempt, step, message_type.kind, self._address(sender).lower(), mine)
            for sender in senders
        ]
        messages: dict[PartyId, M] = {}
        begun = time.monotonic()
        payloads = self.inbox.take(slots, deadline) if slots else ()
        self._waited_for = max(self._waited_for, (time.monotonic() - begun, tuple(senders)))
        for sender, payload in zip(senders, payloads, strict=True):
            try:
                messages[sender] = decode(payload, message_type)
            except MessageError as error:
                raise ProtocolViolationError(sender, f"{error} (round {self.round}, step {step})") from error
        return messages

    # -- phases and rounds ------------------------------------------------------------------------------------------

    def accept(self) -> None:
        """Accept the job, unless that was done before a restart, and wait until everybody has."""
        me = self._address(self.me)

        def accept() -> None:
            if not self._consortium.has_accepted(self.job_id, me):
                self._consortium.accept(self.job_id)

        self._transact("accepting the job", accept, lambda: self._consortium.has_accepted(self.job_id, me))
        self.wait_phase(Phase.ALIGNING)

    def set_terms(self, terms: Terms) -> None:
        """Active party: set how often the job's model may be asked, unless that was done before a restart.

        To be called before `accept`: then no job goes on without. One that did, under an earlier release, stays so.
        """
        inference = self._consortium.inference

        def set_them() -> None:
            if inference.knows_terms():
                inference.set_terms(self.job_id, terms)

        def is_over() -> bool:
            phase = self._consortium.job(self.job_id).phase
            return phase > Phase.ALIGNING or inference.terms(self.job_id) is not None

        self._transact("setting the job's terms", set_them, is_over)

    def begin_round(self, round: int) -> None:
        """Active party: open the round. Passive party: wait until it is open."""
        self._only_in_jobs("begins a round")
        self._waited_for = (0.0, ())
        if self.me == self.active:
            self._transact(
                f"beginning round {round}",
                lambda: self._consortium.begin_round(self.job_id, round),
                lambda: self._consortium.job(self.job_id).round >= round,
            )
            self.attempt = self.inbox.wait_round(round, self._deadline()) if self.resumed else 0
        else:
            self.attempt = self.inbox.wait_round(round, self._deadline())
        self.round = round
        self.inbox.forget_before(round)

    def close_round(self, round: int, *, last: bool) -> None:
        """All of a strict round was accepted as it came: nothing to do."""

    def after_closing(self, act: Callable[[], None]) -> None:
        """Do something once the round that was closed last is closed: here it is."""
        act()

    def declare_aligned(self, order_digest: bytes, rows: int) -> None:
        """Declare the aligned order and wait for phase Training: all have declared the same."""
        self._only_in_jobs("declares an alignment")
        self._transact(
            "declaring the alignment",
            lambda: self._consortium.declare_aligned(self.job_id, order_digest, rows),
            lambda: self._consortium.has_aligned(self.job_id, self._address(self.me)),
        )
        self.wait_phase(Phase.TRAINING)

    def declare_stop(self, round: int) -> None:
        """Declare the stopping condition met after `round` and wait for phase Evaluating."""
        self._only_in_jobs("declares a stop")
        self._transact(
            f"declaring the stop after round {round}",
            lambda: self._consortium.declare_stop(self.job_id, round),
            lambda: self._consortium.has_stopped(self.job_id, self._address(self.me)),
        )
        self.wait_phase(Phase.EVALUATING)
        self.round, self.attempt = round + 1, 0

    def record_contribution(self, shares_e6: Sequence[int], full_e6: int, empty_e6: int) -> None:
        """Write the shares of the last contribution uplink of this channel to the contribution ledger."""
        self._only_in_jobs("records a contribution")
        uplink_id = self._last_uplinks.get(Kind.CONTRIBUTION)
        if uplink_id is None:
            raise TrainingError("a contribution can be recorded only after its uplink was accepted")
        self._transact(
            "recording the contribution",
            lambda: self._consortium.record_contribution(self.job_id, uplink_id, list(shares_e6), full_e6, empty_e6),
            lambda: self._consortium.contribution(self.job_id) is not None,
        )

    def flag(self, flag: Flag) -> None:
        """Active party: have a passive party's histogram of the round in force flagged. Raises nothing of the chain."""
        self._only_in_jobs("flags a histogram")
        flag_histogram(
            self._consortium,
            self.job_id,
            flag,
            round=self.round,
            attempt=self.attempt,
            sender=self._address(flag.party),
            active=self._address(self.me),
        )

    def recorded_contribution(self) -> RecordContribution | None:
        """What the contribution ledger has of the job."""
        record = self._read(lambda: self._consortium.contribution(self.job_id), "reading the ledger")
        return None if record is None else RecordContribution(record.shares_e6, record.full, record.empty)

    def wait_phase(self, phase: Phase) -> None:
        """Wait until the job has reached this phase."""
        self.inbox.wait_phase(phase, self._phase_deadline())
        self._reached = max(self._reached, phase)

    def start_over(self, attempt: int) -> None:
        """The party's generator is run anew for an attempt: from before the first round; what it did is done."""
        self.resumed = True
        self.round = self.attempt = 0

    # -- endings ----------------------------------------------------------------------------------------------------

    def finish_request(self) -> None:
        """Requester: close the inference request as done."""
        assert self.request_id is not None
        self._close_request(RequestStatus.DONE)

    def give_up(self, reason: str) -> None:
        """Abort the job (or close the request as rejected) on chain unless it has ended; then end its audit.

        Args:
            reason: goes on chain for all to read: no values, no ids, no paths.

        Raises:
            StoppingError: this node stops before the audit of the job is concluded; see `JobAudit.end`. Nothing else.
        """
        self._finish_proofs()
        self._abort(reason)
        if "audit" in self.__dict__:  # this party has taken part in one
            self.audit.end()

    def _abort(self, reason: str) -> None:
        for _ in range(2):  # once more where another party came first
            with contextlib.suppress(ChainError):
                if self.request_id is not None:
                    if self.me in (self.active, self.requester):
                        self._close_request(RequestStatus.REJECTED)
                elif self._consortium.job(self.job_id).phase in _UNFINISHED:
                    self._consortium.abort(self.job_id, shorten(reason))
                return
        log.warning("the chain did not take note that this party gave up", job=self.job_id, reason=reason)

    def _close_request(self, outcome: RequestStatus) -> None:
        request_id = self.request_id
        assert request_id is not None
        request = self._consortium.request(self.job_id, request_id)
        if request.opened_block and request.status == RequestStatus.OPEN:
            self._consortium.close_request(self.job_id, request_id, outcome)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _tell(self, to: str | None = None) -> None:
        """Nudge one party, or all others: the chain has something of this party."""
        me = self.parties.get(self.me)
        self._nudge([one for one in self.parties.values() if one != me and to in (None, one)])

    def _phase_deadline(self) -> float:
        return self._deadline()

    def _deadline_of(self, *senders: PartyId) -> float:
        """Until when to wait for them: the active party may have to wait for the one at fault first."""
        patience = 2.0 if self.active in senders and self.me != self.active else 1.0
        return time.monotonic() + patience * self._deadline_seconds

    def _address(self, party: PartyId) -> str:
        try:
            return self.parties[party]
        except KeyError:
            raise FedchainError(f"party '{party}' is not on the roster of job {self.job_id}") from None

    def _only_in_jobs(self, what: str) -> None:
        if self.request_id is not None:
            raise TrainingError(f"a party {what} in an inference request: only jobs know that")


def shorten(reason: str) -> str:
    """A reason that fits the contract's bound, on one line."""
    line = " ".join(reason.split())
    return line.encode()[:_MAX_REASON_BYTES].decode(errors="ignore") or "unknown"
