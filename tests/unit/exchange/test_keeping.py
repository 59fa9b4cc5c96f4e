"""DeadlineKeeper: what a node that waits does about the contract's deadlines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fedchain.chain import Consortium, JobPolicy, JobView
from fedchain.errors import ChainUnreachableError, TransactionError
from fedchain.exchange import Inbox
from fedchain.exchange.keeping import DeadlineKeeper
from fedchain.exchange.waits import THE_CHAIN, Waits
from fedchain.types import JobId, Phase
from tests.unit.exchange.ledger import ALPHA, BETA, JOB

BEGAN, SECONDS = 1_000_000, 100


class Chain:
    """Stands in for the consortium: one job, and what was asked for."""

    def __init__(self, phase: Phase = Phase.TRAINING, **policy: Any) -> None:
        self.policy = JobPolicy(1, 1, 0, phase_seconds=SECONDS, round_seconds=SECONDS, **policy)
        self.phase, self.closed, self.round = phase, False, 1
        self.deadline = BEGAN + SECONDS
        self.now = BEGAN
        self.expirable = False
        self.done: list[str] = []
        self.reads = 0
        self.refuses: Exception | None = None
        self.sender = object()

    def job(self, job_id: JobId) -> JobView:
        self.reads += 1
        deadline = 0 if self.phase.is_over else self.deadline
        return JobView(
            job_id, self.phase, self.round, 0, ALPHA, b"", b"", 0, (ALPHA, BETA), self.policy, deadline, self.closed
        )

    def chain_time(self) -> int:
        return self.now

    def is_expirable(self, job_id: JobId) -> bool:
        return self.expirable

    def has_attended(self, job_id: JobId, address: str) -> bool:
        return False

    def _do(self, what: str) -> None:
        self.done.append(what)
        if self.refuses is not None:
            raise self.refuses

    def attend(self, job_id: JobId) -> None:
        self._do("attend")

    def close_round(self, job_id: JobId) -> None:
        self._do("close")
        self.closed = True

    def mark_missing(self, job_id: JobId) -> None:
        self._do("mark")
        self.closed = True

    def expire(self, job_id: JobId) -> None:
        self._do("expire")
        self.phase = Phase.EXPIRED


class Node:
    """A keeper, and the waits that it looks at; the chain's clock and this machine's are one."""

    def __init__(self, chain: Chain, me: str = ALPHA) -> None:
        self.chain = chain
        self.waits = Waits()
        self.inbox = cast(Inbox, SimpleNamespace(job_id=JOB, phase=chain.phase, place=(chain.phase, 1, 0)))
        self.keeper = DeadlineKeeper(
            cast(Consortium, chain), self.waits, lambda job_id: self.inbox, me=me, clock=lambda: chain.now
        )

    @contextmanager
    def waiting(self, seconds: float = 60.0, who: str = "beta") -> Iterator[None]:
        """For so long already."""
        with self.waits.on((who,), "histogram", "something", time.monotonic() + 600, job_id=JOB) as wait:
            wait.begun -= seconds
            yield

    def look(self, *, after: int) -> list[str]:
        """What it does so many seconds after the beginning."""
        self.chain.now = BEGAN + after
        before = len(self.chain.done)
        self.keeper.look()
        return self.chain.done[before:]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedchain.chain.overdue.time", SimpleNamespace(time=lambda: 0.0))


def test_a_node_that_waits_attends_once_when_half_of_the_time_is_gone() -> None:
    node = Node(Chain())
    with node.waiting():
        assert node.look(after=SECONDS // 2) == []
        assert node.look(after=SECONDS // 2 + 1) == ["attend"]
        assert node.look(after=SECONDS // 2 + 2) == []
        node.inbox = cast(Inbox, SimpleNamespace(job_id=JOB, phase=Phase.TRAINING, place=(Phase.TRAINING, 2, 0)))
        assert node.look(after=SECONDS // 2 + 3) == ["attend"], "of the next round"


def test_a_node_that_is_kept_waiting_in_small_pieces_attends_in_the_last_quarter() -> None:
    """Else whoever delivers now and then, and the last at the deadline, would make it late."""
    node = Node(Chain())
    for after in (SECONDS // 2 + 1, 3 * SECONDS // 4):
        with node.waiting(1.0):
            assert node.look(after=after) == []
    with node.waiting(1.0):
        assert node.look(after=3 * SECONDS // 4 + 1) == ["attend"]
    with node.waiting(1.0):
        assert node.look(after=SECONDS - 1) == []


@pytest.mark.parametrize("waits", ["nothing", "briefly", "chain"])
def test_a_node_that_does_not_wait_for_a_party_does_nothing(waits: str) -> None:
    node = Node(Chain())
    if waits == "nothing":
        assert node.look(after=10 * SECONDS) == []
        return
    with node.waiting(1.0 if waits == "briefly" else 60.0, THE_CHAIN if waits == "chain" else "beta"):
        assert node.look(after=10 * SECONDS) == []


@pytest.mark.parametrize(("phase", "step"), [(Phase.TRAINING, "close"), (Phase.ALIGNING, "mark")])
def test_what_is_overdue_is_closed_and_then_ended(phase: Phase, step: str) -> None:
    node = Node(Chain(phase))
    with node.waiting():
        assert node.look(after=SECONDS) == ["attend"]
        assert node.look(after=SECONDS + 2) == [step]
        assert node.look(after=SECONDS + 4) == []
        node.keeper.forget(JOB)
        assert node.look(after=2 * SECONDS) == []
        node.keeper.forget(JOB)
        assert node.look(after=2 * SECONDS + 1) == ["expire"]
        assert node.look(after=3 * SECONDS) == []


def test_the_parties_take_turns() -> None:
    chain = Chain()
    first, second = Node(chain), Node(chain, me=BETA)
    with first.waiting(), second.waiting():
        assert second.look(after=SECONDS + 3) == []
        assert first.look(after=SECONDS + 3) == ["close"]
        assert second.look(after=SECONDS + 5) == [], "the first has done it"


def test_a_suspension_ends_the_job_at_once_where_the_policy_says_so() -> None:
    node = Node(Chain(ends_on_suspension=True))
    with node.waiting():
        assert node.look(after=1) == []
        node.chain.expirable = True
        assert node.look(after=2) == [], "the chain is asked again after a few seconds"
        node.keeper.forget(JOB)
        assert node.look(after=3) == ["expire"]


@pytest.mark.parametrize(
    "refusal", [TransactionError("closeRound", "DeadlineNotReached(deadline=1, time=0)"), ChainUnreachableError("away")]
)
def test_a_step_that_fails_is_tried_again_later(refusal: Exception) -> None:
    node = Node(Chain())
    node.chain.refuses = refusal
    with node.waiting():
        assert node.look(after=SECONDS + 2) == ["close"]
        assert node.look(after=SECONDS + 3) == [], "not at once"
        node.chain.refuses = None
        node.keeper.forget(JOB)
        assert node.look(after=SECONDS + 8) == ["close"]


def test_looking_later_does_not_wait_for_the_chain() -> None:
    node = Node(Chain())
    with node.waiting():
        node.chain.now = BEGAN + SECONDS + 2
        node.keeper.look_later()
        until = time.monotonic() + 10
        while not node.chain.done and time.monotonic() < until:
            time.sleep(0.01)
        assert node.chain.done == ["close"]
    node.keeper.close()
    node.keeper.look_later()


def test_a_new_round_is_read_only_when_the_one_before_it_could_have_been_half_over() -> None:
    node = Node(Chain())
    with node.waiting(seconds=0.0):
        assert node.look(after=1) == []
        for round in range(2, 9):
            node.chain.round, node.chain.deadline = round, BEGAN + SECONDS + round
            node.inbox = cast(
                Inbox, SimpleNamespace(job_id=JOB, phase=Phase.TRAINING, place=(Phase.TRAINING, round, 0))
            )
            assert node.look(after=round) == []
        assert node.chain.reads == 1
        assert node.look(after=SECONDS // 2 + 1) == []
        assert node.chain.reads == 2
        assert node.look(after=SECONDS * 3 // 4 + 9) == ["attend"]
