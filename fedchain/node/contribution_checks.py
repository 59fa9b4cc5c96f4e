"""Recomputes a job's contributions as far as whoever runs it may see.

With the chain alone: shares from utilities, these from the posted sums, terms, seed, frozen shards, outcome, points.
With a node's state folder: all that its party has checked when it voted, and the opening against the chain's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedchain.chain import Consortium, SettlementView, combined_seed, seed_commitment
from fedchain.contribution.leaf_mask import shapley_e6
from fedchain.contribution.losses import utilities_e6
from fedchain.contribution.outcome import outcome_of_votes
from fedchain.contribution.points import divide
from fedchain.contribution.shapley import shapley_840
from fedchain.federation.auditing import label_terms, terms_in_words
from fedchain.federation.auditors import weak_mask
from fedchain.federation.spec import JobSpec
from fedchain.node.audit.checklist import Checklist
from fedchain.node.audit.stores import StateFolder
from fedchain.node.audit.story import Story, read_story
from fedchain.node.contribution_kept import UNSEEN_COVERS, check_kept
from fedchain.node.contributions import Contributions
from fedchain.node.settlements import withheld_words
from fedchain.protocol.audits import AuditState
from fedchain.types import AuditOutcome, Kind, Phase, Reason, Withheld

SHARES, TERMS, LOSSES, SEED = "shares", "terms of the audit", "posted losses", "seed"
SHARDS, VOTES, POINTS = "frozen shards", "votes and outcome", "points"
FALSE_VOTE, VERIFIED = 2, "verified"
NEVER = (
    "whether the active party's own leaf bits follow from features, rather than from labels",
    "whether the labels are true: nobody but their holder can tell",
)


@dataclass(frozen=True)
class Verification:
    """What was checked.

    Attributes:
        checks: with all that does not match.
        beyond: what could not be checked, and why; one line each.
    """

    checks: Checklist
    beyond: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing contradicts anything."""
        return not self.checks.mismatches

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "holds": self.holds,
            "checks": {name: asdict(tally) for name, tally in self.checks.tallies.items()},
            "mismatches": [asdict(one) for one in self.checks.mismatches],
            "not_checked": list(self.beyond),
        }


def verify_contributions(consortium: Consortium, found: Contributions, folder: Path | None = None) -> Verification:
    """Recompute what can be recomputed.

    Args:
        consortium: for reading.
        found: as `read_contributions` gives them.
        folder: state folder of a node of the job; None to go by the chain alone.

    Raises:
        ConfigError: no such folder, or no finished job in it.
        ModelFormatError: a file in it is damaged.
        ChainError: the chain cannot be read.
    """
    story = read_story(consortium, found.job_id)
    checker = _Checker(consortium, found, story)
    checker.check_shares()
    if found.audit is None:
        checker.check_no_audit()
    else:
        checker.check_audit(found.audit)
    if folder is not None:
        check_kept(checker.checks, checker.beyond, story, StateFolder(folder), found.audit)
    elif found.audit is not None:
        checker.beyond.append("opened rows, leaf weights and the open model: sealed to the parties; give --state DIR")
        checker.beyond.append(UNSEEN_COVERS)
    checker.beyond.append("p-values, powers, split gain, and shares along the rounds: the active party's word")
    if found.audit is not None:
        checker.beyond += NEVER
    return Verification(checker.checks, tuple(checker.beyond))


class _Checker:
    def __init__(self, consortium: Consortium, found: Contributions, story: Story) -> None:
        self._consortium, self._found, self._story = consortium, found, story
        self._spec = JobSpec.from_bytes(story.proposal.spec)
        self._roster = story.proposal.roster
        self._phase = consortium.job(found.job_id).phase
        self.checks = Checklist()
        self.beyond: list[str] = []

    def check_no_audit(self) -> None:
        """A job without an audit, which may have been due."""
        asked = self._spec.contribution.audit
        if asked and self._phase is Phase.COMPLETED:
            self.checks.check(TERMS, False, "the job asks for an audit, and the chain has none", party=self._roster[0])
        method = self._found.method
        why = "" if method in ("", "leaf-mask") else f", and by method '{method}' it can have none"
        self.beyond.append(
            f"losses, votes and points: the job has no audit{why}; its shares are the active party's word"
        )

    def check_shares(self) -> None:
        """The recorded ones against the published utilities."""
        found, checks = self._found, self.checks
        shares = tuple(found.recorded_e6.values())
        if not shares:
            is_due = self._phase in (Phase.EVALUATING, Phase.COMPLETED)
            what = "the active party has posted losses, and recorded no shares"
            checks.check(SHARES, not is_due, what, party=self._roster[0])
            return
        checks.equal(SHARES, sum(shares), found.full_e6 - found.empty_e6, "sum of the recorded shares")
        sent = [uplink.event for uplink in self._story.uplinks if uplink.event.envelope.kind is Kind.CONTRIBUTION]
        told = sum(one.sender == self._roster[0] and one.reason == Reason.ACCEPTED for one in sent)
        what = f"the active party published contributions {told} times; the last before the record is shown"
        checks.check(SHARES, told <= 1, what, party=self._roster[0])
        message = found.message
        if message is None:
            checks.unreachable(SHARES)
            self.beyond.append("utilities of the coalitions: the chain does not hold the uplink that published them")
            return
        if len(message.utilities_e6) != 2 ** len(shares):
            checks.check(SHARES, False, f"{len(message.utilities_e6)} utilities are not those of all coalitions")
            return
        checks.equal(SHARES, shares, shapley_e6(message.utilities_e6), "Shapley values of the published utilities")
        ends = (message.utilities_e6[-1], message.utilities_e6[0])
        checks.equal(SHARES, (found.full_e6, found.empty_e6), ends, "utilities of all and of nobody")
        if message.rounds_e6:
            checks.equal(SHARES, message.rounds_e6[-1], shares, "last of the running shares")

    def check_audit(self, audit: AuditState) -> None:
        """Each step of the audit against those before."""
        checks = self.checks
        checks.check(TERMS, self._spec.contribution.audit, "the job asks for no audit", party=self._roster[0])
        expected = label_terms(self._spec.contribution, audit.terms.root, audit.terms.rows)
        found = "terms that the active party committed to"
        checks.equal(TERMS, terms_in_words(audit.terms), terms_in_words(expected), found, party=self._roster[0])
        if audit.losses_root:
            self._check_losses(audit)
        self._check_seed(audit)
        for address, frozen in zip(self._roster, audit.shards, strict=True):
            recorded = self._consortium.shard_digest(self._found.job_id, address)
            if recorded is not None and frozen:
                checks.equal(SHARDS, recorded, frozen, "digest of the shard, against the frozen one", party=address)
        if audit.outcome:
            checks.equal(VOTES, audit.outcome, outcome_of(audit), "outcome that follows from the votes")
        else:
            self.beyond.append("outcome of the audit: it is under way")
        settlement = self._consortium.settlements.settlement(self._found.job_id)
        if settlement is not None:
            self._check_points(audit, settlement)

    def _check_losses(self, audit: AuditState) -> None:
        checks, rows = self.checks, audit.terms.rows
        utilities = utilities_e6(audit.loss_sums, rows)
        checks.equal(LOSSES, audit.shares840, shapley_840(utilities), "Shapley values of the posted sums, times 840")
        recorded = (tuple(self._found.recorded_e6.values()), self._found.full_e6, self._found.empty_e6)
        due = (shapley_e6(utilities), utilities[-1], utilities[0])
        if self._found.recorded_e6:
            checks.equal(
                LOSSES, recorded, due, "recorded shares and utilities, against the posted sums", party=self._roster[0]
            )
        message = self._found.message
        if message is None:
            return
        checks.equal(LOSSES, message.rows, rows, "held-out rows of the published shares")
        checks.equal(LOSSES, message.utilities_e6, utilities, "published utilities, against the posted sums")
        weak = weak_mask(message.p_values_e6, self._spec.contribution.alpha)
        checks.equal(LOSSES, audit.weak, weak, "who is weak by the published p-values, bits in roster order")

    def _check_seed(self, audit: AuditState) -> None:
        job_id = self._found.job_id
        for address, seed, committed in zip(self._roster, audit.seeds, audit.commitments, strict=True):
            if seed:
                found = seed_commitment(job_id, address, seed)
                self.checks.equal(SEED, found, committed, "a revealed seed, against its commitment", party=address)
        if audit.seed:
            combined = combined_seed(job_id, audit.losses_root, audit.seeds)
            self.checks.equal(SEED, audit.seed, combined, "the seed that draws the rows")

    def _check_points(self, audit: AuditState, settlement: SettlementView) -> None:
        checks = self.checks
        expected = divide(audit.shares840, audit.terms.budget) if audit.shares840 else (0,) * len(self._roster)
        checks.equal(POINTS, settlement.points, expected, "points by the audited shares")
        known = ~(Withheld.FAULT | Withheld.OUTCOME | Withheld.REJECTED)
        self.beyond.append("points withheld for a fault: faults may be overturned; `fedchain anomalies` lists them")
        verified = audit.outcome == VERIFIED and not self._is_other_shard(audit, 0)
        withheld = all(Withheld.OUTCOME in why for why in settlement.withheld)
        if settlement.resolved is None:  # else stewards have decided what follows from a disputed outcome
            words = (
                "the outcome withholds everybody's points" if verified else "an unverified outcome withholds nothing"
            )
            checks.check(POINTS, withheld is not verified, words)
        for place, (address, why) in enumerate(zip(self._roster, settlement.withheld, strict=True)):
            due = Withheld.WEAK if audit.weak >> place & 1 else Withheld.NONE
            due |= Withheld.SILENT if audit.silent[place] else Withheld.NONE
            due |= Withheld.SHARD if self._is_other_shard(audit, place) else Withheld.NONE
            said, expected_words = (withheld_words(one) or "not withheld" for one in (why & known, due))
            checks.equal(POINTS, said, expected_words, "why points are withheld", party=address)

    def _is_other_shard(self, audit: AuditState, place: int) -> bool:
        return self._consortium.shard_digest(self._found.job_id, self._roster[place]) != audit.shards[place]


def outcome_of(audit: AuditState) -> str:
    """What an audit's votes come to, by the contract's rule, once it is concluded."""
    if not audit.seed:  # no auditor revealed, or the active party did not
        return AuditOutcome.UNAUDITED.text if any(audit.seeds[:1]) else AuditOutcome.FAILED.text
    votes = [vote for vote in audit.votes[1:] if vote]
    return outcome_of_votes(len(votes), votes.count(FALSE_VOTE)).text
