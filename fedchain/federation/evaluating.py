"""What the active party makes of the held-out rows: shares, running shares, the free-rider test, and their message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchain.contribution.block_permutation import permuted_tree_shapley
from fedchain.contribution.conditional import conditional_shapley
from fedchain.contribution.free_rider import Weakness, free_rider_test
from fedchain.contribution.leaf_mask import Shares, leaf_mask_shapley
from fedchain.contribution.losses import E6, Losses, row_losses_e6, unit_of
from fedchain.federation.auditors import weak_mask
from fedchain.federation.contribspec import ContributionSpec
from fedchain.messages import Contribution
from fedchain.model.leaf_mask import Bits
from fedchain.model.shard import Shard


@dataclass(frozen=True)
class Evaluation:
    """A contribution run over the held-out rows.

    Attributes:
        shares: of all parties.
        losses: (held-out rows, coalitions) int64; by other methods than leaf masks (0, coalitions): none is audited.
        unit: of the losses.
        tests: of the free-rider test, roster order; the active party is not tested.
        gains_e6: each party's part of the gain of all splits, x 1e6; empty where it is not known.
        rows: held-out rows.
    """

    shares: Shares
    losses: Losses
    unit: float
    tests: tuple[Weakness, ...]
    gains_e6: tuple[int, ...]
    rows: int

    def weak(self, alpha: float) -> int:
        """Bit mask over roster positions: whose p-value lies above `alpha`. It is what is published that counts."""
        return weak_mask(self.p_values_e6, alpha)

    @property
    def p_values_e6(self) -> tuple[int, ...]:
        """Roster order, x 1e6; 0 for the active party, which is not tested."""
        return tuple(round(test.p_value * E6) for test in self.tests)

    @property
    def message(self) -> Contribution:
        """What is published."""
        return Contribution(
            rows=self.rows,
            utilities_e6=self.shares.utilities_e6,
            shares_e6=self.shares.shares_e6,
            rounds_e6=self.shares.rounds_e6,
            gains_e6=self.gains_e6,
            p_values_e6=self.p_values_e6,
            powers_e6=tuple(round(test.power * E6) for test in self.tests),
            detectable_e6=tuple(test.detectable_e6 for test in self.tests),
        )


def evaluate(
    spec: ContributionSpec,
    shard: Shard,
    bits: Sequence[Bits],
    labels: NDArray[np.float64],
    gains: Sequence[float],
    salt: bytes,
    losses: Losses | None = None,
) -> Evaluation:
    """Measure contributions.

    Args:
        spec: names the method, and says how the free-rider test is made.
        shard: the active party's.
        bits: (held-out rows, leaves of all trees) each, roster order.
        labels: of these rows.
        gains: of all splits of each party in training, roster order; empty where they are not known.
        salt: of the job: the permutations are drawn from it, which nobody chose alone.
        losses: what `row_losses_e6` gives, where that is there already.
    """
    unit, seed = unit_of(shard.objective, labels), int.from_bytes(salt[:8], "big")
    if spec.method == "block-permutation":
        shares = permuted_tree_shapley(shard, bits, labels, repeats=spec.repeats, seed=seed)
        losses = np.zeros((0, len(shares.utilities_e6)), dtype=np.int64)
    elif spec.method == "conditional":
        shares = conditional_shapley(shard, bits, labels)
        losses = np.zeros((0, len(shares.utilities_e6)), dtype=np.int64)
    else:
        losses = row_losses_e6(shard, bits, labels, unit) if losses is None else losses
        shares = leaf_mask_shapley(shard, bits, labels, losses)
    tests = free_rider_test(shard, bits, labels, permutations=spec.permutations, seed=seed, alpha=spec.alpha)
    return Evaluation(shares, losses, unit, tests, parts_e6(gains), len(labels))


def parts_e6(gains: Sequence[float]) -> tuple[int, ...]:
    """Each one's part of the sum, x 1e6, rounded; all 0 where there is no gain."""
    whole = sum(gains)
    return tuple(round(one / whole * E6) if whole > 0 else 0 for one in gains)
