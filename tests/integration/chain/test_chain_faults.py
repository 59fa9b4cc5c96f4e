"""The anomaly record and the proofs through their Python binding, on the embedded chain, anvil and Ganache."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fedchain.chain import (
    Consortium,
    FaultOverturned,
    FaultRecorded,
    ParticipantSuspended,
    StatisticChallenged,
    StatisticFlagged,
    VoteCommitted,
    replay_evidence,
    vote_commitment,
)
from fedchain.chain.fault_votes import commit_vote, reveal_vote
from fedchain.errors import ConfigError, TransactionError
from fedchain.types import Answer, Kind, Reason, Status, VotePhase
from tests.integration.chain.conftest import digest_of

SALT = b"s" * 32


def address_of(consortium: Consortium) -> str:
    assert consortium.sender is not None
    return consortium.sender.address


def test_two_signed_digests_suspend_whoever_proves_and_stewards_overturn(world: Any) -> None:
    party, stranger, steward = world.parties[1], world.stranger, world.steward
    address = address_of(party)
    first = world.envelope(world.aligning_job(), b"first")
    second = replace(first, digest=digest_of(b"second"))
    signatures = [party.sign_uplink(party.uplink_id(address, one)) for one in (first, second)]
    evidence = stranger.faults.equivocation_evidence(address, first)
    before = stranger.faults.tally_of(address)
    assert not stranger.faults.is_proven(evidence)
    with pytest.raises(TransactionError, match=r"NotSigned\("):
        stranger.faults.prove_equivocation(address, first, signatures[0], second, signatures[0])
    receipt = stranger.faults.prove_equivocation(address, first, signatures[0], second, signatures[1])
    (recorded,) = [event for event in receipt.events if isinstance(event, FaultRecorded)]
    assert any(isinstance(event, ParticipantSuspended) and event.party == address for event in receipt.events)
    try:
        assert stranger.faults.is_proven(evidence)
        assert stranger.participant(address).status is Status.SUSPENDED
        with pytest.raises(TransactionError, match=r"AlreadyProven\("):
            stranger.faults.prove_equivocation(address, second, signatures[1], first, signatures[0])
        fault = stranger.faults.fault(recorded.fault_id)
        assert (fault.party, fault.reason, fault.answer) == (address, Reason.EQUIVOCATION, Answer.SUSPENSION)
        assert (fault.evidence, fault.block_number, fault.overturned) == (evidence, receipt.block_number, False)
        assert stranger.faults.tally_of(address) == (before[0] + 1, before[1])

        with pytest.raises(TransactionError, match=r"NotSteward\("):
            stranger.faults.overturn(fault.fault_id, "because")
        with pytest.raises(TransactionError, match=r"ReasonInvalid\(length=0, max=256\)"):
            steward.faults.overturn(fault.fault_id, "")
        vote = steward.faults.overturn(fault.fault_id, "a copy of the node was running")
        assert (vote.votes, vote.threshold, vote.carried) == (1, 1, True)
        (overturned,) = [event for event in vote.receipt.events if isinstance(event, FaultOverturned)]
        assert (overturned.fault_id, overturned.reason) == (fault.fault_id, "a copy of the node was running")
        assert stranger.faults.fault(fault.fault_id) == replace(fault, overturned=True)
        assert stranger.faults.tally_of(address) == (before[0], before[1] + 1)
        with pytest.raises(TransactionError, match=r"AlreadyOverturned\("):
            steward.faults.overturn(fault.fault_id, "again")
    finally:
        steward.reinstate(address)


def test_a_ciphertext_of_another_job_is_a_strike_that_overturning_forgives(world: Any) -> None:
    party, stranger = world.parties[1], world.stranger
    address, payload = address_of(party), b"blinded ids, twice"
    envelopes = []
    for _ in range(2):
        envelopes.append(world.envelope(world.aligning_job(), payload))
        party.submit(envelopes[-1], payload)
    strikes = stranger.participant(address).strikes
    receipt = stranger.faults.prove_replay(address, envelopes[0], b"", envelopes[1], b"")
    (recorded,) = [event for event in receipt.events if isinstance(event, FaultRecorded)]
    assert (recorded.reason, recorded.answer) == (Reason.REPLAY, Answer.STRIKE)
    assert recorded.evidence == replay_evidence(*(party.uplink_id(address, one) for one in envelopes))
    assert stranger.faults.is_proven(recorded.evidence)
    assert stranger.participant(address).strikes == strikes + 1
    with pytest.raises(TransactionError, match=r"AlreadyProven\("):
        stranger.faults.prove_replay(address, envelopes[1], b"", envelopes[0], b"")
    assert world.steward.faults.overturn(recorded.fault_id, "forgiven").carried
    assert stranger.participant(address).strikes == strikes


def test_a_ciphertext_that_was_signed_and_not_accepted_is_a_strike_too(embedded: Any) -> None:
    party, stranger = embedded.parties[1], embedded.stranger
    address, payload = address_of(party), b"blinded ids, signed twice"
    first, second = (embedded.envelope(embedded.aligning_job(), payload) for _ in range(2))
    party.submit(first, payload)
    with pytest.raises(TransactionError, match=r"UplinkNotAccepted\("):
        stranger.faults.prove_replay(address, first, b"", second, b"")
    signature = party.sign_uplink(party.uplink_id(address, second))
    receipt = stranger.faults.prove_replay(address, first, b"", second, signature)
    (recorded,) = [event for event in receipt.events if isinstance(event, FaultRecorded)]
    assert (recorded.reason, recorded.job_id) == (Reason.REPLAY, f"0x{second.job_id.hex()}")
    assert embedded.steward.faults.overturn(recorded.fault_id, "forgiven").carried


def test_a_false_statistic_of_the_one_contribution_is_challenged_once(embedded: Any) -> None:
    active, passive = embedded.parties
    address, payload = address_of(active), b"contribution"
    job = embedded.training_job(pipelined=False)
    for party in embedded.parties:
        party.declare_stop(job, 1)
    envelope = replace(embedded.envelope(job, payload, Kind.CONTRIBUTION), round=2, statistic_e6=49)
    _, judged = active.submit(envelope, payload)
    assert judged is not None
    assert judged.reason is Reason.ACCEPTED
    with pytest.raises(TransactionError, match=r"ChallengerIsTarget\("):
        active.faults.challenge(judged.uplink_id)
    with pytest.raises(TransactionError, match=r"NothingDeclared\("):
        passive.faults.challenge(b"\x07" * 32)
    assert passive.faults.contribution(b"\x07" * 32) is None
    accepted = passive.faults.contribution(judged.uplink_id)
    assert accepted is not None
    at = passive.client.block_time(judged.block_number)[1]
    assert (accepted.job_id, accepted.party, accepted.accepted_at) == (job, address, at)
    assert accepted.block_number == judged.block_number
    receipt = passive.faults.challenge(judged.uplink_id)
    recorded, challenged = receipt.events
    assert isinstance(recorded, FaultRecorded)
    assert (recorded.reason, recorded.answer) == (Reason.STATISTIC_CHALLENGED, Answer.RECORDED)
    assert (recorded.party, recorded.job_id, recorded.evidence) == (address, job, judged.uplink_id)
    assert isinstance(challenged, StatisticChallenged)
    assert (challenged.fault_id, challenged.challenger) == (recorded.fault_id, address_of(passive))
    ballot = passive.faults.ballot(recorded.fault_id)
    assert (challenged.uplink_id, challenged.commit_until) == (judged.uplink_id, ballot.opened + 3600)
    assert ballot.phase is VotePhase.COMMITTING
    with pytest.raises(TransactionError, match=r"AlreadyChallenged\("):
        passive.faults.challenge(judged.uplink_id)


def test_a_rejected_uplink_is_a_fault_with_its_id_as_evidence(embedded: Any) -> None:
    party = embedded.parties[1]
    envelope = embedded.envelope(embedded.aligning_job(), b"payload", Kind.HISTOGRAM)
    receipt, judged = party.submit(envelope, b"payload")
    assert judged is not None
    (recorded,) = [event for event in receipt.events if isinstance(event, FaultRecorded)]
    assert (recorded.reason, recorded.answer) == (Reason.WRONG_PHASE, Answer.STRIKE)
    assert recorded.evidence == judged.uplink_id
    assert embedded.steward.faults.overturn(recorded.fault_id, "a test").carried


def test_a_false_payload_is_proven_by_what_was_signed_with_it(embedded: Any) -> None:
    party, stranger, served = embedded.parties[1], embedded.stranger, digest_of(b"other")
    address = address_of(party)
    envelope = embedded.envelope(embedded.aligning_job(), b"payload")
    party.submit(envelope, b"payload")
    signature = party.sign_uplink(party.faults.served_statement(envelope.digest, served))
    with pytest.raises(TransactionError, match=r"PayloadIsSound\("):
        stranger.faults.prove_payload_mismatch(address, envelope, envelope.digest, signature)
    receipt = stranger.faults.prove_payload_mismatch(address, envelope, served, signature)
    (recorded,) = [event for event in receipt.events if isinstance(event, FaultRecorded)]
    assert (recorded.reason, recorded.answer) == (Reason.PAYLOAD_MISMATCH, Answer.STRIKE)
    assert embedded.steward.faults.overturn(recorded.fault_id, "a test").carried


def test_a_statistic_far_from_the_others_is_flagged_and_receivers_vote(embedded: Any) -> None:
    active, voter = embedded.parties
    job = embedded.training_job(pipelined=False)
    for party in embedded.parties:
        party.declare_stop(job, 1)
    for step, statistic_e6 in enumerate((*(500_000,) * 8, 900_000)):
        envelope = replace(
            embedded.envelope(job, b"shares", Kind.CONTRIBUTION), round=2, step=step, statistic_e6=statistic_e6
        )
        receipt, _ = active.submit(envelope, b"shares")
    assert voter.faults.statistics(job, Kind.CONTRIBUTION) == (*(500_000,) * 8, 900_000)
    (recorded,) = [event for event in receipt.events if isinstance(event, FaultRecorded)]
    (flagged,) = [event for event in receipt.events if isinstance(event, StatisticFlagged)]
    assert (recorded.reason, recorded.answer) == (Reason.STATISTIC_OUTLIER, Answer.RECORDED)
    assert (flagged.kind, flagged.statistic_e6, flagged.score_e6) == (Kind.CONTRIBUTION, 900_000, 53_960_000)
    number = flagged.fault_id
    assert voter.faults.ballot(number).phase is VotePhase.COMMITTING

    with pytest.raises(TransactionError, match=r"VoterIsTarget\("):
        commit_vote(active, number, is_false=False)
    with pytest.raises(ConfigError, match="acts for no participant"):
        commit_vote(embedded.stranger, number, is_false=True)
    commit_vote(voter, number, is_false=True)
    assert voter.faults.ballot(number).committed == 1
    commitment = voter.faults.commitment(number, address_of(voter))
    assert commitment not in (None, vote_commitment(number, address_of(voter), True, SALT))
    with pytest.raises(TransactionError, match=r"AlreadyCommitted\("):
        commit_vote(voter, number, is_false=True)
    with pytest.raises(TransactionError, match=r"WrongVotePhase\("):
        reveal_vote(voter, number)
    with pytest.raises(TransactionError, match=r"WrongVotePhase\("):
        embedded.stranger.faults.tally(number)
    events = voter.events(receipt.block_number, voter.client.head())
    assert [event.party for event in events if isinstance(event, VoteCommitted)] == [address_of(voter)]


def test_a_fault_that_there_is_not_is_refused(embedded: Any) -> None:
    with pytest.raises(TransactionError, match=r"UnknownFault\("):
        embedded.stranger.faults.fault(embedded.stranger.faults.count() + 1)
    ballot = embedded.stranger.faults.ballot(10**6)
    assert (ballot.opened, ballot.phase) == (0, VotePhase.NONE)
    assert embedded.stranger.faults.commitment(1, address_of(embedded.stranger)) is None
