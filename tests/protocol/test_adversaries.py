"""The fault injector's parties, in whole jobs before the real contracts: each is found by what it is to be found by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedchain.bench.anomaly_jobs import Drawn, draw
from fedchain.bench.anomaly_table import is_found, wrongly_accused
from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.simulation.adversaries.label_holder import FalseUtilities, TamperedRows
from fedchain.simulation.adversaries.party import Adversary
from fedchain.simulation.adversaries.registry import FAULTS
from fedchain.simulation.adversaries.sums import DroppedRows, HistogramAdversary, LaterLazyAnswers
from fedchain.simulation.adversaries.uplinks import LateAnswers
from fedchain.simulation.trial import Court, Findings, Trial, run_trial
from fedchain.types import PartyId

CERTAIN = [name for name, kind in FAULTS.items() if kind.family in ("provable", "structural", "histogram")]


@pytest.fixture(scope="module")
def court(dlog: DlogTable) -> Court:
    return Court.open(Executor(1), dlog)


def small(seed: int, *, strict: bool = False, audit: bool = False) -> Drawn:
    """Both passive parties compete for every root, so that each has its occasion in every round.

    Without GOSS, whose unsampled rows are encryptions of zero: leaving one of them out changes no sum.
    """
    random = np.random.default_rng([7, seed])
    while True:
        drawn = draw(random, trees=(3, 3), strong=True, strict=strict, audit=audit)
        algorithm = drawn.spec.algorithm
        if algorithm.mode.value == "standard" and len(drawn.passive) == 2 and algorithm.goss_top is None:
            return drawn


def tried(court: Court, drawn: Drawn, adversary: Adversary | None, culprit: PartyId | None) -> Findings:
    return run_trial(court, Trial(drawn.spec, drawn.tables, culprit, adversary, permutations=50))


@pytest.mark.parametrize("name", CERTAIN)
def test_a_fault_is_found_and_nobody_else_is_accused(court: Court, name: str) -> None:
    kind = FAULTS[name]
    drawn = small(1, strict=kind.strict)
    adversary = kind.adversary(np.random.default_rng(3), drawn.spec)
    culprit = drawn.passive[adversary.place(2)]
    found = tried(court, drawn, adversary, culprit)
    assert found.acted
    assert is_found(found, kind, 0.05), found
    assert not wrongly_accused(found)
    assert set(found.suspended) <= {culprit}


@pytest.mark.parametrize("name", ["replayed_round", "wrong_size", "taken_slot", "dropped_rows"])
def test_in_a_strict_job_faults_are_found_as_well(court: Court, name: str) -> None:
    kind, drawn = FAULTS[name], small(1, strict=True)
    found = tried(court, drawn, kind.adversary(np.random.default_rng(3), drawn.spec), drawn.passive[0])
    assert is_found(found, kind, 0.05), found
    assert not wrongly_accused(found)


def test_sums_that_are_not_those_of_the_losses_make_the_audit_false_on_chain(court: Court) -> None:
    drawn = small(1, audit=True)
    active = drawn.spec.names[0]
    found = tried(court, drawn, FalseUtilities(np.random.default_rng(3), drawn.spec), active)
    assert [(party, reason, answer) for party, reason, answer, _ in found.faults] == [
        (active, "CONTRIBUTION_FALSE", "STRIKE")
    ]
    assert found.ended == "completed"  # the model is as good as before


def test_tampered_rows_are_found_where_one_of_them_is_opened_and_an_honest_audit_has_no_fault(court: Court) -> None:
    drawn = small(1, audit=True)
    active = drawn.spec.names[0]
    adversary = TamperedRows(np.random.default_rng(3), drawn.spec)
    adversary.share = 0.5
    found = tried(court, drawn, adversary, active)
    assert [reason for _, reason, _, _ in found.faults] == ["CONTRIBUTION_FALSE"]
    assert tried(court, drawn, None, None).faults == []


@pytest.mark.parametrize(("seed", "without_effect"), [(0, True), (9, False)])
def test_a_row_that_counts_nothing_may_be_left_out_and_that_is_no_fault(
    court: Court, seed: int, without_effect: bool
) -> None:
    """GOSS sends the rows that it does not draw as encryptions of zero: nobody can tell, and no sum changes."""
    drawn = small(1)
    goss = {"goss_top": 0.2, "goss_other": 0.2, "row_sample": 1.0, "trees": 1}
    spec = drawn.spec.model_copy(update={"algorithm": drawn.spec.algorithm.model_copy(update=goss)})
    adversary = DroppedRows(np.random.default_rng(seed), spec)
    adversary.dropped, adversary.begins = 0.0, 1  # a single row
    found = tried(court, replace(drawn, spec=spec), adversary, drawn.passive[0])
    assert found.ended == ("completed" if without_effect else "ForgedHistogramError")
    assert (found.acted, found.without_effect) == (not without_effect, int(without_effect))


def test_who_spares_itself_the_sums_from_a_round_on_is_flagged(court: Court) -> None:
    random = np.random.default_rng([7, 1])
    drawn = small(1)
    spec = drawn.spec.model_copy(update={"algorithm": drawn.spec.algorithm.model_copy(update={"trees": 6})})
    adversary = LaterLazyAnswers(random, spec)
    adversary.begins = 5
    found = tried(court, replace(drawn, spec=spec), adversary, drawn.passive[0])
    assert found.acted
    assert found.flags == [(drawn.passive[0], 5)]
    assert [(party, reason) for party, reason, _, _ in found.faults] == [(drawn.passive[0], "STATISTIC_OUTLIER")]
    assert (found.ended, found.suspended) == ("completed", [])


@pytest.mark.parametrize("name", ["noise_features", "lazy_constant_answers"])
def test_a_free_rider_goes_unnoticed_but_for_the_free_rider_test(court: Court, name: str) -> None:
    drawn, kind = small(1), FAULTS[name]
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

    def takes_seconds(self, round: int, usual: float, limit: int) -> float | None:
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
