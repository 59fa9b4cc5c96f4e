"""How strict requests end: each ending is kept until the chain has it, and what nobody ends expires.

What is to be ended, and how, is in the node's state before a transaction is sent: a chain that cannot be reached, or a
restart, delays an ending and loses none.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import structlog

from fedchain.chain import RequestStatus
from fedchain.chain.inference import MAX_REQUESTS
from fedchain.errors import ChainError, FedchainError, TransactionError
from fedchain.exchange import Exchange
from fedchain.exchange.records import RequestRecord
from fedchain.node.online.coalescing import Coalescer
from fedchain.types import JobId

log = structlog.get_logger(__name__)

ASKED, SERVED, FAILED, CLOSED = "asked", "served", "failed", "closed"
"""How a strict request stands in this node's state: to be answered, and over."""

AWAITED = "awaited"
"""This node has done its part, and the requester has not ended the request yet: it expires if that takes too long."""

ENDING = {RequestStatus.DONE: "scored", RequestStatus.REJECTED: "rejecting", RequestStatus.EXPIRED: "expiring"}
"""This node is to end the request so, and the chain does not have it yet."""

OUTCOMES = {status: outcome for outcome, status in ENDING.items()}
OVER = {RequestStatus.DONE: SERVED, RequestStatus.REJECTED: FAILED, RequestStatus.EXPIRED: FAILED}

_WORKERS = MAX_REQUESTS
_AGAIN_SECONDS = 60.0


class Endings:
    """One node's; safe to use from several threads.

    Args:
        exchange: its traffic.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._lock = threading.Lock()
        self._closes: dict[JobId, Coalescer[tuple[int, RequestStatus], bool]] = {}
        self._under_way: set[tuple[JobId, int]] = set()
        self._due: dict[tuple[JobId, int], float] = {}
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="strict-close")

    def end_later(self, job_id: JobId, request_id: int, outcome: RequestStatus) -> None:
        """End a request in the background; once this returns, a restart does not forget it."""
        self._exchange.state.set_request_status(job_id, request_id, ENDING[outcome])
        self._submit(RequestRecord(job_id, request_id, 0, "", ENDING[outcome]), is_new=True)

    def drop(self, record: RequestRecord) -> None:
        """End, in the background, an own request that nobody waits for any more."""
        status = ENDING[RequestStatus.EXPIRED]
        self._exchange.state.set_request_status(record.job_id, record.request_id, status)
        self.go_on(replace(record, status=status))

    def go_on(self, record: RequestRecord) -> None:
        """End, in the background, a request whose ending was begun."""
        self._submit(record, is_new=False)

    def expire(self, record: RequestRecord) -> None:
        """End a request that stayed open for too long; does nothing before the chain says so."""
        key = record.job_id, record.request_id
        now = time.monotonic()
        if now < self._due.get(key, now):
            return
        try:
            status = self.status_of(record)
            if status == RequestStatus.OPEN:
                left = self._exchange.consortium.inference.deadline(*key) - time.time()
                if left >= 0:
                    self._due[key] = now + min(left + 1, _AGAIN_SECONDS)
                    return
                self._exchange.consortium.inference.expire(*key)
                log.info("strict request expired", job=key[0], request=key[1])
                status = RequestStatus.EXPIRED
        except ChainError as error:  # the chain's clock may be behind, or somebody else ends it: once more later
            log.warning("strict request could not be expired", job=key[0], request=key[1], error=str(error))
            self._due[key] = now + _AGAIN_SECONDS
            return
        self._exchange.state.set_request_status(*key, CLOSED if status is None else OVER.get(status, CLOSED))
        self._due.pop(key, None)

    def status_of(self, record: RequestRecord) -> RequestStatus | None:
        """How a request stands on the chain, None if there is none of that number.

        Raises:
            ChainError: the chain cannot be reached.
        """
        try:
            return self._exchange.consortium.request(record.job_id, record.request_id).status
        except TransactionError:
            return None

    def is_open(self, record: RequestRecord) -> bool:
        """Whether a request is open on the chain; raises as `status_of`."""
        return self.status_of(record) == RequestStatus.OPEN

    def close(self) -> None:
        """Take no more: what is not ended yet is ended after the next start."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _submit(self, record: RequestRecord, *, is_new: bool) -> None:
        key = record.job_id, record.request_id
        with self._lock:
            if key in self._under_way:
                return
            self._under_way.add(key)
        with contextlib.suppress(RuntimeError):  # the node is stopping: its next start does it
            self._pool.submit(self._end, record, is_new)

    def _end(self, record: RequestRecord, is_new: bool) -> None:
        job_id, request_id, outcome = record.job_id, record.request_id, OUTCOMES[record.status]
        try:
            # one that the chain does not know (it was reorganised) would keep all that go with it from being closed
            if (is_new or self.is_open(record)) and self._closes_of(job_id).do((request_id, outcome)):
                log.debug("strict request closed", job=job_id, request=request_id, outcome=outcome.name)
            self._exchange.state.set_request_status(job_id, request_id, OVER[outcome])
        except FedchainError as error:
            log.warning("strict request not closed yet", job=job_id, request=request_id, error=str(error))
        finally:
            with self._lock:
                self._under_way.discard((job_id, request_id))

    def _closes_of(self, job_id: JobId) -> Coalescer[tuple[int, RequestStatus], bool]:
        with self._lock:
            if job_id not in self._closes:
                act = partial(self._close_together, job_id)
                self._closes[job_id] = Coalescer(act, most=MAX_REQUESTS, under_way=1)
            return self._closes[job_id]

    def _close_together(self, job_id: JobId, outcomes: Sequence[tuple[int, RequestStatus]]) -> list[bool]:
        closed = self._exchange.consortium.inference.close_many(job_id, outcomes)
        return [request_id in closed for request_id, _ in outcomes]
