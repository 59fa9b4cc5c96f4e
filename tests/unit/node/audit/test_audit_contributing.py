"""The rules of contribution audits and settlements in Python: what is allowed passes, each broken rule is noticed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from fedchain.chain import (
    AuditConcluded,
    AuditVoted,
    ChainEvent,
    FaultRecorded,
    JobSettled,
    LabelsCommitted,
    LossesPosted,
    OutputsFrozen,
    SeedRevealed,
    SettlementDisputed,
    SettlementResolved,
    combined_seed,
    seed_commitment,
)
from fedchain.contribution.losses import utilities_e6
from fedchain.contribution.points import divide
from fedchain.contribution.shapley import shapley_840
from fedchain.node.audit.contributing import Contributing
from fedchain.node.audit.contributing_words import tell_contributing
from fedchain.types import Answer, AuditOutcome, AuditReason, JobId, Phase, Reason, Withheld

JOB = JobId("0x" + "11" * 32)
ACTIVE, BOB, CAROL, OTHER = ("0x" + f"{digit}" * 40 for digit in "1234")
ROSTER = (ACTIVE, BOB, CAROL)
PLACE: dict[str, Any] = {"block_number": 1, "block_hash": b"", "log_index": 0, "transaction_hash": b"", "job_id": JOB}
ROOT, LOSSES = b"\x01" * 32, b"\x02" * 32
SEEDS = {party: bytes([0xA0 + place]) * 32 for place, party in enumerate(ROSTER)}
SHARDS = {party: bytes([0x50 + place]) * 32 for place, party in enumerate(ROSTER)}
ROWS, BUDGET = 10, 1000
SUMS = (9_000_005, 4_000_000, 7_000_000, 3_000_000, 8_000_000, 4_500_000, 6_000_000, 2_000_000)
UTILITIES = utilities_e6(SUMS, ROWS)
SHARES = shapley_840(UTILITIES)

LABELS = LabelsCommitted(
    by=ACTIVE, root=ROOT, rows=ROWS, opened_rows=5, window_seconds=60, dispute_seconds=600, budget=BUDGET, **PLACE
)
FROZEN = [
    OutputsFrozen(
        party=party,
        outputs=b"\x0f" * 32,
        shard=SHARDS[party],
        seed_commitment=seed_commitment(JOB, party, SEEDS[party]),
        **PLACE,
    )
    for party in ROSTER
]
POSTED = LossesPosted(losses_root=LOSSES, sums=SUMS, utilities_e6=UTILITIES, shares840=SHARES, weak_mask=0b100, **PLACE)
REVEALED = [SeedRevealed(party=party, seed=SEEDS[party], **PLACE) for party in ROSTER]
SEED = combined_seed(JOB, LOSSES, list(SEEDS.values()))


def voted(party: str, reason: AuditReason = AuditReason.SOUND) -> AuditVoted:
    return AuditVoted(party=party, sound=reason is AuditReason.SOUND, audit_reason=reason, **PLACE)


def concluded(outcome: AuditOutcome, silent: tuple[int, int, int] = (0, 0, 0), seed: bytes = SEED) -> AuditConcluded:
    return AuditConcluded(audit_outcome=outcome, seed=seed, silent=silent, **PLACE)


def fault(party: str, reason: Reason, fault_id: int = 1, answer: Answer = Answer.STRIKE) -> FaultRecorded:
    return FaultRecorded(
        fault_id=fault_id, party=party, round=2, reason=reason, answer=answer, evidence=bytes(32), **PLACE
    )


def settled(withheld: tuple[Withheld, ...], points: tuple[int, ...] = divide(SHARES, BUDGET)) -> JobSettled:
    return JobSettled(points=points, withheld=withheld, final_at=7, **PLACE)


SEEDED = [*FROZEN, POSTED, *REVEALED]
VERIFIED = [*SEEDED, voted(BOB), voted(CAROL), concluded(AuditOutcome.VERIFIED)]
REFUSED = concluded(AuditOutcome.FAILED, (4, 0, 0), bytes(32))
PAID = settled((Withheld.NONE, Withheld.NONE, Withheld.WEAK))
DISPUTED = SettlementDisputed(party=BOB, reason="why", **PLACE)
RESOLVED = SettlementResolved(stands=True, reason="because", **PLACE)


def broken(
    events: Iterable[ChainEvent],
    *,
    aborted_before: type[ChainEvent] | tuple[type[ChainEvent], ...] = (),
    completed_before: type[ChainEvent] = JobSettled,
    labels: LabelsCommitted | None = LABELS,
    shards: dict[str, bytes] = SHARDS,
) -> list[str]:
    """What the rules say against the events, after labels were committed to as they may be."""
    made, found = Contributing(), []

    def require(holds: bool, event: ChainEvent, what: str) -> None:
        if not holds:
            found.append(what)

    if labels is not None:
        assert made.take(labels, require, Phase.TRAINING, 0, ROSTER, {})
        assert not found
    phase = Phase.EVALUATING
    for event in events:
        if isinstance(event, completed_before):
            phase = Phase.COMPLETED
        if isinstance(event, aborted_before):
            phase = Phase.ABORTED
        if isinstance(event, FaultRecorded):
            made.note_fault(event, require, ROSTER)
        else:
            assert made.take(event, require, phase, 2, ROSTER, shards if phase is Phase.COMPLETED else {})
    return found


def test_audits_of_every_outcome_follow_the_rules() -> None:
    assert broken([*VERIFIED, PAID, DISPUTED, RESOLVED]) == []
    false = [*SEEDED, voted(BOB, AuditReason.SUMS), voted(CAROL, AuditReason.BITS), concluded(AuditOutcome.FALSE)]
    all_of_it = settled((Withheld.FAULT | Withheld.OUTCOME, Withheld.OUTCOME, Withheld.WEAK | Withheld.OUTCOME))
    assert broken([*false, fault(ACTIVE, Reason.CONTRIBUTION_FALSE), all_of_it]) == []
    assert broken([*SEEDED, voted(BOB, AuditReason.SUMS), concluded(AuditOutcome.DISPUTED, (0, 0, 8))]) == []
    assert broken([*SEEDED, concluded(AuditOutcome.UNAUDITED, (0, 8, 8))]) == []
    alone = [*FROZEN, POSTED, REVEALED[0], concluded(AuditOutcome.UNAUDITED, (0, 4, 4), bytes(32))]
    assert broken(alone) == []  # no auditor's seed: nothing is drawn
    assert broken([*FROZEN, concluded(AuditOutcome.FAILED, (2, 0, 0), bytes(32))]) == []
    failed = [*FROZEN, POSTED, *REVEALED[1:], concluded(AuditOutcome.FAILED, (4, 0, 0), bytes(32))]
    assert broken([*failed, fault(ACTIVE, Reason.AUDIT_REFUSED)]) == []
    without_carol = [*FROZEN, POSTED, *REVEALED[:2], voted(BOB)]
    seed = combined_seed(JOB, LOSSES, [SEEDS[ACTIVE], SEEDS[BOB], b""])
    silent = fault(CAROL, Reason.AUDIT_SILENT, answer=Answer.RECORDED)
    assert broken([*without_carol, concluded(AuditOutcome.VERIFIED, (0, 0, 12), seed), silent]) == []
    late = [*FROZEN, POSTED, *REVEALED[:2], concluded(AuditOutcome.UNAUDITED, (0, 8, 12), seed), silent]
    assert broken(late) == []  # nobody voted, which is nobody's fault, and she kept her seed, which is hers
    open_to_stewards = settled((Withheld.OUTCOME, Withheld.OUTCOME, Withheld.WEAK | Withheld.SILENT | Withheld.OUTCOME))
    assert broken([*late, open_to_stewards]) == []
    never = concluded(AuditOutcome.FAILED, (0, 0, 0), bytes(32))
    assert broken([FROZEN[0], never], completed_before=AuditConcluded) == []


def test_an_audit_goes_on_in_a_job_that_was_aborted_once_losses_are_posted() -> None:
    false = [*SEEDED, voted(BOB, AuditReason.SUMS), voted(CAROL, AuditReason.BITS), concluded(AuditOutcome.FALSE)]
    assert broken(false, aborted_before=(SeedRevealed, AuditVoted, AuditConcluded)) == []
    withheld = [*FROZEN, POSTED, *REVEALED[1:], REFUSED, fault(ACTIVE, Reason.AUDIT_REFUSED)]
    assert broken(withheld, aborted_before=AuditConcluded) == []
    unknown = [*FROZEN, POSTED, REVEALED[1], concluded(AuditOutcome.FAILED, (4, 0, 4), bytes(32))]
    recorded = [fault(ACTIVE, Reason.AUDIT_SILENT), fault(CAROL, Reason.AUDIT_SILENT)]
    assert broken([*unknown, *recorded], aborted_before=AuditConcluded) == []
    assert broken([*unknown, fault(ACTIVE, Reason.AUDIT_REFUSED)], aborted_before=AuditConcluded)
    ended = [*FROZEN, concluded(AuditOutcome.FAILED, (2, 0, 0), bytes(32))]
    assert broken(ended, aborted_before=AuditConcluded) == ["the end of an audit that was not going on"]


def test_stewards_decide_what_is_disputed() -> None:
    made = Contributing(settled=PAID, concluded=concluded(AuditOutcome.DISPUTED))
    made.settled = settled((Withheld.OUTCOME, Withheld.OUTCOME, Withheld.WEAK | Withheld.OUTCOME))
    assert made.withheld_now(ROSTER) == made.settled.withheld
    made.resolved = RESOLVED
    assert made.withheld_now(ROSTER) == PAID.withheld
    made.note_fault(fault(BOB, Reason.REPLAY), lambda *_: None, ROSTER)
    assert made.withheld_now(ROSTER) == (Withheld.NONE, Withheld.FAULT, Withheld.WEAK)
    made.resolved = replace(RESOLVED, stands=False)
    assert made.withheld_now(ROSTER)[0] == Withheld.OUTCOME | Withheld.REJECTED


def test_another_shard_than_frozen_withholds_and_the_active_partys_withholds_all() -> None:
    other = settled((Withheld.NONE, Withheld.SHARD, Withheld.WEAK))
    assert broken([*VERIFIED, other], shards={**SHARDS, BOB: b"\x09" * 32}) == []
    everybody = settled((Withheld.SHARD | Withheld.OUTCOME, Withheld.OUTCOME, Withheld.WEAK | Withheld.OUTCOME))
    assert broken([*VERIFIED, everybody], shards={**SHARDS, ACTIVE: b"\x09" * 32}) == []
    assert broken([*VERIFIED, PAID], shards={**SHARDS, BOB: b"\x09" * 32}) == ["points withheld for other reasons"]


@pytest.mark.parametrize(
    ("events", "what"),
    [
        ([LABELS], "labels that nobody may commit to now"),
        ([FROZEN[0], FROZEN[0]], f"outputs that {ACTIVE} froze, which are not due"),
        ([replace(FROZEN[0], party=OTHER)], f"outputs that {OTHER} froze, which are not due"),
        ([replace(FROZEN[0], shard=bytes(32))], f"outputs that {ACTIVE} froze, which are not due"),
        ([*FROZEN[:2], POSTED], "losses that are not due"),
        ([*FROZEN, POSTED, POSTED], "losses that are not due"),
        ([*FROZEN, replace(POSTED, sums=SUMS[:4])], "losses out of their bounds"),
        ([*FROZEN, replace(POSTED, sums=(ROWS * 10**15 + 1, *SUMS[1:]))], "losses out of their bounds"),
        ([*FROZEN, replace(POSTED, weak_mask=1)], "losses out of their bounds"),
        (
            [*FROZEN, replace(POSTED, utilities_e6=(-1, *UTILITIES[1:]))],
            "utilities that do not follow from the losses",
        ),
        (
            [*FROZEN, replace(POSTED, shares840=(SHARES[0] + 1, *SHARES[1:]))],
            "shares that do not follow from the utilities",
        ),
        ([*FROZEN, REVEALED[0]], f"a seed of {ACTIVE}, which is not due"),
        ([*SEEDED, REVEALED[1]], f"a seed of {BOB}, which is not due"),
        ([*FROZEN, POSTED, *REVEALED[:2], voted(BOB), REVEALED[2]], f"a seed of {CAROL}, which is not due"),
        ([*FROZEN, POSTED, replace(REVEALED[1], seed=ROOT)], f"another seed of {BOB}"),
        ([*FROZEN, POSTED, *REVEALED[1:], voted(BOB)], f"a vote of {BOB}, which is not due"),
        ([*SEEDED, voted(ACTIVE)], f"a vote of {ACTIVE}, which is not due"),
        ([*SEEDED, voted(BOB), voted(BOB)], f"a vote of {BOB}, which is not due"),
        ([*SEEDED, replace(voted(BOB), sound=False)], f"a vote of {BOB}, which is not due"),
        ([*VERIFIED, concluded(AuditOutcome.VERIFIED)], "the end of an audit that was not going on"),
        ([FROZEN[0], concluded(AuditOutcome.FAILED, seed=bytes(32))], "an audit ended before all had frozen"),
        (
            [*FROZEN, POSTED, *REVEALED[1:], REFUSED, fault(ACTIVE, Reason.AUDIT_SILENT)],
            f"a fault of {ACTIVE} that no audit found: AUDIT_SILENT",
        ),
        (
            [*FROZEN, POSTED, *REVEALED[1:], REFUSED, *[fault(ACTIVE, Reason.AUDIT_REFUSED)] * 2],
            f"a fault of {ACTIVE} that no audit found: AUDIT_REFUSED",
        ),
        (
            [*SEEDED, concluded(AuditOutcome.UNAUDITED, (0, 8, 8)), fault(BOB, Reason.AUDIT_REFUSED)],
            f"a fault of {BOB} that no audit found: AUDIT_REFUSED",
        ),
        ([*SEEDED, voted(BOB), concluded(AuditOutcome.VERIFIED)], "outcome VERIFIED of an audit"),
        ([*SEEDED, voted(BOB), voted(CAROL), concluded(AuditOutcome.DISPUTED)], "outcome DISPUTED of an audit"),
        (
            [*SEEDED, voted(BOB), voted(CAROL), concluded(AuditOutcome.VERIFIED, seed=ROOT)],
            "outcome VERIFIED of an audit",
        ),
        (
            [*SEEDED, concluded(AuditOutcome.UNAUDITED, (0, 8, 8)), fault(BOB, Reason.AUDIT_SILENT)],
            f"a fault of {BOB} that no audit found: AUDIT_SILENT",
        ),
        (
            [*FROZEN, POSTED, REVEALED[0], voted(BOB)],
            f"a vote of {BOB}, which is not due",
        ),
        ([*VERIFIED, fault(BOB, Reason.AUDIT_SILENT)], f"a fault of {BOB} that no audit found: AUDIT_SILENT"),
        (
            [*VERIFIED, fault(ACTIVE, Reason.CONTRIBUTION_FALSE)],
            f"a fault of {ACTIVE} that no audit found: CONTRIBUTION_FALSE",
        ),
        ([*VERIFIED, PAID, PAID], "points that are not due"),
        ([*SEEDED, PAID], "points that are not due"),
        ([*VERIFIED, settled(PAID.withheld, (1000, 0, 0))], "points that do not follow from the shares"),
        ([*VERIFIED, settled((Withheld.NONE,) * 3)], "points withheld for other reasons"),
        ([fault(BOB, Reason.REPLAY), *VERIFIED, PAID], "points withheld for other reasons"),
        ([*VERIFIED, DISPUTED], f"an objection of {BOB}, which is not due"),
        ([*VERIFIED, PAID, replace(DISPUTED, party=OTHER)], f"an objection of {OTHER}, which is not due"),
        ([*VERIFIED, PAID, RESOLVED], "a decision on no dispute"),
        ([*VERIFIED, PAID, DISPUTED, RESOLVED, RESOLVED], "a decision on no dispute"),
    ],
)
def test_each_broken_rule_is_noticed(events: list[ChainEvent], what: str) -> None:
    assert what in broken(events)


@pytest.mark.parametrize(
    "change",
    [
        {"root": bytes(32)},
        {"opened_rows": 11},
        {"opened_rows": 0},
        {"window_seconds": 29},
        {"window_seconds": 7 * 86_400 + 1},
        {"dispute_seconds": 90 * 86_400 + 1},
        {"budget": 2**53 + 1},
        {"by": BOB},
    ],
)
def test_labels_out_of_bounds_are_noticed(change: dict[str, Any]) -> None:
    found: list[str] = []
    made = Contributing()
    made.take(
        replace(LABELS, **change),
        lambda holds, event, what: None if holds else found.append(what),
        Phase.TRAINING,
        0,
        ROSTER,
        {},
    )
    assert found == ["labels that nobody may commit to now"]


def test_an_overturned_fault_withholds_nothing() -> None:
    made = Contributing()
    made.note_fault(fault(BOB, Reason.REPLAY, 5), lambda *_: None, ROSTER)
    assert made.answered == {5: BOB}
    made.note_overturned(6)
    made.note_overturned(5)
    assert made.answered == {}


def test_every_event_is_told_in_words() -> None:
    names = dict(zip(ROSTER, ("bank", "telco", "shop"), strict=True))
    told = [
        tell_contributing(event, ROSTER, lambda party: names[party])
        for event in [LABELS, *VERIFIED, PAID, DISPUTED, RESOLVED]
    ]
    assert told[0] == (
        "bank",
        f"committed to 10 held-out labels, 5 of them to be opened; root 0x{ROOT.hex()}; 1000 points to settle",
    )
    assert told[1] == ("bank", f"froze its outputs 0x{'0f' * 32} and shard 0x{'50' * 32}")
    shares = ", ".join(f"{name} {share / 840e6:+.6f}" for name, share in zip(names.values(), SHARES, strict=True))
    assert told[4] == ("bank", f"posted the losses 0x{LOSSES.hex()}; shares that follow: {shares}; weak: shop")
    assert told[7:9] == [("shop", "revealed its seed"), ("telco", "found the contributions sound")]
    assert told[10] == ("", "the contribution audit ended: verified")
    points = PAID.points
    assert told[11] == (
        "",
        f"the contributions were settled: bank {points[0]}, telco {points[1]}, shop {points[2]} (withheld: weak)",
    )
    assert told[12:] == [
        ("telco", "disputed the settlement: why"),
        ("", "stewards decided that the settlement stands: because"),
    ]
    others = [
        voted(CAROL, AuditReason.BITS),
        concluded(AuditOutcome.UNAUDITED, (0, 8, 8)),
        replace(RESOLVED, stands=False),
    ]
    assert [tell_contributing(event, ROSTER, lambda party: names[party]) for event in others] == [
        ("shop", "found the contributions false (BITS)"),
        ("", "the contribution audit ended: unaudited; silent: telco, shop"),
        ("", "stewards decided that the settlement is void: because"),
    ]
    assert tell_contributing(fault(BOB, Reason.REPLAY), ROSTER, str) is None
