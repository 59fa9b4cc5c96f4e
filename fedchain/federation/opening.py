"""What an auditor of contributions checks, once the label holder has opened the drawn rows.

The opened rows are the same for everybody who knows the audit's seed. The auditor knows beforehand: what the label
holder committed to (labels, model, leaf bits, leaf weights of each round, losses), what the contract computed the
shares from (sums of losses), its own part of the model, and its own leaf bits of these rows. What it does not know and
so takes as stated: covers of nodes that it did not see, leaf weights of a continued model, p-values, whether the label
holder's own decisions are made by its features, and whether the labels are true.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchain.contribution.commitments import check_rows, read_labels
from fedchain.contribution.covers import check_known_covers
from fedchain.contribution.free_rider import passes_all
from fedchain.contribution.loss_tree import check_losses
from fedchain.contribution.losses import most_loss_e6
from fedchain.contribution.open_model import active_outputs, check_open_model, check_weights
from fedchain.contribution.recheck import check_unit, opened_bits, recheck_rows
from fedchain.contribution.sampling import sample_rows
from fedchain.errors import ContributionError, MessageError
from fedchain.messages import decode
from fedchain.messages.auditing import ActiveOpening
from fedchain.model.leaf_mask import Bits
from fedchain.model.shard import Shard
from fedchain.protocol import AuditState
from fedchain.types import AuditReason

Positions = NDArray[np.int64]
_PERMUTATIONS = 1999
"""Of the free-rider test on opened rows: a party that is weak there passes all of them once in two thousand audits."""
_TESTED_ROWS = 1000
"""At most so many of them, the lowest."""


def opened_rows(state: AuditState) -> Positions:
    """Which held-out rows an audit opens, ascending; from the seed of all parties."""
    return sample_rows(state.seed, state.terms.rows, state.terms.opened_rows)


def labels_root(tree_root: bytes, unit: float, base_margins: Sequence[float]) -> bytes:
    """What the label holder commits to before the first round, 32 bytes.

    SHA-256("fedchain-labels-1" ‖ root ‖ float64 big-endian unit ‖ float64 big-endian base margins). The root is of a
    salted tree and shown to nobody before the audit, so the margins cannot be guessed from it.

    Args:
        tree_root: of the tree of labels, 32 bytes.
        unit: what squared errors are divided by.
        base_margins: of the model, one per output.
    """
    margins = b"".join(struct.pack(">d", one) for one in base_margins)
    return hashlib.sha256(b"fedchain-labels-1" + tree_root + struct.pack(">d", unit) + margins).digest()


@dataclass(frozen=True)
class Auditor:
    """What a passive party holds an opening against.

    Attributes:
        shard: its own.
        state: of the audit, the seed known.
        positions: aligned positions of the opened rows, as the label holder asked for them in the evaluation.
        own_bits: own leaf bits of these rows, each as `pack_bits` gives it.
        earlier_rounds: of the model that the job continued; else 0.
        commitments: of the leaf weights of the rounds of this job that the model keeps; None where they were not kept.
        covers: training rows by node of each tree of these rounds, as far as it knows them; None where not kept.
        trained: rows that each tree of the job was grown with (`JobSpec.sampled_rows`); None where not known.
    """

    shard: Shard
    state: AuditState
    positions: Positions
    own_bits: tuple[bytes, ...]
    earlier_rounds: int
    commitments: tuple[bytes, ...] | None
    covers: tuple[Mapping[int, int], ...] | None = None
    trained: int | None = None

    @property
    def culprit(self) -> str:
        """Who opens: the label holder."""
        return self.shard.roster[0]

    def check(self, raw: bytes) -> None:
        """Check what the label holder opened.

        Args:
            raw: an `ActiveOpening`, unsealed.

        Raises:
            ContributionError: something of it does not hold; names the label holder, and says what.
        """
        try:
            opening = decode(raw, ActiveOpening)
        except MessageError as error:
            raise ContributionError(self.culprit, AuditReason.OPENING, f"opening: {error}") from error
        rows = opened_rows(self.state)
        model = check_open_model(opening.model, self.shard, self.culprit)
        stated = active_outputs(opening.model, opening.unit, opening.salt, opening.bits_root)
        if stated != self.state.outputs[0]:
            raise self._refusal(AuditReason.OPENING, "opened another model, unit or tree of leaf bits than it froze")
        bits = self._bits(opening, model, rows)
        if labels_root(opening.labels_root, opening.unit, model.base_margins) != self.state.terms.root:
            raise self._refusal(AuditReason.LABELS, "opened other labels, unit or base margins than before training")
        leaves = check_rows(opening.labels_root, self.state.terms.rows, rows, opening.labels, self.culprit)
        labels = read_labels(leaves, self.positions, self.culprit)
        if self.commitments is not None:
            check_weights(model, self.earlier_rounds, self.commitments, opening.weight_salts, self.culprit)
        terms, root, sums = self.state.terms, self.state.losses_root, self.state.loss_sums
        losses = check_losses(
            root, sums, terms.rows, rows, opening.losses, self.culprit, most=most_loss_e6(model.objective)
        )
        earlier_trees = len(model.base_margins) * self.earlier_rounds
        if self.covers is not None:
            check_known_covers(model, self.covers, earlier_trees, self.culprit)
        recheck_rows(model, bits, labels, losses, opening.unit, earlier_trees, self.trained)
        check_unit(model, labels, opening.unit, sums[0], terms.rows)
        self._check_weak(model, bits, labels)

    def _check_weak(self, model: Shard, bits: list[Bits], labels: NDArray[np.float64]) -> None:
        """Nobody is called weak who passes the free-rider test on the opened rows as clearly as one can."""
        if not self.state.weak:
            return
        seed = int.from_bytes(self.state.seed[:8], "big")
        few = [one[:_TESTED_ROWS] for one in bits]
        few_labels = labels[:_TESTED_ROWS]
        for place, party in enumerate(self.shard.roster):
            if self.state.weak >> place & 1 and passes_all(
                model, few, few_labels, place, permutations=_PERMUTATIONS, seed=seed
            ):
                what = f"called party '{party}' weak, which passes the free-rider test on the opened rows"
                raise self._refusal(AuditReason.SUMS, what)

    def _bits(self, opening: ActiveOpening, model: Shard, rows: Positions) -> list[Bits]:
        """Leaf bits of every party on the opened rows, (opened rows, leaves of all trees) each."""
        roster, me = self.shard.roster, self.shard.index
        if len(opening.bits) != len(roster):
            raise self._refusal(
                AuditReason.OPENING, f"opened leaf bits of {len(opening.bits)} of {len(roster)} parties"
            )
        spread = []
        for place, opened in enumerate(opening.bits):
            root = self.state.outputs[place] if place else opening.bits_root
            leaves = check_rows(root, self.state.terms.rows, rows, opened, self.culprit)
            if place == me and self.own_bits and tuple(leaves) != self.own_bits:
                raise self._refusal(AuditReason.BITS, "opened other leaf bits of this party than it had answered")
            spread.append(opened_bits(model, place, leaves))
        return spread

    def _refusal(self, reason: AuditReason, what: str) -> ContributionError:
        return ContributionError(self.culprit, reason, what)
