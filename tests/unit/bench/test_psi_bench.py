"""`fedchain bench psi` at a small size: real processes that find the plain intersection, and figures that fit it."""

from __future__ import annotations

import pytest

from fedchain.bench.psi import PsiBench, run, table
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
