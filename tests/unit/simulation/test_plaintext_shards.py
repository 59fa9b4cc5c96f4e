"""The joined plaintext model cut into shards: it predicts the same, and a federation ends with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedchain.bench.jobs import job
from fedchain.bench.retraining import distances, noise_party
from fedchain.bench.synthetic import Synthetic
from fedchain.compute.executor import Executor
from fedchain.contribution.leaf_mask import leaf_mask_shapley
from fedchain.crypto.dlog import DlogTable
from fedchain.errors import DataError
from fedchain.model.leaf_mask import leaf_weights, require_one_leaf
from fedchain.simulation.federation import simulate
from fedchain.simulation.plaintext import fit
from fedchain.simulation.plaintext_shards import JoinedModel, joined_model
from fedchain.simulation.reference import Joined, fit_settings, join

ALGORITHM = {"mode": "standard", "trees": 3, "depth": 3, "bins": 16}
SOURCE = Synthetic(600, 3, (3, 4))


def cut(source: Synthetic = SOURCE, **algorithm: object) -> tuple[JoinedModel, Joined]:
    spec = job(source, {**ALGORITHM, **algorithm}, 42)
    joined = join(spec, source.tables(spec))
    fitted = fit(joined.matrices, joined.labels, ~joined.train, **fit_settings(spec, joined, spec.algorithm.trees))
    rows = np.flatnonzero(joined.holdout)
    model = joined_model(fitted, joined.matrices, spec.names, spec.algorithm.objective, joined.train, rows)
    return model, joined


@pytest.mark.parametrize(("objective", "classes"), [("binary", None), ("squared_error", None), ("multiclass", 3)])
def test_shards_predict_what_the_joined_model_does_and_covers_add_up(objective: str, classes: int | None) -> None:
    """Missing cells are in every fourth column."""
    extra = {} if classes is None else {"classes": classes}
    model, joined = cut(replace(SOURCE, objective=objective), objective=objective, **extra)
    active = model.shards[0]
    require_one_leaf(np.logical_and.reduce(model.bits), active, "nobody")
    for tree in active.trees:
        covers = dict(zip(tree.shape.nodes, tree.covers, strict=True))
        assert covers[0] == joined.train.sum()
        for node, owner in zip(tree.shape.nodes, tree.shape.owners, strict=True):
            assert owner < 0 or covers[node] == covers[2 * node + 1] + covers[2 * node + 2]
    assert all(gain > 0 for gain in model.gains)


def test_a_model_that_is_cut_wrong_is_refused() -> None:
    spec = job(SOURCE, ALGORITHM, 42)
    joined = join(spec, SOURCE.tables(spec))
    fitted = fit(joined.matrices, joined.labels, ~joined.train, **fit_settings(spec, joined, 3))
    swapped = (joined.matrices[1], joined.matrices[0], joined.matrices[2])
    with pytest.raises(DataError, match="cannot be told as shards"):
        joined_model(fitted, swapped, spec.names, "binary", joined.train, np.flatnonzero(joined.holdout))


def test_a_federation_in_standard_mode_ends_with_the_same_shares_and_gains(executor: Executor, dlog: DlogTable) -> None:
    """Up to ties between splits and rounding: what a bench measures on the joined model holds for the federation."""
    source = Synthetic(400, 2, (2,))
    model, joined = cut(source, trees=2, depth=2)
    spec = job(source, {**ALGORITHM, "trees": 2, "depth": 2}, 42)
    result = simulate(spec, source.tables(spec), executor=executor, dlog=dlog)
    federated = result.active.shares
    assert federated is not None
    plain = leaf_mask_shapley(model.shards[0], model.bits, joined.labels[joined.holdout])
    np.testing.assert_allclose(federated.utilities_e6, plain.utilities_e6, atol=50)
    np.testing.assert_allclose(federated.shares_e6, plain.shares_e6, atol=50)
    weights = leaf_weights(result.active.shard)
    np.testing.assert_allclose(weights, leaf_weights(model.shards[0]), atol=1e-4)


def test_distances_to_retraining_are_small_for_parts_that_stand_alone_and_noise_earns_nothing() -> None:
    source = Synthetic(1500, 2, (2,), seed=3)
    spec = job(source, {**ALGORITHM, "trees": 10}, 42)
    joined = join(spec, source.tables(spec))
    found = distances(spec, joined)
    for parts in found.shares.values():
        assert sum(parts) == pytest.approx(1)
    assert found.l1["leaf_mask"] < 0.5
    noise = noise_party(spec, joined, 1)
    assert noise.gain > 0.01
    assert abs(noise.share) < noise.gain
