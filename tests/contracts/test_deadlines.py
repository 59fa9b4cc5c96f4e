"""One absent party blocks nobody for ever: whatever is overdue is closed by anybody, on each chain."""

from __future__ import annotations

from contracts.script.report.deployed import Done
from contracts.script.report.uplinks import envelope_of
from fedchain.types import Kind, Phase
from tests.contracts.stage import DAY, PAYLOAD, Party, Stage

JOBS = "JobManager"
EXPIRED = 7
MISSING = 64


def missing(done: Done) -> list[str]:
    return [event["party"] for event in done.all("PartyMissing")]


def masks(done: Done) -> tuple[int, int, int]:
    closed = done.only("RoundClosed")
    return closed["acceptedMask"], closed["rejectedMask"], closed["missingMask"]


def answers(stage: Stage, first: int) -> list[tuple[str, int, int]]:
    faults = [stage.read("AnomalyRecord", "faultOf", number) for number in range(first, stage.fault_count() + 1)]
    return [(fault["party"], fault["reason"], fault["answer"]) for fault in faults]


def test_a_round_is_closed_by_anybody_once_it_is_overdue(stage: Stage) -> None:
    roster = stage.roster(4)
    active, sends, attends, absent = roster
    job = stage.training(roster)
    assert stage.read(JOBS, "deadlineOf", job) >= stage.now() + DAY - 60
    stage.accept(active, envelope_of(job, 1, Kind.GRADIENTS, PAYLOAD))
    stage.submit(sends, envelope_of(job, 1, Kind.GRADIENTS, PAYLOAD))  # rejected: not for its role
    stage.send(attends, JOBS, "attend", job)
    with stage.refused("DeadlineNotReached"):
        stage.send(stage.outsider, JOBS, "closeRound", job)
    with stage.refused("WrongPhase"):
        stage.send(stage.outsider, JOBS, "markMissing", job)
    stage.advance(DAY + 10)
    with stage.refused("DeadlineOver"):
        stage.send(absent, JOBS, "attend", job)
    first = stage.fault_count() + 1
    closed = stage.send(stage.outsider, JOBS, "closeRound", job)
    assert masks(closed) == (0b0101, 0b0010, 0b1000)
    assert missing(closed) == [absent.address]
    assert answers(stage, first) == [(absent.address, MISSING, 0)]
    assert stage.send(stage.outsider, JOBS, "closeRound", job).events == ()  # again: nothing is left to do
    assert stage.fault_count() == first


def test_who_misses_a_second_round_of_a_job_gets_a_strike(stage: Stage) -> None:
    roster = stage.roster(2)
    active, absent = roster
    job = stage.training(roster)
    for strikes in (0, 1):
        stage.accept(active, envelope_of(job, 1, Kind.GRADIENTS, PAYLOAD, attempt=strikes))
        stage.advance(DAY + 10)
        assert missing(stage.send(active, JOBS, "closeRound", job)) == [absent.address]
        assert stage.strikes(absent) == strikes
        stage.send(active, JOBS, "retryRound", job, 1)  # a new deadline


def test_the_next_round_closes_the_one_before_with_nobody_at_fault(stage: Stage) -> None:
    roster = stage.roster(2)
    job = stage.training(roster)
    stage.accept(roster[1], envelope_of(job, 1, Kind.HISTOGRAM, PAYLOAD))
    first = stage.fault_count()
    begun = stage.send(roster[0], JOBS, "beginRound", job, 2)
    assert masks(begun) == (0b10, 0, 0b01)
    assert (missing(begun), stage.fault_count()) == ([], first)


def overdue(stage: Stage, roster: list[Party], job: bytes, absent: Party, *, reported: bool) -> None:
    """One did nothing in a phase: that is told once, and reported."""
    with stage.refused("DeadlineNotReached"):
        stage.send(stage.outsider, JOBS, "markMissing", job)
    stage.advance(DAY + 10)
    first = stage.fault_count() + 1
    assert missing(stage.send(stage.outsider, JOBS, "markMissing", job)) == [absent.address]
    assert answers(stage, first) == ([(absent.address, MISSING, 0)] if reported else [])
    assert missing(stage.send(stage.outsider, JOBS, "markMissing", job)) == []


def test_who_does_not_accept_is_missing_and_not_at_fault(stage: Stage) -> None:
    roster = stage.roster(2)
    job = stage.propose(roster)
    stage.send(roster[0], JOBS, "accept", job)
    overdue(stage, roster, job, roster[1], reported=False)
    with stage.refused("DeadlineNotReached"):
        stage.send(stage.outsider, JOBS, "expire", job)
    stage.advance(DAY + 10)
    done = stage.send(stage.outsider, JOBS, "expire", job)
    assert done.only("JobExpired") == {"jobId": job, "by": stage.outsider.address}
    assert stage.read(JOBS, "phaseOf", job) == EXPIRED
    assert stage.read(JOBS, "deadlineOf", job) == 0
    with stage.refused("JobEnded"):
        stage.send(stage.outsider, JOBS, "expire", job)


def test_who_does_not_align_or_evaluate_is_missing_and_reported(stage: Stage) -> None:
    roster = stage.roster(2)
    aligning = stage.aligning(roster)
    stage.send(roster[1], JOBS, "declareAligned", aligning, b"o" * 32, 100)
    overdue(stage, roster, aligning, roster[0], reported=True)
    evaluating = stage.evaluating(roster)
    stage.accept(roster[0], envelope_of(evaluating, 2, Kind.SHARD_DIGEST, PAYLOAD))
    overdue(stage, roster, evaluating, roster[1], reported=True)
    stage.accept(roster[1], envelope_of(evaluating, 2, Kind.SHARD_DIGEST, PAYLOAD))
    assert stage.phase(evaluating) is Phase.COMPLETED


def test_a_job_may_end_at_once_when_a_party_is_suspended(stage: Stage) -> None:
    roster = stage.roster(2)
    patient, strict = stage.training(roster), stage.training(roster, endsOnSuspension=True)
    with stage.refused("DeadlineNotReached"):
        stage.send(roster[0], JOBS, "expire", strict)
    stage.carry("ParticipantRegistry", "suspend", roster[1].address, "test")
    with stage.refused("DeadlineNotReached"):
        stage.send(roster[0], JOBS, "expire", patient)
    stage.send(roster[0], JOBS, "expire", strict)
    assert stage.read(JOBS, "phaseOf", strict) == EXPIRED
    assert stage.phase(patient) is Phase.TRAINING


def test_a_job_without_deadlines_is_refused(stage: Stage) -> None:
    roster = stage.roster(2)
    for name in ("phaseSeconds", "roundSeconds", "maxUplinksPerRound"):
        with stage.refused("PolicyInvalid"):
            stage.propose(roster, **{name: 0})
    with stage.refused("PolicyVersionInvalid"):
        stage.propose(roster, version=999)
