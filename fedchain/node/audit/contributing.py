"""The rules of contribution audits and settlements once more, in Python: what may follow on what, and every number.

Source: `contracts/src/ContributionAudit.sol` and `Settlement.sol`. Blocks' times are in no event, so that a window is
over is taken as told; whose points are withheld for a fault is compared with the faults of this job.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

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
    is_answered,
    seed_commitment,
)
from fedchain.contribution.losses import utilities_e6
from fedchain.contribution.outcome import outcome_of_votes
from fedchain.contribution.points import divide
from fedchain.contribution.shapley import shapley_840
from fedchain.protocol.audits import (
    MAX_BUDGET,
    MAX_DISPUTE_SECONDS,
    MAX_LOSS_E6,
    MAX_OPENED_ROWS,
    MAX_WINDOW_SECONDS,
    MIN_WINDOW_SECONDS,
)
from fedchain.types import AuditOutcome, AuditReason, Phase, Reason, Withheld

NOT_POSTED, NOT_REVEALED, NOT_VOTED = 2, 4, 8
_STEWARDS_DECIDE = (AuditOutcome.DISPUTED, AuditOutcome.UNAUDITED)
"""What a party let pass, as in `AuditConcluded.silent`."""

Require = Callable[[bool, ChainEvent, str], None]


@dataclass
class Contributing:
    """What is known of a job's contribution audit and settlement, as its events tell.

    Attributes:
        terms: the labels and terms that the active party committed to, None if there is no audit.
        frozen: what each party froze.
        posted: the losses.
        seeds: those revealed.
        votes: of the auditors.
        concluded: how it ended.
        settled: the points.
        disputed: who objected.
        resolved: what the stewards decided.
        refusal_counts: whether the active party's silence is a refusal: the job went on, or all others revealed.
        standing: faults that stand: of which party, for what.
        answered: those among them that are to be answered by a strike or suspension, which withholds points.
        faults: of each party for what the audit found, by reason.
    """

    terms: LabelsCommitted | None = None
    frozen: dict[str, OutputsFrozen] = field(default_factory=dict)
    posted: LossesPosted | None = None
    seeds: dict[str, bytes] = field(default_factory=dict)
    votes: dict[str, AuditVoted] = field(default_factory=dict)
    concluded: AuditConcluded | None = None
    settled: JobSettled | None = None
    disputed: SettlementDisputed | None = None
    resolved: SettlementResolved | None = None
    refusal_counts: bool = True
    standing: dict[int, tuple[str, Reason]] = field(default_factory=dict)
    answered: dict[int, str] = field(default_factory=dict)
    faults: Counter[tuple[str, Reason]] = field(default_factory=Counter)

    def take(
        self,
        event: ChainEvent,
        require: Require,
        phase: Phase,
        round: int,
        roster: tuple[str, ...],
        shards: Mapping[str, bytes],
    ) -> bool:
        """Go on by one event of an audit or settlement; whether it was one.

        Args:
            event: the next one.
            require: told whether a rule holds, of which event, and what it would break.
            phase: the job's, by now.
            round: the job's, by now.
            roster: the job's, the active party first.
            shards: the digests recorded by now.
        """
        # once losses are posted nobody ends an audit by ending the job
        goes_on = phase in (Phase.EVALUATING, Phase.COMPLETED) or self.posted is not None
        goes_on = goes_on and self.terms is not None and self.concluded is None
        if isinstance(event, LabelsCommitted):
            fits = phase is Phase.TRAINING and round == 0 and event.by == roster[0] and self.terms is None
            require(fits and _within(event), event, "labels that nobody may commit to now")
            self.terms = self.terms or event
        elif isinstance(event, OutputsFrozen):
            fits = phase is Phase.EVALUATING and self.terms is not None
            fits = fits and event.party in roster and event.party not in self.frozen
            fits = fits and all(map(any, (event.outputs, event.shard, event.seed_commitment)))
            require(fits, event, f"outputs that {event.party} froze, which are not due")
            self.frozen.setdefault(event.party, event)
        elif isinstance(event, LossesPosted):
            fits = goes_on and phase is Phase.EVALUATING and set(self.frozen) == set(roster) and self.posted is None
            require(fits, event, "losses that are not due")
            self._post(event, require, len(roster))
        elif isinstance(event, SeedRevealed):
            fits = goes_on and self.posted is not None and event.party in self.frozen and event.party not in self.seeds
            fits = fits and not self.votes  # a vote shows that the seed was known
            require(fits, event, f"a seed of {event.party}, which is not due")
            if event.party in self.frozen:
                found = seed_commitment(event.job_id, event.party, event.seed)
                require(found == self.frozen[event.party].seed_commitment, event, f"another seed of {event.party}")
            self.seeds[event.party] = event.seed
        elif isinstance(event, AuditVoted):
            fits = (
                goes_on
                and {roster[0]} < set(self.seeds)
                and event.party in roster[1:]
                and event.party not in self.votes
            )
            fits = fits and event.sound == (event.audit_reason is AuditReason.SOUND)
            fits = fits and event.audit_reason <= max(AuditReason)
            require(fits, event, f"a vote of {event.party}, which is not due")
            self.votes.setdefault(event.party, event)
        elif isinstance(event, AuditConcluded):
            require(goes_on, event, "the end of an audit that was not going on")
            self._conclude(event, require, phase, roster)
        elif isinstance(event, JobSettled):
            self._settle(event, require, phase, roster, shards)
        elif isinstance(event, SettlementDisputed):
            fits = self.settled is not None and self.disputed is None and event.party in roster
            require(fits, event, f"an objection of {event.party}, which is not due")
            self.disputed = self.disputed or event
        elif isinstance(event, SettlementResolved):
            require(self.disputed is not None and self.resolved is None, event, "a decision on no dispute")
            self.resolved = self.resolved or event
        else:
            return False
        return True

    def note_fault(self, event: FaultRecorded, require: Require, roster: tuple[str, ...]) -> None:
        """Remember a fault of the job; those that an audit reports follow on its end."""
        this = event.party, event.reason
        if is_answered(event.reason, repeated=this in self.standing.values()):
            self.answered[event.fault_id] = event.party
        self.standing[event.fault_id] = this
        if event.reason not in (Reason.AUDIT_SILENT, Reason.AUDIT_REFUSED, Reason.CONTRIBUTION_FALSE):
            return
        self.faults[event.party, event.reason] += 1
        fits = self._is_due(event, roster) and self.faults[event.party, event.reason] == 1
        require(fits, event, f"a fault of {event.party} that no audit found: {event.reason.name}")

    def _is_due(self, event: FaultRecorded, roster: tuple[str, ...]) -> bool:
        """Whether the audit found that of the party: where all waited for the active party its silence is a refusal."""
        if self.concluded is None or event.party not in roster:
            return False
        if event.reason is Reason.CONTRIBUTION_FALSE:
            return self.concluded.audit_outcome is AuditOutcome.FALSE and event.party == roster[0]
        silent = self._held_against(roster, roster.index(event.party))
        refused = event.party == roster[0] and bool(silent & (NOT_POSTED | NOT_REVEALED)) and self.refusal_counts
        return bool(silent) and refused == (event.reason is Reason.AUDIT_REFUSED)

    def _held_against(self, roster: tuple[str, ...], place: int) -> int:
        """The steps that a party let pass and that count: what no auditor did is nobody's fault."""
        assert self.concluded is not None
        silent = self.concluded.silent[place]
        if self.concluded.audit_outcome is not AuditOutcome.UNAUDITED:
            return silent
        return silent & (NOT_POSTED if set(self.seeds) == {roster[0]} else ~NOT_VOTED)

    def note_overturned(self, fault_id: int) -> None:
        """Forget a fault that stewards overturned."""
        self.standing.pop(fault_id, None)
        self.answered.pop(fault_id, None)

    def _post(self, event: LossesPosted, require: Require, parties: int) -> None:
        self.posted = self.posted or event
        rows = 0 if self.terms is None else self.terms.rows
        fits = len(event.sums) == 2**parties and all(0 <= one <= rows * MAX_LOSS_E6 for one in event.sums)
        fits = fits and any(event.losses_root) and not event.weak_mask & ~(2**parties - 2)
        require(fits, event, "losses out of their bounds")
        if not fits or not rows:
            return
        utilities = tuple(utilities_e6(event.sums, rows))
        require(event.utilities_e6 == utilities, event, "utilities that do not follow from the losses")
        require(event.shares840 == shapley_840(utilities), event, "shares that do not follow from the utilities")

    def _conclude(self, event: AuditConcluded, require: Require, phase: Phase, roster: tuple[str, ...]) -> None:
        self.concluded = self.concluded or event
        others = set(roster[1:]) <= set(self.seeds)
        self.refusal_counts = phase in (Phase.EVALUATING, Phase.COMPLETED) or others
        outcome, seed, silent = AuditOutcome.FAILED, bytes(32), [0] * len(roster)
        if set(self.frozen) != set(roster):
            require(phase is Phase.COMPLETED, event, "an audit ended before all had frozen")
        elif self.posted is None:
            silent[0] = NOT_POSTED
        else:
            silent = [0 if party in self.seeds else NOT_REVEALED for party in roster]
            if set(self.seeds) == {roster[0]}:
                outcome = AuditOutcome.UNAUDITED  # it would draw rows that it knew
            elif roster[0] in self.seeds:
                seeds = [self.seeds.get(party, b"") for party in roster]
                seed = combined_seed(event.job_id, self.posted.losses_root, seeds)
                outcome = outcome_of_votes(len(self.votes), sum(not vote.sound for vote in self.votes.values()))
                for place, party in enumerate(roster[1:], start=1):
                    silent[place] |= 0 if party in self.votes else NOT_VOTED
        found = (event.audit_outcome, event.seed, event.silent)
        require(found == (outcome, seed, tuple(silent)), event, f"outcome {event.audit_outcome.name} of an audit")

    def _settle(
        self, event: JobSettled, require: Require, phase: Phase, roster: tuple[str, ...], shards: Mapping[str, bytes]
    ) -> None:
        fits = phase is Phase.COMPLETED and self.concluded is not None and self.settled is None
        self.settled = self.settled or event
        require(fits and self.terms is not None and self.terms.budget > 0, event, "points that are not due")
        if self.terms is None or self.concluded is None:
            return
        shares = self.posted.shares840 if self.posted is not None else (0,) * len(roster)
        require(event.points == divide(shares, self.terms.budget), event, "points that do not follow from the shares")
        require(event.withheld == self._withheld(roster, shards), event, "points withheld for other reasons")

    def withheld_now(self, roster: tuple[str, ...]) -> tuple[Withheld, ...]:
        """Of a settlement: as settled, with the faults that stand by now and what the stewards decided."""
        assert self.settled is not None
        withheld = [one & ~Withheld.FAULT for one in self.settled.withheld]
        if self.resolved is not None and not self.resolved.stands:
            withheld = [one | Withheld.REJECTED for one in withheld]
        is_open = self.concluded is not None and self.concluded.audit_outcome in _STEWARDS_DECIDE
        if self.resolved is not None and self.resolved.stands and is_open and not withheld[0] & Withheld.SHARD:
            withheld = [one & ~Withheld.OUTCOME for one in withheld]
        at_fault = set(self.answered.values())
        pairs = zip(roster, withheld, strict=True)
        return tuple(one | (Withheld.FAULT if party in at_fault else Withheld.NONE) for party, one in pairs)

    def _withheld(self, roster: tuple[str, ...], shards: Mapping[str, bytes]) -> tuple[Withheld, ...]:
        assert self.concluded is not None
        found = []
        for place, party in enumerate(roster):
            why = Withheld.FAULT if party in self.answered.values() else Withheld.NONE
            if self.posted is not None and self.posted.weak_mask >> place & 1:
                why |= Withheld.WEAK
            if self._held_against(roster, place):
                why |= Withheld.SILENT
            if party not in self.frozen or shards.get(party) != self.frozen[party].shard:
                why |= Withheld.SHARD
            found.append(why)
        if self.concluded.audit_outcome is AuditOutcome.VERIFIED and not found[0] & Withheld.SHARD:
            return tuple(found)
        return tuple(why | Withheld.OUTCOME for why in found)


def _within(event: LabelsCommitted) -> bool:
    fits = any(event.root) and 1 <= event.opened_rows <= min(event.rows, MAX_OPENED_ROWS)
    fits = fits and MIN_WINDOW_SECONDS <= event.window_seconds <= MAX_WINDOW_SECONDS
    return fits and event.dispute_seconds <= MAX_DISPUTE_SECONDS and event.budget <= MAX_BUDGET
