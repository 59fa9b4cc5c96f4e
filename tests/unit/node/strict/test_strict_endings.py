"""Strict requests end once: those that nobody ends expire, several endings go in one transaction."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from fedchain.chain import RequestStatus
from fedchain.errors import TransactionError
from fedchain.exchange.records import RequestRecord
from fedchain.node.strict import strict as module
from fedchain.node.strict.strict import ASKED, FAILED, SCORED, SERVED, Strict
from fedchain.types import JobId, PartyId

JOB = JobId("0x" + "5c" * 32)
ME, OTHER = "0xaa", "0xbb"


class Chain:
    """Requests by number, and every call that ended some."""

    def __init__(self) -> None:
        self.open = {7, 8, 9}
        self.expired: list[int] = []
        self.closed: list[list[tuple[int, RequestStatus]]] = []
        self.refusals = 0
        self.may_close = threading.Event()
        self.may_close.set()

    def request(self, job_id: JobId, request_id: int) -> Any:
        if request_id > 9:
            raise TransactionError("requestOf", "UnknownRequest()")
        return SimpleNamespace(status=RequestStatus.OPEN if request_id in self.open else RequestStatus.DONE)

    def expire(self, job_id: JobId, request_id: int) -> None:
        if self.refusals:
            self.refusals -= 1
            raise TransactionError("expire", "RequestNotOverdue()")
        self.open.remove(request_id)
        self.expired.append(request_id)

    def close_many(self, job_id: JobId, outcomes: Sequence[tuple[int, RequestStatus]]) -> list[int]:
        assert self.may_close.wait(30)
        self.closed.append(list(outcomes))
        done = [one for one, _ in outcomes if one in self.open]
        self.open -= set(done)
        return done


class State:
    """What the node keeps of requests."""

    def __init__(self, records: Sequence[RequestRecord]) -> None:
        self.records = {one.request_id: one for one in records}
        self.status = {one.request_id: one.status for one in records}

    def requests(self, job_id: JobId) -> list[RequestRecord]:
        return list(self.records.values())

    def set_request_status(self, job_id: JobId, request_id: int, status: str) -> None:
        self.status[request_id] = status


def node(chain: Chain, *records: RequestRecord) -> tuple[Strict, State]:
    state = State(records)
    consortium = SimpleNamespace(inference=chain, request=chain.request)
    exchange: Any = SimpleNamespace(consortium=consortium, state=state, client=SimpleNamespace(head=lambda: 100))
    jobs: Any = None
    return Strict(exchange, jobs, address=ME, name=PartyId("me")), state


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_stays_open_for_too_long_expires_and_what_is_over_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0)
    chain = Chain()
    chain.refusals = 1  # the chain's clock is behind: tried again
    strict, _ = node(chain)
    past, future = time.monotonic() - 1, time.monotonic() + 3600
    strict._overdue |= {(JOB, 7): past, (JOB, 8): future, (JOB, 5): past, (JOB, 10): past}
    strict.start()
    until(lambda: set(strict._overdue) == {(JOB, 8)})
    strict.close()
    assert chain.expired == [7]


def test_endings_that_come_while_one_is_under_way_go_together() -> None:
    chain = Chain()
    chain.may_close.clear()
    strict, state = node(chain, *(RequestRecord(JOB, one, 1, ME, SCORED) for one in (7, 8, 9)))
    strict._end_later(JOB, 7, RequestStatus.DONE)
    until(lambda: strict._closes_of(JOB)._running == 1)
    for one in (8, 9):
        strict._end_later(JOB, one, RequestStatus.DONE)
    until(lambda: len(strict._closes_of(JOB)._waiting) == 2)
    chain.may_close.set()
    until(lambda: set(state.status.values()) == {SERVED})
    strict.close()
    assert [sorted(one for one, _ in call) for call in chain.closed] == [[7], [8, 9]]


def test_after_a_restart_own_requests_are_ended_by_what_they_gave_and_others_are_taken_up() -> None:
    chain = Chain()
    records = [
        RequestRecord(JOB, 7, 1, ME, SCORED),
        RequestRecord(JOB, 8, 2, ME, ASKED),
        RequestRecord(JOB, 9, 3, OTHER, ASKED),
        RequestRecord(JOB, 5, 3, OTHER, ASKED),
        RequestRecord(JOB, 6, 3, OTHER, SERVED),
    ]
    strict, state = node(chain, *records)
    assert strict.left_open(JOB) == [records[2]]
    until(lambda: state.status[7] == SERVED and state.status[8] == FAILED)
    strict.close()
    assert sorted(one for call in chain.closed for one in call) == [(7, RequestStatus.DONE), (8, RequestStatus.EXPIRED)]
    assert state.status[5] == "closed"
    assert state.status[6] == SERVED
