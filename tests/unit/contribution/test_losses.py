"""Integer losses against the formula leaf by leaf, whatever the rows are computed with; sums and running shares."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedchain.bench.models import MadeUpModel, made_up_model
from fedchain.contribution import losses as module
from fedchain.contribution.leaf_mask import leaf_mask_shapley, running_rounds, running_shares, shapley_e6
from fedchain.contribution.losses import loss_sums, most_loss_e6, row_losses_e6, unit_of, utilities_e6
from fedchain.model.leaf_mask import Bits, absent_factors, leaf_bits, leaf_weights, whole_bits
from fedchain.model.link import predictions
from fedchain.model.shard import Shard
from tests.strategies import shards

Floats = NDArray[np.float64]


def by_formula(shard: Shard, bits: list[Bits], labels: Floats, unit: float) -> Floats:
    """(rows, coalitions) float64, scaled by 1e6: one coalition at a time, every leaf of every tree."""
    parties, weights = len(shard.roster), leaf_weights(shard)
    outputs = np.concatenate([[tree.output] * len(tree.weights) for tree in shard.trees]).astype(int)
    found = np.empty((len(labels), 2**parties))
    for coalition in range(2**parties):
        product = np.tile(weights, (len(labels), 1))
        for party in range(parties):
            product *= bits[party] if coalition >> party & 1 else absent_factors(shard, party)
        margin = np.tile(np.asarray(shard.base_margins), (len(labels), 1))
        for output in range(margin.shape[1]):
            margin[:, output] += product[:, outputs == output].sum(axis=1)
        with np.errstate(over="ignore"):
            predicted = predictions(shard.objective, margin)
        truth = np.eye(margin.shape[1])[labels.astype(int)] if shard.objective == "multiclass" else labels
        with np.errstate(over="ignore"):
            error = (predicted - truth) ** 2
        found[:, coalition] = error.sum(axis=1) if error.ndim == 2 else error
    return np.minimum(found / unit * 1e6, most_loss_e6(shard.objective))


@st.composite
def judged(draw: st.DrawFn) -> tuple[Shard, list[Bits], Floats]:
    """A model of any mode and objective, honest bits of some rows, and labels."""
    parties = draw(st.integers(2, 4))
    model = draw(shards(parties=parties))
    base = tuple(draw(st.floats(-3, 3)) for _ in model[0].base_margins)
    active = msgspec.structs.replace(model[0], base_margins=base)
    rows = draw(st.integers(1, 6))
    row = st.lists(st.integers(0, 4), min_size=3, max_size=3)
    bits = []
    for party, shard in enumerate(model):
        bins = np.array(draw(st.lists(row, min_size=rows, max_size=rows)), dtype=np.uint8)
        bits.append(whole_bits(active, party, leaf_bits(shard, bins, np.full(3, 4))))
    labels = draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=rows, max_size=rows))
    return active, bits, np.array(labels)


@settings(max_examples=60, deadline=None)
@given(judged())
def test_losses_are_the_formulas_rounded(case: tuple[Shard, list[Bits], Floats]) -> None:
    shard, bits, labels = case
    unit = unit_of(shard.objective, labels)
    found = row_losses_e6(shard, bits, labels, unit)
    expected = by_formula(shard, bits, labels, unit)
    assert found.dtype == np.int64
    assert found.shape == (len(labels), 2 ** len(shard.roster))
    assert (np.abs(found - expected) <= 0.5 + 1e-6).all()
    assert found.max() <= most_loss_e6(shard.objective)


def few_rows() -> MadeUpModel:
    return made_up_model(4, rows=37, trees=6, depth=4, seed=11)


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(37)), cells=st.sampled_from([1, 5_000, 60_000, 2**24]))
def test_losses_do_not_depend_on_which_rows_they_are_computed_with(order: list[int], cells: int) -> None:
    made = few_rows()
    whole = row_losses_e6(made.shards[0], made.bits, made.labels, 1.0)
    before, module._CELLS = module._CELLS, cells
    try:
        shuffled = row_losses_e6(made.shards[0], [bits[order] for bits in made.bits], made.labels[order], 1.0)
    finally:
        module._CELLS = before
    np.testing.assert_array_equal(shuffled, whole[order])


@pytest.mark.parametrize("parties", [2, 5, 8])
def test_all_parties_together_are_the_model_however_many_there_are(parties: int) -> None:
    made = made_up_model(parties, rows=50, trees=4, depth=3, seed=parties)
    shard = made.shards[0]
    found = row_losses_e6(shard, made.bits, made.labels, 1.0)
    margin = np.logical_and.reduce(made.bits) @ leaf_weights(shard)
    np.testing.assert_allclose(found[:, -1], (1 / (1 + np.exp(-margin)) - made.labels) ** 2 * 1e6, atol=1)
    expected = by_formula(shard, list(made.bits), made.labels, 1.0)
    np.testing.assert_allclose(found, expected, atol=0.51)


def test_margins_beyond_all_numbers_count_as_the_largest_loss() -> None:
    made = made_up_model(2, rows=3, trees=1, depth=1, seed=0)
    tree = msgspec.structs.replace(made.shards[0].trees[0], weights=(1.7e308, -1.7e308))
    shard = msgspec.structs.replace(
        made.shards[0], objective="squared_error", base_margins=(1.7e308,), trees=(tree, tree, tree)
    )
    bits = [np.tile(one[:, :2], (1, 3)) for one in made.bits]
    assert (row_losses_e6(shard, bits, made.labels, 1.0) == 100_000_000).all()


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=30))
def test_sums_are_exact(column: list[int]) -> None:
    assert loss_sums(np.array([column, column], dtype=np.int64).T) == (sum(column),) * 2


@settings(deadline=None)
@given(st.integers(0, 2**127), st.integers(1, 2**31))
def test_utilities_round_as_the_contract_does(total: int, rows: int) -> None:
    (found,) = utilities_e6([total], rows)
    assert found == -((total + rows // 2) // rows)
    assert abs(-found * rows - total) * 2 <= rows


def test_running_shares_are_those_of_the_model_cut_short() -> None:
    made = few_rows()
    shard = made.shards[0]
    running = running_shares(shard, made.bits, made.labels, 1.0)
    assert len(running) == 6
    for rounds, found in enumerate(running, start=1):
        short = msgspec.structs.replace(shard, trees=shard.trees[:rounds])
        leaves = 16 * rounds
        losses = row_losses_e6(short, [bits[:, :leaves] for bits in made.bits], made.labels, 1.0)
        expected = shapley_e6(utilities_e6(loss_sums(losses), len(made.labels)))
        assert np.abs(np.subtract(found, expected)).max() <= 1
    assert leaf_mask_shapley(shard, made.bits, made.labels).rounds_e6[:-1] == tuple(running[:-1])
    assert leaf_mask_shapley(shard, made.bits, made.labels).rounds_e6[-1] == shapley_e6(
        leaf_mask_shapley(shard, made.bits, made.labels).utilities_e6
    )


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(2, 8))
def test_running_rounds_are_few_rising_and_end_with_the_last(rounds: int, parties: int) -> None:
    found = running_rounds(rounds, parties)
    assert len(found) <= 256
    assert len(found) * 2**parties <= 2**13
    assert found == sorted(set(found))
    assert found[-1] == rounds
    assert found[0] >= 1


def test_a_model_of_several_classes_runs_round_by_round() -> None:
    made = made_up_model(2, rows=20, trees=6, depth=2, seed=5)
    trees = tuple(msgspec.structs.replace(tree, output=i % 3) for i, tree in enumerate(made.shards[0].trees))
    shard = msgspec.structs.replace(made.shards[0], objective="multiclass", base_margins=(0.1, 0.0, -0.1), trees=trees)
    labels = np.arange(20.0) % 3
    running = running_shares(shard, made.bits, labels, 1.0)
    assert len(running) == 2
    assert np.abs(np.subtract(running[-1], leaf_mask_shapley(shard, made.bits, labels).shares_e6)).max() <= 1
