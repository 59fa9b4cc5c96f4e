"""Runs the command in this process, on two small tables."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner, Result

from fedchain.cli.main import app

ROWS = 160
JOB = """\
name = "small"
[algorithm]
mode = "standard"
trees = 2
depth = 2
bins = 8
[alignment]
min_rows = 20
[[parties]]
name = "operator"
role = "active"
label = "churned"
[[parties]]
name = "partner"
role = "passive"
"""

Invoke = Callable[..., Result]


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, config = list(root.handlers), root.level, structlog.get_config()
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.configure(**config)


@pytest.fixture
def invoke() -> Invoke:
    def run(*arguments: object, **options: Any) -> Result:
        return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(one) for one in arguments], **options)

    return run


@dataclass(frozen=True)
class Case:
    """A job file and a folder of tables."""

    job: Path
    data: Path

    def table(self, party: str) -> Path:
        return self.data / f"{party}.csv"

    def edit_job(self, old: str, new: str) -> None:
        text = self.job.read_text()
        assert old in text
        self.job.write_text(text.replace(old, new))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    data = tmp_path / "tables"
    data.mkdir()
    rows = range(ROWS)
    operator = [f"c{row},{row % 7},{'yes' if row % 5 < 2 else 'no'}" for row in rows]
    partner = [f"c{row},{row % 5},{row % 3}" for row in reversed(rows) if row % 10]
    (data / "operator.csv").write_text("\n".join(["id,calls,churned", *operator]) + "\n")
    (data / "partner.csv").write_text("\n".join(["id,films,news", *partner]) + "\n")
    job = tmp_path / "job.toml"
    job.write_text(JOB)
    return Case(job, data)


def assert_one_line(result: Result, code: int, *words: str) -> None:
    """The command failed with this code and one line on stderr that holds these words; nothing on stdout."""
    assert result.stderr.startswith("error: "), result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr
    assert result.exit_code == code
