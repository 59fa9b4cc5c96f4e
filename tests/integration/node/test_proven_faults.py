"""What an honest node catches a member at, it proves on chain before it gives the job up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fedchain.chain import Consortium, Fault, ParticipantSuspended, ProofAccepted
from fedchain.crypto.merkle import leaf_hashes
from fedchain.errors import DeliveryError, ProtocolViolationError
from fedchain.exchange import Access
from fedchain.exchange.prover import prove_kept
from fedchain.messages import Histogram, encode
from fedchain.types import Answer, Phase, Reason, Status
from tests.integration.node.conftest import Rig
from tests.integration.node.hostile import GROUPS, PAYLOAD, ROUNDS, ShortJob, serves, until

pytestmark = pytest.mark.timeout(120)
OTHER = b"another histogram that nobody asked for"


@pytest.fixture
def short_job(make_rig: Callable[..., Rig], tmp_path: Path) -> Iterator[Callable[..., ShortJob]]:
    """Makes one short pipelined job of three parties."""
    made: list[ShortJob] = []

    def make(**settings: Any) -> ShortJob:
        rigs = [make_rig(name) for name in ("alpha", "mallory", "gamma")]
        for rig in rigs:
            rig.exchange.start()
        made.append(ShortJob(rigs, tmp_path / "journals", pipelined=True, **settings))
        return made[-1]

    yield make
    for job in made:
        job.pool.shutdown(wait=True, cancel_futures=True)


def faults_of(job: ShortJob) -> list[Fault]:
    """On the record against the hostile member."""
    faults = job.rigs[0].consortium.faults
    every = map(faults.fault, range(1, faults.count() + 1))
    return [one for one in every if one.party == job.hostile.account.address]


def standing_of(job: ShortJob) -> tuple[Status, int]:
    """Status and strikes of the hostile member."""
    found = job.rigs[0].consortium.participant(job.hostile.account.address)
    return found.status, found.strikes


def end_of(job: ShortJob) -> list[BaseException | None]:
    """How the job ended for each party."""
    return [future.exception(60.0) for future in job.start()]


def equivocate(job: ShortJob) -> None:
    """Deliver two signed digests for one slot."""
    until(lambda: job.rigs[0].exchange.subscriber.inbox(job.job_id)._working == ROUNDS)  # type: ignore[union-attr]
    first, second = job.envelope(PAYLOAD), job.envelope(OTHER)
    job.deliver(first.to_bytes(), job.signed(first), PAYLOAD)
    with pytest.raises(DeliveryError, match="two digests"):
        job.deliver(second.to_bytes(), job.signed(second), OTHER)


def test_a_member_that_signs_two_digests_for_a_slot_is_suspended_by_the_proof_of_who_got_both(
    short_job: Callable[..., ShortJob], steward: Consortium
) -> None:
    job = short_job(attack=equivocate)
    ends = end_of(job)
    assert isinstance(ends[0], ProtocolViolationError)
    assert ends[0].culprit == job.hostile.name
    (fault,) = faults_of(job)
    assert (fault.reason, fault.answer, fault.job_id) == (Reason.EQUIVOCATION, Answer.SUSPENSION, job.job_id)
    assert standing_of(job) == (Status.SUSPENDED, 0)
    assert job.rigs[0].consortium.job(job.job_id).phase == Phase.ABORTED

    events = job.events()
    (proof,) = [event for event in events if isinstance(event, ProofAccepted)]
    assert proof.prover == job.rigs[0].account.address  # the one that got both
    consortium, hostile = job.rigs[0].consortium, job.hostile.account.address
    assert {proof.first, proof.second} == {
        consortium.uplink_id(hostile, job.envelope(payload)) for payload in (PAYLOAD, OTHER)
    }
    suspended = next(event for event in events if isinstance(event, ParticipantSuspended))
    assert suspended.party == hostile

    vote = steward.faults.overturn(fault.fault_id, "a copy of the node was running")
    assert vote.carried
    assert faults_of(job)[0].overturned
    assert consortium.faults.tally_of(hostile) == (0, 1)


def test_a_proof_that_was_not_possible_then_is_brought_later_by_anybody(
    short_job: Callable[..., ShortJob], make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedchain.exchange.prover.Prover._start", lambda *_: None)
    job = short_job(attack=equivocate)
    ends = end_of(job)
    assert isinstance(ends[0], ProtocolViolationError)
    assert (faults_of(job), standing_of(job)) == ([], (Status.ACCREDITED, 0))
    stranger = make_rig("oscar", accredited=False)
    numbers = prove_kept(stranger.consortium, job.rigs[0].folder, job.job_id)
    assert [fault.fault_id for fault in faults_of(job)] == numbers
    assert standing_of(job)[0] == Status.SUSPENDED
    assert prove_kept(stranger.consortium, job.rigs[0].folder, job.job_id) == []


def test_a_digest_that_is_committed_beside_the_delivered_one_needs_one_signature(
    short_job: Callable[..., ShortJob],
) -> None:
    def attack(job: ShortJob) -> None:
        until(lambda: job.rigs[0].exchange.subscriber.inbox(job.job_id)._working == ROUNDS)  # type: ignore[union-attr]
        envelope = job.envelope(OTHER)
        job.deliver(envelope.to_bytes(), job.signed(envelope), OTHER)
        job.hostile.consortium.submit(job.envelope(PAYLOAD), PAYLOAD)

    job = short_job(attack=attack)
    assert isinstance(end_of(job)[0], ProtocolViolationError)
    assert [fault.reason for fault in faults_of(job)] == [Reason.EQUIVOCATION]
    assert standing_of(job)[0] == Status.SUSPENDED


def test_a_ciphertext_of_an_earlier_round_is_a_strike(short_job: Callable[..., ShortJob]) -> None:
    def attack(job: ShortJob) -> None:
        earlier = encode(Histogram((0,), GROUPS, job.sums(1, job.hostile.name)))
        job.hostile.consortium.submit(job.envelope(earlier), earlier)
        until(lambda: bool(faults_of(job)))

    job = short_job(attack=attack)
    assert [end for end in end_of(job) if end is not None] == []
    (fault,) = faults_of(job)
    assert (fault.reason, fault.answer, fault.round) == (Reason.REPLAY, Answer.STRIKE, ROUNDS)
    assert standing_of(job) == (Status.ACCREDITED, 1)


def test_a_ciphertext_of_an_earlier_round_is_a_strike_by_its_signature_before_anything_is_committed(
    short_job: Callable[..., ShortJob],
) -> None:
    def attack(job: ShortJob) -> None:
        until(lambda: job.rigs[0].exchange.subscriber.inbox(job.job_id)._working == ROUNDS)  # type: ignore[union-attr]
        earlier = encode(Histogram((0,), GROUPS, job.sums(1, job.hostile.name)))
        envelope = job.envelope(earlier)
        job.deliver(envelope.to_bytes(), job.signed(envelope), earlier)
        until(lambda: bool(faults_of(job)))

    job = short_job(attack=attack)
    end_of(job)
    (fault,) = faults_of(job)
    assert (fault.reason, fault.answer) == (Reason.REPLAY, Answer.STRIKE)
    assert standing_of(job) == (Status.ACCREDITED, 1)


def test_a_member_that_serves_another_payload_gets_a_strike_by_what_it_signed_with_it(
    short_job: Callable[..., ShortJob],
) -> None:
    def attack(job: ShortJob) -> None:
        large = bytes(200_000)
        envelope = job.envelope(large)
        job.hostile.exchange.outgoing.put(large, Access(job.job_id, tuple(rig.account.address for rig in job.rigs)))
        serves(job.hostile, lambda sent: (b"".join(leaf_hashes(b"x" * len(sent))), b"x" * len(sent)))
        job.hostile.consortium.submit(envelope, b"")
        until(lambda: bool(faults_of(job)))

    job = short_job(attack=attack)
    end_of(job)
    (fault,) = faults_of(job)
    assert (fault.reason, fault.answer) == (Reason.PAYLOAD_MISMATCH, Answer.STRIKE)
    assert standing_of(job)[1] == 1


def test_what_an_honest_job_does_is_no_fault(short_job: Callable[..., ShortJob]) -> None:
    job = short_job()
    before = job.rigs[0].consortium.faults.count()
    assert [end for end in end_of(job) if end is not None] == []
    assert job.rigs[0].consortium.faults.count() == before
