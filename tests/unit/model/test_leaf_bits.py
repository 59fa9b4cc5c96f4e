"""Leaf bits against walking every row down every tree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedchain.errors import ProtocolViolationError
from fedchain.inference.scoring import margins
from fedchain.model.leaf_mask import (
    bit_count,
    leaf_bits,
    pack_bits,
    require_decisions,
    require_one_leaf,
    tree_starts,
    unpack_bits,
    view_of,
    whole_bits,
)
from fedchain.model.shard import Shard, Tree
from tests.strategies import shards

FEATURES, BINS = 3, 4
N_BINS = np.full(FEATURES, BINS)


@st.composite
def scored(draw: st.DrawFn) -> tuple[list[Shard], list[NDArray[np.uint8]]]:
    """A model and every party's bins of some rows; bin 4 is missing."""
    model = draw(shards(parties=3, features=FEATURES, bins=BINS))
    rows = draw(st.integers(1, 6))
    row = st.lists(st.integers(0, BINS), min_size=FEATURES, max_size=FEATURES)
    bins = [np.array(draw(st.lists(row, min_size=rows, max_size=rows)), dtype=np.uint8) for _ in model]
    return model, bins


def goes_left(tree: Tree, node: int, row: NDArray[np.uint8]) -> bool:
    split = next(one for one in tree.splits if one.node == node)
    return bool(row[split.feature] <= split.bin) if row[split.feature] < BINS else split.missing_left


def leaf_of(model: list[Shard], number: int, rows: list[NDArray[np.uint8]]) -> int:
    """Walk: at each node ask its owner."""
    shape = model[0].trees[number].shape
    owner_of = dict(zip(shape.nodes, shape.owners, strict=True))
    node = 0
    while owner_of[node] >= 0:
        owner = owner_of[node]
        node = 2 * node + (1 if goes_left(model[owner].trees[number], node, rows[owner]) else 2)
    return node


def compatible(model: list[Shard], index: int, number: int, leaf: int, row: NDArray[np.uint8]) -> bool:
    """Climb from a leaf: does the party, at its own nodes, send the row this way?"""
    tree = model[index].trees[number]
    owner_of = dict(zip(tree.shape.nodes, tree.shape.owners, strict=True))
    node = leaf
    while node:
        up = (node - 1) // 2
        if owner_of[up] == index and goes_left(tree, up, row) != (node % 2 == 1):
            return False
        node = up
    return True


def all_bits(model: list[Shard], bins: list[NDArray[np.uint8]]) -> list[NDArray[np.bool_]]:
    """Every party's bits as the active party spreads them over the leaves of all trees."""
    pairs = enumerate(zip(model, bins, strict=True))
    return [whole_bits(model[0], index, leaf_bits(shard, own, N_BINS)) for index, (shard, own) in pairs]


@settings(max_examples=60, deadline=None)
@given(scored())
def test_a_party_s_bits_are_those_of_climbing_from_every_leaf(
    case: tuple[list[Shard], list[NDArray[np.uint8]]],
) -> None:
    model, bins = case
    for index, shard in enumerate(model):
        bits = leaf_bits(shard, bins[index], N_BINS)
        assert bits.shape == (len(bins[0]), bit_count(shard, index))
        assert bit_count(model[0], index) == bits.shape[1], "the active party knows how many bits to expect"
        expected = [
            [
                compatible(model, index, number, leaf, row)
                for number, tree in enumerate(shard.trees)
                for leaf in tree.shape.leaves()
                if len(tree.shape.nodes) > 1
            ]
            for row in bins[index]
        ]
        assert bits.tolist() == expected


@settings(max_examples=60, deadline=None)
@given(scored())
def test_all_parties_bits_lead_to_the_leaf_of_the_walk_and_its_weight(
    case: tuple[list[Shard], list[NDArray[np.uint8]]],
) -> None:
    model, bins = case
    bits = all_bits(model, bins)
    reached = np.logical_and.reduce(bits)
    require_one_leaf(reached, model[0], "nobody")
    scores = margins(model[0], bits, "nobody")
    starts = tree_starts(model[0])
    for place in range(len(bins[0])):
        rows = [own[place] for own in bins]
        margin = list(model[0].base_margins)
        for number, tree in enumerate(model[0].trees):
            leaves = tree.shape.leaves()
            leaf = leaf_of(model, number, rows)
            assert reached[place, starts[number] : starts[number + 1]].tolist() == [one == leaf for one in leaves]
            margin[tree.output] += tree.weights[leaves.index(leaf)]
        assert scores[place].tolist() == margin, "in the order of the trees, so the same to the last bit"


@given(st.integers(0, 5), st.integers(0, 20), st.data())
def test_bits_survive_packing(rows: int, leaves: int, data: st.DataObject) -> None:
    flat = data.draw(st.lists(st.booleans(), min_size=rows * leaves, max_size=rows * leaves))
    bits = np.array(flat, dtype=bool).reshape(rows, leaves)
    packed = pack_bits(bits)
    assert len(packed) == rows * ((leaves + 7) // 8)
    np.testing.assert_array_equal(unpack_bits(packed, rows, leaves, "bank"), bits)
    with pytest.raises(ProtocolViolationError, match=r"bytes, .* expected") as caught:
        unpack_bits(packed + b"\0", rows, leaves, "bank")
    assert caught.value.culprit == "bank"


@given(scored(), st.data())
@settings(max_examples=30, deadline=None)
def test_a_row_that_reaches_no_leaf_or_two_is_refused(
    case: tuple[list[Shard], list[NDArray[np.uint8]]], data: st.DataObject
) -> None:
    model, bins = case
    bits = all_bits(model, bins)
    reached = np.logical_and.reduce(bits)
    row = data.draw(st.integers(0, len(reached) - 1))
    column = data.draw(st.integers(0, reached.shape[1] - 1))
    reached[row, column] ^= True
    with pytest.raises(ProtocolViolationError, match="exactly one leaf") as caught:
        require_one_leaf(reached, model[0], "bank, shop")
    assert caught.value.culprit == "bank, shop"


def test_a_model_without_trees_scores_the_base_margin() -> None:
    shard = Shard(
        party="a",
        roster=("a", "b"),
        mode="layered",
        objective="multiclass",
        base_margins=(0.25, -1.0),
        binning={},
        trees=(),
    )
    bits = leaf_bits(shard, np.zeros((3, 0), dtype=np.uint8), np.zeros(0, dtype=np.int64))
    assert bits.shape == (3, 0)
    assert margins(shard, [bits, bits], "b").tolist() == [[0.25, -1.0]] * 3


@settings(max_examples=60, deadline=None)
@given(scored())
def test_bits_of_a_truncated_view_are_those_of_the_whole_tree_once_spread(
    case: tuple[list[Shard], list[NDArray[np.uint8]]],
) -> None:
    """What a party would answer if it knew every shape: climbing from each leaf of the active party's trees."""
    model, bins = case
    spread = all_bits(model, bins)
    for index, own in enumerate(bins):
        splits = {(number, one.node): one for number, tree in enumerate(model[index].trees) for one in tree.splits}
        expected = []
        for row in own:
            bits = []
            for number, tree in enumerate(model[0].trees):
                owner_of = dict(zip(tree.shape.nodes, tree.shape.owners, strict=True))
                for leaf in tree.shape.leaves():
                    node, fits = leaf, True
                    while node:
                        up = (node - 1) // 2
                        if owner_of[up] == index:
                            split = splits[number, up]
                            value = int(row[split.feature])
                            left = value <= split.bin if value < BINS else split.missing_left
                            fits &= left == (node % 2 == 1)
                        node = up
                    bits.append(fits)
            expected.append(bits)
        assert spread[index].tolist() == expected


@settings(max_examples=60, deadline=None)
@given(shards(parties=3))
def test_a_party_s_view_is_its_own_shard_s_shape(model: list[Shard]) -> None:
    for index, shard in enumerate(model):
        for whole, tree in zip(model[0].trees, shard.trees, strict=True):
            assert view_of(model[0], whole, index) == tree.shape
            if index and model[0].mode != "standard":
                assert set(tree.shape.owners) <= {-1, index}, "no other party's node shows"


@given(scored(), st.data())
def test_bits_are_those_of_decisions_and_any_flipped_one_is_not(
    case: tuple[list[Shard], list[NDArray[np.uint8]]], data: st.DataObject
) -> None:
    model, bins = case
    for index, (shard, rows) in enumerate(zip(model, bins, strict=True)):
        bits = leaf_bits(shard, rows, N_BINS)
        require_decisions(model[0], index, bits, "nobody")
        if not bits.size:
            continue
        flipped = bits.copy()
        flipped[data.draw(st.integers(0, len(bits) - 1)), data.draw(st.integers(0, bits.shape[1] - 1))] ^= True
        with pytest.raises(ProtocolViolationError) as caught:
            require_decisions(model[0], index, flipped, "liar")
        assert caught.value.culprit == "liar"
