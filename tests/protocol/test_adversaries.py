"""The fault injector's parties, in whole jobs before the real contracts: each is found by what it is to be found by."""

from __future__ import annotations

import numpy as np
import pytest

from fedchain.bench.anomaly_jobs import Drawn, draw
from fedchain.bench.anomaly_table import is_found, wrongly_accused
from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.simulation.adversaries.party import Adversary
from fedchain.simulation.adversaries.registry import FAULTS
from fedchain.simulation.adversaries.sums import HistogramAdversary
from fedchain.simulation.adversaries.uplinks import LateAnswers
from fedchain.simulation.trial import Court, Findings, Trial, run_trial
from fedchain.types import PartyId

CERTAIN = [name for name, kind in FAULTS.items() if kind.family in ("provable", "structural", "histogram")]


@pytest.fixture(scope="module")
def court(dlog: DlogTable) -> Court:
    return Court.open(Executor(1), dlog)


def small(seed: int) -> Drawn:
    """Both passive parties compete for every root, so that each has its occasion in every round."""
    random = np.random.default_rng([7, seed])
    while True:
        drawn = draw(random, trees=(3, 3), strong=True)
        if drawn.spec.algorithm.mode.value == "standard" and len(drawn.passive) == 2:
            return drawn


def tried(court: Court, drawn: Drawn, adversary: Adversary | None, culprit: PartyId | None) -> Findings:
    return run_trial(court, Trial(drawn.spec, drawn.tables, culprit, adversary, permutations=50))


@pytest.mark.parametrize("name", CERTAIN)
def test_a_fault_is_found_and_nobody_else_is_accused(court: Court, name: str) -> None:
    drawn, kind = small(1), FAULTS[name]
    adversary = kind.adversary(np.random.default_rng(3), drawn.spec)
    culprit = drawn.passive[adversary.place(2)]
    found = tried(court, drawn, adversary, culprit)
    assert found.acted
    assert is_found(found, kind, 0.05), found
    assert not wrongly_accused(found)
    assert set(found.suspended) <= {culprit}


@pytest.mark.parametrize("name", ["noise_features", "lazy_constant_answers"])
def test_a_free_rider_goes_unnoticed_but_for_the_free_rider_test(court: Court, name: str) -> None:
    drawn, kind = small(4), FAULTS[name]
    culprit = drawn.passive[0]
    found = tried(court, drawn, kind.adversary(np.random.default_rng(4), drawn.spec), culprit)
    assert (found.ended, found.faults, found.named) == ("completed", [], [])
    assert found.p_values[culprit] > 0.05
    assert found.p_values[drawn.passive[1]] <= 0.05


def test_an_honest_job_is_accused_of_nothing_and_an_adversary_that_does_nothing_is_honest(court: Court) -> None:
    drawn = small(1)
    honest = tried(court, drawn, None, None)
    idle = tried(court, drawn, HistogramAdversary(np.random.default_rng(3), drawn.spec), drawn.passive[0])
    for found in (honest, idle):
        assert (found.ended, found.faults, found.flags, found.suspended) == ("completed", [], [], [])
        assert found.rounds == 3
    assert honest.p_values == idle.p_values


class AlwaysLate(LateAnswers):
    """In every attempt."""

    def late_seconds(self, round: int, limit: int) -> float | None:
        self.acted = True
        return limit + 1.0


def test_whoever_is_late_again_and_again_gets_strikes_and_those_who_waited_get_nothing(court: Court) -> None:
    drawn = small(1)
    culprit = drawn.passive[1]
    found = tried(court, drawn, AlwaysLate(np.random.default_rng(3), drawn.spec), culprit)
    assert (found.ended, found.named) == ("DeadlineError", [culprit])
    assert [(party, reason, answer) for party, reason, answer, _ in found.faults] == [
        (culprit, "MISSING", "RECORDED"),
        (culprit, "MISSING", "STRIKE"),
        (culprit, "MISSING", "STRIKE"),
    ]
