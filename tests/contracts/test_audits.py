"""Contribution audits and settlements on each chain: shares against fractions, deadlines, votes, faults, points."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from math import comb

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from contracts.script.report.uplinks import envelope_of
from fedchain.chain.devchain import ChainKind
from fedchain.types import Kind
from tests.contracts.stage import PAYLOAD, SHARD_DIGEST, Party, Stage

AUDITS, SETTLEMENTS = "ContributionAudit", "Settlement"
WINDOW, DISPUTE, ROWS, BUDGET = 60, 600, 50, 997
CONTRIBUTION_FALSE, AUDIT_SILENT = 50, 51
LOSSES = b"\x02" * 32


def seed_of(party: Party) -> bytes:
    return hashlib.sha256(b"seed" + party.key).digest()


def frozen(stage: Stage, roster: Sequence[Party]) -> bytes:
    """A job in Evaluating in which all have frozen."""
    job = stage.aligning(roster)
    stage.every(roster, "declareAligned", job, b"o" * 32, 100)
    stage.send(roster[0], AUDITS, "commitLabels", job, (b"\x01" * 32, ROWS, 10, WINDOW, DISPUTE, BUDGET))
    stage.begin(roster, job, 1)
    stage.every(roster, "declareStop", job, 1)
    for party in roster:
        commitment = keccak(encode(("bytes32", "address", "bytes32"), (job, party.address, seed_of(party))))
        stage.send(party, AUDITS, "freeze", job, b"\x0f" * 32, SHARD_DIGEST, commitment)
    return job


def reveal(stage: Stage, roster: Sequence[Party], job: bytes) -> None:
    for party in roster:
        stage.send(party, AUDITS, "reveal", job, seed_of(party))


def complete(stage: Stage, roster: Sequence[Party], job: bytes) -> None:
    for party in roster:
        stage.accept(party, envelope_of(job, 2, Kind.SHARD_DIGEST, PAYLOAD))


def losses(size: int) -> list[int]:
    """Sums that fall, on the whole, with each party that is there; all different."""
    drawn = random.Random(size)
    return [(2 * size - one.bit_count()) * 10**6 * ROWS + drawn.randrange(10**6) for one in range(2**size)]


def shapley(utilities: Sequence[int], party: int) -> Fraction:
    """By its definition, in fractions."""
    size = len(utilities).bit_length() - 1
    total = Fraction(0)
    for coalition, utility in enumerate(utilities):
        if not coalition >> party & 1:
            gain = utilities[coalition | 1 << party] - utility
            total += Fraction(gain, size * comb(size - 1, coalition.bit_count()))
    return total


def check_shares(stage: Stage, size: int) -> None:
    roster = stage.roster(size)
    job = frozen(stage, roster)
    sums = losses(size)
    posted = stage.send(roster[0], AUDITS, "post", job, LOSSES, sums, 0).only("LossesPosted")
    utilities = [-((one + ROWS // 2) // ROWS) for one in sums]
    assert list(posted["utilitiesE6"]) == utilities
    assert [Fraction(one, 840) for one in posted["shares840"]] == [shapley(utilities, one) for one in range(size)]
    assert list(stage.read(AUDITS, "sharesOf", job)) == list(posted["shares840"])
    reveal(stage, roster, job)
    for party in roster[1:]:
        stage.send(party, AUDITS, "vote", job, True, 0)
    stage.send(stage.outsider, AUDITS, "conclude", job)
    complete(stage, roster, job)
    settled = stage.send(stage.outsider, SETTLEMENTS, "settle", job).only("JobSettled")
    points, total = settled["points"], sum(posted["shares840"])
    assert sum(points) == BUDGET
    assert not any(settled["withheld"])
    for found, share in zip(points, posted["shares840"], strict=True):
        assert abs(found - Fraction(BUDGET * share, total)) < 1


def test_shares_of_three_parties_are_the_definitions(stage: Stage) -> None:
    check_shares(stage, 3)


@pytest.mark.parametrize("size", [2, 5, 8])
def test_shares_of_other_rosters_are_the_definitions(stage_of: Callable[[ChainKind], Stage], size: int) -> None:
    check_shares(stage_of("embedded"), size)


def test_silence_and_false_losses_are_faults_and_withhold(stage: Stage) -> None:
    active, bob, carol = roster = stage.roster(3)
    job = frozen(stage, roster)
    stage.send(active, AUDITS, "post", job, LOSSES, losses(3), 0)
    stage.send(active, AUDITS, "reveal", job, seed_of(active))
    stage.send(bob, AUDITS, "reveal", job, seed_of(bob))
    with stage.refused("SeedUnknown"):
        stage.send(bob, AUDITS, "vote", job, False, 5)
    stage.advance(WINDOW + 1)
    with stage.refused("DeadlineOver"):
        stage.send(carol, AUDITS, "reveal", job, seed_of(carol))
    seeds = [seed_of(active), seed_of(bob), bytes(32)]
    assert stage.read(AUDITS, "seedOf", job) == keccak(
        encode(("bytes32", "bytes32", "bytes32[]"), (job, LOSSES, seeds))
    )
    for party in (bob, carol):
        stage.send(party, AUDITS, "vote", job, False, 5)
    before = stage.fault_count()
    concluded = stage.send(stage.outsider, AUDITS, "conclude", job).only("AuditConcluded")
    assert (concluded["auditOutcome"], list(concluded["silent"])) == (3, [0, 0, 4])
    assert stage.fault_count() == before + 2
    first = stage.read("AnomalyRecord", "faultOf", before + 1)
    assert (first["party"], first["reason"], first["answer"]) == (carol.address, AUDIT_SILENT, 0)
    last = stage.last_fault()
    assert (last["party"], last["reason"], last["answer"]) == (active.address, CONTRIBUTION_FALSE, 1)
    assert last["evidence"] == LOSSES
    assert stage.strikes(active) == 1
    complete(stage, roster, job)
    settled = stage.send(bob, SETTLEMENTS, "settle", job).only("JobSettled")
    assert list(settled["withheld"]) == [1 | 8, 8, 4 | 8]


def test_a_settlement_is_final_after_its_time_unless_disputed(stage: Stage) -> None:
    stage.advance(DISPUTE + 1)  # what these parties were part of in other tests is final
    roster = stage.roster(2)
    jobs = []
    for _ in range(2):
        job = frozen(stage, roster)
        stage.send(roster[0], AUDITS, "post", job, LOSSES, losses(2), 0)
        reveal(stage, roster, job)
        stage.send(roster[1], AUDITS, "vote", job, True, 0)
        stage.send(roster[1], AUDITS, "conclude", job)
        complete(stage, roster, job)
        stage.send(roster[0], SETTLEMENTS, "settle", job)
        jobs.append(job)
    before = stage.read(SETTLEMENTS, "totalsOf", roster[0].address, 0, 100)
    stage.send(roster[1], SETTLEMENTS, "dispute", jobs[0], "why")
    stage.advance(DISPUTE + 1)
    assert not stage.read(SETTLEMENTS, "isFinal", jobs[0])
    assert stage.read(SETTLEMENTS, "isFinal", jobs[1])
    with stage.refused("DeadlineOver"):
        stage.send(roster[0], SETTLEMENTS, "dispute", jobs[1], "late")
    with stage.refused("NotSteward"):
        stage.send(roster[0], SETTLEMENTS, "resolve", jobs[0], True, "why")
    stage.carry(SETTLEMENTS, "resolve", jobs[0], False, "so it was")
    points = stage.read(SETTLEMENTS, "settlementOf", jobs[1])["points"][0]
    found = stage.read(SETTLEMENTS, "totalsOf", roster[0].address, 0, 100)
    assert (found[0] - before[0], found[1] - before[1], found[2]) == (points, points, before[2])
