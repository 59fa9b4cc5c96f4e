"""Which accepted uplinks are one ciphertext sent twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fedchain.exchange.replays import FRESH, Replays
from fedchain.messages import Envelope
from fedchain.types import Kind

FIRST = Envelope(b"\x01" * 32, 1, 0, 0, Kind.HISTOGRAM, bytes(20), b"\x02" * 32, 1000)


@pytest.fixture
def told() -> list[tuple[str, Envelope, Envelope]]:
    return []


@pytest.fixture
def replays(told: list[tuple[str, Envelope, Envelope]]) -> Replays:
    return Replays(lambda *found: told.append(found))


@pytest.mark.parametrize("kind", FRESH)
def test_a_ciphertext_in_two_rounds_is_a_replay(
    replays: Replays, told: list[tuple[str, Envelope, Envelope]], kind: Kind
) -> None:
    first = replace(FIRST, kind=kind)
    again, third = replace(first, round=2, step=5), replace(first, round=3)
    for one in (first, again, third):
        replays.seen("0xA", one)
    assert told == [("0xA", first, again), ("0xA", first, third)]


@pytest.mark.parametrize(
    "second",
    [
        replace(FIRST, round=2, digest=b"\x03" * 32),
        replace(FIRST, recipient=b"\x09" * 20, step=1),
        replace(FIRST, attempt=1),
        FIRST,
    ],
    ids=["another ciphertext", "to another recipient of the round", "tried again", "delivered twice"],
)
def test_these_are_none(replays: Replays, told: list[tuple[str, Envelope, Envelope]], second: Envelope) -> None:
    replays.seen("0xA", FIRST)
    replays.seen("0xA", second)
    assert told == []


def test_what_another_party_sent_is_not_its_sender_s_replay(
    replays: Replays, told: list[tuple[str, Envelope, Envelope]]
) -> None:
    replays.seen("0xA", FIRST)
    replays.seen("0xB", replace(FIRST, round=2))
    assert told == []


def test_kinds_that_may_repeat_are_left_alone(replays: Replays, told: list[tuple[str, Envelope, Envelope]]) -> None:
    for kind in Kind:
        if kind not in FRESH:
            replays.seen("0xA", replace(FIRST, kind=kind))
            replays.seen("0xA", replace(FIRST, kind=kind, round=2))
    assert told == []
