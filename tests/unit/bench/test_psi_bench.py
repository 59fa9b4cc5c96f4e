"""`fedchain bench psi` at a small size: real processes that find the plain intersection, and figures that fit it."""

from __future__ import annotations

import pytest

from fedchain.bench import psi_cached
from fedchain.bench.psi import PsiBench, run, table
from fedchain.bench.psi_cached import CachedPsiBench
from fedchain.errors import ConfigError


def test_processes_align_and_the_figures_fit() -> None:
    report = run(PsiBench(rows=400, parties=3, overlap=0.25, pad_to=500, proven_blinding=True))
    metrics = report.metrics
    assert metrics["common_rows"] == 100
    assert metrics["seconds"] > metrics["floor_seconds"] / 2
    assert metrics["floor_ratio"] == pytest.approx(metrics["seconds"] / metrics["floor_seconds"])
    assert metrics["peak_memory_mb"] == max(metrics[f"peak_memory_mb_{number}"] for number in (1, 2, 3))
    # of each set 500 points from each party, the last time in place of tags
    assert metrics["bytes_per_id"] == pytest.approx(3 * 65 * 500 / 400, rel=0.02)


def test_a_table_tells_how_seconds_grow() -> None:
    lines = table([PsiBench(rows=100), PsiBench(rows=1000)])
    assert [line["rows"] for line in lines] == [100, 1000]
    assert lines[1]["rows_growth"] == 10
    assert lines[1]["growth"] == pytest.approx(lines[1]["seconds"] / lines[0]["seconds"])
    assert lines[1]["bytes_per_id"] == pytest.approx(65 + 16, rel=0.02)


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"rows": 1}, "--rows 1"), ({"parties": 9}, "--parties 9"), ({"overlap": 0.0}, "--overlap 0.0")],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        run(PsiBench(**settings))  # type: ignore[arg-type]


def test_two_jobs_of_an_epoch_are_measured_beside_the_ring() -> None:
    metrics = psi_cached.run(CachedPsiBench(rows=20, cached_rows=2000, overlap=0.5)).metrics
    assert metrics["common_rows"] == 10
    # points and tags of all; then a tag of each larger, and two points of each smaller id; then these points alone
    assert metrics["ring_bytes"] == pytest.approx((65 + 16) * 2020, rel=0.02)
    assert metrics["first_bytes"] - metrics["second_bytes"] == pytest.approx(16 * 2000, abs=100)
    assert metrics["second_bytes"] == pytest.approx(2 * 65 * 20 + 4 * 10, abs=500)
    assert metrics["second_speedup"] == pytest.approx(metrics["ring_seconds"] / metrics["second_seconds"])
    # some 2000 ids are blinded twice, or once, or not at all
    assert metrics["ring_cpu_seconds"] > metrics["second_cpu_seconds"]
    for name in psi_cached.RUNS:
        assert metrics[f"{name}_peak_memory_mb_large"] > 10


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"rows": 1, "cached_rows": 100}, "--rows 1"),
        ({"rows": 100, "cached_rows": 99}, "--cached-rows 99: choose 100"),
        ({"rows": 100, "cached_rows": 10**9}, "--cached-rows 1000000000"),
        ({"rows": 100, "cached_rows": 100, "overlap": 1.5}, "--overlap 1.5"),
    ],
)
def test_settings_of_a_cached_set_out_of_range_are_refused(settings: dict[str, float], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        psi_cached.run(CachedPsiBench(**settings))  # type: ignore[arg-type]
