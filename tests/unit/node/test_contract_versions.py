"""Jobs end in the contracts in which they were proposed: a node does not start on others while one is under way."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fedchain.errors import ConfigError
from fedchain.exchange.records import JobRecord
from fedchain.node.jobs import Jobs
from fedchain.types import JobId, Phase

JOB = JobId("0x" + "11" * 32)


def jobs_of(status: str, phase: Phase, folder: Path) -> tuple[Jobs, list[JobId]]:
    """A node that knows one job, on contracts where it is in that phase; and the jobs that it went on with."""
    record = JobRecord(JOB, 5, "0x" + "22" * 20, b"{}", status)
    consortium = SimpleNamespace(
        job=lambda job_id: SimpleNamespace(phase=phase, roster=()), deployment=SimpleNamespace(version=2)
    )
    exchange: Any = SimpleNamespace(
        state=SimpleNamespace(jobs=lambda: [record]),
        consortium=consortium,
        subscriber=SimpleNamespace(resume=lambda job_id, block: None),
    )
    board: Any = SimpleNamespace(post=lambda *arguments, **named: None)
    config: Any = SimpleNamespace(name="alpha", alignment=None, state=SimpleNamespace(folder=folder))
    jobs = Jobs(config, exchange, address="0x" + "22" * 20, executor=Any, board=board, settler=Any)  # type: ignore[arg-type]
    resumed: list[JobId] = []
    jobs._start = lambda record, inbox, *, resumed_=False, **_: resumed.append(record.job_id)  # type: ignore[method-assign]
    return jobs, resumed


@pytest.mark.parametrize("status", ["proposed", "running"])
def test_a_live_job_that_the_contracts_do_not_know_keeps_the_node_from_starting(tmp_path: Path, status: str) -> None:
    jobs, resumed = jobs_of(status, Phase.NONE, tmp_path)
    with pytest.raises(ConfigError, match=rf"job {JOB} is not over, and is not of these contracts \(version 2\)"):
        jobs.resume()
    assert resumed == []


def test_a_live_job_of_these_contracts_is_gone_on_with(tmp_path: Path) -> None:
    jobs, resumed = jobs_of("running", Phase.TRAINING, tmp_path)
    jobs.resume()
    assert resumed == [JOB]


def test_a_job_that_has_ended_may_be_of_an_earlier_version(tmp_path: Path) -> None:
    jobs, resumed = jobs_of("completed", Phase.NONE, tmp_path)
    jobs.resume()
    assert resumed == []
