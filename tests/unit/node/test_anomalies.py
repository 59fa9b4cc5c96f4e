"""Whose entry of a job's timeline is of which category, and which events are not the job's."""

from __future__ import annotations

from typing import Any

import pytest

from fedchain.chain import (
    FaultRecorded,
    JobPolicy,
    JobProposed,
    ParticipantReinstated,
    ParticipantSuspended,
    PhaseChanged,
)
from fedchain.node.anomalies import anomalies_of, category_of, counts_by_party
from fedchain.node.audit.story import Story
from fedchain.types import Answer, JobId, Phase, Reason

JOB = JobId("0x" + "11" * 32)
ACTIVE, BANK = ("0x" + digit * 40 for digit in "12")


def at(block: int) -> dict[str, Any]:
    return {"block_number": block, "block_hash": b"", "log_index": 0, "transaction_hash": bytes([block]) * 32}


def suspended(block: int) -> ParticipantSuspended:
    return ParticipantSuspended(party=BANK, by=ACTIVE, reason=f"block {block}", **at(block))


def test_standings_after_the_job_belong_to_it_only_where_a_fault_of_it_is_the_cause() -> None:
    policy = JobPolicy(1 << 20, 9, 0)
    proposal = JobProposed(
        job_id=JOB, proposer=ACTIVE, spec_digest=b"", roster=(ACTIVE, BANK), policy=policy, spec=b"", **at(1)
    )
    fault = FaultRecorded(
        fault_id=1, party=BANK, job_id=JOB, round=1, reason=Reason.EQUIVOCATION, answer=Answer.SUSPENSION,
        evidence=b"", **at(30),
    )  # fmt: skip
    story = Story(
        JOB,
        [
            proposal,
            suspended(5),
            ParticipantReinstated(party=BANK, steward=ACTIVE, **at(6)),
            PhaseChanged(job_id=JOB, phase=Phase.COMPLETED, **at(9)),
            suspended(20),
            ParticipantReinstated(party=BANK, steward=ACTIVE, **at(21)),
            fault,
            suspended(30),
        ],
    )
    found = anomalies_of(story, str, lambda number: number)
    assert [(one.what, one.block) for one in found] == [
        ("suspended", 5), ("reinstated", 6), ("fault", 30), ("suspended", 30),
    ]  # fmt: skip
    assert counts_by_party(found, [BANK])[BANK] == {"standing": 2, "provable": 1}, "who is reinstated gets no mark"


@pytest.mark.parametrize("reason", list(Reason))
def test_every_fault_has_the_category_that_its_name_tells(reason: Reason) -> None:
    of_audits = reason.name.startswith("AUDIT_") or reason is Reason.CONTRIBUTION_FALSE
    assert (category_of(reason) == "audit") is of_audits
    assert (category_of(reason) == "claim") is (reason is Reason.STATISTIC_CHALLENGED), "nobody has judged it"
