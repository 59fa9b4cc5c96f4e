"""How far shares are from those of retraining: the honest yardstick that no federation can afford.

Utility of a coalition by retraining: minus the mean squared error, on the held-out rows, of XGBoost trained on its
members' columns alone (the labels are there for every coalition; of nobody, the base rate). 2^parties trainings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchain.contribution.block_permutation import block_permutation_shapley
from fedchain.contribution.conditional import conditional_shapley
from fedchain.contribution.leaf_mask import leaf_mask_shapley, shapley_e6
from fedchain.contribution.losses import loss_sums, losses_of_margins, unit_of, utilities_e6
from fedchain.contribution.permuted import PermutedModel
from fedchain.data.feature import BinnedFeature
from fedchain.federation.spec import JobSpec
from fedchain.model.link import predictions
from fedchain.model.shard import Shard
from fedchain.simulation.plaintext import BinMatrix, fit
from fedchain.simulation.plaintext_shards import JoinedModel, joined_model
from fedchain.simulation.reference import Joined, fit_settings

REPEATS = 10
"""Permutations per coalition of block permutation."""
NOISE_COLUMNS = 20


@dataclass(frozen=True)
class Distances:
    """Of one job, on its held-out rows.

    Attributes:
        shares: by name, roster order: of retraining, leaf masks, block permutation, conditional ones, and the parts of
            the split gain; each divided by its own sum.
        l1: by name, the sum over parties of |share - share of retraining| by the sum of |share of retraining|, shares
            as they are; those of the gain are its parts of what retraining gives all parties.
        l1_of_parts: the same of `shares`, which is what points are settled by.
    """

    shares: dict[str, tuple[float, ...]]
    l1: dict[str, float]
    l1_of_parts: dict[str, float]


def distances(spec: JobSpec, joined: Joined) -> Distances:
    """Train the joined model and one for every coalition, and compare.

    Args:
        spec: of a job in standard mode: its model is the joined plaintext one.
        joined: its tables in one place.
    """
    rows = np.flatnonzero(joined.holdout).astype(np.int64)
    labels = joined.labels[rows]
    unit = unit_of(spec.algorithm.objective, labels)
    model = _model(spec, joined, joined.matrices)
    retrained = shapley_e6(_retrained(spec, joined, model.shards[0], rows, unit))
    mask = leaf_mask_shapley(model.shards[0], model.bits, labels).shares_e6
    permuted = PermutedModel(model.shards[0], model.bits)
    objective = model.shards[0].objective
    block = block_permutation_shapley(
        lambda elsewhere: predictions(objective, permuted.margins(elsewhere)),
        labels,
        len(spec.names),
        repeats=REPEATS,
        seed=spec.holdout.seed,
        unit=unit,
    ).shares_e6
    conditional = conditional_shapley(model.shards[0], model.bits, labels).shares_e6
    gain = np.array(model.gains) / sum(model.gains) * sum(retrained)
    found: dict[str, Sequence[float] | NDArray[np.float64]] = {
        "leaf_mask": mask,
        "block_permutation": block,
        "conditional": conditional,
        "gain": gain,
    }
    l1 = {name: _l1(shares, retrained) for name, shares in found.items()}
    whole = {name: tuple(float(one) / float(sum(shares)) for one in shares) for name, shares in found.items()}
    yardstick = tuple(one / sum(retrained) for one in retrained)
    of_parts = {name: _l1(parts, yardstick) for name, parts in whole.items()}
    return Distances({"retraining": yardstick, **whole}, l1, of_parts)


def _l1(found: Sequence[float] | NDArray[np.float64], expected: Sequence[float]) -> float:
    return float(np.abs(np.subtract(found, expected)).sum() / np.abs(expected).sum())


@dataclass(frozen=True)
class NoiseParty:
    """What a party of nothing but noise gets, as parts of the whole.

    Attributes:
        gain: of the split gain.
        share: of the leaf-mask shares.
        conditional: of the conditional shares.
    """

    gain: float
    share: float
    conditional: float


def noise_party(spec: JobSpec, joined: Joined, seed: int) -> NoiseParty:
    """Add a party of 20 columns of noise and see who believes it."""
    random = np.random.Generator(np.random.PCG64(seed))
    bins = spec.algorithm.bins
    noise = random.integers(0, bins, (len(joined.labels), NOISE_COLUMNS)).astype(np.uint8)
    features = [
        BinnedFeature(f"noise{number}", "numeric", False, tuple(range(1, bins))) for number in range(NOISE_COLUMNS)
    ]
    matrices = (*joined.matrices, (np.asfortranarray(noise), features))
    model = _model(spec, joined, matrices, (*spec.names, "noise"))
    labels = joined.labels[joined.holdout]
    masks = leaf_mask_shapley(model.shards[0], model.bits, labels).shares_e6
    conditional = conditional_shapley(model.shards[0], model.bits, labels).shares_e6
    parts = [one[-1] / sum(one) for one in (masks, conditional)]
    return NoiseParty(model.gains[-1] / sum(model.gains), *parts)


def _model(
    spec: JobSpec, joined: Joined, matrices: Sequence[BinMatrix], names: Sequence[str] | None = None
) -> JoinedModel:
    fitted = fit(matrices, joined.labels, ~joined.train, **fit_settings(spec, joined, spec.algorithm.trees))
    rows = np.flatnonzero(joined.holdout).astype(np.int64)
    return joined_model(fitted, matrices, names or spec.names, spec.algorithm.objective, joined.train, rows)


def _retrained(spec: JobSpec, joined: Joined, active: Shard, rows: NDArray[np.int64], unit: float) -> tuple[int, ...]:
    """Utility x 1e6 of every coalition."""
    labels, base = joined.labels[rows], np.asarray(active.base_margins)
    settings = fit_settings(spec, joined, spec.algorithm.trees)
    sums = []
    for coalition in range(2 ** len(spec.names)):
        members = [one for party, one in enumerate(joined.matrices) if coalition >> party & 1]
        if sum(bins.shape[1] for bins, _ in members):
            margin = fit(members, joined.labels, ~joined.train, **settings).margins()[rows]
        else:
            margin = np.tile(base, (len(rows), 1))
        sums.append(loss_sums(losses_of_margins(active, margin[:, None, :], labels, unit))[0])
    return utilities_e6(sums, len(rows))
