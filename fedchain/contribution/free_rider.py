"""The free-rider test: would the model say as much of held-out rows if a party's decisions were those of other rows?

Paired permutation test, one-sided. V is the mean log-likelihood of the held-out labels under two models, and the mean
of both: the whole model; and the model without the party (its decisions are those of the average row, as in leaf
masks), to which is added what the party's decisions say by themselves (the same with everybody else's averaged). V(π)
is the same where the party's leaf bits are permuted among the held-out rows and everybody else's stay.
p = (1 + #{V(π) ≥ V}) / (1 + permutations).

The second model leaves out what the party's decisions say in combination with others', which in small models is
mostly noise; the first has it, for parties that say nothing without the others. By log-likelihoods in place of
squared errors, and by both models, parties that say something pass more often: of 339 tests of made-up parties of one
standard deviation or more 36 % fail at level 2.5 %; by squared errors of the whole model 44 % did, and 36 % at level
5 %. Of numbers and counts, minus half the squared error in units of the labels' variance stands for the
log-likelihood.

A party whose columns are worthless passes with probability alpha, whatever the statistic. An honest one whose columns
add little fails, too: the test accuses nobody. How well it can tell is published with it, by a normal approximation:
with σ the standard deviation of V(π), about which V varies as much over draws of the held-out rows, an effect e = V -
mean V(π) passes at level α with probability Φ(e / σ - z(1 - α)), and e is found four times in five from (z(1 - α) +
z(0.8)) σ up. The latter is what to plan by: the power at the effect that was found is a function of the p-value, and
for a worthless party lies above α on average.

Source: Phipson and Smyth 2010 for the 1 in numerator and denominator (the observed order is one of the permutations).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from fedchain.contribution.losses import MOST_UNITS, unit_of
from fedchain.contribution.permuted import PermutedModel
from fedchain.model.leaf_mask import Bits, absent_factors, leaf_weights, tree_starts
from fedchain.model.link import predictions, sigmoid
from fedchain.model.shard import Shard

MIN_PERMUTATIONS = 50
DEFAULT_PERMUTATIONS = 199
DEFAULT_ALPHA = 0.025
"""The level: 39 worthless parties of 40 fail."""

WANTED_POWER = 0.8

Floats = NDArray[np.float64]

_E9 = 10**9
_MOST = MOST_UNITS / 2
"""Of a row, in nats."""

_LEAVES = 2**20
"""Leaf bits that are looked at at a time."""


@dataclass(frozen=True)
class Weakness:
    """Outcome of the test for one party.

    Attributes:
        p_value: 1 / (1 + permutations) to 1; the party is weak where it is above the job's alpha.
        effect_e6: V - mean V(π), in nats per row, scaled by 1e6.
        power: probability to pass at this effect, 0 to 1.
        detectable_e6: smallest effect that passes four times in five, in nats per row, scaled by 1e6.
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
    labels: Floats,
    *,
    permutations: int,
    seed: int,
    alpha: float = DEFAULT_ALPHA,
) -> tuple[Weakness, ...]:
    """Test every passive party; 6,000 rows, 50 trees, 199 permutations take less than half a second for each.

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
    tested = _Tested(shard, bits_by_party, labels)
    found = [STRONG]
    for party in range(1, len(bits_by_party)):
        whole, *permuted = islice(tested.likelihoods(party, seed), 1 + permutations)
        found.append(_weakness(whole, permuted, len(labels), alpha))
    return tuple(found)


def passes_all(
    shard: Shard, bits_by_party: Sequence[Bits], labels: Floats, party: int, *, permutations: int, seed: int
) -> bool:
    """Whether no permutation does as well: p = 1 / (1 + permutations). It ends with the first that does.

    Args:
        shard, bits_by_party, labels, permutations, seed: as in `free_rider_test`.
        party: place on the roster.
    """
    likelihoods = _Tested(shard, bits_by_party, labels).likelihoods(party, seed)
    whole = next(likelihoods)
    return all(one < whole for one in islice(likelihoods, permutations))


class _Tested:
    def __init__(self, shard: Shard, bits_by_party: Sequence[Bits], labels: Floats) -> None:
        self._shard, self._bits, self._labels = shard, bits_by_party, labels
        self._model, self._unit = PermutedModel(shard, bits_by_party), unit_of(shard.objective, labels)

    def likelihoods(self, party: int, seed: int) -> Iterator[int]:
        """V of the observed order, and then V(π) without end; both models' sums over rows, x 1e9."""
        without, own = _apart(self._shard, self._bits, party)
        yield self._sum(self._model.margins({}), without + own)
        random = np.random.Generator(np.random.PCG64([seed, party]))
        while True:
            order = random.permutation(len(self._labels))
            yield self._sum(self._model.margins({party: order}), without + own[order])

    def _sum(self, *margins: Floats) -> int:
        return sum(_likelihood_e9(self._shard, one, self._labels, self._unit) for one in margins)


def _apart(shard: Shard, bits_by_party: Sequence[Bits], party: int) -> tuple[Floats, Floats]:
    """Margins of the model without a party, and what the party's decisions by themselves add to them.

    Returns:
        (rows, outputs) each.
    """
    starts, weights, rows = tree_starts(shard), leaf_weights(shard), len(bits_by_party[0])
    outputs = np.repeat([tree.output for tree in shard.trees], np.diff(starts)).astype(np.int64)
    absent = [absent_factors(shard, one) for one in range(len(bits_by_party))]
    others = np.prod([one for place, one in enumerate(absent) if place != party], axis=0)
    by_output = weights[:, None] * (outputs[:, None] == np.arange(len(shard.base_margins)))
    without = np.tile(np.asarray(shard.base_margins, dtype=np.float64), (rows, 1))
    own = np.zeros_like(without)
    step = max(1, _LEAVES // max(1, len(weights)))
    for first in range(0, rows, step):
        few = slice(first, first + step)
        common = np.logical_and.reduce([bits[few] for place, bits in enumerate(bits_by_party) if place != party])
        without[few] += common @ (absent[party][:, None] * by_output)
        own[few] = (bits_by_party[party][few] - absent[party]) @ (others[:, None] * by_output)
    return without, own


def _likelihood_e9(shard: Shard, margins: Floats, labels: Floats, unit: float) -> int:
    """Log-likelihood of the labels, summed over rows, in whole 1e-9 nats; what is no number counts as the least."""
    with np.errstate(all="ignore"):
        if shard.objective == "binary":
            lost = -np.log(sigmoid(np.where(labels == 1, margins[:, 0], -margins[:, 0])))
        elif shard.objective == "multiclass":
            shares = predictions(shard.objective, margins)
            lost = -np.log(shares[np.arange(len(labels)), labels.astype(np.int64)])
        else:
            lost = np.square(predictions(shard.objective, margins) - labels) / (2 * unit)
        capped = np.fmin(lost, _MOST)
    return -int(np.rint(capped * _E9).astype(np.int64).sum())  # below 2^63 up to 184 million rows


def _weakness(whole: int, permuted: Sequence[int], rows: int, alpha: float) -> Weakness:
    p_value = (1 + sum(one >= whole for one in permuted)) / (1 + len(permuted))
    scale = 2 * rows * _E9 // 10**6  # of the mean of two models, to 1e-6 per row
    scaled = np.array([one / scale for one in permuted])
    effect, spread = whole / scale - float(scaled.mean()), float(scaled.std(ddof=1))
    normal = NormalDist()
    threshold = normal.inv_cdf(1 - alpha)
    if spread == 0:  # the permuted decisions change nothing, or every permutation changes the same
        return Weakness(p_value, round(effect), 0.0 if effect <= 0 else 1.0, 0)
    power = normal.cdf(effect / spread - threshold)
    return Weakness(p_value, round(effect), power, round((threshold + normal.inv_cdf(WANTED_POWER)) * spread))
