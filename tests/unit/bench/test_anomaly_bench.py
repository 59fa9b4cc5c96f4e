"""The bench of anomalies: what it makes of findings, what it keeps, and that audits catch what they should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedchain.bench.anomaly import AnomalyBench, run
from fedchain.bench.anomaly_audits import ROWS, made_up
from fedchain.bench.anomaly_table import is_found, rate, table, wrongly_accused
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
        ("replayed_round", found(faults=[("b", "SLOT_TAKEN", "STRIKE", 3)]), False),
        ("scaled_histograms", found(named=["b"], ended="ForgedHistogramError"), True),
        ("scaled_histograms", found(named=["b"], ended="UplinkRejectedError"), False),
        ("scaled_histograms", found(named=["c"], ended="ForgedHistogramError"), False),
        ("scaled_histograms", found(), False),
        ("copied_histograms", found(named=["a", "b"], ended="StaleCiphertextError"), True),
        ("late_answers", found(faults=[("b", "MISSING", "RECORDED", 3)]), True),
        ("fast_answers", found(fast=["b"]), True),
        ("fast_answers", found(fast=["c"]), False),
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
            ("dropped_rows", 0): found(named=["b"], ended="ForgedHistogramError"),
            ("copied_histograms", 0): found(named=["a", "b"], ended="StaleCiphertextError"),
            ("scaled_histograms", 0): found(named=["b"], ended="UplinkRejectedError"),
            ("dropped_rows", 1): found(),
            ("honest", 0): Findings(rounds=28, flags=[("b", 9), ("c", 9), ("b", 12)], p_values={"b": 0.01, "c": 0.5}),
            ("honest", 1): Findings(
                rounds=12, faults=[("c", "MISSING", "RECORDED", 4)], suspended=["c"], soft=["c"], answers=10, retried=1
            ),
        },
        0.05,
    )
    assert metrics["tpr_dropped_rows"] == 0.5
    assert metrics["runs_dropped_rows"] == 2
    assert (metrics["tpr_scaled_histograms"], metrics["other_scaled_histograms"]) == (0.0, 1)
    assert (metrics["tpr_histogram"], metrics["runs_histogram"]) == (0.5, 4)
    assert (metrics["named_with_an_honest_party"], metrics["honest_accused"]) == (1, 0)
    assert "tpr_noise_features" not in metrics
    assert (metrics["honest_runs"], metrics["honest_rounds"], metrics["honest_flags"]) == (2, 40, 3)
    assert metrics["fpr_honest_rounds"] == 2 / 40
    assert metrics["fpr_honest_scored_rounds"] == 2 / 24
    assert (metrics["honest_rounds_missed"], metrics["honest_rounds_retried"]) == (1 / 40, 1 / 40)
    assert (metrics["fpr_soft"], metrics["fpr_hard"], metrics["fpr_fast"]) == (0.1, 0.0, 0.0)
    assert (metrics["honest_suspensions"], metrics["honest_deadline_misses"]) == (1, 1)
    assert metrics["honest_weak"] == 0.5


def test_the_interval_s_lower_end_is_wilson_s() -> None:
    assert rate("x", 300 * [True])["low95_x"] == pytest.approx(0.98736, abs=1e-4)
    assert rate("x", 19 * [True] + [False])["low95_x"] == pytest.approx(0.7639, abs=1e-3)
    assert rate("x", [False])["low95_x"] == 0.0


@pytest.fixture(scope="module")
def audited() -> Audited:
    return made_up(1)


def test_an_audit_of_6000_rows_catches_many_tampered_rows_and_nothing_in_the_truth(audited: Audited) -> None:
    true = audited.losses
    assert not is_caught(audited, true, 299, SEED)
    many = tampered(true, ROWS // 10, 1, np.random.default_rng(2))
    assert (many != true).any(axis=1).sum() == ROWS // 10
    assert is_caught(audited, many, 299, SEED)


def test_a_tampered_row_is_right_wherever_the_favourite_takes_part(audited: Audited) -> None:
    lies = tampered(audited.losses, 60, 2, np.random.default_rng(3))
    changed = lies != audited.losses
    assert not changed[:, :4].any()
    assert not lies[changed.any(axis=1), 4:].any()


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
