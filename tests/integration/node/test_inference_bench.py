"""`fedchain bench inference` from end to end: real nodes, real load, and figures that make sense."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.timeout(300), pytest.mark.soak]


@pytest.mark.parametrize("mode", ["online", "strict", "batch"])
def test_bench_inference_measures_a_model_that_it_trained(mode: str) -> None:
    command = [sys.executable, "-m", "fedchain.cli.main", "bench", "inference", "--mode", mode, "--json"]
    options = {"--rows": 300, "--trees": 2, "--depth": 2, "--seconds": 1, "--batch-rows": 70_000, "--block-time": 0}
    command += ["--chain", "embedded", *(str(word) for pair in options.items() for word in pair)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    metrics = report["metrics"]
    assert report["settings"]["trees"] == 2
    assert metrics["rows_per_second"] > 0
    if mode == "batch":
        assert metrics["floor_rows_per_second"] > metrics["rows_per_second"] >= metrics["rows_per_second_whole"]
    else:
        assert 0 < metrics["p50_ms"] <= metrics["p95_ms"] <= metrics["p99_ms"]
        assert metrics["floor_p50_ms"] < metrics["p50_ms"]
