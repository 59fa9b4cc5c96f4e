"""What the chain knows of a contribution audit, as plain values that channels and parties share."""

from __future__ import annotations

from dataclasses import dataclass

MAX_OPENED_ROWS = 10_000
"""Rows that an audit opens, at most; as in `ContributionAudit`."""
MIN_WINDOW_SECONDS = 30
"""The shortest window; as in `ContributionAudit`."""
MAX_WINDOW_SECONDS = 7 * 86_400
"""The longest window; as in `ContributionAudit`."""
MAX_DISPUTE_SECONDS = 90 * 86_400
"""How long a settlement may be open to disputes, at most; as in `ContributionAudit`."""
MAX_BUDGET = 2**53
"""Points of one settlement, at most: each number of them is exact in JSON, too; as in `ContributionAudit`."""
MAX_LOSS_E6 = 10**15
"""The largest loss of one row, scale 1e6; as in `ContributionAudit`."""


@dataclass(frozen=True)
class LabelTerms:
    """What the active party commits to before round 1. Public.

    Attributes:
        root: of the salted Merkle tree over the held-out rows' positions and labels, 32 bytes, not zero.
        rows: held-out rows, 1..2^32 - 1, at most the aligned rows.
        opened_rows: how many of them are opened, 1..`MAX_OPENED_ROWS`, at most `rows`.
        window_seconds: how long the losses may take to be posted once all have frozen, then the seeds to be revealed,
            then the votes; `MIN_WINDOW_SECONDS`..`MAX_WINDOW_SECONDS`.
        dispute_seconds: how long a settlement may be disputed, 0..`MAX_DISPUTE_SECONDS`.
        budget: points to settle, 0..`MAX_BUDGET`; 0: there is no settlement.
    """

    root: bytes
    rows: int
    opened_rows: int
    window_seconds: int
    dispute_seconds: int
    budget: int


@dataclass(frozen=True)
class AuditState:
    """How far an audit is. Tuples have one entry per party of the roster, in its order, the active party first.

    Attributes:
        terms: what the active party committed to.
        outputs: each party's frozen root of its outputs, 32 bytes; b"" where it has not frozen.
        shards: each party's frozen digest of its shard, likewise.
        losses_root: of the loss tree, 32 bytes; b"" until posted.
        loss_sums: of the held-out rows' losses, scale 1e6, for each of the 2^p coalitions: bit i of the index stands
            for the party at roster position i; () until posted.
        shares840: the exact Shapley shares, scale 840e6, computed by the contract; () until posted. They sum to
            840 (U(all) - U(nobody)).
        weak: bit i: the party at position i failed the test for free riders, so the active party says.
        seed: the combined seed, 32 bytes; b"" until it is known.
        silent: what each party let pass, bits: 1 it never froze, 2 it did not post, 4 it did not reveal its seed in
            time, 8 it did not vote; () until concluded.
        votes: 0 none, 1 sound, 2 false; the active party has none.
        reasons: numbers of `AuditReason`.
        outcome: `verified`, `disputed`, `false`, `failed` or `unaudited`; "" until concluded.
        deadline: the last second of the chain's clock of what is waited for now (the losses, seeds or votes), after
            which anybody may go on without it; 0 while nothing is waited for.
        seeds: what each party revealed, 32 bytes; b"" where it did not.
        commitments: each party's commitment to its seed, 32 bytes; b"" where it has not frozen.
    """

    terms: LabelTerms
    outputs: tuple[bytes, ...] = ()
    shards: tuple[bytes, ...] = ()
    losses_root: bytes = b""
    loss_sums: tuple[int, ...] = ()
    shares840: tuple[int, ...] = ()
    weak: int = 0
    seed: bytes = b""
    silent: tuple[int, ...] = ()
    votes: tuple[int, ...] = ()
    reasons: tuple[int, ...] = ()
    outcome: str = ""
    deadline: int = 0
    seeds: tuple[bytes, ...] = ()
    commitments: tuple[bytes, ...] = ()

    @property
    def all_frozen(self) -> bool:
        """Whether every party has frozen its outputs."""
        return bool(self.outputs) and all(self.outputs)

    @property
    def all_voted(self) -> bool:
        """Whether every passive party has voted."""
        return len(self.votes) > 1 and all(self.votes[1:])
