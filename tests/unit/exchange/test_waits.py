"""The register of waits: who, what, since when; deadlines learned from a party's own times; misses counted."""

from __future__ import annotations

import itertools
import statistics
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from fedchain.chain import (
    AlignmentDeclared,
    JobAccepted,
    RoundBegan,
    ShardRecorded,
    StopDeclared,
)
from fedchain.errors import DeadlineError
from fedchain.exchange import Inbox, Slot
from fedchain.exchange import waits as module
from fedchain.exchange.declared import Declared
from fedchain.exchange.waits import (
    LEARN_FROM,
    SOFT_FLOOR_SECONDS,
    Patience,
    Wait,
    Waits,
    soft_deadline,
)
from fedchain.types import JobId, Kind, PartyId, Phase

JOB = JobId("0x" + "cd" * 32)
ALPHA, BETA = "0x" + "A1" * 20, "0x" + "b2" * 20
PATIENCE = Patience(600.0)


class Names:
    """Stands in for the registry."""

    def name_of(self, address: str) -> PartyId:
        return PartyId({ALPHA: "alpha", BETA: "beta"}.get(address, address))


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines of fractions of a second."""
    monkeypatch.setattr(module, "SOFT_FLOOR_SECONDS", 0.05)


def inbox_of(waits: Waits, patience: Patience | None = None) -> Inbox:
    return Inbox(
        job_id=JOB,
        me=ALPHA,
        roster=(ALPHA, BETA),
        max_payload_bytes=10**6,
        directory=Names(),  # type: ignore[arg-type]
        fetcher=None,  # type: ignore[arg-type]
        on_wait=lambda: None,
        waits=waits,
        patience=patience,
    )


def taught(waits: Waits, seconds: float = 0.01, who: str = "beta", about: str = "histogram") -> None:
    for _ in range(LEARN_FROM):
        waits.learn(JOB, who, about, seconds)


def soon(seconds: float = 10.0) -> float:
    return time.monotonic() + seconds


def test_a_wait_is_in_the_register_while_it_lasts_and_no_longer(waits: Waits) -> None:
    before = time.time()
    with waits.on(("beta",), "histogram", "histogram in round 3 step 1", soon(), job_id=JOB) as wait:
        (line,) = [waits.line(one) for one in waits.current(JOB)]
        assert waits.current("0x00") == []
        assert (line["who"], line["what"], line["status"]) == (["beta"], "histogram in round 3 step 1", "waiting")
        assert before <= wait.since <= time.time()
        assert 9 < line["limit_seconds"] <= 10
    assert waits.current() == []
    with pytest.raises(DeadlineError), waits.on(("beta",), "round", "round 2", soon()):
        raise DeadlineError("too late")
    assert waits.current() == []


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=50))
def test_the_soft_deadline_is_the_median_plus_five_deviations_and_never_below_the_floor(times: list[float]) -> None:
    median = statistics.median(times)
    deviation = statistics.median([abs(one - median) for one in times])
    assert soft_deadline(times) == max(SOFT_FLOOR_SECONDS, median + 5 * deviation)


def test_only_the_jobs_deadline_counts_until_there_are_enough_samples(waits: Waits) -> None:
    for _ in range(LEARN_FROM - 1):
        waits.learn(JOB, "beta", "histogram", 10.0)
    assert waits.deadlines(JOB, ("beta",), "histogram", 600.0) == (None, None)
    waits.learn(JOB, "beta", "histogram", 12.0)
    assert waits.deadlines(JOB, ("beta",), "histogram", 600.0) == (10.0, 30.0)
    assert waits.deadlines(JOB, ("beta",), "split", 600.0) == (None, None)  # of another kind
    assert waits.deadlines(JOB, ("alpha",), "histogram", 600.0) == (None, None)  # of another party
    assert waits.deadlines(JobId("0x12"), ("beta",), "histogram", 600.0) == (None, None)  # of another job
    waits.forget(JOB)
    assert waits.deadlines(JOB, ("beta",), "histogram", 600.0) == (None, None)


def test_learned_deadlines_are_never_above_the_jobs(waits: Waits) -> None:
    taught(waits, 100.0)
    assert waits.deadlines(JOB, ("beta",), "histogram", 250.0) == (100.0, 250.0)
    assert waits.deadlines(JOB, ("beta",), "histogram", 50.0) == (50.0, 50.0)


def test_of_several_parties_the_slowest_sets_the_deadlines(waits: Waits) -> None:
    taught(waits, 10.0)
    assert waits.deadlines(JOB, ("alpha", "beta"), "histogram", 600.0) == (None, None)
    taught(waits, 20.0, who="alpha")
    assert waits.deadlines(JOB, ("alpha", "beta"), "histogram", 600.0) == (20.0, 60.0)


def test_waits_that_end_well_are_samples_and_those_that_fail_are_not(waits: Waits) -> None:
    for _ in range(LEARN_FROM):
        with pytest.raises(DeadlineError), waits.on(("beta",), "split", "split", soon(), job_id=JOB, patience=PATIENCE):
            raise DeadlineError("too late")
    assert waits.deadlines(JOB, ("beta",), "split", 600.0) == (None, None)
    for _ in range(LEARN_FROM):
        with waits.on(("beta",), "split", "split", soon(), job_id=JOB, patience=PATIENCE):
            pass
    assert waits.deadlines(JOB, ("beta",), "split", 600.0) == (SOFT_FLOOR_SECONDS, 3 * SOFT_FLOOR_SECONDS)


def test_each_implausibly_fast_answer_is_told_to_listeners_and_none_becomes_a_sample(waits: Waits) -> None:
    heard: list[bool] = []
    waits.listen(lambda wait, seconds, arrived: heard.append(wait.is_fast))
    taught(waits, 60.0)
    for _ in range(2):
        with waits.on(("beta",), "histogram", "a histogram", soon(), job_id=JOB, patience=PATIENCE):
            pass
    assert heard == [True, True]


@pytest.mark.parametrize(("policy", "warnings"), [("warn", 2), ("nothing", 0)])
def test_each_deadline_is_told_once_and_hard_misses_are_counted_per_party(
    waits: Waits, policy: Any, warnings: int
) -> None:
    taught(waits)
    patience = Patience(600.0, at_soft_deadline=policy)
    with capture_logs() as logs:
        for missed in (1, 2):
            with waits.on(("beta",), "histogram", "histogram", soon(600.0), job_id=JOB, patience=patience) as wait:
                standings = []
                for _ in range(3):
                    waits.look(wait)
                    standings.append(wait.standing)
                    wait.begun -= 8.0  # as if so many seconds had passed
                waits.look(wait)
                assert standings == ["waiting", "late", "overdue"]
            assert waits.misses(JOB) == {"beta": missed}
            assert waits.line(wait)["misses"] == {"beta": missed}
            taught(waits)
    assert [log["who"] for log in logs] == ["beta"] * 2 * warnings


@pytest.mark.usefixtures("quick")
def test_at_the_hard_deadline_the_policy_says_whether_to_wait_or_to_give_up(waits: Waits) -> None:
    slot = Slot(1, 0, 2, Kind.HISTOGRAM, BETA.lower(), "")
    taught(waits)
    started = time.monotonic()
    with pytest.raises(DeadlineError, match="in time"):
        inbox_of(waits, Patience(0.6)).take([slot], soon(0.6))
    assert 0.6 <= time.monotonic() - started < 1.5
    started = time.monotonic()
    learned = r"histogram in round 1 step 2 from beta within 0\.\d s, the hard"
    with pytest.raises(DeadlineError, match=learned) as caught:
        inbox_of(waits, Patience(600.0, at_hard_deadline="abort")).take([slot], soon(600.0))
    assert time.monotonic() - started < 5
    assert caught.value.who == ("beta",)
    assert waits.misses(JOB) == {"beta": 2}


def test_without_samples_an_abort_policy_waits_for_the_jobs_deadline(waits: Waits) -> None:
    inbox = inbox_of(waits, Patience(600.0, at_hard_deadline="abort"))
    with pytest.raises(DeadlineError, match="in time"):
        inbox.take([Slot(1, 0, 2, Kind.HISTOGRAM, BETA.lower(), "")], soon(0.05))


def test_listeners_hear_how_long_a_wait_took_and_whether_it_ended_well(waits: Waits) -> None:
    heard: list[tuple[str, float, bool]] = []
    waits.listen(lambda wait, seconds, arrived: heard.append((wait.about, seconds, arrived)))
    with waits.on(("beta",), "round", "round 2", soon()):
        time.sleep(0.02)
    with pytest.raises(DeadlineError), waits.on(("beta",), "split", "split", soon()):
        raise DeadlineError("too late")
    assert [(about, arrived) for about, _, arrived in heard] == [("round", True), ("split", False)]
    assert heard[0][1] >= 0.02


# -- the inbox's waits ------------------------------------------------------------------------------------------------


_numbers = itertools.count(1)


def place() -> dict[str, Any]:
    number = next(_numbers)
    return {
        "block_number": number,
        "block_hash": number.to_bytes(32, "big"),
        "log_index": 0,
        "transaction_hash": bytes(32),
    }


def entered(waits: Waits) -> list[Wait]:
    """The waits that are entered from now on."""
    seen: list[Wait] = []
    waits.listen(lambda wait, seconds, arrived: seen.append(wait))
    return seen


def test_a_wait_for_a_phase_names_those_who_have_not_declared_yet(waits: Waits) -> None:
    inbox, seen = inbox_of(waits, PATIENCE), entered(waits)
    with pytest.raises(DeadlineError, match="no phase ALIGNING from alpha, beta in time"):
        inbox.wait_phase(Phase.ALIGNING, soon(0.01))
    inbox.deliver([JobAccepted(job_id=JOB, party=ALPHA, **place())], 1)
    with pytest.raises(DeadlineError, match="no phase ALIGNING from beta in time"):
        inbox.wait_phase(Phase.ALIGNING, soon(0.01))
    assert [(wait.about, wait.who) for wait in seen] == [("phase", ("alpha", "beta")), ("phase", ("beta",))]


def test_a_wait_for_verdicts_names_the_senders_of_what_is_missing(waits: Waits) -> None:
    inbox, seen = inbox_of(waits, PATIENCE), entered(waits)
    wanted = {Slot(1, 0, 2, Kind.HISTOGRAM, BETA.lower(), ""): b"\x01" * 32}
    with pytest.raises(DeadlineError, match="no verdicts on 1 uplinks in round 1 from beta in time"):
        inbox.wait_committed(wanted, soon(0.01), round=1)
    assert [(wait.about, wait.who) for wait in seen] == [("verdict", ("beta",))]


def test_a_wait_for_a_round_names_the_active_party(waits: Waits) -> None:
    inbox = inbox_of(waits, PATIENCE)
    with pytest.raises(DeadlineError, match="beginning of round 1 from alpha"):
        inbox.wait_round(1, soon(0.01))
    with pytest.raises(DeadlineError, match="beginning of the first round from alpha"):
        inbox.wait_first_round(soon(0.01))


def test_declarations_belong_to_phases_and_stops_to_rounds() -> None:
    declared, roster = Declared(), (ALPHA, BETA)
    assert declared.missing(Phase.TRAINING, roster) == roster
    declared.take_note(AlignmentDeclared(job_id=JOB, party=BETA, order_digest=bytes(32), rows=1, **place()))
    assert declared.missing(Phase.TRAINING, roster) == (ALPHA,)
    declared.take_note(StopDeclared(job_id=JOB, party=ALPHA, round=1, **place()))
    assert declared.missing(Phase.EVALUATING, roster) == (BETA,)
    declared.take_note(RoundBegan(job_id=JOB, round=2, attempt=0, **place()))
    assert declared.missing(Phase.EVALUATING, roster) == roster
    declared.take_note(ShardRecorded(job_id=JOB, party=ALPHA, digest=bytes(32), **place()))
    assert declared.missing(Phase.COMPLETED, roster) == (BETA,)
