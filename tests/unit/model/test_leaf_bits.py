"""Leaf bits against walking every row down every tree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedchain.errors import ProtocolViolationError
from fedchain.inference.scoring import margins
from fedchain.model.leaf_mask import leaf_bits, leaf_count, pack_bits, require_one_leaf, tree_starts, unpack_bits
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


@settings(max_examples=60, deadline=None)
@given(scored())
def test_a_party_s_bits_are_those_of_climbing_from_every_leaf(
    case: tuple[list[Shard], list[NDArray[np.uint8]]],
) -> None:
    model, bins = case
    for index, shard in enumerate(model):
        bits = leaf_bits(shard, bins[index], N_BINS)
        assert bits.shape == (len(bins[0]), leaf_count(shard))
        expected = [
            [
                compatible(model, index, number, leaf, row)
                for number, tree in enumerate(shard.trees)
                for leaf in tree.shape.leaves()
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
    bits = [leaf_bits(shard, own, N_BINS) for shard, own in zip(model, bins, strict=True)]
    reached = np.logical_and.reduce(bits)
    require_one_leaf(reached, model[0], "nobody")
    scores = margins(model[0], bits, "nobody")
    starts = tree_starts(model[0])
    for place in range(len(bins[0])):
        rows = [own[place] for own in bins]
        margin = model[0].base_margin
        assert margin is not None
        for number, tree in enumerate(model[0].trees):
            leaves = tree.shape.leaves()
            leaf = leaf_of(model, number, rows)
            assert reached[place, starts[number] : starts[number + 1]].tolist() == [one == leaf for one in leaves]
            margin += tree.weights[leaves.index(leaf)]
        assert scores[place] == margin, "in the order of the trees, so the same to the last bit"


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
    bits = [leaf_bits(shard, own, N_BINS) for shard, own in zip(model, bins, strict=True)]
    reached = np.logical_and.reduce(bits)
    row = data.draw(st.integers(0, len(reached) - 1))
    column = data.draw(st.integers(0, reached.shape[1] - 1))
    reached[row, column] ^= True
    with pytest.raises(ProtocolViolationError, match="exactly one leaf") as caught:
        require_one_leaf(reached, model[0], "bank, shop")
    assert caught.value.culprit == "bank, shop"


def test_a_model_without_trees_scores_the_base_margin() -> None:
    shard = Shard(party="a", roster=("a", "b"), base_margin=0.25, binning={}, trees=())
    bits = leaf_bits(shard, np.zeros((3, 0), dtype=np.uint8), np.zeros(0, dtype=np.int64))
    assert bits.shape == (3, 0)
    assert margins(shard, [bits, bits], "b").tolist() == [0.25] * 3
