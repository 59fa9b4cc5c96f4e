"""Contribution audits and settlements through their Python bindings, on the embedded chain, anvil and Ganache."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from fedchain.chain import (
    AuditConcluded,
    AuditVoted,
    Consortium,
    JobPolicy,
    JobSettled,
    LabelsCommitted,
    LossesPosted,
    OutputsFrozen,
    SeedRevealed,
    SettlementDisputed,
    SettlementResolved,
    Totals,
    combined_seed,
    seed_commitment,
)
from fedchain.errors import ConfigError, TransactionError
from fedchain.messages import Envelope
from fedchain.protocol.audits import AuditState, LabelTerms
from fedchain.types import AuditOutcome, AuditReason, JobId, Kind, Reason, Withheld
from tests.integration.chain.conftest import digest_of

ROWS = 10
TERMS = LabelTerms(b"\x01" * 32, ROWS, 5, 3600, 7200, 1000)
SUMS = (2_000_000, 1_500_000, 1_000_005, 400_000)
"""Nobody, the active party alone, the passive alone, both."""
SEEDS = (b"\xa5" * 32, b"\xb6" * 32)
SHARDS = (b"\x51" * 32, b"\x52" * 32)


def trained_job(world: Any, terms: LabelTerms | None = TERMS) -> JobId:
    """A job of both parties in Evaluating, with an audit unless the terms are None."""
    active = world.parties[0]
    job: JobId = active.propose(
        b'{"audited":%d}' % next(world.steps), world.addresses(), JobPolicy(1 << 20, 100, 10**6)
    )
    for party in world.parties:
        party.accept(job)
    for party in world.parties:
        party.declare_aligned(job, b"\x07" * 32, 100)
    if terms is not None:
        active.audits.commit_labels(job, terms)
    active.begin_round(job, 1)
    for party in world.parties:
        party.declare_stop(job, 1)
    return job


def freeze(world: Any, job: JobId) -> None:
    for party, address, seed, shard in zip(world.parties, world.addresses(), SEEDS, SHARDS, strict=True):
        party.audits.freeze(job, b"\x0f" * 32, shard, seed_commitment(job, address, seed))


def complete(world: Any, job: JobId) -> None:
    for party, shard in zip(world.parties, SHARDS, strict=True):
        payload = b"shard" + shard
        party.submit(
            Envelope(bytes.fromhex(job[2:]), 2, 0, 0, Kind.SHARD_DIGEST, bytes(20), digest_of(payload), len(payload)),
            payload,
        )


def state_of(party: Consortium, job: JobId) -> AuditState:
    state = party.audits.state(job)
    assert state is not None
    return state


def test_an_audit_runs_from_labels_to_points_and_a_dispute(world: Any) -> None:
    active, passive = world.parties
    addresses = world.addresses()
    before = [passive.settlements.totals(one) for one in addresses]
    start = world.client.head() + 1
    job = trained_job(world)
    assert state_of(passive, job) == AuditState(
        TERMS, (b"", b""), (b"", b""), votes=(0, 0), reasons=(0, 0), seeds=(b"", b""), commitments=(b"", b"")
    )
    with pytest.raises(TransactionError, match=r"NotFrozen\("):
        active.audits.post(job, b"\x02" * 32, SUMS, 0)
    freeze(world, job)
    frozen = state_of(passive, job)
    assert frozen.all_frozen
    assert frozen.shards == SHARDS
    assert frozen.deadline > 0
    with pytest.raises(TransactionError, match=r"AlreadyFrozen\("):
        freeze(world, job)
    with pytest.raises(TransactionError, match=r"NotConcludable\("):
        passive.audits.conclude(job)

    active.audits.post(job, b"\x02" * 32, SUMS, 0)
    utilities = [-((one + ROWS // 2) // ROWS) for one in SUMS]
    posted = state_of(passive, job)
    assert posted.loss_sums == SUMS
    lead = Fraction(utilities[1] - utilities[0] + utilities[3] - utilities[2], 2)
    assert [Fraction(one) for one in posted.shares840] == [840 * lead, 840 * (utilities[3] - utilities[0] - lead)]
    assert posted.seed == b""
    with pytest.raises(TransactionError, match=r"SeedDiffers\("):
        passive.audits.reveal(job, SEEDS[0])
    with pytest.raises(TransactionError, match=r"SeedUnknown\("):
        passive.audits.vote(job, True, AuditReason.SOUND)
    for party, seed in zip(world.parties, SEEDS, strict=True):
        party.audits.reveal(job, seed)
    seeded = state_of(passive, job)
    assert seeded.seed == combined_seed(job, posted.losses_root, SEEDS)
    assert seeded.seeds == SEEDS
    with pytest.raises(TransactionError, match=r"VoteInvalid\("):
        passive.audits.vote(job, True, AuditReason.LOSSES)
    passive.audits.vote(job, True, AuditReason.SOUND)
    assert state_of(active, job).all_voted
    world.stranger.audits.conclude(job)
    done = state_of(passive, job)
    assert (done.outcome, done.silent, done.votes, done.deadline) == ("verified", (0, 0), (0, 1), 0)
    assert passive.audits.history(addresses[1])[-1] == (job, AuditOutcome.VERIFIED)

    with pytest.raises(TransactionError, match=r"WrongPhase\("):
        world.stranger.settlements.settle(job)
    complete(world, job)
    world.stranger.settlements.settle(job)
    settled = passive.settlements.settlement(job)
    assert settled.roster == tuple(addresses)
    assert sum(settled.points) == TERMS.budget
    exact = [TERMS.budget * Fraction(share, sum(done.shares840)) for share in done.shares840]
    assert all(abs(found - due) < 1 for found, due in zip(settled.points, exact, strict=True))
    assert settled.withheld == (Withheld.NONE, Withheld.NONE)
    assert settled.paid == settled.points
    assert (settled.final_at - settled.settled_at, settled.is_final, settled.resolved) == (7200, False, None)
    assert passive.settlements.totals(addresses[0]) == replace(before[0], jobs=before[0].jobs + 1)

    with pytest.raises(TransactionError, match=r"NotDisputed\("):
        world.steward.settlements.resolve(job, True, "it is right")
    passive.settlements.dispute(job, "the budget was another")
    assert passive.settlements.settlement(job).disputed_by == addresses[1]
    vote = world.steward.settlements.resolve(job, True, "it is right")
    assert (vote.votes, vote.carried) == (1, True)
    settled = passive.settlements.settlement(job)
    assert (settled.resolved, settled.is_final) == (True, True)
    for address, points, earlier in zip(addresses, settled.points, before, strict=True):
        assert passive.settlements.totals(address) == Totals(
            earlier.points + points, earlier.withheld, earlier.jobs + 1
        )
    assert passive.settlements.history(addresses[0])[-1] == job

    events = [one for one in passive.events(start, world.client.head()) if getattr(one, "job_id", "") == job]
    told = (
        LabelsCommitted, OutputsFrozen, LossesPosted, SeedRevealed, AuditVoted, AuditConcluded, JobSettled,
        SettlementDisputed, SettlementResolved,
    )  # fmt: skip
    assert [type(one) for one in events if isinstance(one, told)] == [
        LabelsCommitted, OutputsFrozen, OutputsFrozen, LossesPosted, SeedRevealed, SeedRevealed, AuditVoted,
        AuditConcluded, JobSettled, SettlementDisputed, SettlementResolved,
    ]  # fmt: skip
    (losses,) = (one for one in events if isinstance(one, LossesPosted))
    assert (losses.sums, losses.utilities_e6, losses.shares840) == (SUMS, tuple(utilities), posted.shares840)
    (concluded,) = (one for one in events if isinstance(one, AuditConcluded))
    assert (concluded.audit_outcome, concluded.seed, concluded.silent) == (AuditOutcome.VERIFIED, seeded.seed, (0, 0))
    (reason,) = (one.reason for one in events if isinstance(one, SettlementDisputed))
    assert reason == "the budget was another"


def test_a_false_vote_of_one_auditor_disputes_and_withholds_all_points(embedded: Any) -> None:
    world = embedded
    active, passive = world.parties
    job = trained_job(world)
    freeze(world, job)
    active.audits.post(job, b"\x02" * 32, SUMS, 0b10)
    for party, seed in zip(world.parties, SEEDS, strict=True):
        party.audits.reveal(job, seed)
    with pytest.raises(TransactionError, match=r"NotAuditor\("):
        active.audits.vote(job, True, AuditReason.SOUND)
    passive.audits.vote(job, False, AuditReason.LOSSES)
    passive.audits.conclude(job)
    done = state_of(passive, job)
    assert (done.outcome, done.reasons, done.weak) == ("disputed", (0, AuditReason.LOSSES), 0b10)
    complete(world, job)
    active.settlements.settle(job)
    settled = active.settlements.settlement(job)
    assert settled.withheld == (Withheld.OUTCOME, Withheld.OUTCOME | Withheld.WEAK)
    assert settled.paid == (0, 0)
    active.settlements.dispute(job, "it erred")
    world.steward.settlements.resolve(job, False, "so it did not")
    settled = active.settlements.settlement(job)
    assert settled.withheld == (
        Withheld.OUTCOME | Withheld.REJECTED,
        Withheld.OUTCOME | Withheld.WEAK | Withheld.REJECTED,
    )
    assert (settled.resolved, settled.is_final) == (False, True)


def test_a_job_without_an_audit_has_no_state_and_nothing_to_settle(embedded: Any) -> None:
    world = embedded
    active, passive = world.parties
    job = trained_job(world, None)
    assert passive.audits.state(job) is None
    assert passive.settlements.settlement(job) is None
    with pytest.raises(TransactionError, match=r"NoAudit\("):
        freeze(world, job)
    with pytest.raises(TransactionError, match=r"WrongPhase\("):
        active.audits.commit_labels(job, TERMS)
    complete(world, job)
    with pytest.raises(TransactionError, match=r"AuditNotConcluded\("):
        active.settlements.settle(job)
    with pytest.raises(TransactionError, match=r"NotSettled\("):
        active.settlements.dispute(job, "why")


def test_terms_out_of_bounds_are_refused(embedded: Any) -> None:
    world = embedded
    for change in (
        {"root": bytes(32)},
        {"rows": 101},
        {"opened_rows": ROWS + 1},
        {"window_seconds": 29},
        {"dispute_seconds": 90 * 86_400 + 1},
        {"budget": 2**53 + 1},
    ):
        with pytest.raises(TransactionError, match=r"TermsInvalid\("):
            trained_job(world, replace(TERMS, **change))


def test_the_active_party_flags_a_histogram_once_and_nobody_votes(embedded: Any) -> None:
    world = embedded
    active, passive = world.parties
    address = world.addresses()[1]
    job = world.training_job(pipelined=False)
    receipt = active.faults.flag(address, job, 1, b"\x0e" * 32, 12_000_000, 7_500_000)
    fault = active.faults.fault(receipt.events[0].fault_id)
    assert (fault.party, fault.reason, fault.round, fault.evidence) == (
        address,
        Reason.STATISTIC_OUTLIER,
        1,
        b"\x0e" * 32,
    )
    flagged = receipt.events[1]
    assert (flagged.kind, flagged.statistic_e6, flagged.score_e6, flagged.commit_until) == (
        Kind.HISTOGRAM,
        12_000_000,
        7_500_000,
        0,
    )
    assert active.faults.upheld_in(address, job) == 0
    with pytest.raises(TransactionError, match=r"AlreadyFlagged\("):
        active.faults.flag(address, job, 1, b"\x0f" * 32, 12_000_000, 7_500_000)
    with pytest.raises(TransactionError, match=r"ScoreTooLow\(scoreE6=5000000, maxE6=5000000\)"):
        active.faults.flag(address, job, 1, b"\x0f" * 32, 1, 5_000_000)
    with pytest.raises(TransactionError, match=r"NotActiveParty\("):
        passive.faults.flag(address, job, 1, b"\x0f" * 32, 1, 1)
    with pytest.raises(TransactionError, match=r"WrongRound\("):
        active.faults.flag(address, job, 2, b"\x0f" * 32, 1, 1)
    with pytest.raises(TransactionError, match=r"FlagInvalid\("):
        active.faults.flag(world.addresses()[0], job, 1, b"\x0f" * 32, 1, 1)


def test_contracts_of_an_earlier_version_have_no_audits(embedded: Any) -> None:
    world = embedded
    contracts = {
        name: one for name, one in world.deployment.contracts.items() if name not in ("ContributionAudit", "Settlement")
    }
    earlier = Consortium(world.client, world.deployment.model_copy(update={"contracts": contracts}))
    with pytest.raises(ConfigError, match="has no ContributionAudit; `fedchain deploy --upgrade` adds it"):
        earlier.audits.state(JobId("0x" + "00" * 32))
