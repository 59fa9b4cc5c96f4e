"""Block permutation for any model: the axioms of Shapley values, and known answers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from fedchain.bench.models import made_up_model
from fedchain.contribution.block_permutation import Predict, block_permutation_shapley, permuted_tree_shapley
from fedchain.contribution.leaf_mask import leaf_mask_shapley, running_ends
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


def test_of_trees_it_is_what_it_is_of_any_model() -> None:
    """Up to the last digit: sums of floats are in another order."""
    made = made_up_model(3, rows=900, trees=12, depth=4, seed=6)
    model = PermutedModel(made.shards[0], made.bits)
    expected = block_permutation_shapley(
        lambda elsewhere: sigmoid(model.margins(elsewhere)[:, 0]), made.labels, 3, repeats=4, seed=9
    )
    found = permuted_tree_shapley(made.shards[0], made.bits, made.labels, repeats=4, seed=9)
    np.testing.assert_allclose(found.utilities_e6, expected.utilities_e6, atol=1)
    np.testing.assert_allclose(found.sums, expected.sums, atol=len(made.labels))
    assert found.rounds_e6[-1] == found.shares_e6


def test_running_shares_are_those_of_the_model_with_fewer_trees() -> None:
    made = made_up_model(2, rows=5000, trees=6, depth=3, seed=7)
    shard = made.shards[0]
    found = permuted_tree_shapley(shard, made.bits, made.labels, repeats=2, seed=1)
    assert running_ends(shard) == [1, 2, 3, 4, 5, 6]
    for trees in (1, 4):
        first = replace(shard, trees=shard.trees[:trees])
        leaves = sum(len(tree.weights) for tree in first.trees)
        bits = [one[:, :leaves] for one in made.bits]
        alone = permuted_tree_shapley(first, bits, made.labels, repeats=2, seed=1)
        assert found.rounds_e6[trees - 1] == alone.shares_e6


def test_a_model_without_trees_gives_nothing_to_anybody() -> None:
    made = made_up_model(2, rows=50, trees=1, depth=2, seed=8)
    bits = [np.ones((50, 0), dtype=bool)] * 2
    found = permuted_tree_shapley(replace(made.shards[0], trees=()), bits, made.labels, repeats=1, seed=1)
    assert (found.shares_e6, found.rounds_e6) == ((0, 0), ())
