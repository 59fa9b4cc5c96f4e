"""Every reason code: an uplink wrong in that respect alone, and the sound one accepted on the same chain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.contracts.consortium import KINDS, PAYLOAD, REASONS, Consortium, Envelope, envelope, merkle_root

Wrong = Callable[[Consortium, Envelope], tuple[str, Envelope, bytes]]


def _change(payload: bytes = PAYLOAD, **changes: object) -> Wrong:
    return lambda c, sound: (c.passive, replace(sound, **changes), payload)  # type: ignore[arg-type]


def _suspended(c: Consortium, sound: Envelope) -> tuple[str, Envelope, bytes]:
    c.send(c.steward, c.registry.functions.suspend(c.passive, "test"))
    return c.passive, sound, PAYLOAD


def _taken(c: Consortium, sound: Envelope) -> tuple[str, Envelope, bytes]:
    assert c.submit(c.passive, sound)[1] == "Accepted"
    other = b"another payload for the same slot"
    return c.passive, replace(sound, digest=merkle_root(other), size=len(other)), other


WRONG: list[tuple[str, Wrong]] = [
    ("SenderSuspended", _suspended),
    ("UnknownJob", _change(jobId=b"?" * 32)),
    ("NotOnRoster", lambda c, sound: (c.outsider, sound, PAYLOAD)),
    ("WrongPhase", _change(kind=KINDS.index("public_key"))),
    ("WrongRound", _change(round=2)),
    ("WrongAttempt", _change(attempt=1)),
    ("KindNotAllowed", _change(kind=KINDS.index("gradients"))),
    ("KindNotAllowed", _change(kind=11)),
    ("RecipientNotOnRoster", lambda c, sound: (c.passive, replace(sound, recipient=c.outsider), PAYLOAD)),
    ("SchemaUnsupported", _change(schema=2)),
    ("SizeOutOfBounds", _change(size=len(PAYLOAD) + 1)),
    ("SizeOutOfBounds", _change(payload=b"", size=1_000_001)),
    ("DigestMismatch", _change(payload=PAYLOAD[:-1] + b"!")),
    ("SlotTaken", _taken),
    ("StatisticOutOfPolicy", _change(statisticE6=1)),
]


@pytest.mark.parametrize(("reason", "wrong"), WRONG, ids=[f"{i}-{name}" for i, (name, _) in enumerate(WRONG)])
def test_uplink_is_rejected_with_its_reason_and_a_strike(
    consortium: Consortium, job_id: bytes, reason: str, wrong: Wrong
) -> None:
    c = consortium
    sound = envelope(job_id, 1, "histogram")
    sender, sent, payload = wrong(c, sound)
    strikes = c.strikes(sender)
    uplink_id, found, _ = c.submit(sender, sent, payload)
    assert found == reason
    verdict = c.ledger.functions.verdictOf(uplink_id).call()
    assert (verdict[0], REASONS[verdict[1]], verdict[4]) == (sender, reason, True)
    assert c.strikes(sender) == strikes + (0 if reason == "SenderSuspended" else 1)
    if reason == "SenderSuspended":
        c.send(c.steward, c.registry.functions.reinstate(sender))
    if reason == "SlotTaken":
        sound = replace(sound, step=1)
    assert c.submit(c.passive, sound)[1] == "Accepted"


def test_table_above_covers_every_reason() -> None:
    assert {name for name, _ in WRONG} == set(REASONS[1:])


def test_third_rejected_uplink_suspends(consortium: Consortium, job_id: bytes) -> None:
    c = consortium
    wrong = envelope(job_id, 2, "histogram")
    found = [c.submit(c.passive, wrong)[1] for _ in range(4)]
    assert found == ["WrongRound", "WrongRound", "WrongRound", "SenderSuspended"]
    assert c.registry.functions.statusOf(c.passive).call() == 3


def test_accepted_uplink_sent_again_emits_nothing(consortium: Consortium, job_id: bytes) -> None:
    c = consortium
    sound = envelope(job_id, 1, "histogram")
    c.submit(c.passive, sound)
    fields = (sound.jobId, 1, 0, 0, 3, sound.recipient, 1, sound.digest, sound.size, 0)
    receipt = c.send(c.passive, c.ledger.functions.submit(fields, PAYLOAD))
    assert list(receipt["logs"]) == []
    assert c.strikes(c.passive) == 0


@pytest.mark.parametrize("size", [1, 65_536, 65_537, 98_304])
def test_digest_on_chain_is_the_merkle_root_of_the_payload(consortium: Consortium, job_id: bytes, size: int) -> None:
    c = consortium
    payload = bytes(i * 31 % 251 for i in range(size))
    sent = envelope(job_id, 1, "histogram", payload)
    assert c.submit(c.passive, sent, payload, gas=10_000_000)[1] == "Accepted"


def test_payload_above_the_inline_limit_stays_off_chain(consortium: Consortium, job_id: bytes) -> None:
    c = consortium
    sent = envelope(job_id, 1, "histogram", size=98_305, digest=b"d" * 32)
    assert c.submit(c.passive, sent, b"")[1] == "Accepted"
