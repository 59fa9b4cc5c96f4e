"""Whole pipelined jobs: the model is the strict one's and the simulated one's, whatever is rolled back or restarted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest

from fedchain.chain import BatchLeaf
from fedchain.crypto.merkle import payload_digest
from fedchain.errors import (
    DeadlineError,
    DeliveryError,
    JobAbortedError,
    ProtocolViolationError,
    StoppingError,
    UplinkRejectedError,
)
from fedchain.exchange import JobChannel
from fedchain.exchange.pipeline import MAX_RETRIES, PipelinedChannel
from fedchain.federation.party import JobOutcome
from fedchain.messages import Envelope
from fedchain.types import JobId, Phase, Reason
from tests.integration.node.wholejobs import MakeJob, Member, Prepare, WholeJob

pytestmark = pytest.mark.timeout(180)

EARLY = {"rule": "early", "patience": 1, "validation_fraction": 0.2, "min_delta": 1e9}
STANDARD: dict[str, Any] = {"mode": "standard"}
LAYERED: dict[str, Any] = {"mode": "layered", "depth": 3, "trees": 3}
MODES: dict[str, dict[str, Any]] = {
    "standard": STANDARD,
    "layered": LAYERED,
    "mix": {"mode": "mix", "trees": 3},
    "leaf-wise": {"mode": "standard", "growth": "leaf_wise", "max_leaves": 4, "depth": 3},
    "early stopping": {"mode": "layered", "trees": 4, "stopping": EARLY},
    "multiclass": {"multiclass": True},
}


def few(values: Iterable[Any], count: int) -> list[Any]:
    """The first ones in `make test`, all in `make soak`."""
    return [one if place < count else pytest.param(one, marks=pytest.mark.soak) for place, one in enumerate(values)]


@pytest.mark.parametrize("mode", few(MODES, 2))
def test_a_pipelined_job_gives_the_model_of_the_simulation(make_job: MakeJob, mode: str) -> None:
    job = make_job(**MODES[mode])
    assert job.complete() == job.simulated()
    assert job.strikes() == {}
    rounds = job.rounds()
    assert rounds == [(number, 0) for number in range(1, len(rounds) + 1)]
    assert len(rounds) == (2 if mode == "early stopping" else job.spec.algorithm.trees)


@pytest.mark.soak
def test_a_pipelined_job_gives_the_model_of_the_strict_job_and_the_same_uplinks(make_job: MakeJob) -> None:
    pipelined, strict = make_job(**LAYERED), make_job(consumption="strict", **LAYERED)
    assert pipelined.complete() == strict.complete()
    assert [pipelined.verdicts(one) for one in pipelined.members] == [strict.verdicts(one) for one in strict.members]


def test_nothing_of_a_closed_round_stays_in_memory_or_on_the_disk(make_job: MakeJob) -> None:
    job = make_job(**STANDARD, trees=4)
    seen: list[tuple[int, int, int]] = []

    def look(member: Member, channel: JobChannel) -> None:
        assert isinstance(channel, PipelinedChannel)
        begin = channel._begin

        def begin_round(round: int) -> None:
            begin(round)
            state, inbox = member.rig.exchange.state, channel.inbox
            rounds = {one.round for one in state.deliveries(job.job_id)} | inbox.arrivals.rounds()
            rounds |= {one.round for one in inbox._commitments._accepted}
            assert rounds - {0} <= {round, round + 1}, rounds
            stored = len(list((member.rig.folder / "incoming").glob("*")))
            seen.append((round, len(inbox._commitments), stored))

        channel._begin = begin_round  # type: ignore[method-assign]

    for member in job.members:
        member.prepare = look
    job.complete()
    assert len(seen) == 12
    for member in job.members:
        assert member.rig.exchange.state.deliveries(job.job_id) == []
        assert list((member.rig.folder / "incoming").glob("[0-9a-f]*")) == []
    stored = [files for round, _, files in seen if round > 1]
    assert max(stored) <= 2 * (max(files for round, _, files in seen if round == 2) + 2)


# -- rollback ---------------------------------------------------------------------------------------------------------


def altering_commitments(
    which: Callable[[int, int], bool], alter: Callable[[list[BatchLeaf]], list[BatchLeaf]]
) -> Prepare:
    """A party whose commitments of some rounds and attempts are not what it delivered; [] withholds them."""

    def prepare(member: Member, channel: JobChannel) -> None:
        submit = member.rig.consortium.submit_batch

        def submit_batch(job_id: JobId, round: int, attempt: int, leaves: list[BatchLeaf]) -> Any:
            if which(round, attempt):
                leaves = alter(leaves)
            return submit(job_id, round, attempt, leaves) if leaves else (NoReceipt(), [])

        member.rig.consortium.submit_batch = submit_batch  # type: ignore[method-assign,assignment]

    return prepare


class NoReceipt:
    """Of a transaction that was never sent."""

    tx_hash = bytes(32)


def withheld(leaves: list[BatchLeaf]) -> list[BatchLeaf]:
    return []


def without_digest(leaves: list[BatchLeaf]) -> list[BatchLeaf]:
    return [replace(leaves[0], digest=bytes(32)), *leaves[1:]]


def assert_fresh_masks(job: WholeJob) -> None:
    points = job.active.ciphertexts
    assert points
    assert len(set(points)) == len(points)


@pytest.mark.parametrize("mode", [pytest.param("standard", marks=pytest.mark.soak), "layered"])
@pytest.mark.parametrize("round", few([1, 2], 1))
def test_a_rejected_commitment_rolls_its_round_back_and_the_model_is_the_same(
    make_job: MakeJob, mode: str, round: int
) -> None:
    job = make_job(**MODES[mode], deadline=6.0)  # for which the others wait
    culprit = job.members[round if mode == "layered" else 1]  # in layered mode the one that takes part in that round
    culprit.prepare = altering_commitments(lambda r, a: (r, a) == (round, 0), without_digest)
    assert job.complete(90) == job.simulated()
    assert job.strikes() == {culprit.name: [Reason.DIGEST_MISMATCH]}
    rounds = job.rounds()
    assert (round, 1) in rounds
    assert max(attempt for _, attempt in rounds) == 1
    assert [one for one, attempt in rounds if attempt == 1] == list(range(round, job.spec.algorithm.trees + 1))
    assert_fresh_masks(job)


@pytest.mark.soak
def test_a_withheld_commitment_rolls_its_round_back_at_the_deadline(make_job: MakeJob) -> None:
    job = make_job(**LAYERED, deadline=6.0)
    job.members[1].prepare = altering_commitments(lambda r, a: (r, a) == (1, 0), withheld)
    assert job.complete(90) == job.simulated()
    assert job.strikes() == {}
    assert (1, 1) in job.rounds()
    assert_fresh_masks(job)


@pytest.mark.soak
def test_the_last_round_is_rolled_back_also_for_parties_that_have_declared_their_stop(make_job: MakeJob) -> None:
    job = make_job(**LAYERED)
    last = job.spec.algorithm.trees
    culprit, sits_out = job.members[1 + (last - 1) % 2], job.members[1 + last % 2]
    culprit.prepare = altering_commitments(lambda r, a: (r, a) == (last, 0), without_digest)

    def slow_retry(member: Member, channel: JobChannel) -> None:
        """The active party rolls back only once the idle party has declared its stop."""
        retry = member.rig.consortium.retry_round

        def retry_round(job_id: Any, round: int) -> Any:
            while not member.rig.consortium.has_stopped(job_id, sits_out.address):
                pass
            return retry(job_id, round)

        member.rig.consortium.retry_round = retry_round  # type: ignore[method-assign]

    job.active.prepare = slow_retry
    assert job.complete(90) == job.simulated()
    assert job.rounds()[-1] == (last, 1)


@pytest.mark.soak
def test_several_rounds_may_be_rolled_back(make_job: MakeJob) -> None:
    job = make_job(**STANDARD)
    places = {(1, 0), (2, 1)}
    job.members[2].prepare = altering_commitments(lambda r, a: (r, a) in places, without_digest)
    assert job.complete(90) == job.simulated()
    assert job.strikes() == {job.members[2].name: [Reason.DIGEST_MISMATCH] * 2}
    assert job.rounds()[-1] == (2, 2)
    assert_fresh_masks(job)


def outcomes(futures: list[Future[JobOutcome]], seconds: float) -> list[BaseException | None]:
    """How each party ended: its error, None for a finished job."""
    return [future.exception(seconds) for future in futures]


@pytest.mark.soak
def test_a_party_that_never_commits_is_named_after_too_many_attempts(make_job: MakeJob) -> None:
    job = make_job(**STANDARD, deadline=5.0)
    culprit = job.members[1]
    culprit.prepare = altering_commitments(lambda r, a: True, withheld)
    active, _, other = outcomes(job.start(), 150)
    assert isinstance(active, DeadlineError)
    assert active.who == (culprit.name,)
    assert isinstance(other, JobAbortedError)
    assert culprit.name in str(other)
    assert max(attempt for _, attempt in job.rounds()) == MAX_RETRIES
    assert job.active.rig.consortium.job(job.job_id).phase == Phase.ABORTED


@pytest.mark.soak
def test_a_party_that_is_suspended_for_its_commitments_is_named(make_job: MakeJob) -> None:
    job = make_job(**STANDARD, deadline=8.0)
    culprit = job.members[1]
    culprit.prepare = altering_commitments(lambda r, a: True, without_digest)
    active, _, other = outcomes(job.start(), 100)
    assert isinstance(active, (UplinkRejectedError, DeadlineError))
    assert culprit.name in str(active)
    assert isinstance(other, JobAbortedError)
    assert culprit.name in str(other)
    assert job.strikes() == {culprit.name: [Reason.DIGEST_MISMATCH] * 3}


# -- equivocation -----------------------------------------------------------------------------------------------------


def test_two_signed_digests_for_one_slot_end_the_job_and_are_kept_as_proof(make_job: MakeJob) -> None:
    job = make_job(**STANDARD)
    culprit = job.members[1]

    def prepare(member: Member, channel: JobChannel) -> None:
        exchange = member.rig.exchange
        peer = exchange.directory.peer(job.active.address)

        def twice(recipient: str, raw: bytes, signature: bytes, payload: bytes, **named: Any) -> None:
            exchange.payloads.deliver(peer, raw, signature, payload, culprit=job.active.name, deadline_seconds=10)
            other, payload = other_uplink(member, raw, payload)
            with pytest.raises(DeliveryError, match="ProtocolViolationError"):
                exchange.payloads.deliver(
                    peer, other, sign(member, other), payload, culprit=job.active.name, deadline_seconds=10
                )

        exchange._deliverer.submit = twice  # type: ignore[method-assign, assignment]

    culprit.prepare = prepare
    active, _, other = outcomes(job.start(), 60)
    assert isinstance(active, ProtocolViolationError)
    assert active.culprit == culprit.name
    assert "two digests" in str(active)
    assert isinstance(other, JobAbortedError)
    assert culprit.name in str(other)
    proofs = job.active.rig.exchange.state.proofs(job.job_id)
    assert len(proofs) == 2
    assert len({Envelope.from_bytes(one.envelope).digest for one in proofs}) == 2
    assert all(one.sender == culprit.address for one in proofs)
    assert job.active.rig.exchange.state.deliveries(job.job_id) == []  # the rest is gone


def test_a_commitment_to_another_digest_than_was_delivered_ends_the_job_and_is_kept_as_proof(make_job: MakeJob) -> None:
    job = make_job(**STANDARD)
    culprit = job.members[1]

    def other_digest(leaves: list[BatchLeaf]) -> list[BatchLeaf]:
        return [replace(leaves[0], digest=b"\x07" * 32), *leaves[1:]]

    culprit.prepare = altering_commitments(lambda r, a: r == 1, other_digest)
    active, _, other = outcomes(job.start(), 60)
    assert isinstance(active, ProtocolViolationError)
    assert active.culprit == culprit.name
    assert isinstance(other, JobAbortedError)
    assert culprit.name in str(other)
    (proof,) = job.active.rig.exchange.state.proofs(job.job_id)
    assert proof.sender == culprit.address
    assert Envelope.from_bytes(proof.envelope).digest != b"\x07" * 32


def other_uplink(member: Member, raw: bytes, payload: bytes) -> tuple[bytes, bytes]:
    """Another uplink for the same slot, and its payload."""
    changed = payload[:-1] + bytes([payload[-1] ^ 1])
    return replace(Envelope.from_bytes(raw), digest=payload_digest(changed)).to_bytes(), changed


def sign(member: Member, raw: bytes) -> bytes:
    """The member's signature under an uplink."""
    consortium = member.rig.consortium
    return consortium.sign_uplink(consortium.uplink_id(member.address, Envelope.from_bytes(raw)))


# -- restarts ---------------------------------------------------------------------------------------------------------


def dying(name: str, round: int, *, after: bool) -> Prepare:
    """A party that dies once, before or after a method of its channel."""
    dead: list[bool] = []

    def prepare(member: Member, channel: JobChannel) -> None:
        if dead:
            return
        original = getattr(channel, name)

        def method(*arguments: Any, **named: Any) -> Any:
            is_there = channel.round == round and not dead
            if is_there and not after:
                dead.append(True)
                raise StoppingError("killed by the test")
            result = original(*arguments, **named)
            if is_there:
                dead.append(True)
                raise StoppingError("killed by the test")
            return result

        setattr(channel, name, method)

    return prepare


POINTS = {
    "the active party before it commits, with the next round opening": (0, "_commit", False),
    "the active party when it has closed the round, before its checkpoint": (0, "_close", True),
    "the active party in the middle of a round": (0, "gather", True),
    "a passive party in the middle of a round": (1, "send", True),
    "a passive party before it commits": (1, "_commit", False),
    "a passive party when it has closed the round, before its checkpoint": (1, "_close", True),
    "an idle party when it has closed the round": (2, "_close", True),
    "the active party while a round is closed and it computes on": (0, "close_round", True),
    "a passive party while a round is closed": (1, "close_round", True),
}


@pytest.mark.parametrize("point", few(POINTS, 2))
def test_a_party_that_restarts_in_a_pipelined_round_goes_on(make_job: MakeJob, point: str) -> None:
    index, name, after = POINTS[point]
    job = make_job(**LAYERED)
    mortal = job.members[index]
    mortal.prepare = dying(name, 1, after=after)
    futures = job.start()
    assert isinstance(futures[index].exception(60), StoppingError)
    mortal.restart()
    futures[index] = job.pool.submit(job.run, mortal, resumed=True)
    for future in futures:
        future.result(60)
    assert job.digest() == job.simulated()
    assert job.strikes() == {}
    assert_fresh_masks(job)


@pytest.mark.parametrize("index", few([0, 1, 2], 1))
def test_a_party_that_restarts_while_a_round_is_rolled_back_starts_over(make_job: MakeJob, index: int) -> None:
    job = make_job(**LAYERED, deadline=10.0)  # for which the others wait
    culprit, mortal = job.members[1], job.members[index]
    alter = altering_commitments(lambda r, a: (r, a) == (1, 0), without_digest)
    die = dying("_close", 1, after=True) if index == 2 else dying("start_over", 1, after=False)

    def both(member: Member, channel: JobChannel) -> None:
        if member is culprit:
            alter(member, channel)
        if member is mortal:
            die(member, channel)

    culprit.prepare = mortal.prepare = both
    futures = job.start()
    assert isinstance(futures[index].exception(60), StoppingError)
    while (1, 1) not in job.rounds():
        pass
    mortal.restart()
    futures[index] = job.pool.submit(job.run, mortal, resumed=True)
    for future in futures:
        future.result(60)
    assert job.digest() == job.simulated()
    assert job.strikes() == {culprit.name: [Reason.DIGEST_MISMATCH]}
    assert_fresh_masks(job)
    assert {member.rig.exchange.state.attempt(job.job_id) for member in job.members} == {1}
