"""Every reason code on each chain: an uplink wrong in that respect alone, its verdict, its fault and its answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contracts.script.report.deployed import POLICY
from contracts.script.report.mutants import SOURCES, enum_members
from contracts.script.report.uplinks import digest_of, envelope_of
from fedchain.types import Kind
from tests.contracts.stage import DAY, PAYLOAD, Party, Stage

NAMES = enum_members((SOURCES / "interfaces" / "IUplinkLedger.sol").read_text(encoding="utf-8"), "Reason")
OTHER = b"another payload for the same slot"
RATE = 2
Sound = dict[str, Any]
Sent = tuple[Party, Sound, bytes]


class Case:
    """A strict job in round 1 of parties that nobody else uses."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.roster = stage.roster()
        self.active, self.passive, self.other = self.roster
        self.job = stage.training(self.roster, maxUplinksPerRound=RATE)
        self.sound = envelope_of(self.job, 1, Kind.HISTOGRAM, PAYLOAD)

    def change(self, payload: bytes = PAYLOAD, **changes: Any) -> Sent:
        """The sound uplink with fields replaced."""
        return self.passive, {**self.sound, **changes}, payload

    def suspended(self) -> Sent:
        """Its sender is suspended."""
        self.stage.carry("ParticipantRegistry", "suspend", self.passive.address, "test")
        return self.change()

    def outsider(self) -> Sent:
        """A party in good standing that is not on the roster."""
        return self.stage.accredited(), self.sound, PAYLOAD

    def taken(self) -> Sent:
        """Its slot holds another digest."""
        self.stage.accept(*self.change())
        return self.change(OTHER, digest=digest_of(OTHER), size=len(OTHER))

    def too_many(self) -> Sent:
        """One more than a round allows."""
        for step in range(RATE):
            self.stage.accept(*self.change(step=step))
        return self.change(step=RATE)

    def late(self) -> Sent:
        """After the round's deadline."""
        self.stage.advance(DAY + 10)
        return self.change()


CASES: dict[str, Callable[[Case], Sent]] = {
    "SenderSuspended": Case.suspended,
    "UnknownJob": lambda case: case.change(jobId=b"?" * 32),
    "NotOnRoster": Case.outsider,
    "WrongPhase": lambda case: case.change(kind=Kind.PUBLIC_KEY),
    "WrongRound": lambda case: case.change(round=2),
    "WrongAttempt": lambda case: case.change(attempt=1),
    "KindNotAllowed": lambda case: case.change(kind=Kind.GRADIENTS),
    "RecipientNotOnRoster": lambda case: case.change(recipient=case.stage.outsider.address),
    "SchemaUnsupported": lambda case: case.change(schema=2),
    "SizeOutOfBounds": lambda case: case.change(b"", size=int(str(POLICY["maxPayloadBytes"])) + 1),
    "DigestMismatch": lambda case: case.change(PAYLOAD[:-1] + b"!"),
    "SlotTaken": Case.taken,
    "StatisticOutOfPolicy": lambda case: case.change(statisticE6=1),
    "RateExceeded": Case.too_many,
    "DeadlineMissed": Case.late,
}
RECORDED_ONLY = ("SenderSuspended", "DeadlineMissed")
"""Faults that are no strike: nobody is punished twice, or for being late once."""


def test_there_is_a_case_for_every_reason() -> None:
    assert list(CASES) == NAMES[1:]


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_uplink_gets_its_reason_a_fault_and_the_answer(stage: Stage, name: str) -> None:
    case = Case(stage)
    party, envelope, payload = CASES[name](case)
    number, strikes = NAMES.index(name), stage.strikes(party)
    faults, rejected = stage.fault_count(), stage.read("UplinkLedger", "countsOf", envelope["jobId"])[1]
    assert stage.submit(party, envelope, payload) == number
    assert stage.fault_count() == faults + 1
    fault = stage.last_fault()
    assert (fault["party"], fault["reason"], fault["jobId"]) == (party.address, number, envelope["jobId"])
    assert fault["evidence"] == stage.read("UplinkLedger", "uplinkIdOf", party.address, envelope)
    answer = 0 if name in RECORDED_ONLY else 1
    assert (fault["answer"], stage.strikes(party)) == (answer, strikes + answer)
    assert stage.read("UplinkLedger", "countsOf", envelope["jobId"])[1] == rejected + 1
    if name not in ("SenderSuspended", "RateExceeded", "DeadlineMissed"):  # the sound one passes in the same state
        step = 1 if name == "SlotTaken" else 0
        stage.accept(case.passive, {**case.sound, "step": step})


def test_the_third_strike_suspends_and_stewards_overturn_one(stage: Stage) -> None:
    case = Case(stage)
    party, wrong, payload = case.change(round=2)
    found = [stage.submit(party, {**wrong, "step": step}, payload) for step in range(4)]
    assert [NAMES[reason] for reason in found] == ["WrongRound"] * 3 + ["SenderSuspended"]
    assert stage.participant(party)["status"] == 3
    with stage.refused("PartyNotAccredited"):
        stage.send(party, "JobManager", "attend", case.job)
    fault = stage.fault_count() - 1  # the third strike
    with stage.refused("NotSteward"):
        stage.send(party, "AnomalyRecord", "overturn", fault, "it was not me")
    assert stage.carry("AnomalyRecord", "overturn", fault, "a fault of the chain").all("FaultOverturned")
    assert (stage.strikes(party), stage.read("AnomalyRecord", "faultsOf", party.address)) == (2, (2, 1))
    with stage.refused("AlreadyOverturned"):
        stage.send(stage.stewards[2], "AnomalyRecord", "overturn", fault, "once more")


def test_whoever_was_never_accredited_gets_no_verdict(stage: Stage) -> None:
    case = Case(stage)
    for nobody in (stage.fund(), stage.registered()):
        with stage.refused("CallerNotAccredited"):
            stage.send(nobody, "UplinkLedger", "submit", case.sound, PAYLOAD)


def test_an_accepted_uplink_sent_again_changes_nothing(stage: Stage) -> None:
    case = Case(stage)
    stage.accept(*case.change())
    again = stage.send(case.passive, "UplinkLedger", "submit", case.sound, PAYLOAD)
    assert again.events == ()
    assert stage.read("UplinkLedger", "countsOf", case.job) == (1, 0)
