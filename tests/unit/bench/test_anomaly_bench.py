"""The bench of anomalies: what it makes of findings, what it keeps, and that audits catch what they should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedchain.bench.anomaly import AnomalyBench, run
from fedchain.bench.anomaly_audits import ROWS, made_up
from fedchain.bench.anomaly_table import is_found, table, wrongly_accused
from fedchain.errors import ConfigError
from fedchain.simulation.adversaries.label_holder import Audited, is_caught, tampered
from fedchain.simulation.adversaries.registry import FAULTS
from fedchain.simulation.trial import Findings, parse

SEED = b"s" * 32


def found(**changes: Any) -> Findings:
    return Findings(**{"culprit": "b", "acted": True, "rounds": 20, **changes})


STRIKE = ("b", "REPLAY", "STRIKE", 3)


@pytest.mark.parametrize(
    ("name", "findings", "expected"),
    [
        ("replayed_round", found(faults=[STRIKE]), True),
        ("replayed_round", found(named=["b"]), False),
        ("replayed_round", found(faults=[STRIKE, ("c", "WRONG_ROUND", "STRIKE", 3)]), False),
        ("replayed_round", found(faults=[("b", "STATISTIC_OUTLIER", "RECORDED", 3)]), False),
        ("scaled_histograms", found(named=["b"]), True),
        ("scaled_histograms", found(named=["c"]), False),
        ("scaled_histograms", found(), False),
        ("copied_histograms", found(named=["a", "b"]), True),
        ("noise_features", found(p_values={"b": 0.06, "c": 0.01}), True),
        ("noise_features", found(p_values={"b": 0.05, "c": 0.9}), False),
        ("noise_features", found(), False),
        ("later_lazy_answers", found(p_values={"b": 0.01}, flags=[("b", 12)]), True),
        ("later_lazy_answers", found(p_values={"b": 0.01}, flags=[("c", 12)]), False),
    ],
)
def test_a_party_is_found_by_what_its_fault_is_to_be_found_by(name: str, findings: Findings, expected: bool) -> None:
    assert is_found(findings, FAULTS[name], 0.05) is expected


def test_deadlines_that_honest_parties_did_miss_are_no_accusation_but_anything_else_is() -> None:
    assert wrongly_accused(found(faults=[("c", "MISSING", "RECORDED", 2)])) == set()
    assert wrongly_accused(found(faults=[("c", "SLOT_TAKEN", "STRIKE", 2)], named=["c"])) == {"c"}


def test_rates_are_shares_of_runs_and_of_rounds() -> None:
    metrics = table(
        {
            ("dropped_rows", 0): found(named=["b"]),
            ("dropped_rows", 1): found(),
            ("honest", 0): Findings(rounds=28, flags=[("b", 9), ("c", 9), ("b", 12)], p_values={"b": 0.01, "c": 0.5}),
            ("honest", 1): Findings(rounds=12, faults=[("c", "MISSING", "RECORDED", 4)], suspended=["c"]),
        },
        0.05,
    )
    assert metrics["tpr_dropped_rows"] == 0.5
    assert metrics["runs_dropped_rows"] == 2
    assert "tpr_noise_features" not in metrics
    assert (metrics["honest_runs"], metrics["honest_rounds"], metrics["honest_flags"]) == (2, 40, 3)
    assert metrics["fpr_honest_rounds"] == 3 / 40
    assert metrics["fpr_honest_scored_rounds"] == 3 / 24
    assert (metrics["honest_suspensions"], metrics["honest_deadline_misses"]) == (1, 1)
    assert (metrics["honest_weak"], metrics["free_rider_power_found"]) == (0.5, 0.5)


@pytest.fixture(scope="module")
def audited() -> Audited:
    return made_up(np.random.default_rng(1))


def sums(losses: Any) -> list[int]:
    return [int(one) for one in losses.sum(axis=0)]


def test_an_audit_catches_false_sums_and_many_tampered_rows_and_nothing_in_the_truth(audited: Audited) -> None:
    random, true = np.random.default_rng(2), audited.losses
    assert not is_caught(audited, true, sums(true), 299, SEED)
    for coalition in range(true.shape[1]):
        off = sums(true)
        off[coalition] += 1
        assert is_caught(audited, true, off, 299, SEED)
    many = tampered(audited, ROWS // 10, 1, random)
    assert (many != true).any(axis=1).sum() == ROWS // 10
    assert is_caught(audited, many, sums(many), 299, SEED)


def test_tampered_rows_move_a_utility_by_their_share_at_most(audited: Audited) -> None:
    lies = tampered(audited, 60, 2, np.random.default_rng(3))
    moved = np.abs((lies - audited.losses).sum(axis=0)) / ROWS
    assert 2_000 < moved.max() <= 10_000


def test_runs_are_kept_and_not_run_again(tmp_path: Path) -> None:
    kept = tmp_path / "runs.txt"
    bench = AnomalyBench(fault_runs=1, only=("wrong_size",))
    first = run(bench, resume=kept, workers=1)
    lines = kept.read_text()
    assert first.metrics["tpr_wrong_size"] == 1.0
    assert lines.count("\n") == 2
    kept.write_text(lines + "wrong_size 1 {half a li")
    again = run(bench, resume=kept, workers=1, seconds=0)
    assert again.metrics == first.metrics
    assert kept.read_text().startswith(lines)
    line = lines.splitlines()[1].split(" ", 2)[2]
    assert parse(line).to_json() == line
    with pytest.raises(ConfigError, match="of other settings"):
        run(AnomalyBench(fault_runs=1, seed=2, only=("wrong_size",)), resume=kept, workers=1)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="no fault 'sulking'; there are equivocation"):
        AnomalyBench(only=("sulking",))
    with pytest.raises(ConfigError, match="1 run or more"):
        AnomalyBench(honest_runs=0)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        AnomalyBench(alpha=1.0)
