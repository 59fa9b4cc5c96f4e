"""An audit of contributions at a passive party: what it freezes, what it checks, how it votes. Steps: `auditing`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import structlog

from fedchain.contribution.commitments import bit_leaves
from fedchain.contribution.leaf_mask import shapley_e6
from fedchain.contribution.losses import E6, utilities_e6
from fedchain.data.holdout import holdout
from fedchain.errors import ContributionError, ProtocolViolationError, SealError
from fedchain.federation.auditing import (
    CONTEXT,
    OPENING_STEP,
    SEED,
    Positions,
    Secrets,
    bits_tree,
    label_terms,
    terms_in_words,
)
from fedchain.federation.contribspec import ContributionSpec
from fedchain.federation.kept import KeptAudit
from fedchain.federation.opening import Auditor, opened_rows
from fedchain.federation.session import Keys
from fedchain.messages import AuditOpening, Contribution
from fedchain.model.shard import Shard
from fedchain.protocol import (
    AuditState,
    Freeze,
    Party,
    RecordContribution,
    RevealSeed,
    Stage,
    Vote,
    await_audit,
    conclude,
    read_record,
    receive_or_none,
)
from fedchain.types import AuditReason, PartyId

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Answered:
    """What a passive party has once it has answered the evaluation.

    Attributes:
        shard: its own.
        positions: of the held-out rows among the aligned ones, as the active party asked for them.
        packed: own leaf bits of these rows, as they were answered.
        earlier_rounds: of the model that the job continues; else 0.
        commitments: of the leaf weights of the rounds of this job that the model keeps.
        covers: training rows by node of each tree of these rounds, as far as it knows them.
        routed: aligned rows that trained or validated, as bits, little-endian; empty where it saw none of them.
    """

    shard: Shard
    positions: Positions
    packed: bytes
    earlier_rounds: int
    commitments: tuple[bytes, ...]
    covers: tuple[dict[int, int], ...]
    routed: bytes


@dataclass(frozen=True)
class Drawn:
    """How a job's held-out rows are drawn: what can be told of them without labels.

    Attributes:
        aligned_rows: how many there are.
        fraction, seed: of the job.
        stratified: by labels, which a passive party does not know; else all of it can be drawn again.
        trained: how many rows each tree was grown with.
    """

    aligned_rows: int
    fraction: float
    seed: int
    stratified: bool
    trained: int

    @property
    def rows(self) -> int:
        """How many are held out."""
        return math.ceil(self.fraction * self.aligned_rows)


class PassiveAudit:
    """A passive party's side.

    Args:
        spec: the job's terms.
        roster: all parties.
        keys: of the job.
        secrets: this party's.
        drawn: which rows are held out.
    """

    def __init__(
        self, spec: ContributionSpec, roster: tuple[PartyId, ...], keys: Keys, secrets: Secrets, drawn: Drawn
    ) -> None:
        self._spec, self._roster, self._keys, self._secrets = spec, roster, keys, secrets
        self._drawn = drawn

    @property
    def _active(self) -> PartyId:
        return self._roster[0]

    def await_labels(self) -> Party[None]:
        """Before the first round.

        Raises:
            ProtocolViolationError: the active party committed to other terms than the job's; names it.
        """
        state = yield from await_audit("labels")
        expected = label_terms(self._spec, state.terms.root, self._drawn.rows)
        if state.terms != expected:
            said, due = terms_in_words(state.terms), terms_in_words(expected)
            raise ProtocolViolationError(self._active, f"committed to terms of its own: {said}; the job's are {due}")

    def freeze(self, answered: Answered) -> Party[None]:
        """After its answer, before it knows a share."""
        tree = bits_tree(answered.packed, len(answered.positions), self._keys, self._active)
        yield Freeze(tree.root, answered.shard.digest(), self._secrets.of(SEED))

    def run(self, answered: Answered, contribution: Contribution) -> Party[KeptAudit]:
        """After the shares are published: to the audit's outcome.

        Args:
            answered: what was frozen, and what it is held against.
            contribution: what the active party published.
        """
        state = yield from await_audit("posted")
        opening, finding = b"", ""
        posted = (state.losses_root, state.loss_sums)
        record = yield from read_record()
        if state.losses_root:
            yield RevealSeed(self._secrets.of(SEED))
            state = yield from await_audit("seeded")
        if state.seed:
            yield Stage("audit", 1, 2, f"{state.terms.opened_rows} opened rows")
            seconds = self._spec.window_seconds / 2  # the other half is for examining it
            message = yield from receive_or_none(AuditOpening, OPENING_STEP, self._active, seconds)
            opening, unopened = self._unsealed(message)
            error = self._fault(answered, contribution, record, posted, state, opening, unopened)
            now = yield from await_audit("seeded")
            if now.seed != state.seed:  # somebody revealed late by this machine's clock, and in time by the chain's
                state = now
                error = self._fault(answered, contribution, record, posted, state, opening, unopened)
            if error is not None:
                finding = str(error)
                log.warning("the audit of contributions found a fault", reason=error.reason.name, found=finding)
            yield Vote(error is None, AuditReason.SOUND if error is None else error.reason)
            state = yield from await_audit("voted")
        state = yield from conclude()
        yield Stage("audit", 2, 2, state.outcome)
        return kept_of(state, answered, opening, finding)

    def _unsealed(self, message: AuditOpening | None) -> tuple[bytes, ContributionError | None]:
        if message is None:
            return b"", ContributionError(self._active, AuditReason.ABSENT, "did not open the drawn rows")
        try:
            return self._keys.unseal(message.sealed, CONTEXT, self._active), None
        except SealError as error:
            return b"", ContributionError(self._active, AuditReason.OPENING, f"opening: {error}")

    def _fault(
        self,
        answered: Answered,
        contribution: Contribution,
        record: RecordContribution | None,
        posted: tuple[bytes, tuple[int, ...]],
        state: AuditState,
        opening: bytes,
        unopened: ContributionError | None,
    ) -> ContributionError | None:
        """What is wrong, the first of all that is checked; None where nothing is."""
        try:
            if (state.losses_root, state.loss_sums) != posted:
                raise ContributionError(self._active, AuditReason.SUMS, "posted other losses when it knew the seeds")
            self._check_rows(answered, state)
            check_published(contribution, state, self._spec.alpha, self._active)
            check_recorded(contribution, record, self._active)
            if unopened is not None:
                raise unopened
            rows = opened_rows(state)
            packed = bit_leaves(answered.packed, len(answered.positions))
            auditor = Auditor(
                answered.shard,
                state,
                answered.positions[rows],
                tuple(packed[row] for row in rows),
                answered.earlier_rounds,
                answered.commitments,
                answered.covers,
                self._drawn.trained,
            )
            auditor.check(opening)
        except ContributionError as error:
            return error
        return None

    def _check_rows(self, answered: Answered, state: AuditState) -> None:
        """The evaluated rows are those that were held out, as far as that shows without labels."""
        if len(answered.positions) != state.terms.rows:
            what = f"evaluated {len(answered.positions)} rows, committed to {state.terms.rows}"
            raise ContributionError(self._active, AuditReason.LABELS, what)
        trained = np.unpackbits(np.frombuffer(answered.routed, np.uint8), bitorder="little")
        if len(trained) and trained[answered.positions].any():
            raise ContributionError(self._active, AuditReason.LABELS, "evaluated rows that it had trained on")
        if not self._drawn.stratified:
            nothing = np.zeros(self._drawn.aligned_rows)
            expected = np.flatnonzero(holdout(nothing, self._drawn.fraction, self._drawn.seed, stratified=False))
            if not np.array_equal(answered.positions, expected):
                raise ContributionError(self._active, AuditReason.LABELS, "evaluated other rows than the job holds out")


def check_published(contribution: Contribution, state: AuditState, alpha: float, active: str) -> None:
    """Whether the uplink that published the shares says what the posted sums come to, and who is weak.

    Raises:
        ContributionError: it does not, reason SUMS; names the active party.
    """

    def only(holds: bool, what: str) -> None:
        if not holds:
            raise ContributionError(active, AuditReason.SUMS, what)

    utilities = utilities_e6(state.loss_sums, state.terms.rows)
    same = contribution.rows == state.terms.rows and contribution.utilities_e6 == utilities
    only(same, "published other utilities than the posted sums come to")
    only(contribution.shares_e6 == shapley_e6(utilities), "published other shares than the posted sums come to")
    ends = contribution.rounds_e6[-1] if contribution.rounds_e6 else ()
    only(ends == contribution.shares_e6, "published shares along the rounds that do not end in the shares")
    only(len(contribution.p_values_e6) == len(contribution.shares_e6), "published no p-value for each party")
    only(state.weak == weak_mask(contribution.p_values_e6, alpha), "called other parties weak than its p-values do")


def check_recorded(contribution: Contribution, record: RecordContribution | None, active: str) -> None:
    """Whether the ledger has the shares that were published.

    Raises:
        ContributionError: it has others, or none, reason SUMS; names the active party.
    """
    utilities = contribution.utilities_e6
    if record != RecordContribution(contribution.shares_e6, utilities[-1], utilities[0]):
        raise ContributionError(active, AuditReason.SUMS, "recorded other shares than it published")


def weak_mask(p_values_e6: tuple[int, ...], alpha: float) -> int:
    """Bit mask over roster positions: whose p-value lies above `alpha`; the active party is not tested."""
    return sum(1 << place for place, value in enumerate(p_values_e6) if place and value > alpha * E6)


def kept_of(state: AuditState, answered: Answered, opening: bytes, finding: str) -> KeptAudit:
    """What a passive party keeps of a concluded audit, the evidence of a fault included.

    Args:
        state: with its outcome.
        answered: what was frozen.
        opening: unsealed, sound or not; empty where there was none.
        finding: what it found wrong.
    """
    is_known = state.seed and len(answered.positions) == state.terms.rows
    rows = opened_rows(state) if is_known else np.zeros(0, np.int64)
    own = bit_leaves(answered.packed, len(answered.positions))
    return KeptAudit(
        outcome=state.outcome,
        positions=answered.positions[rows].astype("<u4").tobytes(),
        own_bits=tuple(own[row] for row in rows),
        opening=opening,
        earlier_rounds=answered.earlier_rounds,
        commitments=answered.commitments,
        covers=answered.covers,
        finding=finding,
        shards=state.shards,
    )
