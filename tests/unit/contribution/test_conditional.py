"""Conditional shares: what parties have in common is shared out, and what is noise is worth nothing."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from fedchain.bench.models import MadeUpModel, made_up_model
from fedchain.contribution.conditional import COMPONENTS, FOLDS, RIDGE, components, conditional_shapley
from fedchain.contribution.leaf_mask import leaf_mask_shapley, running_ends
from fedchain.contribution.losses import margins_in_steps, utilities_e6
from fedchain.model.link import sigmoid
from fedchain.model.shard import Shard, Tree, TreeShape


@pytest.fixture(scope="module")
def made() -> MadeUpModel:
    return made_up_model(3, rows=700, trees=8, depth=4, seed=12)


def test_utilities_are_those_of_leaf_masks_and_a_ridge_regression_of_what_they_leave(made: MadeUpModel) -> None:
    found = conditional_shapley(made.shards[0], made.bits, made.labels)
    ((_, _, masked),) = margins_in_steps(made.shards[0], made.bits, [8])
    features = [components(bits) for bits in made.bits]
    folds = np.arange(700) % FOLDS
    for coalition in range(8):
        used = [features[party] for party in range(3) if coalition >> party & 1]
        left = masked[:, 7, 0] - masked[:, coalition, 0]
        guess = masked[:, coalition, 0].copy()
        for fold in range(FOLDS):
            inside, outside = folds != fold, folds == fold
            mean = left[inside].mean()
            guess[outside] += mean
            if used:
                x = np.concatenate(used, axis=1)
                away = x[inside].mean(axis=0)
                tall = np.vstack([x[inside] - away, np.sqrt(RIDGE * inside.sum()) * np.eye(x.shape[1])])
                slopes = np.linalg.lstsq(tall, np.r_[left[inside] - mean, np.zeros(x.shape[1])], rcond=None)[0]
                guess[outside] += (x[outside] - away) @ slopes
        loss = np.square(sigmoid(guess) - made.labels).mean()
        assert found.utilities_e6[coalition] == pytest.approx(-1e6 * loss, abs=2)
    assert utilities_e6(found.sums, 700) == found.utilities_e6
    assert sum(found.shares_e6) == found.utilities_e6[7] - found.utilities_e6[0]


def test_components_are_the_leading_ones_of_the_centred_bits(made: MadeUpModel) -> None:
    bits = made.bits[1]
    found = components(bits)
    centred = bits - bits.mean(axis=0)
    left, spread, _ = np.linalg.svd(centred, full_matrices=False)
    assert found.shape == (700, min(COMPONENTS, np.linalg.matrix_rank(centred)))
    assert found[:, 0].var() == pytest.approx(1)
    expected = left[:, :8] * spread[:8] / spread[0] * np.sqrt(700)
    np.testing.assert_allclose(found[:, :8] @ found[:, :8].T, expected @ expected.T, atol=1e-3)


def test_whoever_stands_in_for_the_party_that_the_trees_split_on_gets_as_much(made: MadeUpModel) -> None:
    """Two parties know the same; the tree asks one of them first, and the other where nothing is left to ask."""
    random = np.random.default_rng(5)
    side = random.random(600) < 0.5
    labels = (random.random(600) < np.where(side, 0.8, 0.2)).astype(float)
    shape = TreeShape((0, 1, 2, 3, 4, 5, 6), (1, 2, 2, -1, -1, -1, -1))
    tree = Tree(shape, (), (600, 300, 300, 299, 1, 1, 299), (1.2, 1.1, -1.1, -1.2))
    shard = Shard(
        party="a",
        roster=("a", "b", "c"),
        mode="mix",
        objective="binary",
        base_margins=(0.0,),
        binning={},
        trees=(tree,),
    )
    bits = [np.ones((600, 4), dtype=bool), np.stack([side, side, ~side, ~side], axis=1),
            np.stack([side, ~side, side, ~side], axis=1)]  # fmt: skip
    masks = leaf_mask_shapley(shard, bits, labels).shares_e6
    found = conditional_shapley(shard, bits, labels).shares_e6
    assert masks[1] > 20 * abs(masks[2])
    assert found[1] == pytest.approx(found[2], rel=0.02)
    assert found[0] == 0


def test_a_party_without_a_split_gets_nothing(made: MadeUpModel) -> None:
    """Whatever the others' guesses lack is not put down to it."""
    shard = made.shards[0]
    trees = tuple(replace(tree, shape=handed_over(tree.shape)) for tree in shard.trees)
    bits = [made.bits[0] & made.bits[2], made.bits[1], np.ones_like(made.bits[2])]
    found = conditional_shapley(replace(shard, trees=trees), bits, made.labels)
    assert components(bits[2]).shape == (700, 0)
    assert found.shares_e6[2] == 0
    assert min(found.shares_e6[:2]) > 0


def handed_over(shape: TreeShape) -> TreeShape:
    """The third party's splits become the first one's."""
    return TreeShape(shape.nodes, tuple(0 if owner == 2 else owner for owner in shape.owners))


def test_shares_along_the_rounds_end_in_the_shares(made: MadeUpModel) -> None:
    shard = made.shards[0]
    found = conditional_shapley(shard, made.bits, made.labels)
    assert len(found.rounds_e6) == len(running_ends(shard)) == 8
    assert found.rounds_e6[-1] == found.shares_e6
    bare = conditional_shapley(replace(shard, trees=()), [np.ones((700, 0), dtype=bool)] * 3, made.labels)
    assert (bare.shares_e6, bare.rounds_e6) == ((0, 0, 0), ())


def test_few_rows_are_enough_and_one_is_not(made: MadeUpModel) -> None:
    few = [bits[:3] for bits in made.bits]
    found = conditional_shapley(made.shards[0], few, made.labels[:3])
    assert sum(found.shares_e6) == found.utilities_e6[7] - found.utilities_e6[0]
    with pytest.raises(ValueError, match="two rows or more"):
        conditional_shapley(made.shards[0], [bits[:1] for bits in made.bits], made.labels[:1])
