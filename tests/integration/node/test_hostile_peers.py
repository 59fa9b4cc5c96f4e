"""A member that attacks, in both modes: the right fault on chain, and the right model or a message that names it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fedchain.crypto.merkle import leaf_hashes, payload_digest
from fedchain.errors import (
    DeadlineError,
    DeliveryError,
    FedchainError,
    JobAbortedError,
    PeerError,
    ProtocolViolationError,
    UplinkRejectedError,
)
from fedchain.exchange import JobChannel
from fedchain.federation.party import JobOutcome
from fedchain.messages import Envelope, Gradients, Histogram, Partition, decode, encode
from fedchain.protocol import Party, Send
from fedchain.types import Kind, Phase, Reason
from tests.integration.node.conftest import Rig
from tests.integration.node.hostile import MAX_PAYLOAD_BYTES, PAYLOAD, ROUNDS, ShortJob, serves, until
from tests.integration.node.test_pipelined_jobs import few
from tests.integration.node.wholejobs import MakeJob, Member, WholeJob

pytestmark = pytest.mark.timeout(120)

BOTH = ("strict", "pipelined")


@pytest.fixture
def short_job(make_rig: Callable[..., Rig], tmp_path: Path) -> Iterator[Callable[..., ShortJob]]:
    """Makes one short job of three parties."""
    made: list[ShortJob] = []

    def make(consumption: str, **settings: Any) -> ShortJob:
        rigs = [make_rig(name) for name in ("alpha", "mallory", "gamma")]
        for rig in rigs:
            rig.exchange.start()
        made.append(ShortJob(rigs, tmp_path / "journals", consumption == "pipelined", **settings))
        return made[-1]

    yield make
    for job in made:
        job.pool.shutdown(wait=True, cancel_futures=True)


def assert_finished(job: ShortJob, seconds: float = 60.0) -> None:
    """Every party has the right model, and the chain knows it."""
    for future in job.start():
        assert future.result(seconds) == job.expected()
    consortium = job.rigs[0].consortium
    until(lambda: consortium.job(job.job_id).phase == Phase.COMPLETED)


def assert_named(job: ShortJob, seconds: float = 60.0) -> list[FedchainError]:
    """Every honest party ends with an error that names the hostile one; returns the errors."""
    errors = []
    for rig, future in zip(job.rigs, job.start(), strict=True):
        error = future.exception(seconds)
        if rig is not job.hostile:
            assert isinstance(error, FedchainError), error
            assert job.hostile.name in str(error)
            errors.append(error)
    assert job.rigs[0].consortium.job(job.job_id).phase == Phase.ABORTED
    return errors


# -- uplinks that the contract judges ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class OnChain:
    """An uplink that is sent beside the right ones.

    Attributes:
        changes: of a sound envelope.
        payload: what goes along; None for the payload of the envelope.
        reason: the fault that is recorded; None for none.
        ends_strict: whether a strict job ends by it.
    """

    changes: dict[str, Any]
    reason: Reason | None
    payload: bytes | None = None
    ends_strict: bool = True
    modes: tuple[str, ...] = BOTH


OUTSIDER = b"\x77" * 20
ON_CHAIN = {
    "a kind of another phase": OnChain({"kind": Kind.PUBLIC_KEY}, Reason.WRONG_PHASE),
    "a kind of the other role": OnChain({"kind": Kind.GRADIENTS}, Reason.KIND_NOT_ALLOWED),
    "a round to come": OnChain({"round": ROUNDS + 1}, Reason.WRONG_ROUND),
    "a round of long ago": OnChain({"round": 0}, Reason.WRONG_ROUND),
    "the round before": OnChain({"round": ROUNDS - 1}, Reason.WRONG_ROUND, ends_strict=False, modes=("strict",)),
    "an attempt to come": OnChain({"attempt": 1}, Reason.WRONG_ATTEMPT),
    "a recipient from elsewhere": OnChain({"recipient": OUTSIDER}, Reason.RECIPIENT_NOT_ON_ROSTER),
    "another schema": OnChain({"schema": 2}, Reason.SCHEMA_UNSUPPORTED),
    "nothing": OnChain({"size": 0}, Reason.SIZE_OUT_OF_BOUNDS, payload=b""),
    "a truncated payload": OnChain({}, Reason.SIZE_OUT_OF_BOUNDS, payload=PAYLOAD[:-1]),
    "an oversized payload": OnChain({"size": MAX_PAYLOAD_BYTES + 1}, Reason.SIZE_OUT_OF_BOUNDS, payload=b""),
    "a corrupted payload": OnChain({}, Reason.DIGEST_MISMATCH, payload=b"A" + PAYLOAD[1:]),
    "a digest of zeros": OnChain({"digest": bytes(32), "size": 98_305}, Reason.DIGEST_MISMATCH, payload=b""),
    "a statistic": OnChain({"statistic_e6": 5}, Reason.STATISTIC_OUT_OF_POLICY),
    "a job that there is not": OnChain({"job_id": b"\x55" * 32}, Reason.UNKNOWN_JOB, ends_strict=False),
    "something that nobody waits for": OnChain({}, None),
}


@pytest.mark.soak
@pytest.mark.parametrize("consumption", BOTH)
@pytest.mark.parametrize("what", ON_CHAIN)
def test_an_uplink_beside_the_right_ones_is_recorded_as_its_fault(
    short_job: Callable[..., ShortJob], what: str, consumption: str
) -> None:
    row = ON_CHAIN[what]
    if consumption not in row.modes:
        pytest.skip("a pipelined job still takes uplinks of the round before")

    def attack(job: ShortJob) -> None:
        payload = PAYLOAD if row.payload is None else row.payload
        _, judged = job.hostile.consortium.submit(job.envelope(**row.changes), payload)
        assert judged is not None
        assert judged.reason == (row.reason or Reason.ACCEPTED)

    job = short_job(consumption, attack=attack)
    if row.reason is not None and row.ends_strict and consumption == "strict":
        for error in assert_named(job):
            assert isinstance(error, (UplinkRejectedError, JobAbortedError))
            assert row.reason.name in str(error)
    else:
        assert_finished(job)
    assert job.strikes() == ([] if row.reason is None else [(job.hostile.name, row.reason)])
    assert job.rejected() == ([] if row.reason is None else [row.reason])


@pytest.mark.soak
def test_three_faults_suspend_and_a_suspended_member_is_named(short_job: Callable[..., ShortJob]) -> None:
    def attack(job: ShortJob) -> None:
        for round in (7, 8, 9):
            job.hostile.consortium.submit(job.envelope(round=round), PAYLOAD)

    job = short_job("pipelined", attack=attack, deadline=8.0)
    errors = assert_named(job, 100)
    # its uplinks are rejected, and its deliveries are refused: whichever shows first
    assert isinstance(errors[0], (UplinkRejectedError, DeadlineError))
    assert job.strikes() == [(job.hostile.name, Reason.WRONG_ROUND)] * 3


@pytest.mark.soak
def test_a_second_digest_for_a_slot_of_a_strict_job_is_a_strike(short_job: Callable[..., ShortJob]) -> None:
    def attack(job: ShortJob) -> None:
        job.hostile.consortium.submit(job.envelope(step=1), PAYLOAD)

    job = short_job("strict", attack=attack)
    for error in assert_named(job):
        assert "SLOT_TAKEN" in str(error)
    assert job.strikes() == [(job.hostile.name, Reason.SLOT_TAKEN)]


@pytest.mark.soak
def test_a_digest_that_is_committed_ahead_of_the_delivered_one_is_equivocation(
    short_job: Callable[..., ShortJob],
) -> None:
    def attack(job: ShortJob) -> None:
        job.hostile.consortium.submit(job.envelope(step=1), PAYLOAD)

    job = short_job("pipelined", attack=attack)
    assert isinstance(assert_named(job)[0], ProtocolViolationError)
    assert len(job.rigs[0].exchange.state.proofs(job.job_id)) == 1


@pytest.mark.soak
@pytest.mark.parametrize("consumption", BOTH)
def test_an_uplink_that_is_sent_again_changes_nothing(short_job: Callable[..., ShortJob], consumption: str) -> None:
    def attack(job: ShortJob) -> None:
        mine = Histogram((0,), (((b"\x04", 1),),), job.sums(ROUNDS, job.hostile.name))
        for _ in range(3):
            job.hostile.consortium.submit(job.envelope(encode(mine), step=1), encode(mine))

    job = short_job(consumption, attack=attack)
    assert_finished(job)
    assert job.strikes() == []


# -- direct deliveries ------------------------------------------------------------------------------------------------

Made = tuple[bytes, bytes, bytes]


def signed(**changes: Any) -> Callable[[ShortJob], Made]:
    """A delivery of an envelope that is sound but for the changes, properly signed."""

    def make(job: ShortJob) -> Made:
        envelope = job.envelope(**changes)
        return envelope.to_bytes(), job.signed(envelope), PAYLOAD

    return make


def altered(alter: Callable[[ShortJob, bytes, bytes, bytes], Made]) -> Callable[[ShortJob], Made]:
    """A sound delivery that is altered on its way."""
    return lambda job: alter(job, *signed()(job))


REFUSED = "FAILED_PRECONDITION, refused: "
DIRECT: dict[str, tuple[Callable[[ShortJob], Made], str]] = {
    "bytes that are no envelope": (altered(lambda job, raw, sig, pay: (b"\xff\x00", sig, pay)), "INVALID_ARGUMENT"),
    "a truncated envelope": (altered(lambda job, raw, sig, pay: (raw[:-1], sig, pay)), "INVALID_ARGUMENT"),
    "an envelope with a tail": (altered(lambda job, raw, sig, pay: (raw + b"\x00", sig, pay)), "INVALID_ARGUMENT"),
    "a signature of zeros": (
        altered(lambda job, raw, sig, pay: (raw, bytes(65), pay)),
        REFUSED + "ProtocolViolationError",
    ),
    "another member's signature": (
        altered(lambda job, raw, sig, pay: (raw, job.signed(Envelope.from_bytes(raw), job.rigs[2]), pay)),
        REFUSED + "ProtocolViolationError",
    ),
    "a signature of another slot": (
        altered(lambda job, raw, sig, pay: (raw, job.signed(job.envelope(step=10)), pay)),
        REFUSED + "ProtocolViolationError",
    ),
    "a corrupted payload": (
        altered(lambda job, raw, sig, pay: (raw, sig, b"A" + pay[1:])),
        REFUSED + "ProtocolViolationError",
    ),
    "a truncated payload": (
        altered(lambda job, raw, sig, pay: (raw, sig, pay[:-1])),
        REFUSED + "ProtocolViolationError",
    ),
    "a payload with a tail": (
        altered(lambda job, raw, sig, pay: (raw, sig, pay + b"A")),
        REFUSED + "ProtocolViolationError",
    ),
    "a kind of the other role": (signed(kind=Kind.GRADIENTS), REFUSED + "ProtocolViolationError"),
    "a kind that is not delivered": (signed(kind=Kind.PUBLIC_KEY), REFUSED + "ProtocolViolationError"),
    "another recipient": (signed(recipient=OUTSIDER), REFUSED + "ProtocolViolationError"),
    "another schema": (signed(schema=2), REFUSED + "ProtocolViolationError"),
    "a statistic": (signed(statistic_e6=1), REFUSED + "ProtocolViolationError"),
    "an oversized payload": (signed(size=MAX_PAYLOAD_BYTES + 1), REFUSED + "ProtocolViolationError"),
    "nothing": (signed(size=0), REFUSED + "ProtocolViolationError"),
    "another size": (signed(size=len(PAYLOAD) + 1), REFUSED + "ProtocolViolationError"),
    "a round that is closed": (signed(round=ROUNDS - 1), REFUSED + "TrainingError"),
    "a round to come": (signed(round=ROUNDS + 2), REFUSED + "TrainingError"),
    "an attempt to come": (signed(attempt=2), REFUSED + "TrainingError"),
    "a job that there is not": (signed(job_id=b"\x55" * 32), REFUSED + "TrainingError"),
    "something that nobody waits for": (signed(), ""),
    "the same again": (signed(), ""),
}


def test_deliveries_that_are_none_are_refused_and_the_job_goes_on(short_job: Callable[..., ShortJob]) -> None:
    told: dict[str, str] = {}

    def attack(job: ShortJob) -> None:
        until(lambda: job.rigs[0].exchange.subscriber.inbox(job.job_id)._working == ROUNDS)  # type: ignore[union-attr]
        for what, (make, _) in DIRECT.items():
            try:
                job.deliver(*make(job))
                told[what] = ""
            except DeliveryError as error:
                told[what] = str(error)

    job = short_job("pipelined", attack=attack)
    assert_finished(job)
    assert list(told) == list(DIRECT)
    for what, (_, expected) in DIRECT.items():
        assert expected in told[what], (what, told[what])
        assert bool(expected) == bool(told[what]), (what, told[what])
    assert job.strikes() == []
    assert job.rejected() == []


@pytest.mark.soak
def test_deliveries_of_outsiders_are_refused_and_the_job_goes_on(
    short_job: Callable[..., ShortJob], make_rig: Callable[..., Rig]
) -> None:
    told: list[str] = []
    outsiders = [make_rig("eve"), make_rig("oscar", accredited=False)]

    def attack(job: ShortJob) -> None:
        envelope = job.envelope()
        for eve in outsiders:
            signature = eve.consortium.sign_uplink(eve.consortium.uplink_id(eve.account.address, envelope))
            with pytest.raises(DeliveryError) as caught:
                job.deliver(envelope.to_bytes(), signature, PAYLOAD, by=eve)
            told.append(str(caught.value))

    job = short_job("pipelined", attack=attack)
    assert_finished(job)
    assert "ProtocolViolationError" in told[0]
    assert "ProtocolViolationError" not in told[1]  # the handshake or the gate refuses it


@pytest.mark.soak
def test_a_member_that_floods_another_with_deliveries_is_held_within_bounds(
    short_job: Callable[..., ShortJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedchain.exchange.receiving.MAX_HELD_UPLINKS", 5)
    taken: list[int] = []
    refused: list[str] = []

    def attack(job: ShortJob) -> None:
        until(lambda: job.rigs[0].exchange.subscriber.inbox(job.job_id)._working == ROUNDS)  # type: ignore[union-attr]
        for step in range(20, 40):
            try:
                job.deliver(*signed(step=step)(job))
                taken.append(step)
            except DeliveryError as error:
                refused.append(str(error))

    job = short_job("pipelined", attack=attack)
    assert_finished(job)
    assert 4 <= len(taken) <= 5
    assert all("TrainingError" in one for one in refused)


# -- payloads that are fetched ----------------------------------------------------------------------------------------


def not_delivering(job: ShortJob) -> None:
    """The hostile member hands its histograms to nobody, and commits them at once."""
    exchange = job.hostile.exchange
    prepare = exchange.publisher.prepare

    def prepare_and_commit(message: Any, **named: Any) -> Any:
        signed = prepare(message, **named)
        until(lambda: exchange.consortium.job(job.job_id).round >= named["round"])
        exchange.publisher.commit(job.job_id, named["round"], named["attempt"], time.monotonic() + 10)
        return signed

    exchange.publisher.prepare = prepare_and_commit  # type: ignore[method-assign]
    exchange._deliverer.submit = lambda *_, **__: None  # type: ignore[method-assign]


@pytest.mark.soak
def test_what_is_committed_and_not_delivered_is_fetched(short_job: Callable[..., ShortJob]) -> None:
    job = short_job("pipelined")
    not_delivering(job)
    assert_finished(job)
    assert job.strikes() == []


FORGERIES: dict[str, Callable[[bytes], tuple[bytes, bytes]]] = {
    "zeros": lambda sent: (b"".join(leaf_hashes(bytes(len(sent)))), bytes(len(sent))),
    "zeros under the right leaves": lambda sent: (b"".join(leaf_hashes(sent)), bytes(len(sent))),
    "a truncated payload": lambda sent: (b"".join(leaf_hashes(sent)), sent[:-1]),
    "a payload with a tail": lambda sent: (b"".join(leaf_hashes(sent)), sent + b"A"),
}


@pytest.mark.parametrize("served", few(FORGERIES, 1))
def test_a_member_that_serves_other_bytes_than_it_committed_to_is_named(
    short_job: Callable[..., ShortJob], served: str
) -> None:
    job = short_job("pipelined")
    not_delivering(job)
    serves(job.hostile, FORGERIES[served])
    assert isinstance(assert_named(job)[0], ProtocolViolationError)


@pytest.mark.soak
def test_a_member_that_neither_delivers_nor_serves_is_named(short_job: Callable[..., ShortJob]) -> None:
    job = short_job("pipelined", deadline=5.0)
    not_delivering(job)
    serves(job.hostile, None)
    assert isinstance(assert_named(job)[0], PeerError)


# -- messages of a whole job ------------------------------------------------------------------------------------------

Tamper = Callable[[Any, list[Any]], Any]


def garbage(sums: bytes) -> bytes:
    return bytes(Random(1).randrange(256) for _ in sums)


TAMPERED: dict[str, tuple[type[Any], Tamper]] = {
    "sums that are no points": (Histogram, lambda one, _: replace_in(one, sums=garbage(one.sums))),
    "truncated sums": (Histogram, lambda one, _: replace_in(one, sums=one.sums[:-33])),
    "sums with a tail": (Histogram, lambda one, _: replace_in(one, sums=one.sums + one.sums[:33])),
    "no sums": (Histogram, lambda one, _: replace_in(one, sums=b"")),
    "other nodes": (Histogram, lambda one, _: replace_in(one, nodes=tuple(node + 1 for node in one.nodes))),
    "the histogram of the round before": (Histogram, lambda one, sent: sent[0] if len(sent) > 2 else one),
    "a partition that does not open": (Partition, lambda one, _: replace_in(one, sealed=garbage(one.sealed))),
    "silence": (Histogram, lambda one, _: None),
}


def replace_in(message: Any, **changes: Any) -> Any:
    """A message with other fields."""
    return type(message)(**{**{name: getattr(message, name) for name in message.__struct_fields__}, **changes})


def tampering(party: Party[JobOutcome], kind: type[Any], tamper: Tamper) -> Party[JobOutcome]:
    """The party's generator with its messages of one kind altered; None is not sent."""
    answer: Any = None
    sent: list[Any] = []
    while True:
        try:
            action = party.send(answer)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        answer = None
        if isinstance(action, Send) and isinstance(action.message, kind):
            sent.append(action.message)
            message = tamper(action.message, sent)
            if message is None:
                continue
            action = replace(action, message=message)
        answer = yield action


@pytest.mark.soak
@pytest.mark.parametrize("consumption", BOTH)
@pytest.mark.parametrize("what", TAMPERED)
def test_a_message_that_the_contract_cannot_judge_ends_the_job_and_its_sender_is_named(
    make_job: MakeJob, what: str, consumption: str
) -> None:
    kind, tamper = TAMPERED[what]
    job = make_job(consumption=consumption, deadline=6.0 if what == "silence" else 20.0, mode="standard")
    mallory = job.members[1]
    mallory.wrap = lambda party: tampering(party, kind, tamper)
    ends = [future.exception(100) for future in job.start()]
    assert_whole_job_named(job, mallory, ends)
    if what == "the histogram of the round before":  # both are signed, so it can be proven
        assert job.strikes() == {mallory.name: [Reason.REPLAY]}
    else:
        assert job.strikes() == {}


def assert_whole_job_named(job: WholeJob, mallory: Member, ends: list[BaseException | None]) -> None:
    """Every honest party ends with an error that names the hostile one."""
    for member, error in zip(job.members, ends, strict=True):
        if member is not mallory:
            assert isinstance(error, (PeerError, DeadlineError, JobAbortedError)), error
            assert mallory.name in str(error)
    assert job.active.rig.consortium.job(job.job_id).phase == Phase.ABORTED


@pytest.mark.soak
@pytest.mark.parametrize("consumption", BOTH)
def test_messages_that_come_late_twice_and_in_another_order_give_the_same_model(
    make_job: MakeJob, consumption: str
) -> None:
    job = make_job(consumption=consumption, mode="standard")
    random = Random(3)

    def disturb(member: Member, channel: JobChannel) -> None:
        exchange = member.rig.exchange
        submit, publish = exchange._deliverer.submit, exchange.consortium.submit

        def later(*arguments: Any, **named: Any) -> None:
            for seconds in (random.random() * 0.4, random.random() * 0.8):
                threading.Timer(seconds, lambda: submit(*arguments, **named)).start()

        def slowly(*arguments: Any) -> Any:
            time.sleep(random.random() * 0.2)
            first = publish(*arguments)
            assert publish(*arguments)[1] is None  # the chain takes no note of it
            return first

        exchange._deliverer.submit = later  # type: ignore[method-assign]
        exchange.consortium.submit = slowly  # type: ignore[method-assign, assignment]

    for member in job.members:
        member.prepare = disturb
    assert job.complete(100) == job.simulated()
    assert job.strikes() == {}
    assert max(attempt for _, attempt in job.rounds()) == 0


@pytest.mark.soak
def test_an_active_party_that_shows_two_members_different_gradients_is_named(make_job: MakeJob) -> None:
    job = make_job(mode="standard")
    mallory, victim = job.active, job.members[2]

    def prepare(member: Member, channel: JobChannel) -> None:
        exchange = member.rig.exchange
        submit = exchange._deliverer.submit

        def two_faced(recipient: str, raw: bytes, signature: bytes, payload: bytes, **named: Any) -> None:
            envelope = Envelope.from_bytes(raw)
            if recipient == victim.address and envelope.kind == Kind.GRADIENTS:
                raw, signature, payload = two_faces(member, envelope, payload)
            submit(recipient, raw, signature, payload, **named)

        exchange._deliverer.submit = two_faced  # type: ignore[method-assign, assignment]

    mallory.prepare = prepare
    ends = [future.exception(100) for future in job.start()]
    assert isinstance(ends[2], (ProtocolViolationError, JobAbortedError))
    assert ends[2] is not None
    assert mallory.name in str(ends[2])
    assert job.active.rig.consortium.job(job.job_id).phase == Phase.ABORTED


def two_faces(member: Member, envelope: Envelope, payload: bytes) -> tuple[bytes, bytes, bytes]:
    """Other gradients for the same slot: the ciphertexts of two rows change places."""
    message = decode(payload, Gradients)
    points = message.ciphertexts
    changed = encode(replace_in(message, ciphertexts=points[33:66] + points[:33] + points[66:]))
    other = replace(envelope, digest=payload_digest(changed), size=len(changed))
    consortium = member.rig.consortium
    return other.to_bytes(), consortium.sign_uplink(consortium.uplink_id(member.address, other)), changed
