"""Inference requests of finished jobs: asking, and answering what others ask."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import structlog
from numpy.typing import NDArray
from structlog.contextvars import bound_contextvars

from fedchain.chain import RequestOpened, RequestStatus
from fedchain.errors import ChainError, ConfigError, FedchainError, StoppingError, TransactionError
from fedchain.exchange import Exchange, Inbox
from fedchain.exchange.records import RequestRecord
from fedchain.federation.answering import answerer_of, predict_party
from fedchain.federation.session import Session
from fedchain.federation.spec import JobSpec
from fedchain.federation.tables import read_party_table
from fedchain.inference.request import Answerer
from fedchain.node.config import NodeConfig
from fedchain.node.driver import OnStage, run_party
from fedchain.node.jobfiles import JobFiles
from fedchain.node.jobpolicy import patience_of
from fedchain.node.progress import ProgressBoard
from fedchain.node.strict.strict import Strict
from fedchain.protocol.actions import Stage
from fedchain.types import JobId, PartyId, Phase

log = structlog.get_logger(__name__)

_WORKERS = 4
_PENDING = 64
_SETTLE_SECONDS = 60.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class FinishedJob:
    """What requests need of a finished job."""

    spec: JobSpec
    session: Session
    answerer: Answerer
    parties: dict[PartyId, str]


class Requests:
    """Asks and answers; safe to use from several threads."""

    def __init__(self, config: NodeConfig, exchange: Exchange, *, address: str, board: ProgressBoard) -> None:
        self._config = config
        self._exchange = exchange
        self._address = address
        self._board = board
        self._lock = threading.Lock()
        self._taken: set[tuple[JobId, int]] = set()
        self._finished: dict[JobId, FinishedJob] = {}
        self._pool = ThreadPoolExecutor(max_workers=_WORKERS, thread_name_prefix="request")
        self._pending = threading.BoundedSemaphore(_PENDING)
        self._resumed_at = -1

    def on_request(self, event: RequestOpened, inbox: Inbox) -> None:
        """Somebody asked: answer in the background. Called in the subscriber's thread."""
        request = RequestRecord(event.job_id, event.request_id, event.block_number, event.requester)
        self._exchange.state.remember_request(request)
        if event.requester != self._address:
            self._answer_later(request, inbox)
        elif request.block <= self._resumed_at:
            self._drop_later(request)  # an earlier process of this node asked, and was killed before it knew the number

    def resume(self, strict: Strict) -> None:
        """After a restart: answer open requests of finished jobs, close own ones that nobody waits for any more.

        Args:
            strict: does the same for strict ones.
        """
        state = self._exchange.state
        self._resumed_at = self._exchange.client.head()
        for job in state.jobs():
            if job.status != "completed":
                continue
            waiting: list[RequestRecord] = []
            for request in (one for one in state.requests(job.job_id) if one.status == "open"):
                if self._is_over(request):
                    state.set_request_status(job.job_id, request.request_id, "closed")
                elif request.requester == self._address:
                    self._drop(request)
                else:
                    waiting.append(request)
            asked = strict.left_open(job.job_id)
            start = min((request.block for request in (*waiting, *asked)), default=None)
            inbox = self._exchange.subscriber.resume(job.job_id, start)
            strict.take_up(asked, inbox)
            for request in waiting:
                self._answer_later(request, inbox)

    def predict(
        self, job_id: JobId, positions: NDArray[np.int64] | None
    ) -> tuple[int, NDArray[np.int64], NDArray[np.float64]]:
        """Ask the roster for scores.

        Args:
            job_id: a job that this node has completed.
            positions: shape (n,), aligned positions in any order, repetitions allowed; None: the held-out rows, which
                the active party alone knows. The roster learns which positions are asked for.

        Returns:
            Request id, positions as asked, and scores in that order: shape (n,), or (n, classes) with several classes.

        Raises:
            ConfigError: not a completed job of this node, or positions that are not there.
            UplinkRejectedError, DeadlineError, PeerError: see `run_party`.
        """
        inbox = self._exchange.subscriber.inbox(job_id)
        record = self._exchange.state.job(job_id)
        if record is not None and record.status == "running" and self._is_complete_on_chain(job_id):
            self._wait_until_saved(job_id)
            record = self._exchange.state.job(job_id)
        if inbox is None or record is None or record.status != "completed":
            standing = "unknown to" if record is None else f"{record.status} at"
            raise ConfigError(f"job {job_id} is {standing} this node; scores are there for completed jobs only")
        job = self._job(job_id)
        asked = self._positions(job, positions)
        distinct, back = np.unique(asked, return_inverse=True)
        request_id = self._exchange.consortium.open_request(job_id)
        me = PartyId(self._config.name)
        status = "failed"
        channel = self._exchange.channel(
            inbox,
            job.parties,
            deadline_seconds=job.spec.policy.deadline_seconds,
            request_id=request_id,
            requester=me,
            patience=patience_of(job.spec),
        )
        self._show(job_id, request_id, "open")
        try:
            party = predict_party(job.answerer, me, request_id, distinct)
            with bound_contextvars(job=job_id, request=request_id):
                scores = run_party(party, channel, self._on_stage(job_id, request_id))
            assert scores is not None
            channel.finish_request()
            status = "served"
        finally:
            self._exchange.state.set_request_status(job_id, request_id, status)
            inbox.forget_request(request_id)
            self._show(job_id, request_id, status)
        return request_id, asked, scores[back.reshape(-1)]

    def forget_tables(self) -> None:
        """The node's table was replaced: requests are answered from the new one."""
        with self._lock:
            self._finished.clear()

    def close(self) -> None:
        """Take no more requests."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    # -- answering --------------------------------------------------------------------------------------------------

    def _answer_later(self, request: RequestRecord, inbox: Inbox) -> None:
        with self._lock:
            if (request.job_id, request.request_id) in self._taken:
                return  # it was delivered again after a crash
            self._taken.add((request.job_id, request.request_id))
        if not self._pending.acquire(blocking=False):
            log.warning("too many open requests; this one is not answered", request=request.request_id)
            self._exchange.state.set_request_status(request.job_id, request.request_id, "failed")
            return
        try:
            self._pool.submit(self._answer, request, inbox)
        except RuntimeError:  # the pool is shut down: the node is stopping
            self._pending.release()

    def _drop_later(self, request: RequestRecord) -> None:
        with contextlib.suppress(RuntimeError):  # the pool is shut down: the next start closes it
            self._pool.submit(self._drop, request)

    def _drop(self, request: RequestRecord) -> None:
        """Close an own request that nobody waits for any more."""
        if not self._is_over(request):
            self._close(request, RequestStatus.EXPIRED)
        self._exchange.state.set_request_status(request.job_id, request.request_id, "failed")

    def _answer(self, request: RequestRecord, inbox: Inbox) -> None:
        with bound_contextvars(job=request.job_id, request=request.request_id):
            self._answer_one(request, inbox)

    def _answer_one(self, request: RequestRecord, inbox: Inbox) -> None:
        job_id, request_id = request.job_id, request.request_id
        requester = self._exchange.directory.name_of(request.requester)
        status = "failed"
        try:
            self._wait_until_saved(job_id)
            job = self._job(job_id)
            channel = self._exchange.channel(
                inbox,
                job.parties,
                deadline_seconds=job.spec.policy.deadline_seconds,
                request_id=request_id,
                requester=requester,
                patience=patience_of(job.spec),
            )
            self._show(job_id, request_id, "open")
            run_party(predict_party(job.answerer, requester, request_id), channel, self._on_stage(job_id, request_id))
            status = "served"
        except StoppingError:
            status = "open"  # it is answered when this node is started again
        except Exception as error:
            log.error("request not answered", job=job_id, request=request_id, requester=requester, error=str(error))
            if not isinstance(error, FedchainError):
                log.error("this is a defect of fedchain; please report it", exc_info=error)
        finally:
            self._pending.release()
            with contextlib.suppress(Exception):
                self._exchange.state.set_request_status(job_id, request_id, status)
            inbox.forget_request(request_id)
            self._show(job_id, request_id, status)

    def _is_complete_on_chain(self, job_id: JobId) -> bool:
        return self._exchange.consortium.job(job_id).phase is Phase.COMPLETED

    def _wait_until_saved(self, job_id: JobId) -> None:
        """The chain may complete a job, and a peer ask, before this node's job thread has saved it."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while True:
            record = self._exchange.state.job(job_id)
            if record is not None and record.status == "completed":
                return
            if record is None or record.status != "running" or time.monotonic() > deadline:
                raise ConfigError(f"job {job_id} is not completed at this node")
            time.sleep(_POLL_SECONDS)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _job(self, job_id: JobId) -> FinishedJob:
        with self._lock:
            found = self._finished.get(job_id)
            if found is None:
                spec, shard, session = JobFiles(self._config.state.folder, job_id).load()
                table = read_party_table(self._config.table, spec, self._config.name)
                answerer = answerer_of(shard, session, table)
                roster = self._exchange.consortium.job(job_id).roster
                parties = {self._exchange.directory.name_of(address): address for address in roster}
                found = self._finished[job_id] = FinishedJob(spec, session, answerer, parties)
        return found

    @staticmethod
    def _positions(job: FinishedJob, positions: NDArray[np.int64] | None) -> NDArray[np.int64]:
        rows = len(job.session.ids)
        if positions is None:
            if not job.session.holdout:
                raise ConfigError("only the active party knows the held-out rows; give positions instead")
            return np.asarray(job.session.holdout, dtype=np.int64)
        if positions.ndim != 1 or len(positions) == 0 or positions.min() < 0 or positions.max() >= rows:
            raise ConfigError(f"positions must be 0 to {rows - 1}, at least one: there are {rows} aligned rows")
        return positions

    def _is_over(self, request: RequestRecord) -> bool:
        try:
            return self._exchange.consortium.request(request.job_id, request.request_id).status != RequestStatus.OPEN
        except TransactionError:
            return True

    def _close(self, request: RequestRecord, outcome: RequestStatus) -> None:
        try:
            self._exchange.consortium.close_request(request.job_id, request.request_id, outcome)
        except ChainError as error:
            log.warning("request could not be closed", request=request.request_id, error=str(error))

    def _on_stage(self, job_id: JobId, request_id: int) -> OnStage:
        def on_stage(stage: Stage) -> None:
            self._board.post(
                "request",
                job=job_id,
                request=request_id,
                party=self._config.name,
                status="open",
                done=stage.done,
                total=stage.total,
                detail=stage.detail,
            )

        return on_stage

    def _show(self, job_id: JobId, request_id: int, status: str) -> None:
        self._board.post("request", job=job_id, request=request_id, party=self._config.name, status=status)
