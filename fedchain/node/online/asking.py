"""The asking side: from ids to scores, for the control socket, the HTTP API and the commands.

Requests that come while a round is under way go together in the next one, whoever made them.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import structlog
from numpy.typing import NDArray

from fedchain.errors import AskRefusedError, ConfigError, FedchainError, QuotaExceededError
from fedchain.exchange import Exchange
from fedchain.inference.asking import Flag
from fedchain.inference.bitplanes import Positions
from fedchain.messages.online import most_rows, rows_within
from fedchain.node.online.anchoring import Anchorer
from fedchain.node.online.coalescing import Coalescer
from fedchain.node.online.job import OnlineJob, OnlineJobs
from fedchain.node.online.meter import Meter
from fedchain.node.online.predictions import Id, Predictions
from fedchain.node.online.reserving import BatchSerials, Reservations
from fedchain.node.online.rounds import PREPARE, Rounds
from fedchain.node.online.rowscores import RowScores
from fedchain.node.online.targets import Targets
from fedchain.types import JobId, PartyId

log = structlog.get_logger(__name__)

MAX_IDS = 1_000_000
"""Of one request over the control socket; files have no bound."""

TOGETHER = 256
"""Rows of several requests that go in one round."""

PREPARE_SECONDS = 10.0
"""How long the first request for a job waits until those who are asked have loaded it."""

_PLANES_FROM = 2048
"""Rows from which on bits come leaf after leaf."""


@dataclass(frozen=True)
class Desk:
    """A job, and how it is asked.

    Attributes:
        job: the job.
        rounds: its rounds.
        plain, explained: requests on their way, without and with explanations.
    """

    job: OnlineJob
    rounds: Rounds
    plain: Coalescer[Positions, RowScores]
    explained: Coalescer[Positions, RowScores]


class Asker:
    """Asks; safe to use from several threads.

    Args:
        jobs: finished jobs.
        exchange: this node's traffic.
        anchorer: keeps the receipts.
        targets: what requests are for.
        meter: is told of requests.
        address: this party's.
    """

    def __init__(
        self,
        jobs: OnlineJobs,
        exchange: Exchange,
        anchorer: Anchorer,
        targets: Targets,
        meter: Meter,
        *,
        address: str,
    ) -> None:
        self._jobs, self._exchange, self._anchorer = jobs, exchange, anchorer
        self._targets, self._meter, self._address = targets, meter, address
        self._lock = threading.Lock()
        self._desks: dict[JobId, Desk] = {}
        self._reservations: dict[JobId, Reservations] = {}

    def predict_ids(self, target: str, ids: Sequence[Id], *, explain: bool = False) -> Predictions:
        """Scores of customers by their ids. Each row asked for counts against the job's quota.

        Reveals to each answerer which of its own rows are asked for, unless requests for others go with it; to the
        chain, later, how many rows were asked for.

        Args:
            target: a job that this node has completed, or a model's name, which stands for its version in use.
            ids: as this party writes them; with several parts, their parts in the order of the job's rules.
            explain: whether to give each party's contribution to each score.

        Raises:
            ConfigError: no completed job of this node, no id or too many, or nothing is explained there.
            UnknownModelError: no such model.
            QuotaExceededError: the job allows no more rows in this window.
            DeadlineError: a party did not answer in time; names it.
            PeerError: a party refuses, or its answer does not hold; names it.
            ChainError: serials cannot be reserved, or the registry cannot be read.
        """
        begun = time.monotonic()
        outcome = "failed"
        try:
            job_id, use = self._targets.resolve(target)
            desk = self.desk(job_id)
            if explain and not desk.job.spec.inference.explanations:
                raise ConfigError(
                    f"job {job_id} explains no scores: its [inference] explanations is false; ask without --explain"
                )
            if not 1 <= len(ids) <= MAX_IDS:
                raise ConfigError(f"one request asks for 1 to {MAX_IDS} ids; this one has {len(ids)}")
            positions = desk.job.positions(ids)
            found = self._scores(desk, positions, explain)
            outcome = "silent" if (found.flags & Flag.SILENT_PARTY).any() else "scored"
            return Predictions(
                job_id, use, found.serials, found.scores, found.flags, tuple(desk.job.addresses), found.base,
                found.contributions,
            )  # fmt: skip
        finally:
            self._meter.on_asked(len(ids), time.monotonic() - begun, outcome)

    def desk(self, job_id: JobId) -> Desk:
        """A completed job's.

        Raises:
            ConfigError: this node has not completed it.
            ProtocolViolationError: its terms on the chain are not its spec's; names the active party.
        """
        known = self._desks.get(job_id)
        preparing = [] if known is not None else self._have_others_prepare(job_id)
        try:
            job = self._jobs.get(job_id)
        except AskRefusedError as error:
            raise ConfigError(str(error)) from error
        for party, prepared in preparing:
            try:
                _learn(job, party, prepared())
            except FedchainError as error:
                log.info("a party is not prepared to be asked", job=job_id, error=str(error))
        with self._lock:
            desk = self._desks.get(job_id)
            if desk is None or desk.job is not job:
                rounds = self._rounds(job)
                desk = self._desks[job_id] = Desk(
                    job,
                    rounds,
                    Coalescer(partial(_together, rounds, False), most=TOGETHER),
                    Coalescer(partial(_together, rounds, True), most=TOGETHER),
                )
            return desk

    def rounds(self, job: OnlineJob) -> Rounds:
        """A loaded job's rounds."""
        return self.desk(job.job_id).rounds

    def forget(self, job_id: JobId) -> None:
        """A job is not kept loaded any more; its serials are."""
        with self._lock:
            self._desks.pop(job_id, None)

    def close(self) -> None:
        """Reserve no more."""
        with self._lock:
            for one in self._reservations.values():
                one.close()

    # -- inside -----------------------------------------------------------------------------------------------------

    def _have_others_prepare(self, job_id: JobId) -> list[tuple[PartyId, Callable[[], bytes]]]:
        """Those who will be asked load the job while this node does."""
        record = self._exchange.state.job(job_id)
        if record is None or record.status != "completed":
            return []
        roster = self._exchange.consortium.job(job_id).roster
        asked = roster[1:] if roster[0] == self._address else roster[:1]
        begun = []
        for address in asked:
            name = self._exchange.directory.name_of(address)
            with contextlib.suppress(FedchainError):
                wait = self._exchange.payloads.ask(
                    self._exchange.directory.look_up(address), PREPARE + bytes.fromhex(job_id[2:]),
                    answer_bytes=1, culprit=name, deadline_seconds=PREPARE_SECONDS,
                )  # fmt: skip
                begun.append((name, wait))
        return begun

    def set_apart(self, job_id: JobId, rows: int) -> BatchSerials:
        """Serials for a batch; raises as `desk` and `Reservations.set_apart`."""
        self.desk(job_id)
        with self._lock:
            reservations = self._reservations[job_id]
        return reservations.set_apart(rows)

    def _rounds(self, job: OnlineJob) -> Rounds:
        reservations = self._reservations.get(job.job_id)
        if reservations is None:
            terms = job.spec.inference
            reservations = self._reservations[job.job_id] = Reservations(
                self._exchange.consortium,
                job.job_id,
                self._address,
                quota=terms.quota,
                window_seconds=terms.window_seconds,
            )
        return Rounds(job, self._exchange, reservations, self._anchorer.log_of(job.job_id), self._meter)

    @staticmethod
    def _scores(desk: Desk, positions: Positions, explain: bool) -> _Found:
        job, known = desk.job, np.flatnonzero(positions >= 0)
        found = _Found.unknown(len(positions), job.outputs)
        if explain:
            found.contributions = np.full((len(positions), len(job.addresses), job.outputs), np.nan)
        way: Callable[[Positions, int], RowScores] = desk.explained.do if explain else desk.plain.do
        step = most_rows(job.most_bits, planes=not explain and rows_within(job.most_bits) >= _PLANES_FROM)
        for first in range(0, len(known), step):
            places = known[first : first + step]
            part = way(positions[places], len(places))
            found.serials[places] = part.first_serial + np.arange(len(places))
            found.scores[places], found.flags[places] = part.scores, part.flags
            if explain and part.contributions is not None and found.contributions is not None:
                found.base, found.contributions[places] = part.base, part.contributions
        return found


@dataclass
class _Found:
    serials: NDArray[np.int64]
    scores: NDArray[np.float64]
    flags: NDArray[np.uint8]
    base: NDArray[np.float64] | None = None
    contributions: NDArray[np.float64] | None = None

    @classmethod
    def unknown(cls, rows: int, outputs: int) -> _Found:
        shape = (rows,) if outputs == 1 else (rows, outputs)
        return cls(np.full(rows, -1, np.int64), np.full(shape, np.nan), np.full(rows, Flag.UNKNOWN_ID, np.uint8))


def _learn(job: OnlineJob, party: PartyId, prepared: bytes) -> None:
    """A passive party's default bits: should it be silent, its rows have them, from the first request on."""
    if job.combining is not None and prepared[:1] == PREPARE:
        job.combining.learn_default(party, prepared[1:])


def _together(rounds: Rounds, explained: bool, requests: Sequence[Positions]) -> list[RowScores | BaseException]:
    """One round for several requests; each by itself where the quota does not hold all of them."""
    joined = np.concatenate(requests)
    try:
        scores = rounds.begin(
            joined, planes=not explained and len(joined) >= _PLANES_FROM, explained=explained
        ).finish()
    except QuotaExceededError:
        if len(requests) == 1:
            raise
        return [_alone(rounds, explained, one) for one in requests]
    ends = np.cumsum([len(one) for one in requests])
    return [scores.part(int(end) - len(one), int(end)) for one, end in zip(requests, ends, strict=True)]


def _alone(rounds: Rounds, explained: bool, request: Positions) -> RowScores | BaseException:
    try:
        return rounds.begin(request, explained=explained).finish()
    except FedchainError as error:
        return error
