"""An audit of contributions, every party's side: the label holder's shares are checked by the passive parties.

1. After alignment, before the first round: the active party commits to the held-out labels (a salted Merkle tree) and
   to the terms; the passive parties compare the terms with the job's.
2. After evaluation: every party freezes its outputs, its shard and its part of the seed. A passive party's outputs are
   the root of a salted Merkle tree over its packed leaf bits of each held-out row, as it has answered with them; the
   active party has that tree's secret, too, and goes on only where the root is that of the bits it got. The active
   party's outputs commit to the open model, to the unit of losses and to its own leaf bits.
3. All have frozen: the active party posts the root of the loss tree and the sums of all losses, from which the contract
   computes utilities and shares. Nobody knows as yet which rows are opened.
4. Every party reveals its part of the seed; together they draw the rows.
5. The active party opens the model and these rows, sealed to the roster: labels, every party's leaf bits, losses.
6. Every passive party recomputes all of it (`Auditor`) and votes. What does not hold is its vote's reason.
7. The audit is concluded, whatever came of it; the model is as good as before.

Reveals to the roster the open model (shapes of all trees with owners, covers, leaf weights, base margins), and of the
opened rows labels, every party's leaf bits and the losses. Nothing of it to anybody else but the sums of losses.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import structlog
from numpy.typing import NDArray

from fedchain.contribution.commitments import RowTree, bit_leaves, label_leaves
from fedchain.contribution.loss_tree import LossTree
from fedchain.contribution.losses import Losses, utilities_e6
from fedchain.contribution.open_model import active_outputs, open_model
from fedchain.errors import ContributionError, ProtocolViolationError, SealError
from fedchain.federation.contribspec import ContributionSpec
from fedchain.federation.kept import KeptAudit
from fedchain.federation.opening import Auditor, opened_rows
from fedchain.federation.session import Keys
from fedchain.messages import AuditOpening, Contribution, encode
from fedchain.messages.auditing import ActiveOpening
from fedchain.model.leaf_mask import bit_count, pack_bits, unpack_bits
from fedchain.model.shard import Shard
from fedchain.protocol import (
    AuditState,
    CommitLabels,
    Freeze,
    LabelTerms,
    Party,
    PostLosses,
    RevealSeed,
    Send,
    Stage,
    Vote,
    await_audit,
    conclude,
    receive_or_none,
    remember,
)
from fedchain.types import AuditReason, PartyId

log = structlog.get_logger(__name__)

OPENING_STEP = 5
CONTEXT = "audit/opening"
_PURPOSE = b"audit of contributions"
Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Secrets:
    """A party's secrets of an audit, all made of one that it remembers."""

    _root: bytes = field(repr=False)

    def of(self, name: str) -> bytes:
        """32 bytes, the same for the same name."""
        return hmac.digest(self._root, name.encode(), "sha256")


def remember_secrets() -> Party[Secrets]:
    """This party's secrets of the audit, made once."""
    return Secrets((yield from remember("audit_secret", lambda: os.urandom(32))))


def bits_tree(packed: bytes, rows: int, keys: Keys, peer: PartyId) -> RowTree:
    """The tree of a passive party's leaf bits, as both that party and the active party build it.

    Args:
        packed: as the passive party answers.
        rows: held-out rows.
        keys: of either.
        peer: the other one.
    """
    return RowTree(bit_leaves(packed, rows), keys.pair_key(peer, _PURPOSE))


@dataclass(frozen=True)
class Outputs:
    """What the active party has of the held-out rows once it has evaluated the model.

    Attributes:
        shard: its own.
        packed: leaf bits of every party, as they were answered, roster order; its own packed likewise.
        losses: (held-out rows, coalitions) as `row_losses_e6` gives them.
        unit: of the losses.
        weak: bit mask over roster positions: who failed the free-rider test.
        rounds: of this job, that the model keeps.
    """

    shard: Shard
    packed: Sequence[bytes]
    losses: Losses
    unit: float
    weak: int
    rounds: int


class ActiveAudit:
    """The label holder's side.

    Args:
        spec: the job's terms.
        roster: all parties.
        keys: of the job.
        secrets: this party's.
        positions: of the held-out rows among the aligned ones, ascending.
        labels: of these rows.
    """

    def __init__(
        self,
        spec: ContributionSpec,
        roster: tuple[PartyId, ...],
        keys: Keys,
        secrets: Secrets,
        positions: Positions,
        labels: NDArray[np.float64],
    ) -> None:
        self._spec, self._roster, self._keys, self._secrets = spec, roster, keys, secrets
        self._rows, self._positions = len(positions), positions
        self._labels = RowTree(label_leaves(positions, labels), secrets.of("labels"))

    def commit_labels(self) -> Party[None]:
        """Before the first round."""
        yield CommitLabels(label_terms(self._spec, self._labels.root, self._rows))

    def run(self, outputs: Outputs) -> Party[KeptAudit]:
        """After evaluation: to the audit's outcome.

        Raises:
            ProtocolViolationError: a passive party froze other outputs than it had answered with; names it.
        """
        trees = [RowTree(bit_leaves(outputs.packed[0], self._rows), self._secrets.of("bits"))]
        for place, (party, packed) in enumerate(zip(self._roster[1:], outputs.packed[1:], strict=True), start=1):
            count = bit_count(outputs.shard, place)
            if pack_bits(unpack_bits(packed, self._rows, count, party)) != packed:
                raise ProtocolViolationError(party, f"answered with more than {count} leaf bits per row")
            trees.append(bits_tree(packed, self._rows, self._keys, party))
        model, unit = open_model(outputs.shard).to_bytes(), outputs.unit
        frozen = active_outputs(model, unit, self._secrets.of("model"), trees[0].root)
        yield Freeze(frozen, outputs.shard.digest(), self._secrets.of("seed"))
        state = yield from await_audit("frozen")
        for party, root, tree in zip(self._roster[1:], state.outputs[1:], trees[1:], strict=True):
            if root != tree.root:
                raise ProtocolViolationError(party, "froze other outputs than it had answered with")
        losses = LossTree(outputs.losses, self._secrets.of("losses"))
        yield PostLosses(losses.root, losses.sums, outputs.weak)
        yield RevealSeed(self._secrets.of("seed"))
        state = yield from await_audit("seeded")
        opening = b""
        if state.seed:
            rows = opened_rows(state)
            yield Stage("audit", 1, 2, f"{len(rows)} opened rows")
            salts = (self.weights_salt(f"leaf_weights/{number}") for number in range(1, outputs.rounds + 1))
            opening = encode(
                ActiveOpening(
                    model=model,
                    unit=unit,
                    salt=self._secrets.of("model"),
                    weight_salts=b"".join(salts),
                    bits_root=trees[0].root,
                    bits=tuple(tree.open(rows) for tree in trees),
                    labels=self._labels.open(rows),
                    losses=losses.open(rows),
                )
            )
            yield Send(AuditOpening(self._keys.seal_to_roster(opening, CONTEXT)), OPENING_STEP)
            state = yield from await_audit("voted")
        state = yield from conclude()
        yield Stage("audit", 2, 2, state.outcome)
        return kept_of(state, self._positions, opening, None, "")

    def weights_salt(self, context: str) -> bytes:
        """Salt of the commitment to a round's leaf weights, 32 bytes."""
        return self._secrets.of(context)


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
        contribution: what the active party published.
    """

    shard: Shard
    positions: Positions
    packed: bytes
    earlier_rounds: int
    commitments: tuple[bytes, ...]
    covers: tuple[dict[int, int], ...]
    contribution: Contribution


class PassiveAudit:
    """A passive party's side.

    Args:
        spec: the job's terms.
        roster: all parties.
        keys: of the job.
        secrets: this party's.
        aligned_rows: how many there are.
    """

    def __init__(
        self,
        spec: ContributionSpec,
        roster: tuple[PartyId, ...],
        keys: Keys,
        secrets: Secrets,
        aligned_rows: int,
    ) -> None:
        self._spec, self._roster, self._keys, self._secrets = spec, roster, keys, secrets
        self._aligned_rows = aligned_rows

    @property
    def _active(self) -> PartyId:
        return self._roster[0]

    def await_labels(self) -> Party[None]:
        """Before the first round.

        Raises:
            ProtocolViolationError: the active party committed to other terms than the job's; names it.
        """
        state = yield from await_audit("labels")
        terms = state.terms
        expected = label_terms(self._spec, terms.root, terms.rows)
        if terms != expected or not 1 <= terms.rows <= self._aligned_rows:
            raise ProtocolViolationError(self._active, f"committed to terms {terms}, the job's are {expected}")

    def run(self, answered: Answered) -> Party[KeptAudit]:
        """After evaluation: to the audit's outcome.

        Raises:
            ProtocolViolationError: the active party evaluated another number of rows than it had committed to.
        """
        rows = len(answered.positions)
        tree = bits_tree(answered.packed, rows, self._keys, self._active)
        yield Freeze(tree.root, answered.shard.digest(), self._secrets.of("seed"))
        state = yield from await_audit("posted")
        opening, finding = b"", ""
        if state.losses_root:
            if state.terms.rows != rows:
                raise ProtocolViolationError(self._active, f"evaluated {rows} rows, committed to {state.terms.rows}")
            yield RevealSeed(self._secrets.of("seed"))
            state = yield from await_audit("seeded")
        if state.seed:
            yield Stage("audit", 1, 2, f"{state.terms.opened_rows} opened rows")
            message = yield from receive_or_none(AuditOpening, OPENING_STEP, self._active)
            try:
                opening = self._examine(answered, state, message)
            except ContributionError as error:
                finding = str(error)
                log.warning("the audit of contributions found a fault", reason=error.reason.name, found=finding)
                yield Vote(False, error.reason)
            else:
                yield Vote(True, AuditReason.SOUND)
            state = yield from await_audit("voted")
        state = yield from conclude()
        yield Stage("audit", 2, 2, state.outcome)
        return kept_of(state, answered.positions, opening, answered, finding)

    def _examine(self, answered: Answered, state: AuditState, message: AuditOpening | None) -> bytes:
        """Check all that was posted and opened; gives the opening, unsealed."""
        check_published(answered.contribution, state, self._active)
        if message is None:
            raise ContributionError(self._active, AuditReason.ABSENT, "did not open the drawn rows")
        try:
            opening = self._keys.unseal(message.sealed, CONTEXT, self._active)
        except SealError as error:
            raise ContributionError(self._active, AuditReason.OPENING, f"opening: {error}") from error
        rows = opened_rows(state)
        auditor = Auditor(
            answered.shard,
            state,
            answered.positions[rows],
            tuple(bit_leaves(answered.packed, len(answered.positions))[row] for row in rows),
            answered.earlier_rounds,
            answered.commitments,
            answered.covers,
        )
        auditor.check(opening)
        return opening


def label_terms(spec: ContributionSpec, root: bytes, rows: int) -> LabelTerms:
    """The terms that a job's active party commits to."""
    return LabelTerms(root, rows, min(spec.opened_rows, rows), spec.window_seconds, spec.dispute_seconds, spec.budget)


def check_published(contribution: Contribution, state: AuditState, active: str) -> None:
    """Whether the uplink that published the shares says what the posted sums come to.

    Raises:
        ContributionError: it does not, reason SUMS; names the active party.
    """
    utilities = utilities_e6(state.loss_sums, state.terms.rows)
    if contribution.rows != state.terms.rows or contribution.utilities_e6 != utilities:
        raise ContributionError(active, AuditReason.SUMS, "published other utilities than the posted sums come to")


def kept_of(
    state: AuditState, positions: Positions, opening: bytes, answered: Answered | None, finding: str
) -> KeptAudit:
    """What a party keeps of a concluded audit.

    Args:
        state: with its outcome.
        positions: of the held-out rows.
        opening: unsealed, or empty.
        answered: at a passive party.
        finding: what it found wrong.
    """
    rows = opened_rows(state) if state.seed else np.zeros(0, np.int64)
    own = () if answered is None else bit_leaves(answered.packed, len(positions))
    return KeptAudit(
        outcome=state.outcome,
        positions=positions[rows].astype("<u4").tobytes(),
        own_bits=tuple(own[row] for row in rows) if own else (),
        opening=opening,
        earlier_rounds=0 if answered is None else answered.earlier_rounds,
        commitments=None if answered is None else answered.commitments,
        finding=finding,
        shards=state.shards,
    )
