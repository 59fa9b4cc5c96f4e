"""A mutant is killed by a test that fails because of it, and by nothing else."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contracts.script.report.mutants import Mutant
from contracts.script.report.mutation import Fate, MutationRun, try_mutant
from contracts.script.report.workspace import ReportError

MUTANT = Mutant("A.x", "A.sol", "if (a)", "if (b)", "ATest")
Results = dict[str, bool] | None


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    (tmp_path / "A.sol").write_text("if (a) c;")
    return tmp_path


def space(sources: Path, answers: dict[str, Results]) -> Any:
    """A workspace in which forge gives these results by filter, while the mutant is in the sources."""

    def test(contracts: str, *, fail_fast: bool) -> Results:
        assert (sources / "A.sol").read_text() == "if (b) c;"
        return answers[contracts]

    return SimpleNamespace(sources=sources, test=test)


def test_a_failing_test_of_its_own_kills_a_mutant(sources: Path) -> None:
    fate = try_mutant(MUTANT, space(sources, {"ATest": {"ATest.b": True, "ATest.a": False}}), frozenset())
    assert fate == Fate(MUTANT, "ATest.a", True)
    assert (sources / "A.sol").read_text() == "if (a) c;"


def test_any_other_test_kills_it_when_its_own_notice_nothing(sources: Path) -> None:
    answers: dict[str, Results] = {"ATest": {"ATest.a": True}, "": {"ATest.a": True, "BTest.b": False}}
    assert try_mutant(MUTANT, space(sources, answers), frozenset()) == Fate(MUTANT, "BTest.b", False)


def test_a_mutant_survives_tests_that_pass_or_fail_anyway(sources: Path) -> None:
    answers: dict[str, Results] = {"ATest": {"ATest.a": True}, "": {"BTest.gas": False}}
    assert try_mutant(MUTANT, space(sources, answers), frozenset({"BTest.gas"})) == Fate(MUTANT, "", False)


@pytest.mark.parametrize(("answer", "says"), [(None, "does not compile"), ({}, "no test contract matches 'ATest'")])
def test_a_mutant_that_tests_nothing_is_an_error(sources: Path, answer: Results, says: str) -> None:
    with pytest.raises(ReportError, match=says):
        try_mutant(MUTANT, space(sources, {"ATest": answer}), frozenset())
    assert (sources / "A.sol").read_text() == "if (a) c;"


def test_survivors_lower_the_percentage() -> None:
    run = MutationRun((Fate(MUTANT, "ATest.a", True), Fate(MUTANT, "", False), Fate(MUTANT, "B", False)))
    assert run.killed_percent == pytest.approx(200 / 3)
    assert run.survivors == [MUTANT]
