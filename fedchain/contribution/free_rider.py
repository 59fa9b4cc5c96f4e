"""The free-rider test: would the model be as good on held-out rows if a party's decisions were those of other rows?

Paired permutation test, one-sided: U is the utility of the whole model (minus the mean squared error, as in `losses`),
U(π) the same where the party's leaf bits are permuted among the held-out rows and everybody else's stay.
p = (1 + #{U(π) ≥ U}) / (1 + permutations).

A party whose columns are worthless fails it, and so does an honest one whose columns add little: it accuses nobody. How
well it can tell is published with it, by a normal approximation: with σ the standard deviation of U(π), about which
U varies as much over draws of the held-out rows, an effect e = U - mean U(π) passes at level α with probability
Φ(e / σ - z(1 - α)), and e is found four times in five from (z(1 - α) + z(0.8)) σ up. The latter is what to plan by: the
power at the effect that was found is a function of the p-value, and for a worthless party lies above α on average.

Source: Phipson and Smyth 2010 for the 1 in numerator and denominator (the observed order is one of the permutations).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from fedchain.contribution.losses import losses_of_margins, unit_of
from fedchain.contribution.permuted import PermutedModel
from fedchain.model.leaf_mask import Bits
from fedchain.model.shard import Shard

MIN_PERMUTATIONS = 50
WANTED_POWER = 0.8


@dataclass(frozen=True)
class Weakness:
    """Outcome of the test for one party.

    Attributes:
        p_value: 1 / (1 + permutations) to 1; the party is weak where it is above the job's alpha.
        effect_e6: U - mean U(π), scaled by 1e6.
        power: probability to pass at this effect, 0 to 1.
        detectable_e6: smallest effect that passes four times in five, scaled by 1e6.
    """

    p_value: float
    effect_e6: int
    power: float
    detectable_e6: int


STRONG = Weakness(0.0, 0, 0.0, 0)
"""What stands for the active party, which is not tested: it has the labels."""


def free_rider_test(
    shard: Shard,
    bits_by_party: Sequence[Bits],
    labels: NDArray[np.float64],
    *,
    permutations: int,
    seed: int,
    alpha: float = 0.05,
) -> tuple[Weakness, ...]:
    """Test every passive party; 6,000 rows, 50 trees, 99 permutations take about two seconds for each.

    Args:
        shard: the active party's.
        bits_by_party: (held-out rows, leaves of all trees) bool each, roster order; they lead each row to one leaf.
        labels: (held-out rows,) as trained.
        permutations: of each party, at least 50.
        seed: of the permutations; another run of the same job with the same seed gives the same answer.
        alpha: level at which power is told, above 0 and below 1.

    Returns:
        Roster order, `STRONG` for the active party.

    Raises:
        ValueError: fewer than 50 permutations, or alpha out of range.
    """
    if permutations < MIN_PERMUTATIONS or not 0 < alpha < 1:
        raise ValueError(f"a free-rider test has {MIN_PERMUTATIONS} permutations or more and alpha between 0 and 1")
    model, unit = PermutedModel(shard, bits_by_party), unit_of(shard.objective, labels)

    def utility(margins: NDArray[np.float64]) -> int:
        return -int(losses_of_margins(shard, margins[:, None, :], labels, unit).sum(dtype=object))

    whole = utility(model.margins({}))
    found = [STRONG]
    for party in range(1, len(bits_by_party)):
        random = np.random.Generator(np.random.PCG64([seed, party]))
        permuted = [utility(model.margins({party: random.permutation(len(labels))})) for _ in range(permutations)]
        found.append(_weakness(whole, permuted, len(labels), alpha))
    return tuple(found)


def _weakness(whole: int, permuted: Sequence[int], rows: int, alpha: float) -> Weakness:
    p_value = (1 + sum(one >= whole for one in permuted)) / (1 + len(permuted))
    scaled = np.array([one / rows for one in permuted])
    effect, spread = whole / rows - float(scaled.mean()), float(scaled.std(ddof=1))
    normal = NormalDist()
    threshold = normal.inv_cdf(1 - alpha)
    if spread == 0:  # the permuted decisions change nothing, or every permutation changes the same
        return Weakness(p_value, round(effect), 0.0 if effect <= 0 else 1.0, 0)
    power = normal.cdf(effect / spread - threshold)
    return Weakness(p_value, round(effect), power, round((threshold + normal.inv_cdf(WANTED_POWER)) * spread))
