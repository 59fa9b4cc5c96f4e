"""Contributions to a margin: Shapley's own formula over all orders of arrival, and they add up."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray

from fedchain.inference import explanations
from fedchain.inference.explanations import explain
from fedchain.inference.scoring import margins
from fedchain.model.leaf_mask import absent_factors, leaf_bits, leaf_weights, whole_bits
from fedchain.model.shard import Shard
from tests.strategies import shards
from tests.unit.inference.models import BINS, FEATURES, N_BINS, full_model, some_bins

Floats = NDArray[np.float64]


def with_plain_base(model: list[Shard]) -> list[Shard]:
    """The same with base margins of a usual size."""
    first = replace(model[0], base_margins=tuple(0.5 * place for place in range(len(model[0].base_margins))))
    return [first, *model[1:]]


@settings(max_examples=40, deadline=None)
@given(shards(features=FEATURES, bins=BINS), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_contributions_are_mean_gains_over_all_orders_and_sum_to_the_margin(
    model: list[Shard], rows: int, seed: int
) -> None:
    model, random = with_plain_base(model), np.random.default_rng(seed)
    shard, parties = model[0], range(len(model))
    bits = [whole_bits(shard, i, leaf_bits(own, some_bins(random, rows), N_BINS)) for i, own in enumerate(model)]
    weights, factors = leaf_weights(shard), [absent_factors(shard, party) for party in parties]
    outputs = np.repeat([tree.output for tree in shard.trees], [len(tree.weights) for tree in shard.trees])

    def value(row: int, coalition: frozenset[int]) -> Floats:
        mask = weights.copy()
        for party in parties:
            mask = mask * (bits[party][row] if party in coalition else factors[party])
        result = np.array(shard.base_margins)
        np.add.at(result, outputs, mask)
        return result

    explained = explain(shard, bits)
    for row in range(rows):
        orders = list(permutations(parties))
        for party in parties:
            gains = [
                value(row, frozenset(order[: order.index(party) + 1]))
                - value(row, frozenset(order[: order.index(party)]))
                for order in orders
            ]
            np.testing.assert_allclose(explained.contributions[row, party], np.mean(gains, axis=0), atol=1e-9)
        np.testing.assert_allclose(explained.base, value(row, frozenset()), atol=1e-9)
    whole = explained.base + explained.contributions.sum(axis=1)
    np.testing.assert_allclose(whole, margins(shard, bits, "b"), rtol=0, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(shards(features=FEATURES, bins=BINS))
def test_a_party_without_a_split_contributes_nothing(model: list[Shard]) -> None:
    model, rows = with_plain_base(model), 3
    bins = some_bins(np.random.default_rng(0), rows)
    bits = [whole_bits(model[0], i, leaf_bits(own, bins, N_BINS)) for i, own in enumerate(model)]
    found = explain(model[0], bits).contributions
    for party, shard in enumerate(model):
        if not any(tree.splits for tree in shard.trees):
            assert not found[:, party].any()


def test_many_rows_are_explained_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    model = full_model(random, 2, 3)
    bits = [whole_bits(model[0], i, leaf_bits(own, some_bins(random, 9), N_BINS)) for i, own in enumerate(model)]
    together = explain(model[0], bits).contributions
    monkeypatch.setattr(explanations, "_CELLS", 2 * 8 * 16)
    np.testing.assert_allclose(explain(model[0], bits).contributions, together, atol=1e-12)
    assert together.any()


def test_more_than_eight_parties_are_refused() -> None:
    roster = tuple("abcdefghi")
    shard = Shard(party="a", roster=roster, mode="mix", objective="binary", base_margins=(0.0,), binning={}, trees=())
    with pytest.raises(ValueError, match="at most 8"):
        explain(shard, [np.zeros((1, 0), np.bool_)] * 9)
