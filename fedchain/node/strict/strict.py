"""All that a node does about strict requests: asks them, answers those of others, and ends each once.

A request ends as *done* when its requester has the score, as *rejected* when it cannot be answered (at once, by the
contract, where it is not in order), as *expired* when nobody answered in time. The contract takes one ending of each.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np
import structlog
from structlog.contextvars import bound_contextvars

from fedchain.chain import RequestAsked, RequestStatus
from fedchain.chain.inference import ANSWER_SECONDS, MAX_REQUESTS, Asked
from fedchain.errors import (
    AskRefusedError,
    ChainError,
    ConfigError,
    DeadlineError,
    FedchainError,
    QuotaExceededError,
    StoppingError,
    UplinkRejectedError,
)
from fedchain.exchange import Exchange, Inbox, JobChannel
from fedchain.exchange.records import RequestRecord
from fedchain.federation.answering import make_sealing_answerer
from fedchain.inference.request import Scores
from fedchain.inference.strict import StrictSide
from fedchain.node.driver import carry_out
from fedchain.node.jobpolicy import patience_of
from fedchain.node.online.coalescing import Coalescer
from fedchain.node.online.job import EPOCH, OnlineJob, OnlineJobs
from fedchain.node.online.predictions import Id
from fedchain.node.strict.endings import ASKED, AWAITED, CLOSED, ENDING, FAILED, OUTCOMES, SERVED, Endings
from fedchain.node.strict.lanes import Lane, Lanes
from fedchain.node.strict.predictions import NOT_ASKED, StrictPredictions
from fedchain.protocol import Party
from fedchain.types import JobId, PartyId, Reason

log = structlog.get_logger(__name__)

MAX_IDS = 1024
"""Of one call."""

_SETTLE_SECONDS = 60.0
_POLL_SECONDS = 0.05
_SWEEP_SECONDS = 30.0


class Strict:
    """One node's; safe to use from several threads.

    Args:
        exchange: its traffic.
        jobs: finished jobs.
        address, name: of its party.
    """

    def __init__(self, exchange: Exchange, jobs: OnlineJobs, *, address: str, name: PartyId) -> None:
        self._exchange, self._jobs = exchange, jobs
        self._address, self._name = address, name
        self._lock = threading.Lock()
        self._asks: dict[JobId, Coalescer[list[bytes], list[Asked]]] = {}
        self._taken: set[tuple[JobId, int]] = set()
        # own requests wait for others' answers, and must not keep this node from answering theirs
        self._own = ThreadPoolExecutor(MAX_REQUESTS, thread_name_prefix="strict-ask")
        self._lanes = Lanes()
        self._endings = Endings(exchange)
        self._resumed_at = -1
        self._stop = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, name="strict-sweep", daemon=True)

    # -- asking -----------------------------------------------------------------------------------------------------

    def predict(self, job_id: JobId, ids: Sequence[Id]) -> StrictPredictions:
        """Scores of customers by their ids, each by a request of its own on the chain; they count against the quota.

        Requests that come while a transaction is under way go together in the next one. Ids that this party does not
        know are not asked for.

        Reveals to each party asked which of its rows is asked for; to everybody on the chain how many requests this
        party makes, and when.

        Args:
            job_id: a completed job.
            ids: as this party writes them.

        Raises:
            ConfigError: not a completed job of this node, or no id or too many.
            QuotaExceededError: the job allows no more rows in this window; nothing is asked.
            UplinkRejectedError: the contract rejected a request; names the reason.
            DeadlineError: a party did not answer in time; the request is closed as expired.
            PeerError: a party's answer does not hold; names it. The request is closed as rejected.
            JobAbortedError: another party closed the request.
            ChainError: the chain cannot be reached.
        """
        if not 1 <= len(ids) <= MAX_IDS:
            raise ConfigError(f"one call asks strictly for 1 to {MAX_IDS} ids; this one has {len(ids)}")
        try:
            job = self._jobs.get(job_id)
        except AskRefusedError as error:
            raise ConfigError(str(error)) from error
        inbox = self._exchange.subscriber.inbox(job_id)
        if inbox is None:
            raise ConfigError(f"job {job_id} is unknown to this node")
        positions = job.positions(ids)
        flags = job.asking.flags(positions)
        known = np.flatnonzero(positions >= 0)
        requests = np.full(len(ids), NOT_ASKED, np.int64)
        scores = np.full((len(ids), job.outputs), np.nan)
        self._require_quota(job, len(known))
        waiting: list[Future[Scores]] = []
        for first in range(0, len(known), MAX_REQUESTS):
            places = known[first : first + MAX_REQUESTS]
            asked = self._ask(job, positions[places].tolist())
            requests[places] = [one.request_id for one in asked]
            try:
                waiting += [
                    self._own.submit(self._score, job, inbox, one, int(positions[place]))
                    for place, one in zip(places, asked, strict=True)
                ]
            except RuntimeError:  # the pool is shut down
                raise StoppingError("this node is stopping") from None
        failed: BaseException | None = None
        for place, future in zip(known, waiting, strict=True):
            try:
                scores[place] = future.result()
            except BaseException as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return StrictPredictions(job_id, requests, scores if job.outputs > 1 else scores[:, 0], flags)

    def _require_quota(self, job: OnlineJob, rows: int) -> None:
        """So that nothing is asked where not all can be; the contract counts."""
        if not rows:
            return
        usage = self._exchange.consortium.inference.reserved(job.job_id, self._address)
        terms = job.spec.inference
        left = max(0, terms.quota - usage.used_in_window)
        if rows > left:
            raise QuotaExceededError(job.job_id, left, (usage.window + 1) * terms.window_seconds)

    def _ask(self, job: OnlineJob, positions: list[int]) -> list[Asked]:
        """Up to `MAX_REQUESTS` requests, in one transaction."""
        side, bodies = self._side(job), []
        for position in positions:
            at = np.array([position], dtype=np.int64)
            tags = {party: job.asking.tags(party, EPOCH, at) for party in job.addresses if party != self._name}
            bodies.append(side.body_of(tags, EPOCH))
        return self._asks_of(job.job_id).do(bodies, len(bodies))

    def _ask_together(self, job_id: JobId, groups: Sequence[list[bytes]]) -> list[list[Asked]]:
        """One transaction for all that wait."""
        asked = self._exchange.consortium.inference.ask(job_id, [body for group in groups for body in group])
        found, first = [], 0
        for group in groups:
            found.append(asked[first : first + len(group)])
            first += len(group)
        return found

    def _score(self, job: OnlineJob, inbox: Inbox, asked: Asked, position: int) -> Scores:
        """One own request, from its verdict to its ending."""
        request_id = asked.request_id
        if asked.reason == Reason.RATE_EXCEEDED:
            usage = self._exchange.consortium.inference.reserved(job.job_id, self._address)
            raise QuotaExceededError(job.job_id, 0, (usage.window + 1) * job.spec.inference.window_seconds)
        if asked.reason != Reason.ACCEPTED:
            raise UplinkRejectedError(self._name, f"strict request {request_id}", asked.reason.name)
        outcome: RequestStatus | None = RequestStatus.REJECTED
        with bound_contextvars(job=job.job_id, request=request_id):
            try:
                party = self._side(job).take_part(self._name, request_id, position)
                scores = self._run(job, inbox, party, request_id, self._name)
                assert scores is not None
                outcome = RequestStatus.DONE
                return scores
            except StoppingError:
                outcome = None  # nobody waits for it any more: the next start ends it
                raise
            except DeadlineError:
                outcome = RequestStatus.EXPIRED
                raise
            finally:
                inbox.forget_request(request_id)
                if outcome is not None:
                    self._endings.end_later(job.job_id, request_id, outcome)

    # -- answering --------------------------------------------------------------------------------------------------

    def on_asked(self, event: RequestAsked, inbox: Inbox) -> None:
        """Somebody asked: answer in the background. Called in the subscriber's thread."""
        record = RequestRecord(event.job_id, event.request_id, event.block_number, event.requester, ASKED)
        self._exchange.state.remember_request(record)
        if event.requester != self._address:
            self._answer_later(record, event.sealed, inbox)
        elif event.block_number <= self._resumed_at:
            stored = self._exchange.state.request(event.job_id, event.request_id)
            if stored is not None and stored.status == ASKED:
                self._endings.drop(stored)  # an earlier process of this node asked, and did not learn the number

    def left_open(self, job_id: JobId) -> list[RequestRecord]:
        """After a restart: requests that were not over; own ones are ended now, others' are to be taken up."""
        self._resumed_at = self._exchange.client.head()
        left = []
        for record in self._exchange.state.requests(job_id):
            if record.status in OUTCOMES:
                self._endings.go_on(record)
            elif record.status == ASKED and record.requester == self._address:
                self._endings.drop(record)
            elif record.status == ASKED and self._endings.is_open(record):
                left.append(record)
            elif record.status == ASKED:
                self._exchange.state.set_request_status(job_id, record.request_id, CLOSED)
        return left

    def take_up(self, records: Sequence[RequestRecord], inbox: Inbox) -> None:
        """Answer requests of others that were not answered when they were made."""
        for record in records:
            self._answer_later(record, None, inbox)

    def start(self) -> None:
        """Look now and then, from now on, for what was left: see `_look_again`."""
        self._sweeper.start()

    def close(self) -> None:
        """Take no more."""
        self._stop.set()
        self._own.shutdown(wait=False, cancel_futures=True)
        self._lanes.close()
        self._endings.close()

    def _answer_later(self, record: RequestRecord, sealed: bytes | None, inbox: Inbox) -> None:
        """Answer in the background; where its requester has too many waiting, a later look takes it up."""
        key = (record.job_id, record.request_id)
        with self._lock:
            if key in self._taken:
                return
            self._taken.add(key)
        is_begun = False
        try:
            # what is over may be delivered again, after a crash or a reorganisation
            stored = self._exchange.state.request(*key)
            if stored is not None and stored.status == ASKED:
                is_begun = self._begin(record, sealed, inbox)
        finally:
            if not is_begun:
                self._let_go(key)

    def _begin(self, record: RequestRecord, sealed: bytes | None, inbox: Inbox) -> bool:
        """Whether there was room."""
        try:
            lane = self._lanes.of(record.requester)
            if not lane.room.acquire(blocking=False):
                log.info("a party has too many strict requests; one waits", requester=record.requester)
                return False
            lane.pool.submit(self._answer, record, sealed, inbox, lane)
        except RuntimeError:  # the node is stopping: it is answered after the next start
            return False
        return True

    def _let_go(self, key: tuple[JobId, int]) -> None:
        with self._lock:
            self._taken.discard(key)

    def _answer(self, record: RequestRecord, sealed: bytes | None, inbox: Inbox, lane: Lane) -> None:
        """Answer one request of another party; its body is read from the chain if it is not given."""
        key = job_id, request_id = record.job_id, record.request_id
        with bound_contextvars(job=job_id, request=request_id):
            try:
                sealed = self._body_of(record) if sealed is None else sealed
                status = CLOSED if sealed is None else self._answered(record, sealed, inbox)
                if status == ENDING[RequestStatus.REJECTED]:
                    self._endings.end_later(*key, RequestStatus.REJECTED)
                else:
                    self._exchange.state.set_request_status(*key, status)
                if status != ASKED:
                    inbox.forget_request(request_id)
            except ChainError as error:
                log.warning("strict request could not be read, trying again", error=str(error))
            finally:
                lane.room.release()
                self._let_go(key)

    def _answered(self, record: RequestRecord, sealed: bytes, inbox: Inbox) -> str:
        """Answer; how the request stands then."""
        requester = self._exchange.directory.name_of(record.requester)
        is_active = True  # until it is known: whatever stays open for too long may be ended by any party of the roster
        try:
            job = self._settled(record.job_id)
            is_active = job.is_active
            side = self._side(job)
            party = side.take_part(requester, record.request_id, side.asked_for(requester, sealed))
            self._run(job, inbox, party, record.request_id, requester)
            return AWAITED if is_active else SERVED
        except StoppingError:
            return ASKED  # it is answered when this node is started again
        except Exception as error:
            log.error("strict request not answered", requester=requester, error=str(error))
            if not isinstance(error, FedchainError):
                log.error("this is a defect of fedchain; please report it", exc_info=error)
            if not is_active:
                return FAILED
            is_late = isinstance(error, (AskRefusedError, DeadlineError, ChainError))
            return AWAITED if is_late else ENDING[RequestStatus.REJECTED]

    def _body_of(self, record: RequestRecord) -> bytes | None:
        """A request's body from the chain, None if it is not open any more."""
        if not self._endings.is_open(record):
            return None
        for event in self._exchange.consortium.events(record.block, record.block):
            if isinstance(event, RequestAsked) and (event.job_id, event.request_id) == (
                record.job_id,
                record.request_id,
            ):
                return event.sealed
        return None

    def _sweep(self) -> None:
        """Now and then, go on with whatever is not over."""
        while not self._stop.wait(_SWEEP_SECONDS):
            try:
                self._look_again()
            except Exception as error:
                log.warning("strict requests could not be looked through", error=str(error))

    def _look_again(self) -> None:
        """End what was not ended for want of a chain, expire what nobody ends, answer what had no room."""
        for record in self._exchange.state.requests_in((ASKED, AWAITED, *OUTCOMES)):
            if self._stop.is_set():
                return
            if record.status in OUTCOMES:
                self._endings.go_on(record)
            elif record.status == AWAITED or record.requester == self._address:
                self._endings.expire(record)  # of an own one, the number may never have got here
            else:
                inbox = self._exchange.subscriber.inbox(record.job_id)
                if inbox is not None:
                    self._answer_later(record, None, inbox)

    def _settled(self, job_id: JobId) -> OnlineJob:
        """The chain may complete a job, and a peer ask, before this node's job thread has saved it."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while True:
            try:
                return self._jobs.get(job_id)
            except AskRefusedError:
                record = self._exchange.state.job(job_id)
                if record is None or record.status != "running" or time.monotonic() > deadline:
                    raise
            if self._stop.wait(_POLL_SECONDS):
                raise StoppingError("this node is stopping")

    # -- both -------------------------------------------------------------------------------------------------------

    def _side(self, job: OnlineJob) -> StrictSide:
        return StrictSide(make_sealing_answerer(job.shard, job.session.keys), job.answers)

    def _run(
        self, job: OnlineJob, inbox: Inbox, party: Party[Scores | None], request_id: int, requester: PartyId
    ) -> Scores | None:
        channel: JobChannel = self._exchange.channel(
            inbox,
            job.addresses,
            deadline_seconds=min(job.spec.policy.deadline_seconds, ANSWER_SECONDS),
            request_id=request_id,
            requester=requester,
            patience=patience_of(job.spec),
        )
        answer: object = None
        try:
            while True:
                try:
                    action = party.send(answer)
                except StopIteration as stop:
                    found: Scores | None = stop.value
                    return found
                answer = carry_out(action, channel)
        finally:
            party.close()

    def _asks_of(self, job_id: JobId) -> Coalescer[list[bytes], list[Asked]]:
        with self._lock:
            if job_id not in self._asks:
                act = partial(self._ask_together, job_id)
                self._asks[job_id] = Coalescer(act, most=MAX_REQUESTS, under_way=1)
            return self._asks[job_id]
