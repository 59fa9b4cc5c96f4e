"""Rows per second and time left."""

from __future__ import annotations

import pytest

from fedchain.cli import progress
from fedchain.cli.progress import RowBar


def test_rate_and_time_left_count_this_runs_rows_alone() -> None:
    assert progress._pace(1000, 7_200_000, 1.0) == ("1,000 rows/s", "2:00:00 left")
    assert progress._pace(0, 5, 1.0) == ("", "")


def test_elsewhere_than_on_a_terminal_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("fedchain.cli.progress.time.monotonic", lambda: now)
    with RowBar("scores", every_seconds=10) as bar:
        bar.update(500, 1000, 500)
        now = 105.0
        bar.update(600, 1000, 500)
        now = 110.0
        bar.update(700, 1000, 500)
        now = 130.0
        bar.update(1000, 1000, 500)
    assert capsys.readouterr().err == "scores: 700 of 1000 rows, 20 rows/s, 0:00:15 left\n"
