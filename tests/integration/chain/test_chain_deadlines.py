"""Deadlines on every kind of chain: attendance, closed rounds, missing parties, expired jobs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from fedchain.chain import BatchLeaf, Consortium, JobExpired, JobPolicy, PartyAttended, PartyMissing, RoundClosed
from fedchain.chain.overdue import Step, step_due, take_step
from fedchain.chain.transaction import Receipt
from fedchain.errors import TransactionError
from fedchain.types import JobId, Kind, Phase, Reason

SECONDS = 2


def once_over(act: Callable[[], Receipt]) -> Receipt:
    """Do it as soon as the chain's clock allows."""
    until = time.monotonic() + 60
    while True:
        try:
            return act()
        except TransactionError as error:
            if "DeadlineNotReached" not in error.reason or time.monotonic() > until:
                raise
            time.sleep(0.2)


def job_of(world: Any, *, rounds: int = SECONDS, uplinks: int = 5) -> JobId:
    policy = JobPolicy(1 << 20, 100, 10**6, True, SECONDS, rounds, uplinks, False)
    spec = b'{"deadlines":%d}' % next(world.steps)
    job: JobId = world.parties[0].propose(spec, world.addresses(), policy)
    assert world.parties[1].job(job).policy == policy
    return job


def train(world: Any, job: JobId) -> None:
    for party in world.parties:
        party.accept(job)
    for party in world.parties:
        party.declare_aligned(job, b"\x07" * 32, 100)
    world.parties[0].begin_round(job, 1)


def leaf(step: int) -> BatchLeaf:
    return BatchLeaf(step, Kind.HISTOGRAM, bytes(20), bytes([step + 1]) * 32, 5)


def forgive(world: Any, address: str) -> None:
    world.steward.suspend(address, "forgiven")
    world.steward.reinstate(address)


def test_an_overdue_round_is_closed_by_anybody_and_then_the_job_is_ended(world: Any) -> None:
    active, passive = world.parties
    stranger: Consortium = world.stranger
    job = job_of(world)
    train(world, job)
    view = stranger.job(job)
    assert view.deadline > 0
    assert view.expires_after == view.deadline + SECONDS
    (attended,) = passive.attend(job).events
    assert isinstance(attended, PartyAttended)
    assert (attended.party, attended.round) == (world.addresses()[1], 1)
    assert stranger.has_attended(job, world.addresses()[1])
    assert not stranger.has_attended(job, world.addresses()[0])
    receipt = once_over(lambda: stranger.close_round(job))
    closed = [event for event in receipt.events if isinstance(event, RoundClosed)]
    assert [(one.accepted_mask, one.rejected_mask, one.missing_mask) for one in closed] == [(2, 0, 1)]
    missing = [event for event in receipt.events if isinstance(event, PartyMissing)]
    assert [(one.party, one.round, one.attempt) for one in missing] == [(world.addresses()[0], 1, 0)]
    assert stranger.job(job).closed
    assert stranger.close_round(job).events == ()
    late = passive.submit_batch(job, 1, 0, [leaf(0), leaf(1)])[1]
    assert [one.reason for one in late] == [Reason.DEADLINE_MISSED] * 2
    with pytest.raises(TransactionError, match="DeadlineOver"):
        active.attend(job)
    receipt = once_over(lambda: stranger.expire(job))
    assert any(isinstance(event, JobExpired) for event in receipt.events)
    view = stranger.job(job)
    assert (view.phase, view.deadline, view.expires_after) == (Phase.EXPIRED, 0, 0)
    assert step_due(stranger, view) is Step.NOTHING


def test_who_does_not_answer_a_proposal_is_named_and_its_job_ends(world: Any) -> None:
    stranger: Consortium = world.stranger
    job = job_of(world)
    world.parties[0].accept(job)
    receipt = once_over(lambda: stranger.mark_missing(job))
    assert [one.party for one in receipt.events if isinstance(one, PartyMissing)] == [world.addresses()[1]]
    until = time.monotonic() + 60
    while step_due(stranger, stranger.job(job)) is not Step.EXPIRE:
        assert time.monotonic() < until
        time.sleep(0.2)

    def expire() -> Receipt:
        return stranger.expire(job)

    once_over(expire)
    assert stranger.job(job).phase is Phase.EXPIRED
    with pytest.raises(TransactionError, match="JobEnded"):
        take_step(stranger, stranger.job(job), Step.EXPIRE)


def test_a_party_s_uplinks_of_a_round_are_counted_and_bounded(world: Any) -> None:
    active, passive = world.parties
    job = job_of(world, rounds=3600, uplinks=2)
    train(world, job)
    judged = passive.submit_batch(job, 1, 0, [leaf(step) for step in range(4)])[1]
    assert [one.reason for one in judged] == [Reason.ACCEPTED] * 2 + [Reason.RATE_EXCEEDED] * 2
    assert active.round_of(job) == (1, 0, 2, 2)
    assert (active.uplinks_of(job, 0), active.uplinks_of(job, 1)) == (0, 2)
    active.retry_round(job, 1)
    assert passive.submit_batch(job, 1, 1, [leaf(0)])[1][0].reason is Reason.ACCEPTED
    forgive(world, world.addresses()[1])
