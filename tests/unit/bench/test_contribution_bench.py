"""The contribution benchmark on a small scale: every figure it names is there, and files that are missing are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedchain.bench import contribution
from fedchain.bench.contribution import ContributionBench, run
from fedchain.bench.synthetic import Synthetic
from fedchain.errors import ConfigError


def test_it_tells_seconds_and_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contribution, "MADE_UP", Synthetic(500, 2, (2,)))
    monkeypatch.setattr(contribution, "TRIES", 1)
    said: list[str] = []
    report = run(ContributionBench(rows=400, trees=2, depth=2, seeds=(1, 2), gas=False), on_run=said.append)
    kinds = ("", "floor_", "free_rider_", "commit_", "audit_")
    expected = {f"seconds_{kind}{parties}_parties" for kind in kinds for parties in (3, 8)}
    expected |= {f"opening_bytes_{parties}_parties" for parties in (3, 8)}
    for name in ("l1", "l1_block_permutation", "l1_conditional", "l1_gain"):
        of_parts = name.replace("l1", "l1_of_parts")
        expected |= {f"{name}_to_retraining", f"{name}_to_retraining_worst", f"{of_parts}_to_retraining"}
    assert set(report.metrics) == expected | {"noise_party_gain", "noise_party_share", "noise_party_conditional"}
    assert all(value > 0 for name, value in report.metrics.items() if not name.startswith("noise"))
    assert said[-2:] == ["made_up: seed 1", "made_up: seed 2"]


def test_tables_that_are_missing_and_seeds_that_are_none_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"operator\.csv is missing"):
        run(ContributionBench(data=tmp_path))
    with pytest.raises(ConfigError, match="one or more seeds"):
        run(ContributionBench(seeds=(1, 1)))


def test_settlements_cost_more_gas_the_more_coalitions_there_are() -> None:
    from fedchain.bench.settling import settlement_gas

    gas = settlement_gas((2, 3))
    assert 100_000 < gas["gas_p2"] < gas["gas_p3"] < 1_000_000
    assert gas["gas_post_p3"] < gas["gas_p3"] < gas["gas_audit_p3"]
