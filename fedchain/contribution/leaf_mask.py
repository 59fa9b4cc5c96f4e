"""Leaf-mask Shapley: what each party's splits are worth on held-out rows, without retraining.

Utility of a coalition is minus the mean of its losses (`losses`): minus the Brier score for classes; for numbers and
counts in units of the labels' variance (1 plus utility is R²). The same integers serve jobs with and without an audit.
This is an approximation of retraining without a party, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from fedchain.contribution.losses import (
    E6,
    Losses,
    loss_sums,
    losses_of_margins,
    margins_in_steps,
    row_losses_e6,
    unit_of,
    utilities_e6,
)
from fedchain.model.leaf_mask import Bits
from fedchain.model.shard import Shard

MAX_POINTS = 256
"""Of the running shares."""
_COALITION_POINTS = 2**13


@dataclass(frozen=True)
class Shares:
    """Outcome of a contribution run, all scaled by 1e6.

    Attributes:
        utilities_e6: utility of each coalition; index = bit mask over roster positions.
        shares_e6: exact Shapley values of these integers, rounded so that they sum to full minus empty.
        sums: of each coalition's losses over all held-out rows: what is posted where the job has an audit.
        rounds_e6: running shares after the rounds of `running_rounds`; the last are `shares_e6`.
    """

    utilities_e6: tuple[int, ...]
    shares_e6: tuple[int, ...]
    sums: tuple[int, ...] = ()
    rounds_e6: tuple[tuple[int, ...], ...] = ()

    @property
    def statistic_e6(self) -> int:
        """ln(1 + Euclidean norm of the utilities), the statistic that the uplink declares."""
        return round(math.log1p(math.sqrt(sum(value * value for value in self.utilities_e6))) * E6)


def leaf_mask_shapley(
    shard: Shard, bits_by_party: Sequence[Bits], labels: NDArray[np.float64], losses: Losses | None = None
) -> Shares:
    """Shares of all parties, at the end and along the rounds.

    Args:
        shard: the active party's (it has covers and weights).
        bits_by_party: shape (held-out rows, leaves of all trees) each, roster order.
        labels: shape (held-out rows,), as trained: classes are numbered from 0.
        losses: what `row_losses_e6` gives for these with `unit_of`, where that is there already.
    """
    unit = unit_of(shard.objective, labels)
    if losses is None:
        losses = row_losses_e6(shard, bits_by_party, labels, unit)
    sums = loss_sums(losses)
    utilities = utilities_e6(sums, len(labels))
    shares = shapley_e6(utilities)
    running = running_shares(shard, bits_by_party, labels, unit)
    return Shares(utilities, shares, sums, (*running[:-1], shares) if running else ())


def running_rounds(rounds: int, parties: int) -> list[int]:
    """After which rounds running shares are told: all, or so many evenly spaced ones as cost no more than the shares.

    At most 256, and fewer where there are more than five parties (32 of eight); the last is `rounds`.
    """
    points = min(rounds, MAX_POINTS, max(1, _COALITION_POINTS >> parties))
    return [-(-rounds * (place + 1) // points) for place in range(points)]


def running_ends(shard: Shard) -> list[int]:
    """How many trees a model has after each of `running_rounds`; none of a model without trees."""
    outputs, trees = len(shard.base_margins), len(shard.trees)
    return (
        [min(outputs * one, trees) for one in running_rounds(-(-trees // outputs), len(shard.roster))] if trees else []
    )


def running_shares(
    shard: Shard, bits_by_party: Sequence[Bits], labels: NDArray[np.float64], unit: float
) -> list[tuple[int, ...]]:
    """Shares of the model as it was after each of `running_rounds`: trees are added up, so it costs little.

    Args:
        shard, bits_by_party, labels, unit: as `row_losses_e6`.

    Returns:
        Shapley values x 1e6 in roster order, one tuple for each round told.
    """
    ends = running_ends(shard)
    sums = [[0] * 2 ** len(shard.roster) for _ in ends]
    if ends:
        for few, place, margins in margins_in_steps(shard, bits_by_party, ends):
            added = loss_sums(losses_of_margins(shard, margins, labels[few], unit))
            sums[place] = [one + other for one, other in zip(sums[place], added, strict=True)]
    return [shapley_e6(utilities_e6(one, len(labels))) for one in sums]


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
