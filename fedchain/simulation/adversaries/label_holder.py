"""Label holders that lie in an audit of contributions: about single rows' losses, or about the sums of all.

Both answer the auditors as the audit asks, with paths that lead to the roots that they posted, so that only what was
opened can give them away. What an auditor does is done here by the functions that it uses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchain.contribution.loss_tree import LossTree, check_losses
from fedchain.contribution.losses import Losses, row_losses_e6
from fedchain.contribution.open_model import open_model
from fedchain.contribution.recheck import recheck_rows
from fedchain.contribution.sampling import sample_rows
from fedchain.errors import ContributionError
from fedchain.model.leaf_mask import Bits
from fedchain.model.shard import Shard

WORST_E6 = 1_000_000
"""The largest Brier loss of one row."""


@dataclass(frozen=True)
class Audited:
    """What an audit looks at: a finished model on its held-out rows.

    Attributes:
        shard: the active party's.
        bits: (rows, leaves of all trees) bool, roster order.
        labels: (rows,).
        losses: (rows, coalitions) int64: the true ones.
    """

    shard: Shard
    bits: Sequence[Bits]
    labels: NDArray[np.float64]
    losses: Losses

    @classmethod
    def of(cls, shard: Shard, bits: Sequence[Bits], labels: NDArray[np.float64]) -> Audited:
        """With the true losses computed."""
        return cls(open_model(shard), bits, labels, row_losses_e6(shard, bits, labels, 1.0))


def tampered(audited: Audited, rows: int, favourite: int, random: np.random.Generator) -> Losses:
    """Losses with some rows' changed in a party's favour: as if each coalition with it were right, the others wrong.

    That is what moves its share most for the number of rows: 1 % of them move a utility by up to 0.01.

    Args:
        audited: what is lied about.
        rows: how many rows.
        favourite: roster position of the party.
        random: which rows; those of which the truth says the same anyway are not among them.
    """
    losses = audited.losses.copy()
    coalitions = np.arange(losses.shape[1])
    lie = np.where(coalitions >> favourite & 1, 0, WORST_E6)
    candidates = np.flatnonzero((np.abs(losses - lie) > 1).any(axis=1))
    losses[random.choice(candidates, rows, replace=False)] = lie
    return losses


def is_caught(audited: Audited, losses: Losses, sums: Sequence[int], opened: int, seed: bytes) -> bool:
    """Whether an auditor finds a reason to vote false.

    Args:
        audited: the truth.
        losses: what the label holder's tree is over.
        sums: what it posts.
        opened: rows that the seed opens.
        seed: 32 bytes that nobody knew when the root was posted.
    """
    rows = len(losses)
    tree = LossTree(losses, hashlib.sha256(b"secret" + seed).digest())
    sample = sample_rows(seed, rows, opened)
    try:
        found = check_losses(tree.root, sums, rows, sample, tree.open(sample), "active", most=WORST_E6)
        recheck_rows(audited.shard, [bits[sample] for bits in audited.bits], audited.labels[sample], found, 1.0)
    except ContributionError:
        return True
    return False
