"""Outages are waited out in sight, and not for ever."""

from __future__ import annotations

import time

import pytest

from fedchain.errors import ChainUnreachableError
from fedchain.exchange import outages as module
from fedchain.exchange.outages import poll, through_outages
from fedchain.exchange.waits import THE_CHAIN, Wait, Waits
from fedchain.types import JobId

JOB = JobId("0x" + "cd" * 32)
Seen = list[tuple[str, tuple[str, ...], str, bool]]


class Chain:
    """Answers after some outages; takes note of the waits under way at each try."""

    def __init__(self, outages: int, waits: Waits) -> None:
        self.outages, self.waits = outages, waits
        self.tries = 0
        self.under_way: list[list[str]] = []

    def act(self) -> str:
        self.under_way.append([wait.what for wait in self.waits.current(JOB)])
        self.tries += 1
        if self.tries <= self.outages:
            raise ChainUnreachableError("http://localhost:1", "refused")
        return "done"


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE_SECONDS", 0.001)


def seen_by(waits: Waits) -> Seen:
    seen: Seen = []

    def listen(wait: Wait, seconds: float, arrived: bool) -> None:
        seen.append((wait.about, wait.who, wait.job_id, arrived))

    waits.listen(listen)
    return seen


def test_an_outage_is_one_wait_for_the_chain_and_what_answers_at_once_is_none(waits: Waits) -> None:
    seen = seen_by(waits)
    chain = Chain(3, waits)
    assert through_outages(chain.act, lambda: None, time.monotonic() + 60, "a look", waits=waits, job_id=JOB) == "done"
    assert chain.under_way == [[], *[["answer to a look"]] * 3]
    assert seen == [("outage", (THE_CHAIN,), JOB, True)]
    through_outages(chain.act, lambda: None, time.monotonic() + 60, "a look", waits=waits, job_id=JOB)
    assert len(seen) == 1


def test_what_arrived_before_the_outage_is_not_done_again(waits: Waits) -> None:
    chain = Chain(1, waits)
    assert through_outages(chain.act, lambda: "was there", time.monotonic() + 60, "a transaction") == "was there"
    assert chain.tries == 1


def test_an_outage_ends_with_the_deadline(waits: Waits) -> None:
    seen = seen_by(waits)
    chain = Chain(10**9, waits)
    with pytest.raises(ChainUnreachableError):
        through_outages(chain.act, lambda: None, time.monotonic() + 0.05, "a look", waits=waits, job_id=JOB)
    assert seen == [("outage", (THE_CHAIN,), JOB, False)]


def test_what_is_polled_is_a_wait_unless_the_first_look_finds_it(waits: Waits) -> None:
    seen, found = seen_by(waits), iter([None, None, 7])
    named = {"waits": waits, "who": (THE_CHAIN,), "about": "view", "what": "a number", "job_id": JOB}
    assert poll(lambda: next(found), time.monotonic() + 60, 0.001, **named) == 7  # type: ignore[arg-type]
    assert seen == [("view", (THE_CHAIN,), JOB, True)]
    assert poll(lambda: 8, time.monotonic() + 60, 0.001, **named) == 8  # type: ignore[arg-type]
    assert poll(lambda: None, time.monotonic() + 0.01, 0.001, **named) is None  # type: ignore[arg-type]
    assert len(seen) == 2
