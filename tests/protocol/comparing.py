"""A finished job against the plaintext reference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchain.model.shard import Shard
from fedchain.simulation.federation import SimulationResult
from tests.protocol.cases import Case
from tests.protocol.losses import predicted
from tests.protocol.reference import Boosted, Joined, RefTree, boost, join, view


def joined_of(case: Case) -> Joined:
    spec = case.spec
    tables = [case.tables[name] for name in spec.names]
    return join(tables, spec)


def shards_of(result: SimulationResult) -> list[Shard]:
    return [outcome.shard for outcome in result.outcomes.values()]


def holdout_scores(result: SimulationResult) -> NDArray[np.float64]:
    assert result.active.holdout_scores is not None
    return result.active.holdout_scores


def assert_same_tree(shards: list[Shard], number: int, expected: RefTree) -> None:
    """Every party's view of one tree against the reference tree."""
    for index, shard in enumerate(shards):
        tree = shard.trees[number]
        known = sorted(expected) if index == 0 or shard.mode == "standard" else view(expected, index)
        assert tree.shape.nodes == tuple(known)
        if index == 0 or shard.mode == "standard":
            assert tree.shape.owners == tuple(expected[node].owner for node in known)
        else:
            assert tree.shape.owners == tuple(index if expected[node].owner == index else -1 for node in known)
        own = {(one.node, one.feature, one.bin, one.missing_left) for one in tree.splits}
        assert own == {
            (node, one.feature, one.bin, one.missing_left) for node, one in expected.items() if one.owner == index
        }
        if index == 0:
            assert tree.covers == tuple(expected[node].cover for node in sorted(expected))
            weights = [expected[node].weight for node in sorted(expected) if expected[node].owner < 0]
            np.testing.assert_allclose(tree.weights, weights, rtol=1e-12)
        else:
            assert tree.covers == ()
            assert tree.weights == ()


def assert_same_model(case: Case, result: SimulationResult) -> Boosted:
    """Base margins, trees, covers, weights and held-out predictions; gives the reference's model."""
    joined, params = joined_of(case), case.spec.algorithm
    stopping = case.spec.stopping if case.spec.stopping.rule == "early" else None
    expected = boost(joined, params, seed=case.spec.seed, stopping=stopping)
    shards = shards_of(result)
    np.testing.assert_allclose(shards[0].base_margins, expected.base, rtol=1e-12)
    assert [shard.base_margins for shard in shards[1:]] == [()] * (len(shards) - 1)
    assert {len(shard.trees) for shard in shards} == {len(expected.trees)}
    for number, tree in enumerate(expected.trees):
        assert_same_tree(shards, number, tree)
        assert {shard.trees[number].output for shard in shards} == {number % params.outputs}
    scores = predicted(params, expected.margins[joined.held_out])
    np.testing.assert_allclose(holdout_scores(result), scores, rtol=1e-10)
    return expected
