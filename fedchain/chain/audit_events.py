"""The events of `ContributionAudit` and `Settlement` as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass

from fedchain.chain.events import ChainEvent
from fedchain.types import AuditOutcome, AuditReason, JobId, Withheld


@dataclass(frozen=True, kw_only=True)
class LabelsCommitted(ChainEvent):
    """The active party committed to the held-out labels and the audit's terms; see `LabelTerms`."""

    job_id: JobId
    by: str
    root: bytes
    rows: int
    opened_rows: int
    window_seconds: int
    dispute_seconds: int
    budget: int


@dataclass(frozen=True, kw_only=True)
class OutputsFrozen(ChainEvent):
    """A party committed to its outputs, its shard and its seed, 32 bytes each."""

    job_id: JobId
    party: str
    outputs: bytes
    shard: bytes
    seed_commitment: bytes


@dataclass(frozen=True, kw_only=True)
class LossesPosted(ChainEvent):
    """The active party posted the losses; the contract computed utilities and shares.

    Attributes:
        losses_root: of the loss tree, 32 bytes.
        sums: of the rows' losses per coalition, scale 1e6; bit i of the index stands for roster position i.
        utilities_e6: of each coalition, scale 1e6: minus the mean loss, rounded.
        shares840: the Shapley shares in roster order, scale 840e6.
        weak_mask: bit i: the party at roster position i failed the test for free riders.
    """

    job_id: JobId
    losses_root: bytes
    sums: tuple[int, ...]
    utilities_e6: tuple[int, ...]
    shares840: tuple[int, ...]
    weak_mask: int


@dataclass(frozen=True, kw_only=True)
class SeedRevealed(ChainEvent):
    """A party revealed the seed that it committed to, 32 bytes."""

    job_id: JobId
    party: str
    seed: bytes


@dataclass(frozen=True, kw_only=True)
class AuditVoted(ChainEvent):
    """An auditor's vote; `audit_reason` is SOUND if and only if it found everything `sound`."""

    job_id: JobId
    party: str
    sound: bool
    audit_reason: AuditReason


@dataclass(frozen=True, kw_only=True)
class AuditConcluded(ChainEvent):
    """An audit ended.

    Attributes:
        audit_outcome: how.
        seed: the combined one, 32 bytes; zeros if it never was known.
        silent: per party, in roster order, bits: 1 never froze, 2 did not post, 4 did not reveal in time, 8 no vote.
    """

    job_id: JobId
    audit_outcome: AuditOutcome
    seed: bytes
    silent: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class JobSettled(ChainEvent):
    """A job's audited shares became points.

    Attributes:
        points: in roster order; they sum to the budget, or to 0 where no share is positive.
        withheld: in roster order, why a party does not get them.
        final_at: the last second in which it can be disputed, of the chain's clock.
    """

    job_id: JobId
    points: tuple[int, ...]
    withheld: tuple[Withheld, ...]
    final_at: int


@dataclass(frozen=True, kw_only=True)
class SettlementDisputed(ChainEvent):
    """A party objected to a settlement; the reason is its own."""

    job_id: JobId
    party: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class SettlementResolved(ChainEvent):
    """Stewards decided about a disputed settlement; the reason is theirs."""

    job_id: JobId
    stands: bool
    reason: str


AUDIT_EVENTS: tuple[type[ChainEvent], ...] = (
    LabelsCommitted, OutputsFrozen, LossesPosted, SeedRevealed, AuditVoted, AuditConcluded,
    JobSettled, SettlementDisputed, SettlementResolved,
)  # fmt: skip
