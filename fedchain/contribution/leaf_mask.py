"""Leaf-mask Shapley: what each party's splits are worth on held-out rows, without retraining.

For a coalition S, a tree's leaf l counts with the product over its members' leaf bits and, for the absent parties, of
the share of training rows that their nodes on the path sent that way:
f_S(x) = base + Σ_l w_l Π_{j∈S} b_jl Π_{j∉S} c_jl. Utility is minus the mean squared error of predictions: the Brier
score for classes; for numbers and counts in units of the labels' variance, so that it is at home in integers whatever
the labels' unit (1 plus utility is R²).
This is an approximation of retraining without a party, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from fedchain.model.leaf_mask import Bits, absent_factors, leaf_weights, tree_starts
from fedchain.model.link import predictions
from fedchain.model.shard import Shard

E6 = 1_000_000
MAX_ERROR = 1e9
"""Larger errors than this, of models that have diverged, count as this: utilities fit into 64 bits, scaled by 1e6."""


@dataclass(frozen=True)
class Shares:
    """Outcome of a contribution run, all scaled by 1e6.

    Attributes:
        utilities_e6: utility of each coalition; index = bit mask over roster positions.
        shares_e6: exact Shapley values of these integers, rounded so that they sum to full minus empty.
    """

    utilities_e6: tuple[int, ...]
    shares_e6: tuple[int, ...]

    @property
    def statistic_e6(self) -> int:
        """ln(1 + Euclidean norm of the utilities), the statistic that the uplink declares."""
        return round(math.log1p(math.sqrt(sum(value * value for value in self.utilities_e6))) * E6)


def leaf_mask_shapley(shard: Shard, bits_by_party: Sequence[Bits], labels: NDArray[np.float64]) -> Shares:
    """Shares of all parties.

    Args:
        shard: the active party's (it has covers and weights).
        bits_by_party: shape (held-out rows, leaves of all trees) each, roster order.
        labels: shape (held-out rows,), as trained: classes are numbered from 0.
    """
    parties = len(shard.roster)
    absent = [absent_factors(shard, party) for party in range(parties)]
    weights = leaf_weights(shard)
    starts = tree_starts(shard)
    truth = np.eye(len(shard.base_margins))[labels.astype(int)] if shard.objective == "multiclass" else labels
    unit = 1.0 if shard.objective in ("binary", "multiclass") else float(labels.var()) or 1.0
    utilities = []
    for coalition in range(2**parties):
        mask = np.broadcast_to(weights, (len(labels), len(weights))).copy()
        for party in range(parties):
            mask *= bits_by_party[party] if coalition >> party & 1 else absent[party]
        margin = np.tile(np.asarray(shard.base_margins), (len(labels), 1))
        for tree, start, stop in zip(shard.trees, starts[:-1], starts[1:], strict=True):
            margin[:, tree.output] += mask[:, start:stop].sum(axis=1)
        with np.errstate(over="ignore"):
            error = (predictions(shard.objective, margin) - truth) ** 2
        utilities.append(-round(min(float(error.sum() / len(labels)) / unit, MAX_ERROR) * E6))
    return Shares(tuple(utilities), shapley_e6(utilities))


def shapley_e6(utilities: Sequence[int]) -> tuple[int, ...]:
    """Shapley values of integer utilities (index = bit mask), as integers that sum to full minus empty exactly.

    Source: Shapley 1953. Fractions are rounded down and the remainder goes to the largest fractional parts.
    """
    parties = len(utilities).bit_length() - 1
    if len(utilities) != 2**parties:
        raise ValueError(f"{len(utilities)} utilities are not those of all coalitions of a whole number of parties")
    exact = []
    for party in range(parties):
        value = Fraction(0)
        for coalition in range(2**parties):
            if not coalition >> party & 1:
                size = coalition.bit_count()
                weight = Fraction(math.factorial(size) * math.factorial(parties - size - 1), math.factorial(parties))
                value += weight * (utilities[coalition | 1 << party] - utilities[coalition])
        exact.append(value)
    rounded = [math.floor(value) for value in exact]
    remainder = utilities[-1] - utilities[0] - sum(rounded)
    by_fraction = sorted(range(parties), key=lambda party: (rounded[party] - exact[party], party))
    for party in by_fraction[:remainder]:
        rounded[party] += 1
    return tuple(rounded)
