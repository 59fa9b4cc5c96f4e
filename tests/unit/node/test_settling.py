"""Settling: by the active party's node alone, again until it is done or was tried too often, across restarts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fedchain.errors import ChainUnreachableError, ModelFormatError, StoppingError, TransactionError
from fedchain.exchange.waits import Waits
from fedchain.federation.contribspec import ContributionSpec
from fedchain.federation.spec import JobSpec
from fedchain.node.owed import MOST_TRIES, OWED, Owed, read_owed
from fedchain.node.settling import Settler
from fedchain.types import JobId
from tests.unit.federation.test_spec import JOB

JOB_ID = JobId("0x" + "ab" * 32)
PLAIN = JobSpec.from_toml_text(JOB)
PAID = PLAIN.model_copy(update={"contribution": ContributionSpec(audit=True, budget=5)})
ACTIVE = PAID.active.name
NO_GAS = TransactionError("settle", "insufficient funds for gas")


class Chain:
    """Stands in for the consortium."""

    def __init__(self, *errors: Exception, is_settled: bool = False) -> None:
        self.errors, self.is_settled, self.calls = list(errors), is_settled, 0

    @property
    def settlements(self) -> Any:
        return SimpleNamespace(settlement=lambda job: object() if self.is_settled else None, settle=self._settle)

    def _settle(self, job_id: JobId) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        self.is_settled = True


Make = Callable[..., Settler]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Settler] = []

    def settler(chain: Chain, *, me: str = ACTIVE, waits: Waits | None = None, pause: float = 0.0) -> Settler:
        given = waits or Waits()
        one = Settler(chain, folder=tmp_path, me=me, waits=given, first_pause=pause)  # type: ignore[arg-type]
        made.append(one)
        return one

    yield settler
    for one in made:
        one.close()


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_active_party_settles_once(make: Make, tmp_path: Path) -> None:
    chain = Chain()
    settler = make(chain)
    assert settler.owe(JOB_ID, PAID)
    assert list(read_owed(tmp_path)) == [(JOB_ID, Owed())], "before it is tried"
    settler.settle(JOB_ID)
    settler.settle(JOB_ID)
    assert chain.calls == 1
    assert list(read_owed(tmp_path)) == []


def test_what_another_has_settled_is_not_settled_again(make: Make, tmp_path: Path) -> None:
    for chain in (Chain(is_settled=True), Chain(TransactionError("settle", "AlreadySettled(0xab)"))):
        settler = make(chain)
        settler.owe(JOB_ID, PAID)
        settler.settle(JOB_ID)
        assert chain.calls == (not chain.is_settled)
        assert list(read_owed(tmp_path)) == []


def test_nobody_else_does_and_nothing_without_a_budget_is_settled(make: Make, tmp_path: Path) -> None:
    assert not make(Chain(), me="bank").owe(JOB_ID, PAID)
    assert not make(Chain()).owe(JOB_ID, PLAIN)
    assert list(read_owed(tmp_path)) == []


def test_a_settlement_that_failed_is_tried_again_and_shown_meanwhile(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chain, waits = Chain(NO_GAS, ChainUnreachableError("nothing answers at http://chain")), Waits()
    settler = make(chain, waits=waits)
    settler.owe(JOB_ID, PAID)
    settler.settle(JOB_ID)
    (wait,) = waits.current(JOB_ID)
    assert (wait.about, wait.who) == ("settling", ("the chain",))
    assert "tried 1 of 20 times" in wait.what
    assert "insufficient funds" in wait.what
    told = capsys.readouterr().out
    assert "this is tried again" in told
    assert "insufficient funds" in told
    settler.start()
    until(lambda: chain.is_settled and not waits.current())
    assert chain.calls == 3
    assert list(read_owed(tmp_path)) == []


def test_a_restart_goes_on_with_what_is_owed(make: Make, tmp_path: Path) -> None:
    before = make(Chain(NO_GAS), pause=3600.0)
    before.owe(JOB_ID, PAID)
    before.settle(JOB_ID)
    before.close()
    ((_, owed),) = read_owed(tmp_path)
    assert (owed.tries, "insufficient funds" in owed.reason) == (1, True)
    chain = Chain()
    make(chain).start()
    until(lambda: not list(read_owed(tmp_path)))
    assert chain.calls == 1


def test_a_node_that_stops_meanwhile_counts_no_try(make: Make, tmp_path: Path) -> None:
    settler = make(Chain(StoppingError("this node is stopping")))
    settler.owe(JOB_ID, PAID)
    with pytest.raises(StoppingError):
        settler.settle(JOB_ID)
    assert list(read_owed(tmp_path)) == [(JOB_ID, Owed())]


def test_after_so_many_tries_it_is_given_up_until_the_next_start(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chain, waits = Chain(*[NO_GAS] * (MOST_TRIES + 5)), Waits()
    settler = make(chain, waits=waits)
    settler.owe(JOB_ID, PAID)
    for _ in range(MOST_TRIES + 3):
        settler.settle(JOB_ID)
    assert chain.calls == MOST_TRIES
    ((_, owed),) = read_owed(tmp_path)
    assert owed.is_given_up
    assert not waits.current()
    assert "tries no more" in capsys.readouterr().out
    again = Chain()
    make(again).start()
    until(lambda: again.is_settled)


@pytest.mark.parametrize("error", [TransactionError("settle", "NothingToSettle(0xab)"), RuntimeError("a defect")])
def test_what_cannot_succeed_is_tried_once(make: Make, tmp_path: Path, error: Exception) -> None:
    chain = Chain(error)
    settler = make(chain)
    settler.owe(JOB_ID, PAID)
    settler.settle(JOB_ID)
    settler.settle(JOB_ID)
    assert chain.calls == 1
    ((_, owed),) = read_owed(tmp_path)
    assert owed.is_given_up


def test_a_damaged_note_still_says_that_a_settlement_is_owed(make: Make, tmp_path: Path) -> None:
    make(Chain()).owe(JOB_ID, PAID)
    note = tmp_path / "jobs" / JOB_ID / OWED
    note.write_text("{")
    with pytest.raises(ModelFormatError, match="restart the node"):
        list(read_owed(tmp_path))
    chain = Chain()
    make(chain).start()
    until(lambda: chain.is_settled and not note.exists())
