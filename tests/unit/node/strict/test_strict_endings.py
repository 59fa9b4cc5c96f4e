"""Strict requests end once: whatever happens to the chain or the node, and whatever their requesters do."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from fedchain.chain import RequestAsked, RequestStatus
from fedchain.chain.inference import Asked
from fedchain.errors import (
    ChainUnreachableError,
    DeadlineError,
    ProtocolViolationError,
    StoppingError,
    TransactionError,
)
from fedchain.exchange.records import RequestRecord
from fedchain.node.strict import endings, lanes
from fedchain.node.strict import strict as module
from fedchain.node.strict.endings import ASKED, AWAITED, CLOSED, ENDING, FAILED, SERVED
from fedchain.node.strict.strict import Strict
from fedchain.types import JobId, PartyId, Reason

JOB = JobId("0x" + "5c" * 32)
ME, OTHER, THIRD = "0xaa", "0xbb", "0xcc"
SCORED = ENDING[RequestStatus.DONE]


class Chain:
    """Requests by number, and every call that ended some."""

    def __init__(self) -> None:
        self.open = {7, 8, 9}
        self.expired: list[int] = []
        self.closed: list[list[tuple[int, RequestStatus]]] = []
        self.refused = 0
        self.refusals = 0
        self.deadlines: dict[int, float] = {}
        self.is_reachable = True
        self.may_close = threading.Event()
        self.may_close.set()

    def request(self, job_id: JobId, request_id: int) -> Any:
        self.reach()
        if request_id > 9:
            raise TransactionError("requestOf", "UnknownRequest()")
        return SimpleNamespace(status=RequestStatus.OPEN if request_id in self.open else RequestStatus.DONE)

    def deadline(self, job_id: JobId, request_id: int) -> int:
        return int(self.deadlines.get(request_id, time.time() - 10))

    def events(self, first: int, last: int) -> list[Any]:
        return [asked(one, OTHER, first) for one in sorted(self.open)]

    def expire(self, job_id: JobId, request_id: int) -> None:
        if self.refusals:
            self.refusals -= 1
            raise TransactionError("expire", "DeadlineNotReached()")
        self.open.remove(request_id)
        self.expired.append(request_id)

    def close_many(self, job_id: JobId, outcomes: Sequence[tuple[int, RequestStatus]]) -> list[int]:
        assert self.may_close.wait(30)
        self.reach()
        self.closed.append(list(outcomes))
        done = [one for one, _ in outcomes if one in self.open]
        self.open -= set(done)
        return done

    def reach(self) -> None:
        if not self.is_reachable:
            self.refused += 1
            raise ChainUnreachableError("cannot reach the chain")


class State:
    """What the node keeps of requests."""

    def __init__(self, records: Sequence[RequestRecord]) -> None:
        self.records = {one.request_id: one for one in records}

    @property
    def status(self) -> dict[int, str]:
        return {one: record.status for one, record in self.records.copy().items()}

    def requests(self, job_id: JobId) -> list[RequestRecord]:
        return list(self.records.values())

    def requests_in(self, statuses: Sequence[str]) -> list[RequestRecord]:
        return [one for one in self.records.copy().values() if one.status in statuses]

    def request(self, job_id: JobId, request_id: int) -> RequestRecord | None:
        return self.records.get(request_id)

    def remember_request(self, record: RequestRecord) -> None:
        self.records.setdefault(record.request_id, record)

    def set_request_status(self, job_id: JobId, request_id: int, status: str) -> None:
        if request_id in self.records:
            self.records[request_id] = replace(self.records[request_id], status=status)


class Inbox:
    """Forgets."""

    def forget_request(self, request_id: int) -> None:
        """Nothing to forget."""


def asked(request_id: int, requester: str, block: int = 200) -> RequestAsked:
    return RequestAsked(
        block_number=block,
        block_hash=bytes(32),
        log_index=0,
        transaction_hash=bytes(32),
        job_id=JOB,
        request_id=request_id,
        requester=requester,
        digest=bytes(32),
        sealed=b"sealed",
    )


def node(chain: Chain, *records: RequestRecord) -> tuple[Strict, State]:
    state, inbox = State(records), Inbox()
    exchange: Any = SimpleNamespace(
        consortium=SimpleNamespace(inference=chain, request=chain.request, events=chain.events),
        state=state,
        client=SimpleNamespace(head=lambda: 100),
        directory=SimpleNamespace(name_of=lambda address: PartyId(address)),
        subscriber=SimpleNamespace(inbox=lambda job_id: inbox),
    )
    jobs: Any = SimpleNamespace(get=lambda job_id: SimpleNamespace(is_active=True, job_id=job_id))
    return Strict(exchange, jobs, address=ME, name=PartyId("me")), state


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_stays_open_for_too_long_expires_also_after_a_restart_and_what_is_over_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(endings, "_AGAIN_SECONDS", 0.0)
    chain = Chain()
    chain.refusals = 1  # the chain's clock is behind: tried again
    chain.deadlines[8] = time.time() + 3600
    # all that this process knows of them is in the state
    records = [RequestRecord(JOB, one, 1, OTHER, AWAITED) for one in (5, 7, 8, 10)]
    strict, state = node(chain, *records, RequestRecord(JOB, 9, 1, ME, ASKED))
    strict.start()
    until(lambda: state.status == {5: SERVED, 7: FAILED, 8: AWAITED, 9: FAILED, 10: CLOSED})
    strict.close()
    assert sorted(chain.expired) == [7, 9]


def test_endings_that_come_while_one_is_under_way_go_together() -> None:
    chain = Chain()
    chain.may_close.clear()
    strict, state = node(chain, *(RequestRecord(JOB, one, 1, ME, ASKED) for one in (7, 8, 9)))
    strict._endings.end_later(JOB, 7, RequestStatus.DONE)
    until(lambda: strict._endings._closes_of(JOB)._running == 1)
    for one in (8, 9):
        strict._endings.end_later(JOB, one, RequestStatus.DONE)
    until(lambda: len(strict._endings._closes_of(JOB)._waiting) == 2)
    chain.may_close.set()
    until(lambda: set(state.status.values()) == {SERVED})
    strict.close()
    assert [sorted(one for one, _ in call) for call in chain.closed] == [[7], [8, 9]]


def own(strict: Strict, request_id: int, monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> None:
    """One own request, which gives a score or an error."""

    def run(*_: Any) -> object:
        if error is not None:
            raise error
        return 0.5

    monkeypatch.setattr(strict, "_side", lambda job: SimpleNamespace(take_part=lambda *_: None))
    monkeypatch.setattr(strict, "_run", run)
    job: Any = SimpleNamespace(job_id=JOB)
    inbox: Any = Inbox()
    with contextlib.nullcontext() if error is None else pytest.raises(type(error)):
        strict._score(job, inbox, Asked(request_id, Reason.ACCEPTED), 0)


@pytest.mark.parametrize(
    ("error", "status", "outcome"),
    [
        (None, SERVED, RequestStatus.DONE),
        (DeadlineError("late"), FAILED, RequestStatus.EXPIRED),
        (ProtocolViolationError("bank", "sent nonsense"), FAILED, RequestStatus.REJECTED),
    ],
)
def test_an_own_request_is_ended_once_the_chain_is_there_again(
    error: Exception | None, status: str, outcome: RequestStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SWEEP_SECONDS", 0.01)
    chain = Chain()
    chain.is_reachable = False
    strict, state = node(chain, RequestRecord(JOB, 7, 1, ME, ASKED))
    own(strict, 7, monkeypatch, error)
    strict.start()
    until(lambda: chain.refused > 2)
    assert state.status == {7: ENDING[outcome]}
    chain.is_reachable = True
    until(lambda: state.status == {7: status})
    strict.close()
    assert chain.closed == [[(7, outcome)]]


def test_what_a_stopping_node_leaves_is_ended_by_its_next_process(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain()
    strict, state = node(chain, *(RequestRecord(JOB, one, 1, ME, ASKED) for one in (7, 8)))
    strict.close()
    own(strict, 7, monkeypatch, StoppingError("stopping"))
    own(strict, 8, monkeypatch, ProtocolViolationError("bank", "sent nonsense"))
    assert state.status == {7: ASKED, 8: ENDING[RequestStatus.REJECTED]}
    after, state = node(chain, *state.records.values())
    assert after.left_open(JOB) == []
    until(lambda: set(state.status.values()) == {FAILED})
    after.close()
    ended = {end for call in chain.closed for end in call}
    assert ended == {(7, RequestStatus.EXPIRED), (8, RequestStatus.REJECTED)}


def test_an_own_event_that_is_delivered_again_does_not_change_how_a_request_ends() -> None:
    chain = Chain()
    strict, state = node(chain, RequestRecord(JOB, 7, 1, ME, SCORED), RequestRecord(JOB, 8, 1, ME, SERVED))
    strict._resumed_at = 100
    inbox: Any = Inbox()
    for one in (7, 8):
        strict.on_asked(asked(one, ME, block=1), inbox)
    assert state.status == {7: SCORED, 8: SERVED}
    strict.on_asked(asked(9, ME, block=1), inbox)  # the earlier process did not learn of this one
    until(lambda: state.status[9] == FAILED)
    strict.close()
    assert chain.closed == [[(9, RequestStatus.EXPIRED)]]


class Answering:
    """Answers of a node; those to one party only when they are let go on."""

    def __init__(self, strict: Strict, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may_go_on = threading.Event()
        self.asked: list[int] = []
        side = SimpleNamespace(take_part=lambda *_: None, asked_for=lambda requester, sealed: sealed)
        monkeypatch.setattr(strict, "_side", lambda job: side)
        monkeypatch.setattr(strict, "_run", self.run)

    def run(self, job: Any, inbox: Any, party: Any, request_id: int, requester: str) -> None:
        self.asked.append(request_id)
        if requester == OTHER:
            assert self.may_go_on.wait(30)


def test_a_party_that_does_not_go_on_keeps_no_other_waiting_and_what_had_no_room_is_answered_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(lanes, "WORKERS", 1)
    monkeypatch.setattr(lanes, "WAITING", 2)
    chain = Chain()
    chain.open = {5, 6, 7, 8, 9}
    chain.deadlines = dict.fromkeys(chain.open, time.time() + 3600)
    strict, state = node(chain)
    answering = Answering(strict, monkeypatch)
    inbox: Any = Inbox()
    for one in (5, 6, 7, 8):
        strict.on_asked(asked(one, OTHER), inbox)
    strict.on_asked(asked(9, THIRD), inbox)
    until(lambda: state.status[9] == AWAITED)
    assert [state.status[one] for one in (5, 6, 7, 8)] == [ASKED] * 4
    strict.start()
    answering.may_go_on.set()
    until(lambda: set(state.status.values()) == {AWAITED})
    until(lambda: not strict._taken)  # nothing is kept of what is over
    strict.on_asked(asked(5, OTHER), inbox)  # it is delivered again
    strict.close()
    assert sorted(answering.asked) == [5, 6, 7, 8, 9]
    assert not strict._taken


def test_an_active_party_that_was_restarted_expires_what_it_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SWEEP_SECONDS", 0.01)
    chain = Chain()
    strict, state = node(chain)
    Answering(strict, monkeypatch)
    inbox: Any = Inbox()
    strict.on_asked(asked(7, THIRD), inbox)
    until(lambda: state.status == {7: AWAITED})
    strict.close()
    after, state = node(chain, *state.records.values())
    assert after.left_open(JOB) == []
    after.start()
    until(lambda: state.status == {7: FAILED})
    after.close()
    assert chain.expired == [7]


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
    assert state.status[5] == CLOSED
    assert state.status[6] == SERVED
