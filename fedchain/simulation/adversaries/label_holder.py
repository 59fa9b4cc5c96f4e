"""Label holders that lie in an audit of contributions: about single rows' losses, or about the sums of all.

All that they publish, post and open follows from the lie, so that only what it is about can give it away: the losses
of an opened row, or the sums in the tree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchain.contribution.leaf_mask import shapley_e6
from fedchain.contribution.loss_tree import LossTree, check_losses
from fedchain.contribution.losses import Losses, loss_sums, most_loss_e6, row_losses_e6, utilities_e6
from fedchain.contribution.open_model import open_model
from fedchain.contribution.recheck import recheck_rows
from fedchain.contribution.sampling import sample_rows
from fedchain.errors import ContributionError
from fedchain.federation.evaluating import Evaluation, evaluate
from fedchain.federation.spec import JobSpec
from fedchain.model.leaf_mask import Bits
from fedchain.model.shard import Shard
from fedchain.protocol import Action, PostLosses
from fedchain.simulation.adversaries.party import Adversary, Random


class LyingLabelHolder(Adversary):
    """Measures honestly, and then says something else."""

    def __init__(self, random: Random, spec: JobSpec) -> None:
        super().__init__(random, spec)
        self.amplitude = {}
        self.favourite = int(random.integers(1, len(spec.names)))
        """Roster position of the party in whose favour it lies."""

    def measure(self, *given: Any) -> Evaluation:
        """In place of `fedchain.federation.evaluating.evaluate`."""
        self.acted = True
        return self.instead(evaluate(*given))

    def instead(self, honest: Evaluation) -> Evaluation:
        """What it says instead."""
        return honest

    @staticmethod
    def with_sums(honest: Evaluation, sums: Sequence[int]) -> Evaluation:
        """The shares that follow from other sums."""
        utilities = utilities_e6(sums, honest.rows)
        shares = shapley_e6(utilities)
        rounds = (*honest.shares.rounds_e6[:-1], shares)
        said = replace(
            honest.shares, utilities_e6=utilities, shares_e6=shares, sums=tuple(sums), rounds_e6=tuple(rounds)
        )
        return replace(honest, shares=said)


class TamperedRows(LyingLabelHolder):
    """Some rows' losses are none wherever its favourite takes part: 1 to 50 % of the rows, at least one."""

    def __init__(self, random: Random, spec: JobSpec) -> None:
        super().__init__(random, spec)
        self.share = self.log_uniform(0.01, 0.5)
        self.amplitude = {"share": self.share}

    def instead(self, honest: Evaluation) -> Evaluation:
        """Consistent: tree, sums, utilities and shares are those of the tampered losses."""
        rows = max(1, round(self.share * len(honest.losses)))
        losses = tampered(honest.losses, rows, self.favourite, self.random)
        self.amplitude |= {"rows": len(losses), "tampered": int((losses != honest.losses).any(axis=1).sum())}
        return replace(self.with_sums(honest, loss_sums(losses)), losses=losses)


class FalseUtilities(LyingLabelHolder):
    """Publishes and posts other sums than its losses': by 1e-6 up to 1 % of the rows' worst, in one coalition."""

    def __init__(self, random: Random, spec: JobSpec) -> None:
        super().__init__(random, spec)
        self._sums: tuple[int, ...] = ()

    def instead(self, honest: Evaluation) -> Evaluation:
        """True losses, other sums."""
        sums = list(honest.shares.sums)
        place = int(self.random.integers(1, len(sums)))
        off = round(self.log_uniform(1, 1e4 * honest.rows))
        sums[place] = max(0, sums[place] - off) if sums[place] else off
        self.amplitude = {"coalition": place, "off": off}
        self._sums = tuple(sums)
        return self.with_sums(honest, sums)

    def acts(self, action: Action) -> Action:
        """The same sums on chain."""
        return replace(action, sums=self._sums) if isinstance(action, PostLosses) else action


def tampered(losses: Losses, rows: int, favourite: int, random: Random) -> Losses:
    """Losses with some rows' set to none in each coalition with one party: what moves its share most, row for row.

    Args:
        losses: the true ones.
        rows: how many rows.
        favourite: roster position of the party.
        random: which rows; those of which the truth says nearly the same are not among them.
    """
    lies = losses.copy()
    helped = np.flatnonzero(np.arange(losses.shape[1]) >> favourite & 1)
    candidates = np.flatnonzero((losses[:, helped] > 1).any(axis=1))
    chosen = random.choice(candidates, min(rows, len(candidates)), replace=False)
    lies[np.ix_(chosen, helped)] = 0
    return lies


@dataclass(frozen=True)
class Audited:
    """What an audit looks at, without a job around it: a model on held-out rows.

    Attributes:
        shard: as opened.
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


def is_caught(audited: Audited, losses: Losses, opened: int, seed: bytes) -> bool:
    """Whether an auditor finds a reason to vote false, by the functions that it uses.

    Args:
        audited: the truth.
        losses: what the label holder's tree is over; it posts their sums.
        opened: rows that the seed opens.
        seed: 32 bytes that nobody knew when the root was posted.
    """
    rows = len(losses)
    tree = LossTree(losses, hashlib.sha256(b"secret" + seed).digest())
    sample = sample_rows(seed, rows, opened)
    try:
        most = most_loss_e6(audited.shard.objective)
        found = check_losses(tree.root, tree.sums, rows, sample, tree.open(sample), "active", most=most)
        recheck_rows(audited.shard, [bits[sample] for bits in audited.bits], audited.labels[sample], found, 1.0)
    except ContributionError:
        return True
    return False
