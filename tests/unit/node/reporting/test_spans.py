"""Stages from events: where one ends, the next begins."""

from __future__ import annotations

from typing import Any

from fedchain.chain import ChainEvent, JobPolicy, JobProposed, PhaseChanged, RoundBegan
from fedchain.node.audit.story import Story
from fedchain.node.reporting.spans import spans_of
from fedchain.types import JobId, Phase

JOB = JobId("0x" + "11" * 32)


def place(block: int) -> dict[str, Any]:
    return {"block_number": block, "block_hash": b"", "log_index": 0, "transaction_hash": b"", "job_id": JOB}


def proposed() -> JobProposed:
    return JobProposed(
        proposer="0xa", spec_digest=b"", roster=("0xa", "0xb"), policy=JobPolicy(1, 1, 0), spec=b"{}", **place(1)
    )


def phase(which: Phase, block: int) -> PhaseChanged:
    return PhaseChanged(phase=which, **place(block))


def told(*events: ChainEvent) -> list[tuple[str, int, int, int, int | None]]:
    story = Story(JOB, list(events), [], 99)
    return [(one.what, one.round, one.attempt, one.begin, one.end) for one in spans_of(story, lambda block: 10 * block)]


def test_stages_follow_each_other_without_a_gap() -> None:
    found = told(
        proposed(), phase(Phase.PROPOSED, 1), phase(Phase.ALIGNING, 3), phase(Phase.TRAINING, 5),
        RoundBegan(round=1, attempt=0, **place(6)), RoundBegan(round=1, attempt=1, **place(7)),
        RoundBegan(round=2, attempt=1, **place(8)), phase(Phase.EVALUATING, 9), phase(Phase.COMPLETED, 12),
    )  # fmt: skip
    assert found == [
        ("acceptance", 0, 0, 10, 30), ("alignment", 0, 0, 30, 50), ("preparation", 0, 0, 50, 60),
        ("round", 1, 0, 60, 70), ("round", 1, 1, 70, 80),
        ("round", 2, 1, 80, 90), ("evaluation", 0, 0, 90, 120),
    ]  # fmt: skip


def test_a_stage_that_lasts_has_no_end_and_an_aborted_one_has() -> None:
    assert told(proposed()) == [("acceptance", 0, 0, 10, None)]
    assert told(proposed(), phase(Phase.ALIGNING, 2), phase(Phase.ABORTED, 4)) == [
        ("acceptance", 0, 0, 10, 20), ("alignment", 0, 0, 20, 40),
    ]  # fmt: skip
