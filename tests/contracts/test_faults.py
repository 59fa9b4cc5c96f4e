"""Faults that anybody proves, and statistics that receivers vote on, on each chain."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from contracts.script.report.uplinks import digest_of, envelope_of
from fedchain.chain import is_answered
from fedchain.types import Kind, Reason
from tests.contracts.stage import PAYLOAD, Party, Stage

RECORD, PROOFS = "AnomalyRecord", "FaultProofs"
EQUIVOCATION, PAYLOAD_MISMATCH, REPLAY, STATISTIC_OUTLIER, STATISTIC_FALSE = 32, 33, 34, 48, 49
OTHER = b"another payload for the same slot"
VOTE_SECONDS = 3600


def vouch(stage: Stage, party: Party, envelope: dict[str, Any]) -> bytes:
    """The party's signature of an uplink's id."""
    return party.account.sign_uplink(stage.read("UplinkLedger", "uplinkIdOf", party.address, envelope))


def last(stage: Stage) -> tuple[str, int, int]:
    fault = stage.last_fault()
    return fault["party"], fault["reason"], fault["answer"]


def test_two_signed_digests_for_one_slot_suspend(stage: Stage) -> None:
    roster = stage.roster(2)
    party = roster[1]
    job = stage.training(roster)
    one = envelope_of(job, 1, Kind.HISTOGRAM, PAYLOAD)
    two = envelope_of(job, 1, Kind.HISTOGRAM, OTHER)
    first, second = vouch(stage, party, one), vouch(stage, party, two)

    def prove(a: dict[str, Any], signature_a: bytes, b: dict[str, Any], signature_b: bytes) -> None:
        stage.send(stage.outsider, PROOFS, "proveEquivocation", party.address, a, signature_a, b, signature_b)

    with stage.refused("DigestsEqual"):
        prove(one, first, one, first)
    with stage.refused("SlotsDiffer"):
        prove(one, first, {**two, "step": 1}, second)
    with stage.refused("NotSigned"):
        prove(one, first, two, first)
    with stage.refused("UplinkNotAccepted"):
        prove(one, first, two, b"")
    assert stage.strikes(party) == 0
    prove(one, first, two, second)
    assert last(stage) == (party.address, EQUIVOCATION, 2)
    assert stage.participant(party)["status"] == 3
    with stage.refused("AlreadyProven"):
        prove(two, second, one, first)
    with stage.refused("PartyNotAccredited"):
        stage.propose([roster[0], party])


def test_a_rotation_is_no_way_out_of_what_was_signed_before_it(stage: Stage) -> None:
    roster = stage.roster(2)
    party = roster[1]
    job = stage.training(roster)
    one = envelope_of(job, 1, Kind.HISTOGRAM, PAYLOAD)
    two = envelope_of(job, 1, Kind.HISTOGRAM, OTHER)
    first, second = vouch(stage, party, one), vouch(stage, party, two)
    successor = stage.fund()
    deadline = stage.now() + 600
    rotation = party.account.sign_rotation(
        chain_id=stage.client.chain_id,
        registry=stage.deployed.addresses["ParticipantRegistry"],
        party=party.address,
        successor=successor.address,
        nonce=stage.read("ParticipantRegistry", "rotationNonce", party.address),
        deadline=deadline,
    )
    stage.send(successor, "ParticipantRegistry", "rotateKey", party.address, deadline, rotation)
    assert stage.read("JobManager", "acceptanceOf", job, party.address) == (party.address, 0, 0)
    stage.send(stage.outsider, PROOFS, "proveEquivocation", party.address, one, first, two, second)
    assert last(stage) == (party.address, EQUIVOCATION, 2)
    assert stage.participant(party)["status"] == 3


def test_what_counts_as_a_fault_is_the_same_in_the_binding(stage: Stage) -> None:
    for reason in Reason:
        for repeated in (False, True):
            answer = stage.read("AnomalyPolicy", "answerTo", int(reason), repeated)
            assert is_answered(reason, repeated=repeated) == (answer != 0), reason


def test_an_accepted_uplink_needs_no_signature_to_prove_the_other_digest(stage: Stage) -> None:
    roster = stage.roster(2)
    party = roster[1]
    job = stage.training(roster)
    one = envelope_of(job, 1, Kind.HISTOGRAM, PAYLOAD)
    two = envelope_of(job, 1, Kind.HISTOGRAM, OTHER)
    stage.accept(party, one)
    stage.send(roster[0], PROOFS, "proveEquivocation", party.address, one, b"", two, vouch(stage, party, two))
    assert last(stage) == (party.address, EQUIVOCATION, 2)


def test_a_served_payload_that_is_not_the_committed_one_is_a_strike(stage: Stage) -> None:
    roster = stage.roster(2)
    party = roster[1]
    job = stage.training(roster)
    envelope = envelope_of(job, 1, Kind.HISTOGRAM, size=100_000, digest=b"c" * 32)

    def prove(served: bytes, by: Party, ledger: str = "UplinkLedger") -> None:
        place = (stage.client.chain_id, stage.deployed.addresses[ledger], envelope["digest"], served)
        types = ["string", "uint256", "address", "bytes32", "bytes32"]
        signature = by.account.sign_uplink(keccak(encode(types, ["fedchain payload", *place])))
        stage.send(stage.outsider, PROOFS, "provePayloadMismatch", party.address, envelope, served, signature)

    with stage.refused("UplinkNotAccepted"):
        prove(b"s" * 32, party)
    stage.accept(party, envelope, b"")
    with stage.refused("PayloadIsSound"):
        prove(b"c" * 32, party)
    with stage.refused("NotSigned"):
        prove(b"s" * 32, roster[0])
    with stage.refused("NotSigned"):
        prove(b"s" * 32, party, "JobManager")
    prove(b"s" * 32, party)
    assert last(stage) == (party.address, PAYLOAD_MISMATCH, 1)
    assert stage.strikes(party) == 1
    with stage.refused("AlreadyProven"):
        prove(b"t" * 32, party)


def test_a_ciphertext_that_is_sent_in_two_rounds_is_a_strike(stage: Stage) -> None:
    roster = stage.roster(2)
    passive = roster[1]
    job = stage.training(roster)
    first = envelope_of(job, 1, Kind.HISTOGRAM, PAYLOAD)
    stage.accept(passive, first)
    partition = envelope_of(job, 1, Kind.PARTITION, PAYLOAD)
    stage.accept(passive, partition)
    stage.begin(roster, job, 2)
    second = envelope_of(job, 2, Kind.HISTOGRAM, PAYLOAD)

    def prove(a: dict[str, Any], b: dict[str, Any]) -> None:
        stage.send(stage.outsider, PROOFS, "proveReplay", passive.address, a, b"", b, b"")

    with stage.refused("UplinkNotAccepted"):
        prove(first, second)
    stage.accept(passive, second)
    with stage.refused("KindMayRepeat"):
        prove(first, partition)
    with stage.refused("SameRound"):
        prove(first, first)
    with stage.refused("DigestsDiffer"):
        prove(first, {**second, "digest": digest_of(OTHER)})
    prove(second, first)
    assert last(stage) == (passive.address, REPLAY, 1)
    assert stage.last_fault()["round"] == 2
    with stage.refused("AlreadyProven"):
        prove(first, second)


@pytest.mark.parametrize("confirmed", [True, False])
def test_an_outlier_is_flagged_and_the_receivers_vote_decides(stage: Stage, confirmed: bool) -> None:
    roster = stage.roster()
    active, passive, other = roster
    job = stage.evaluating(roster)
    values = [1_000_000 + 1000 * i for i in range(8)]
    for step, value in enumerate(values):
        stage.accept(active, envelope_of(job, 2, Kind.CONTRIBUTION, PAYLOAD, step=step, statisticE6=value))
    faults = stage.fault_count()
    outlier = envelope_of(job, 2, Kind.CONTRIBUTION, PAYLOAD, step=8, statisticE6=9_000_000)
    stage.accept(active, outlier)  # a flag is no rejection
    assert stage.fault_count() == faults + 1
    assert last(stage) == (active.address, STATISTIC_OUTLIER, 0)
    assert stage.read(RECORD, "statisticsOf", job, Kind.CONTRIBUTION) == (*values, 9_000_000)
    fault, salt = stage.fault_count(), b"s" * 32

    def commit(party: Party, confirms: bool) -> None:
        words = encode(["uint256", "address", "bool", "bytes32"], [fault, party.address, confirms, salt])
        stage.send(party, RECORD, "commitVote", fault, keccak(words))

    with stage.refused("VoterIsTarget"):
        commit(active, False)
    with stage.refused("NotOnRoster"):
        commit(stage.accredited(), True)
    commit(passive, True)
    commit(other, confirmed)
    with stage.refused("AlreadyCommitted"):
        commit(other, True)
    with stage.refused("WrongVotePhase"):
        stage.send(passive, RECORD, "revealVote", fault, True, salt)
    stage.advance(VOTE_SECONDS + 10)
    with stage.refused("CommitmentDiffers"):
        stage.send(other, RECORD, "revealVote", fault, not confirmed, salt)
    stage.send(passive, RECORD, "revealVote", fault, True, salt)
    stage.send(other, RECORD, "revealVote", fault, confirmed, salt)
    with stage.refused("WrongVotePhase"):
        stage.send(stage.outsider, RECORD, "tally", fault)
    stage.advance(VOTE_SECONDS + 10)
    tallied = stage.send(stage.outsider, RECORD, "tally", fault).only("VotesTallied")
    assert (tallied["confirming"], tallied["voting"], tallied["confirmed"]) == (1 + confirmed, 2, confirmed)
    assert stage.strikes(active) == int(confirmed)
    if confirmed:
        assert last(stage) == (active.address, STATISTIC_FALSE, 1)
    with stage.refused("WrongVotePhase"):
        stage.send(stage.outsider, RECORD, "tally", fault)


def test_only_the_reporters_report(stage: Stage) -> None:
    party = stage.accredited()
    for who in (stage.outsider, party, stage.stewards[0], stage.deployed.deployer):
        with stage.refused("NotReporter"):
            stage.send(who, RECORD, "report", party.address, bytes(32), 1, 2, bytes(32))
        with stage.refused("NotGate"):
            stage.send(who, "ParticipantRegistry", "strike", party.address, bytes(32), 1, 2)
