"""Shapley integers against orders of arrival; leaf-mask utilities against retelling the model by hand."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import permutations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.contribution.leaf_mask import Shares, leaf_mask_shapley, shapley_e6
from fedchain.contribution.shapley import rounded_e6, shapley_840
from fedchain.inference.scoring import margins
from fedchain.model.leaf_mask import absent_factors, leaf_bits, whole_bits
from fedchain.model.link import predictions
from fedchain.model.shard import OwnSplit, Shard, Tree, TreeShape
from tests.strategies import shards, utilities

many = st.integers(1, 5).flatmap(utilities)


def by_orders_of_arrival(values: list[int]) -> list[Fraction]:
    """The definition: what each adds to those before it, over all orders."""
    parties = int(math.log2(len(values)))
    shares = [Fraction(0)] * parties
    for order in permutations(range(parties)):
        present = 0
        for party in order:
            shares[party] += values[present | 1 << party] - values[present]
            present |= 1 << party
    return [share / math.factorial(parties) for share in shares]


@settings(max_examples=60, deadline=None)
@given(many)
def test_shares_are_the_shapley_values_rounded_by_less_than_one(values: list[int]) -> None:
    for share, exact in zip(shapley_e6(values), by_orders_of_arrival(values), strict=True):
        assert abs(share - exact) < 1
        if exact.denominator == 1:
            assert share == exact


@given(st.integers(1, 8).flatmap(utilities))
@settings(max_examples=30, deadline=None)
def test_shares_add_up_exactly(values: list[int]) -> None:
    shares = shapley_e6(values)
    assert all(isinstance(share, int) for share in shares)
    assert sum(shares) == values[-1] - values[0]


@settings(deadline=None)
@given(st.integers(2, 5), st.data())
def test_a_party_that_adds_nothing_gets_nothing(parties: int, data: st.DataObject) -> None:
    values = data.draw(utilities(parties))
    dummy = data.draw(st.integers(0, parties - 1))
    padded = [values[coalition & ~(1 << dummy)] for coalition in range(2**parties)]
    assert shapley_e6(padded)[dummy] == 0


@settings(deadline=None)
@given(st.integers(2, 5), st.data())
def test_parties_that_stand_in_for_each_other_get_the_same_up_to_one_unit(parties: int, data: st.DataObject) -> None:
    by_size = data.draw(st.lists(st.integers(-(10**6), 10**6), min_size=parties + 1, max_size=parties + 1))
    values = [by_size[coalition.bit_count()] for coalition in range(2**parties)]
    shares = shapley_e6(values)
    assert max(shares) - min(shares) <= 1


@settings(max_examples=50)
@given(parties=st.integers(1, 8), data=st.data())
def test_the_contract_s_exact_shares_are_rounded_to_the_same(parties: int, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.integers(-(10**15), 0), min_size=2**parties, max_size=2**parties))
    assert rounded_e6(shapley_840(values)) == shapley_e6(values)


def test_exact_shares_of_no_whole_gain_are_refused() -> None:
    with pytest.raises(ValueError, match="whole gain"):
        rounded_e6((840, 1))


def test_known_shares_of_a_small_game() -> None:
    """Glove game: 0 has a left glove, 1 and 2 a right one each; shares 4/6, 1/6, 1/6."""
    pair = [0, 0, 0, 600, 0, 600, 0, 600]
    assert shapley_e6(pair) == (400, 100, 100)


@pytest.mark.parametrize("count", [0, 3, 5, 12])
def test_utilities_of_no_whole_number_of_parties_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="all coalitions"):
        shapley_e6([0] * count)


def small_model() -> Shard:
    """Root: party 0, cover 10 = 4 + 6; node 2: party 1, cover 6 = 1 + 5. Leaves 1, 5, 6."""
    shape = TreeShape((0, 1, 2, 5, 6), (0, -1, 1, -1, -1))
    tree = Tree(shape, (OwnSplit(0, 0, 0, False),), (10, 4, 6, 1, 5), (1.0, -2.0, 0.5))
    return Shard(
        party="a",
        roster=("a", "b"),
        mode="standard",
        objective="binary",
        base_margins=(0.1,),
        binning={},
        trees=(tree,),
    )


def test_absent_parties_count_by_the_share_of_training_rows() -> None:
    np.testing.assert_allclose(absent_factors(small_model(), 0), [0.4, 0.6, 0.6])
    np.testing.assert_allclose(absent_factors(small_model(), 1), [1, 1 / 6, 5 / 6])


def test_utilities_of_every_coalition_by_hand() -> None:
    shard = small_model()
    bits = [
        np.array([[True, False, False], [False, True, True]]),  # row 0 left, row 1 right at the root
        np.array([[True, True, False], [True, False, True]]),  # row 0 left, row 1 right at node 2
    ]
    labels = np.array([1.0, 0.0])
    nobody = 0.1 + 0.4 * 1.0 + 0.6 / 6 * -2.0 + 0.6 * 5 / 6 * 0.5
    margins_of = [
        [nobody, nobody],
        [0.1 + 1.0, 0.1 + -2.0 / 6 + 0.5 * 5 / 6],
        [0.1 + 0.4 - 0.6 * 2.0, 0.1 + 0.4 + 0.6 * 0.5],
        [0.1 + 1.0, 0.1 + 0.5],
    ]
    squares = [(1 / (1 + np.exp(-np.array(m))) - labels) ** 2 for m in margins_of]
    sums = [sum(round(one * 1e6) for one in errors) for errors in squares]
    expected = [-((one + 1) // 2) for one in sums]  # half a unit goes away from zero
    shares = leaf_mask_shapley(shard, bits, labels)
    assert list(shares.utilities_e6) == expected
    assert list(shares.sums) == sums
    assert shares.rounds_e6 == (shares.shares_e6,)
    assert shares.shares_e6 == shapley_e6(expected)


@settings(max_examples=40, deadline=None)
@given(shards(parties=3), st.data())
def test_the_grand_coalition_is_the_model_and_a_party_without_splits_has_no_share(
    model: list[Shard], data: st.DataObject
) -> None:
    rows = data.draw(st.integers(1, 5))
    row = st.lists(st.integers(0, 4), min_size=3, max_size=3)
    active = msgspec.structs.replace(model[0], base_margins=tuple(0.1 * i for i in range(len(model[0].base_margins))))
    n_bins = np.full(3, 4)
    bits = [
        whole_bits(
            active,
            index,
            leaf_bits(shard, np.array(data.draw(st.lists(row, min_size=rows, max_size=rows)), dtype=np.uint8), n_bins),
        )
        for index, shard in enumerate(model)
    ]
    labels = np.array(data.draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=rows, max_size=rows)))
    shares = leaf_mask_shapley(active, bits, labels)
    found = predictions(active.objective, margins(active, bits, "nobody"))
    squares = [
        float(np.sum((one - np.eye(len(one))[int(label)]) ** 2)) if found.ndim == 2 else (float(one) - label) ** 2
        for one, label in zip(found, labels, strict=True)
    ]
    unit = 1.0 if active.objective in ("binary", "multiclass") else float(np.var(labels)) or 1.0
    if active.objective not in ("binary", "multiclass"):
        squares = [min(one, 100 * unit) for one in squares]  # a larger error counts as a hundred variances
    assert shares.utilities_e6[-1] == pytest.approx(-np.mean(squares) / unit * 1e6, rel=1e-9, abs=1)
    assert sum(shares.shares_e6) == shares.utilities_e6[-1] - shares.utilities_e6[0]
    for party in range(3):
        if not any(party in tree.shape.owners for tree in model[0].trees):
            assert shares.shares_e6[party] == 0
            assert (absent_factors(model[0], party) == 1).all()


def test_with_several_classes_the_utility_is_the_brier_score_over_classes() -> None:
    """Three classes; the only row's leaf in the second tree is worth log 2, so probabilities are 1/4, 1/2, 1/4."""
    shape = TreeShape((0, 1, 2), (1, -1, -1))
    trees = tuple(
        Tree(shape, (), (4, 2, 2), (weight, 0.0), output) for output, weight in enumerate((0.0, np.log(2), 0))
    )
    shard = Shard(
        party="a",
        roster=("a", "b"),
        mode="mix",
        objective="multiclass",
        base_margins=(0.0, 0.0, 0.0),
        binning={},
        trees=trees,
    )
    bits = [np.ones((1, 6), dtype=bool), np.array([[True, False] * 3])]
    shares = leaf_mask_shapley(shard, bits, np.array([2.0]))
    root = 2**0.5  # half of the rows go left: without the owner the leaf counts for half of log 2
    absent = -((1 / (2 + root)) ** 2 + (root / (2 + root)) ** 2 + (1 - 1 / (2 + root)) ** 2)
    present = -(0.25**2 + 0.5**2 + 0.75**2)
    assert shares.utilities_e6 == (round(absent * 1e6),) * 2 + (round(present * 1e6),) * 2
    assert shares.shares_e6 == (0, round(present * 1e6) - round(absent * 1e6))


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e9])
def test_shares_of_a_regression_do_not_depend_on_the_labels_unit(unit: float) -> None:
    """Cents or millions: utilities are in units of the labels' variance, and fit the wire's 64 bits."""
    tree = Tree(TreeShape((0, 1, 2), (1, -1, -1)), (), (4, 2, 2), (unit, -unit))
    shard = Shard(
        party="a",
        roster=("a", "b"),
        mode="mix",
        objective="squared_error",
        base_margins=(0.0,),
        binning={},
        trees=(tree,),
    )
    bits = [np.ones((2, 2), dtype=bool), np.array([[True, False], [False, True]])]
    shares = leaf_mask_shapley(shard, bits, np.array([2 * unit, -2 * unit]))
    assert shares.utilities_e6 == (-1_000_000, -1_000_000, -250_000, -250_000)
    assert shares.shares_e6 == (0, 750_000)


@pytest.mark.parametrize("margin", [60.0, 800.0])
def test_a_diverged_model_has_a_utility_that_fits_the_wire(margin: float) -> None:
    shard = Shard(
        party="a",
        roster=("a", "b"),
        mode="mix",
        objective="poisson",
        base_margins=(margin,),
        binning={},
        trees=(),
    )
    shares = leaf_mask_shapley(shard, [np.ones((2, 0), dtype=bool)] * 2, np.array([0.0, 1.0]))
    assert shares.utilities_e6 == (-(10**8),) * 4
    assert shares.statistic_e6 < 50_000_000


def test_the_declared_statistic_is_the_log_norm_of_the_utilities() -> None:
    assert Shares((0, -3, -4, 0), (0, 0)).statistic_e6 == round(math.log(6) * 1e6)
    assert Shares((0, 0, 0, 0), (0, 0)).statistic_e6 == 0
    worst = Shares((-(10**6),) * 256, (0,) * 8)
    assert 0 < worst.statistic_e6 < 50_000_000, "within the default policy even at its largest"
