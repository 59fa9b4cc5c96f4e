"""A pipelined job's contracts in a few lines, as one party sees them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from fedchain.chain import BatchLeaf, JobAborted, JobPolicy, PhaseChanged, RoundBegan, UplinkJudged
from fedchain.chain.events import ChainEvent
from fedchain.errors import ChainUnreachableError, TransactionError
from fedchain.exchange import Inbox
from fedchain.messages import Envelope
from fedchain.types import JobId, Kind, PartyId, Phase, Reason
from tests.unit.exchange.ledger import ALPHA, BETA, JOB

GAMMA = "0x" + "c3" * 20
ACTIVE, SECOND, THIRD = PartyId("alpha"), PartyId("beta"), PartyId("gamma")
PARTIES = {ACTIVE: ALPHA, SECOND: BETA, THIRD: GAMMA}
ROSTER = tuple(PARTIES.values())
MAX_BYTES = 5000
POLICY = JobPolicy(MAX_BYTES, 10, 0, pipelined=True)


class Chain:
    """Stands in for the consortium: one pipelined job in training, judged by the contract's rules for rounds.

    Attributes:
        calls: what this party has sent.
        rejects: kinds of this party's uplinks that are rejected, and why.
        lost: how many answers to this party's next transactions are lost on their way.
        before: what happens just before a call of this party, or before it asks for the head.
        after: what happens just after a call of this party.
        is_silent: whether events are held back until `tell`.
    """

    def __init__(self, me: str) -> None:
        self.me = me
        self.phase, self.round, self.attempt = Phase.TRAINING, 0, 0
        self.stopped: set[str] = set()
        self.verdicts: dict[bytes, Reason] = {}
        self.calls: list[str] = []
        self.rejects: dict[Kind, Reason] = {}
        self.lost = 0
        self.before: dict[str, Callable[[], object]] = {}
        self.after: dict[str, Callable[[], object]] = {}
        self.is_silent = False
        self.events: list[ChainEvent] = []
        self.inbox: Inbox | None = None
        self._lock = threading.RLock()
        self._emit(PhaseChanged, phase=Phase.TRAINING)

    # -- what happens, whoever does it --------------------------------------------------------------------------------

    def begins(self, round: int) -> None:
        with self._lock:
            self._require(Phase.TRAINING)
            if round != self.round + 1:
                raise TransactionError("beginRound", f"WrongRound({self.round + 1}, {round})")
            self.round = round
            self.stopped = set()
            self._emit(RoundBegan, round=round, attempt=self.attempt)

    def retries(self, round: int) -> None:
        with self._lock:
            self._require(Phase.TRAINING)
            if round not in (self.round, self.round - 1):
                raise TransactionError("retryRound", f"WrongRound({self.round}, {round})")
            self.round, self.attempt = round, self.attempt + 1
            self.stopped = set()
            self._emit(RoundBegan, round=round, attempt=self.attempt)

    def stops(self, party: str, round: int) -> None:
        with self._lock:
            self._require(Phase.TRAINING)
            if round != self.round:
                raise TransactionError("declareStop", f"WrongRound({self.round}, {round})")
            if party in self.stopped:
                raise TransactionError("declareStop", "AlreadyDeclared()")
            self.stopped.add(party)
            if len(self.stopped) == len(ROSTER):
                self.phase, self.round, self.attempt = Phase.EVALUATING, round + 1, 0
                self._emit(PhaseChanged, phase=Phase.EVALUATING)

    def judges(self, sender: str, envelope: Envelope, reason: Reason | None = None) -> UplinkJudged:
        with self._lock:
            reason = reason or Reason.ACCEPTED
            if reason is Reason.ACCEPTED and self.phase is Phase.TRAINING:
                if envelope.round not in (self.round, self.round - 1):
                    reason = Reason.WRONG_ROUND
                elif envelope.attempt != self.attempt:
                    reason = Reason.WRONG_ATTEMPT
            uplink_id = self.uplink_id(sender, envelope)
            self.verdicts[uplink_id] = reason
            event = self._emit(
                UplinkJudged, sender=sender, uplink_id=uplink_id, reason=reason, envelope=envelope, payload=b""
            )
            assert isinstance(event, UplinkJudged)
            return event

    def aborts(self, party: str) -> None:
        with self._lock:
            self.phase = Phase.ABORTED
            self._emit(JobAborted, by=party, reason="its own")

    def tell(self) -> None:
        """Everything that has happened is known to this party now."""
        with self._lock:
            self.is_silent = False
            assert self.inbox is not None
            self.inbox.deliver(self.events, len(self.events))

    # -- what this party does -----------------------------------------------------------------------------------------

    def begin_round(self, job_id: JobId, round: int) -> None:
        self._sent(f"begin {round}", lambda: self.begins(round))

    def retry_round(self, job_id: JobId, round: int) -> None:
        self._sent(f"retry {round}", lambda: self.retries(round))

    def declare_stop(self, job_id: JobId, round: int) -> None:
        self._sent(f"stop {round}", lambda: self.stops(self.me, round))

    def abort(self, job_id: JobId, reason: str) -> None:
        self._sent("abort", lambda: self.aborts(self.me))

    def submit(self, envelope: Envelope, payload: bytes) -> tuple[Any, UplinkJudged]:
        event = self._sent(f"uplink {envelope.kind.name}", lambda: self.judges(self.me, envelope))
        return SimpleNamespace(tx_hash=bytes(32)), event

    def submit_batch(
        self, job_id: JobId, round: int, attempt: int, leaves: Sequence[BatchLeaf]
    ) -> tuple[Any, list[UplinkJudged]]:
        def judge() -> list[UplinkJudged]:
            return [
                self.judges(
                    self.me, leaf.envelope(job_id, round, attempt), self.rejects.get(leaf.kind, Reason.ACCEPTED)
                )
                for leaf in leaves
            ]

        kinds = " ".join(leaf.kind.name for leaf in leaves)
        return SimpleNamespace(tx_hash=bytes(32)), self._sent(f"commit {round}.{attempt} {kinds}", judge)

    # -- what is read -------------------------------------------------------------------------------------------------

    @property
    def client(self) -> Chain:
        return self

    def head(self) -> int:
        self.before.pop("head", lambda: None)()
        return len(self.events)

    def job(self, job_id: JobId) -> Any:
        with self._lock:
            return SimpleNamespace(
                phase=self.phase, round=self.round, attempt=self.attempt, roster=ROSTER, policy=POLICY, deadline=0
            )

    def has_stopped(self, job_id: JobId, address: str) -> bool:
        return address in self.stopped

    def uplink_id(self, sender: str, envelope: Envelope) -> bytes:
        return hashlib.sha256(repr((sender, envelope)).encode()).digest()

    def verdict(self, party: str, envelope: Envelope) -> Any:
        reason = self.verdicts.get(self.uplink_id(party, envelope))
        return SimpleNamespace(known=reason is not None, reason=reason)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _sent(self, what: str, act: Callable[[], Any]) -> Any:
        self.before.pop(what, lambda: None)()
        with self._lock:
            self.calls.append(what)
            done = act()
            self.after.pop(what, lambda: None)()
            if self.lost:
                self.lost -= 1
                raise ChainUnreachableError("the answer was lost")
            return done

    def _require(self, phase: Phase) -> None:
        if self.phase is not phase:
            raise TransactionError("a call", f"WrongPhase({phase}, {self.phase})")

    def _emit(self, kind: type[ChainEvent], **values: Any) -> ChainEvent:
        number = len(self.events) + 1
        event = kind(
            job_id=JOB,  # type: ignore[call-arg]
            block_number=number,
            block_hash=number.to_bytes(32, "big"),
            log_index=0,
            transaction_hash=bytes(32),
            **values,
        )
        self.events.append(event)
        if self.inbox is not None and not self.is_silent:
            self.inbox.deliver([event], number)
        return event
