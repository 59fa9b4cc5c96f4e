"""Block permutation for any model: the axioms of Shapley values, and known answers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from fedchain.bench.models import made_up_model
from fedchain.contribution.block_permutation import Predict, block_permutation_shapley
from fedchain.contribution.leaf_mask import leaf_mask_shapley
from fedchain.contribution.permuted import PermutedModel
from fedchain.model.link import sigmoid

Floats = NDArray[np.float64]


def linear(columns: Floats, weights: Floats) -> Predict:
    """A model that is no tree: a weighted sum, one column per party."""

    def predict(elsewhere: Mapping[int, NDArray[np.int64]]) -> Floats:
        used = columns.copy()
        for party, rows in elsewhere.items():
            used[:, party] = columns[rows, party]
        return np.asarray(used @ weights, dtype=np.float64)

    return predict


def test_of_a_sum_of_independent_columns_each_gets_twice_its_variance() -> None:
    """Without party j the prediction is off by w_j (x_j - x_j'), of variance 2 w_j²."""
    random = np.random.default_rng(2)
    columns, weights = random.standard_normal((20_000, 3)), np.array([1.0, 0.5, 0.0])
    shares = block_permutation_shapley(linear(columns, weights), columns @ weights, 3, repeats=5, seed=1)
    assert shares.utilities_e6[-1] == 0
    assert sum(shares.shares_e6) == shares.utilities_e6[-1] - shares.utilities_e6[0]
    assert shares.shares_e6[2] == 0
    np.testing.assert_allclose(shares.shares_e6[:2], [2e6, 0.5e6], rtol=0.05)


def test_parties_that_are_copies_of_each_other_share_alike() -> None:
    random = np.random.default_rng(3)
    one = random.standard_normal(4000)
    columns = np.stack([one, one, random.standard_normal(4000)], axis=1)
    shares = block_permutation_shapley(linear(columns, np.ones(3)), columns.sum(axis=1), 3, repeats=3, seed=1)
    assert shares.shares_e6[0] == pytest.approx(shares.shares_e6[1], rel=0.02)


def test_of_trees_it_agrees_with_leaf_masks_about_who_matters() -> None:
    made = made_up_model(3, rows=1500, trees=10, depth=4, seed=5)
    model = PermutedModel(made.shards[0], made.bits)
    found = block_permutation_shapley(
        lambda elsewhere: sigmoid(model.margins(elsewhere)[:, 0]), made.labels, 3, repeats=5, seed=1
    )
    mask = leaf_mask_shapley(made.shards[0], made.bits, made.labels)
    assert found.utilities_e6[-1] == pytest.approx(mask.utilities_e6[-1], abs=1)
    assert np.argsort(found.shares_e6).tolist() == np.argsort(mask.shares_e6).tolist()


def test_classes_are_judged_by_the_brier_score_over_all() -> None:
    labels = np.array([0.0, 1.0, 2.0])
    certain = np.eye(3)
    shares = block_permutation_shapley(
        lambda elsewhere: np.full((3, 3), 1 / 3) if elsewhere else certain, labels, 1, repeats=1, seed=0
    )
    assert shares.utilities_e6 == (-666_667, 0)
    assert shares.shares_e6 == (666_667,)


@pytest.mark.parametrize(
    ("parties", "repeats", "unit", "rows"),
    [(0, 1, 1.0, 3), (9, 1, 1.0, 3), (2, 0, 1.0, 3), (2, 1, 0.0, 3), (2, 1, 1.0, 0)],
)
def test_settings_out_of_range_are_refused(parties: int, repeats: int, unit: float, rows: int) -> None:
    with pytest.raises(ValueError, match="block permutation needs"):
        block_permutation_shapley(lambda _: np.zeros(rows), np.zeros(rows), parties, repeats=repeats, seed=0, unit=unit)
