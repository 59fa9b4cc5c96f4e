"""An audit of contributions, every party's side: the label holder's shares are checked by the passive parties.

1. After alignment, before the first round: the active party commits to the held-out labels (a salted Merkle tree), to
   the unit of losses and the base margins, and to the terms; the passive parties compare the terms with the job's.
2. After the answers of the evaluation, before anybody but the active party knows a share: every party freezes its
   outputs, its shard and its part of the seed. A passive party's outputs are the root of a salted Merkle tree over its
   packed leaf bits of each held-out row, as it has answered with them; the active party has that tree's secret, too,
   and goes on only where the root is that of the bits it got. The active party's outputs commit to the open model, to
   the unit of losses and to its own leaf bits.
3. All have frozen: the active party publishes and records the shares, and posts the root of the loss tree and the sums
   of all losses, from which the contract computes utilities and shares. Nobody knows as yet which rows are opened.
4. Every party reveals its part of the seed; together they draw the rows.
5. The active party opens the model and these rows, sealed to the roster: labels, every party's leaf bits, losses.
6. Every passive party recomputes all of it (`Auditor`) and votes. What does not hold is its vote's reason.
7. The audit is concluded, whatever came of it; the model is as good as before.

Reveals to the roster the open model (shapes of all trees with owners, covers, leaf weights, base margins), and of the
opened rows labels, every party's leaf bits and the losses. The loss tree's paths hold sums of the losses of rows
beside them: of about as many further rows they show the labels, too, and of small groups of rows how many have which.
Readers of the chain see none of it but the sums of all losses.
"""

from __future__ import annotations

import hmac
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedchain.contribution.commitments import RowTree, bit_leaves, label_leaves
from fedchain.contribution.loss_tree import LossTree
from fedchain.contribution.losses import Losses
from fedchain.contribution.open_model import active_outputs, open_model
from fedchain.errors import ProtocolViolationError, TrainingError
from fedchain.federation.contribspec import ContributionSpec
from fedchain.federation.kept import KeptAudit
from fedchain.federation.opening import labels_root, opened_rows
from fedchain.federation.session import Keys
from fedchain.messages import AuditOpening, encode
from fedchain.messages.auditing import LOSS_BYTES, SALT_BYTES, SUM_BYTES, ActiveOpening
from fedchain.model.leaf_mask import bit_count, pack_bits, unpack_bits
from fedchain.model.shard import Shard
from fedchain.protocol import (
    CommitLabels,
    Freeze,
    LabelTerms,
    Party,
    PostLosses,
    RevealSeed,
    Send,
    Stage,
    await_audit,
    conclude,
    remember,
)
from fedchain.types import PartyId

OPENING_STEP = 5
REMEMBERED = "audit_secret"
SEED = "seed"
CONTEXT = "audit/opening"
_PURPOSE = b"audit of contributions"
_LEAF_BYTES = 80
"""Of one leaf and one node above it in an open model: ids, owners, covers, a weight."""
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
    return Secrets((yield from remember(REMEMBERED, lambda: os.urandom(32))))


def seed_of(remembered: bytes) -> bytes:
    """This party's part of the seed, from what `remember_secrets` has remembered under `REMEMBERED`."""
    return Secrets(remembered).of(SEED)


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
        unit: of their losses.
        base_margins: with which training begins.
    """

    def __init__(
        self,
        spec: ContributionSpec,
        roster: tuple[PartyId, ...],
        keys: Keys,
        secrets: Secrets,
        positions: Positions,
        labels: NDArray[np.float64],
        unit: float,
        base_margins: Sequence[float],
    ) -> None:
        self._spec, self._roster, self._keys, self._secrets = spec, roster, keys, secrets
        self._rows, self._positions = len(positions), positions
        self._labels = RowTree(label_leaves(positions, labels), secrets.of("labels"))
        self._root = labels_root(self._labels.root, unit, base_margins)
        self._trees: list[RowTree] = []

    def commit_labels(self, *, trees: int, leaves: int, max_payload_bytes: int) -> Party[None]:
        """Before the first round.

        Args:
            trees, leaves: the most that the model may have, and each tree.
            max_payload_bytes: the job's.

        Raises:
            TrainingError: the opening may not fit into an uplink; training would be for nothing.
        """
        terms = label_terms(self._spec, self._root, self._rows)
        size = largest_opening(terms, len(self._roster), trees, leaves)
        if size > max_payload_bytes:
            raise TrainingError(
                f"opening {terms.opened_rows} of {terms.rows} rows may take {size} bytes, an uplink of the job at most "
                f"{max_payload_bytes}; lower contribution.opened_rows, or raise policy.max_payload_bytes"
            )
        yield CommitLabels(terms)

    def losses(self, make: Callable[[], Losses]) -> Party[Losses]:
        """The losses, computed once: after a restart another machine might round one of them otherwise.

        Args:
            make: computes them.
        """
        raw = yield from remember("audit_losses", lambda: make().astype("<i8").tobytes())
        return np.frombuffer(raw, dtype="<i8").astype(np.int64).reshape(self._rows, -1)

    def freeze(self, outputs: Outputs) -> Party[None]:
        """After the answers: commit to the outputs, and wait until everybody has.

        Raises:
            ProtocolViolationError: a passive party froze other outputs than it had answered with; names it.
        """
        trees = [RowTree(bit_leaves(outputs.packed[0], self._rows), self._secrets.of("bits"))]
        for place, (party, packed) in enumerate(zip(self._roster[1:], outputs.packed[1:], strict=True), start=1):
            count = bit_count(outputs.shard, place)
            if pack_bits(unpack_bits(packed, self._rows, count, party)) != packed:
                raise ProtocolViolationError(party, f"answered with more than {count} leaf bits per row")
            trees.append(bits_tree(packed, self._rows, self._keys, party))
        model = open_model(outputs.shard).to_bytes()
        frozen = active_outputs(model, outputs.unit, self._secrets.of("model"), trees[0].root)
        yield Freeze(frozen, outputs.shard.digest(), self._secrets.of(SEED))
        state = yield from await_audit("frozen")
        for party, root, tree in zip(self._roster[1:], state.outputs[1:], trees[1:], strict=True):
            if root != tree.root:
                raise ProtocolViolationError(party, "froze other outputs than it had answered with")
        self._trees = trees

    def run(self, outputs: Outputs) -> Party[KeptAudit]:
        """After the shares are published: to the audit's outcome."""
        trees, model = self._trees, open_model(outputs.shard).to_bytes()
        losses = LossTree(outputs.losses, self._secrets.of("losses"))
        yield PostLosses(losses.root, losses.sums, outputs.weak)
        yield RevealSeed(self._secrets.of(SEED))
        state = yield from await_audit("seeded")
        opening = b""
        if state.seed:
            rows = opened_rows(state)
            yield Stage("audit", 1, 2, f"{len(rows)} opened rows")
            salts = (self.weights_salt(f"leaf_weights/{number}") for number in range(1, outputs.rounds + 1))
            opening = encode(
                ActiveOpening(
                    model=model,
                    unit=outputs.unit,
                    salt=self._secrets.of("model"),
                    weight_salts=b"".join(salts),
                    bits_root=trees[0].root,
                    bits=tuple(tree.open(rows) for tree in trees),
                    labels_root=self._labels.root,
                    labels=self._labels.open(rows),
                    losses=losses.open(rows),
                )
            )
            yield Send(AuditOpening(self._keys.seal_to_roster(opening, CONTEXT)), OPENING_STEP)
            state = yield from await_audit("voted")
        state = yield from conclude()
        yield Stage("audit", 2, 2, state.outcome)
        return KeptAudit(
            outcome=state.outcome,
            positions=self._positions[opened_rows(state)].astype("<u4").tobytes() if state.seed else b"",
            opening=opening,
            earlier_rounds=len(outputs.shard.trees) // len(outputs.shard.base_margins) - outputs.rounds,
            shards=state.shards,
        )

    def weights_salt(self, context: str) -> bytes:
        """Salt of the commitment to a round's leaf weights, 32 bytes."""
        return self._secrets.of(context)


def label_terms(spec: ContributionSpec, root: bytes, rows: int) -> LabelTerms:
    """The terms that a job's active party commits to."""
    return LabelTerms(root, rows, min(spec.opened_rows, rows), spec.window_seconds, spec.dispute_seconds, spec.budget)


def terms_in_words(terms: LabelTerms) -> str:
    """All of them, for people."""
    return (
        f"{terms.opened_rows} of {terms.rows} rows opened, windows of {terms.window_seconds} s, disputes for "
        f"{terms.dispute_seconds} s, {terms.budget} points, labels 0x{terms.root.hex()}"
    )


def largest_opening(terms: LabelTerms, parties: int, trees: int, leaves: int) -> int:
    """Bytes that an opening takes at most, as far as that can be told before training.

    Args:
        terms: rows and opened rows.
        parties: of the job.
        trees, leaves: the most that the model may have, and each tree.
    """
    coalitions: int = 2**parties
    opened = terms.opened_rows
    depth = math.ceil(math.log2(max(2, terms.rows / opened))) + 1
    beside = min(opened * depth + opened, terms.rows)  # nodes of a tree's path
    losses = opened * (LOSS_BYTES * coalitions + SALT_BYTES) + beside * (32 + SUM_BYTES * coalitions)
    bits = parties * (opened * (-(-trees * leaves // 8) + SALT_BYTES) + 32 * beside)
    return losses + bits + opened * 64 + 32 * beside + trees * leaves * _LEAF_BYTES
