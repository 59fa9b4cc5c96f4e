"""What a job's policy allows: refused here, before it is a strike there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedchain.chain import JobPolicy, JobView
from fedchain.errors import DeadlineError, JobBoundError, TransactionError
from fedchain.exchange import NodeState
from fedchain.exchange.bounds import Bounds, Counter, is_over, require_time
from fedchain.exchange.records import OutgoingSlot
from fedchain.types import Kind, PartyId, Phase
from tests.unit.exchange.ledger import ALPHA, BETA, JOB

DEADLINE, SECONDS = 2_000_000_000, 100
WAITED = (PartyId("alpha"), PartyId("gamma"))


def slot(round: int = 1, attempt: int = 0, step: int = 0) -> OutgoingSlot:
    return OutgoingSlot(JOB, round, attempt, step, Kind.HISTOGRAM, "")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[NodeState]:
    one = NodeState(tmp_path / "node.sqlite", chain_id=1337, genesis_hash=bytes(32))
    yield one
    one.close()


def send(counter: Counter, state: NodeState, bounds: Bounds, **place: int) -> None:
    one = slot(**place)
    counter.require(one, 5, bounds)
    state.prepare(one.holding(bytes(32), 5, 0, b"12345"))
    counter.add(one)


def test_a_party_sends_no_more_uplinks_than_the_policy_has_also_after_a_restart(state: NodeState) -> None:
    bounds, counter = Bounds(5, 3), Counter(state)
    for step in range(3):
        send(counter, state, bounds, step=step)
    for one in (counter, Counter(state)):
        with pytest.raises(JobBoundError, match=r"would be uplink 4 of this party, above .*max_uplinks_per_round, 3"):
            one.require(slot(step=3), 5, bounds)
        one.require(slot(attempt=1), 5, bounds)
        one.require(slot(round=2), 5, bounds)


def test_rounds_that_overlap_share_their_number(state: NodeState) -> None:
    """The contract counts what comes while a round is in force, and the last round has two rounds' uplinks."""
    bounds, counter = Bounds(5, 3, overlaps=True), Counter(state)
    send(counter, state, bounds, round=1)
    send(counter, state, bounds, round=1, step=1)
    send(counter, state, bounds, round=2)
    with pytest.raises(JobBoundError, match=r"uplink 4 of this party \(2 of the round before"):
        counter.require(slot(round=2, step=1), 5, bounds)
    send(counter, state, bounds, round=3)
    send(counter, state, bounds, round=3, step=1)


def test_a_payload_above_the_bound_is_named(state: NodeState) -> None:
    Counter(state).require(slot(), 5, Bounds(5, 1))
    with pytest.raises(JobBoundError, match=r"histogram of 6 bytes is above the job's max_payload_bytes, 5"):
        Counter(state).require(slot(), 6, Bounds(5, 1))


class Chain:
    """Stands in for the consortium: a clock, and who attended."""

    def __init__(self, now: int) -> None:
        self.now, self.attended, self.refuses = now, 0, False

    def chain_time(self) -> int:
        return self.now

    def has_attended(self, job_id: str, address: str) -> bool:
        return self.attended > 0

    def attend(self, job_id: str) -> None:
        if self.refuses:
            raise TransactionError("attend", "DeadlineOver()")
        self.attended += 1


def view(phase: Phase = Phase.TRAINING, round: int = 5, attempt: int = 0, *, pipelined: bool = False) -> JobView:
    policy = JobPolicy(1, 9, 0, round_seconds=SECONDS, pipelined=pipelined)
    return JobView(JOB, phase, round, attempt, ALPHA, b"", b"", 0, (ALPHA, BETA), policy, DEADLINE, False)


@pytest.mark.parametrize(("before", "attends"), [(SECONDS, 0), (SECONDS // 2, 0), (SECONDS // 2 - 1, 1), (0, 1)])
def test_who_sends_late_in_a_round_says_first_that_it_waited(before: int, attends: int) -> None:
    chain: Any = Chain(DEADLINE - before)
    for _ in range(2):
        assert require_time(chain, view(), BETA, WAITED) == before
    assert chain.attended == attends


def test_nothing_is_sent_after_the_deadline_and_who_was_waited_for_is_named() -> None:
    chain: Any = Chain(DEADLINE + 7)
    with pytest.raises(DeadlineError, match=r"over 7 s before.*waited longest for alpha and gamma") as caught:
        require_time(chain, view(), BETA, WAITED)
    assert caught.value.who == WAITED
    assert chain.attended == 0
    assert require_time(chain, view(Phase.EVALUATING), BETA, WAITED) == 0
    chain.now, chain.refuses = DEADLINE, True
    with pytest.raises(DeadlineError, match="DeadlineOver"):
        require_time(chain, view(), BETA, WAITED)


@pytest.mark.parametrize(
    ("round", "attempt", "strict", "pipelined"),
    [(5, 2, False, False), (5, 1, True, True), (4, 2, True, False), (3, 2, True, True), (6, 2, False, False),
     (6, 1, False, True), (5, 3, False, False), (4, 3, True, False)],
)  # fmt: skip
def test_places_that_are_over(round: int, attempt: int, strict: bool, pipelined: bool) -> None:
    assert is_over(view(round=5, attempt=2), round, attempt) is strict
    assert is_over(view(round=5, attempt=2, pipelined=True), round, attempt) is pipelined
    assert not is_over(view(Phase.EVALUATING, round=5, attempt=2), round, attempt)
