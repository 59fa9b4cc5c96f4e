"""Deadlines by the blocks' times: what came in time passes, and what the contract cannot have said is noticed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from fedchain.chain import (
    AlignmentDeclared,
    ChainEvent,
    JobAccepted,
    JobExpired,
    JobPolicy,
    JobProposed,
    PartyAttended,
    PartyMissing,
    PhaseChanged,
    RoundBegan,
    UplinkJudged,
)
from fedchain.messages import Envelope
from fedchain.node.audit.checklist import Checklist
from fedchain.node.audit.rules import Replay
from fedchain.types import JobId, Kind, Phase, Reason

JOB = JobId("0x" + "11" * 32)
ACTIVE, PASSIVE = ("0x" + digit * 40 for digit in "12")
ROSTER = (ACTIVE, PASSIVE)
POLICY = JobPolicy(1 << 20, 9, 0, phase_seconds=1000, round_seconds=100)
BEGAN = 50
"""Block in which the first round begins; blocks are ten seconds apart."""


def at(block: int) -> dict[str, Any]:
    return {"block_number": block, "block_hash": bytes(32), "log_index": 0, "transaction_hash": b"", "job_id": JOB}


TRAINING: list[ChainEvent] = [
    JobProposed(proposer=ACTIVE, spec_digest=bytes(32), roster=ROSTER, policy=POLICY, spec=b"", **at(1)),
    PhaseChanged(phase=Phase.PROPOSED, **at(1)),
    *(JobAccepted(party=party, **at(2)) for party in ROSTER),
    PhaseChanged(phase=Phase.ALIGNING, **at(2)),
    *(AlignmentDeclared(party=party, order_digest=b"\1" * 32, rows=5, **at(3)) for party in ROSTER),
    PhaseChanged(phase=Phase.TRAINING, **at(3)),
    RoundBegan(round=1, attempt=0, **at(BEGAN)),
]


def uplink(block: int, reason: Reason = Reason.ACCEPTED, *, round: int = 1, step: int = 0) -> UplinkJudged:
    envelope = Envelope(b"", round, 0, step, Kind.GRADIENTS, bytes(20), b"\1" * 32, 5)
    return UplinkJudged(sender=ACTIVE, uplink_id=bytes(32), reason=reason, envelope=envelope, payload=b"", **at(block))


def broken(events: Iterable[ChainEvent]) -> list[str]:
    checks = Checklist()
    replay = Replay(checks, lambda number: 1_000_000 + 10 * number)
    for event in (*TRAINING, *events):
        replay.take(event)
    replay.finish()
    return [one.detail for one in checks.mismatches]


@pytest.mark.parametrize(
    ("block", "reason", "holds"),
    [
        (BEGAN + 10, Reason.ACCEPTED, True),
        (BEGAN + 11, Reason.ACCEPTED, False),
        (BEGAN + 10, Reason.DEADLINE_MISSED, False),
        (BEGAN + 11, Reason.DEADLINE_MISSED, True),
    ],
)
def test_an_uplink_is_late_from_the_second_after_the_rounds_last(block: int, reason: Reason, holds: bool) -> None:
    assert (broken([uplink(block, reason)]) == []) is holds


def test_each_round_has_time_of_its_own() -> None:
    second = RoundBegan(round=2, attempt=0, **at(BEGAN + 8))
    assert broken([uplink(BEGAN + 5), second, uplink(BEGAN + 18, round=2)]) == []
    late = [uplink(BEGAN + 12), RoundBegan(round=2, attempt=0, **at(BEGAN + 13)), uplink(BEGAN + 14, round=2)]
    (what,) = broken(late)
    assert what == f"an uplink of {ACTIVE} was accepted after the deadline in phase TRAINING, round 1, attempt 0"


def test_nobody_is_missing_before_a_deadline_or_attends_after_it() -> None:
    def missing(block: int) -> ChainEvent:
        return PartyMissing(party=PASSIVE, round=1, attempt=0, **at(block))

    def attended(block: int) -> ChainEvent:
        return PartyAttended(party=PASSIVE, round=1, attempt=0, **at(block))

    assert broken([missing(BEGAN + 11)]) == broken([attended(BEGAN + 10)]) == []
    assert "missing before the deadline" in broken([missing(BEGAN + 10)])[0]
    assert "attended after the deadline" in broken([attended(BEGAN + 11)])[0]


@pytest.mark.parametrize(("block", "holds"), [(BEGAN + 20, False), (BEGAN + 21, True)])
def test_a_job_expires_once_it_had_its_time_twice(block: int, holds: bool) -> None:
    assert (
        broken([JobExpired(by=PASSIVE, **at(block)), PhaseChanged(phase=Phase.EXPIRED, **at(block))]) == []
    ) is holds
