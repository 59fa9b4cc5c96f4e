"""Finished jobs are loaded once, anew after the table was replaced, and make room for each other."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fedchain.chain import Terms
from fedchain.errors import DataError, TermsError
from fedchain.federation.spec import JobSpec
from fedchain.node.online.job import OnlineJob, OnlineJobs
from fedchain.types import JobId, Phase
from tests.unit.node.api.puppet import JOB_TOML

ONE, TWO, THREE = (JobId("0x" + number * 32) for number in ("01", "02", "03"))


class Jobs(OnlineJobs):
    """Loads what takes ten bytes; `during` runs in each load."""

    def __init__(self, during: Callable[[], None] = lambda: None) -> None:
        super().__init__(cast(Any, None), cast(Any, None), max_bytes=20)
        self.during = during
        self.loads: list[JobId] = []
        self.dropped: list[JobId] = []
        self.listen(self.dropped.append)

    def _load(self, job_id: JobId) -> OnlineJob:
        self.loads.append(job_id)
        found: Any = SimpleNamespace(number=len(self.loads), size_bytes=10)
        self.during()
        return cast(OnlineJob, found)


def number_of(job: OnlineJob) -> int:
    return int(cast(Any, job).number)


def test_those_asked_for_longest_ago_make_room_but_not_those_in_use() -> None:
    jobs = Jobs()
    jobs.keep([ONE])
    first = jobs.get(ONE)
    assert jobs.get(ONE) is first
    jobs.get(TWO)
    jobs.get(THREE)
    assert (jobs.dropped, jobs.loads) == ([TWO], [ONE, TWO, THREE])
    jobs.keep([])
    jobs.get(THREE)
    jobs.get(TWO)
    assert jobs.dropped == [TWO, ONE]
    jobs.forget()
    assert set(jobs.dropped[2:]) == {TWO, THREE}


def test_what_was_read_before_the_table_was_replaced_is_not_kept() -> None:
    jobs = Jobs()
    pending = [jobs.forget]

    def during() -> None:
        if pending:
            pending.pop()()

    jobs.during = during
    assert number_of(jobs.get(ONE)) == 2
    assert number_of(jobs.get(ONE)) == 2


def test_a_table_that_cannot_be_read_while_it_is_replaced_is_read_again() -> None:
    jobs = Jobs()
    pending = [jobs.forget]

    def during() -> None:
        if pending:
            pending.pop()()
            raise DataError("half a table")

    jobs.during = during
    assert number_of(jobs.get(ONE)) == 2

    def broken() -> None:
        raise DataError("no table")

    jobs.during = broken
    with pytest.raises(DataError, match="no table"):
        jobs.get(TWO)


def test_terms_other_than_the_spec_s_are_refused_the_time_for_an_answer_too(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = JobSpec.from_toml_text(JOB_TOML)
    files = SimpleNamespace(folder="", complete=True, load=lambda: (spec, None, None))
    monkeypatch.setattr("fedchain.node.online.job.JobFiles", lambda folder, job_id: files)
    terms = Terms(spec.inference.quota, spec.inference.window_seconds, 601)
    consortium = SimpleNamespace(
        job=lambda job_id: SimpleNamespace(phase=Phase.COMPLETED, roster=spec.names),
        inference=SimpleNamespace(terms=lambda job_id: terms),
    )
    exchange = SimpleNamespace(
        state=SimpleNamespace(job=lambda job_id: SimpleNamespace(status="completed")),
        consortium=consortium,
        directory=SimpleNamespace(name_of=lambda address: address),
    )
    config = SimpleNamespace(state=SimpleNamespace(folder=""))
    with pytest.raises(TermsError, match="601 s for an answer") as refused:
        OnlineJobs(cast(Any, config), cast(Any, exchange)).get(ONE)
    assert refused.value.culprit == "operator"
