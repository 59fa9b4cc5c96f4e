"""Layered and mix: the trees of the plaintext algorithm, and nobody gets more than their part of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.errors import SealError
from fedchain.messages import Gradients, Histogram, Partition, Split, decode
from fedchain.simulation.federation import SimulationResult, simulate
from fedchain.types import Kind, PartyId
from tests.protocol.adversary import Recorder
from tests.protocol.cases import Case, make_case, with_algorithm
from tests.protocol.comparing import assert_same_model

Run = tuple[Case, SimulationResult, Recorder]
OPERATOR, BANK, SHOP = PartyId("operator"), PartyId("bank"), PartyId("shop")
CASES = (
    "two parties",
    "a passive party with missing values",
    "three parties",
    "an active party without features",
    "four parties, one without a usable feature",
)
SETTINGS: dict[str, dict[str, Any]] = {
    "layered": {"mode": "layered", "depth": 4, "min_leaf_rows": 6, "min_bin_rows": 5},
    "layered, defaults": {"mode": "layered", "depth": 5, "bins": 16},
    "layered, one level at the top": {"mode": "layered", "depth": 3, "top_levels": 1, "min_bin_rows": 0},
    "layered, all but one level at the top": {"mode": "layered", "depth": 3, "top_levels": 7, "min_leaf_rows": 3},
    "layered, depth 1": {"mode": "layered", "depth": 1, "trees": 4},
    "mix": {"mode": "mix", "depth": 3, "min_leaf_rows": 6, "min_bin_rows": 5, "trees": 4},
    "mix, defaults": {"mode": "mix", "depth": 3, "trees": 4},
    "no minima": {"mode": "layered", "depth": 3, "min_leaf_rows": 0, "min_bin_rows": 0},
    "leaf-wise, standard": {"mode": "standard", "depth": 6, "growth": "leaf_wise", "max_leaves": 9},
    "leaf-wise, as many leaves as there are": {"mode": "standard", "depth": 3, "growth": "leaf_wise", "max_leaves": 99},
    "leaf-wise, layered": {
        "mode": "layered",
        "depth": 6,
        "growth": "leaf_wise",
        "max_leaves": 7,
        "min_leaf_rows": 6,
        "min_bin_rows": 5,
    },
    "leaf-wise, mix": {
        "mode": "mix",
        "depth": 5,
        "growth": "leaf_wise",
        "max_leaves": 5,
        "trees": 4,
        "min_leaf_rows": 6,
    },
    "regularised": {"mode": "mix", "l1": 0.8, "l2": 3.0, "gamma": 0.5, "min_child_weight": 2.0, "min_leaf_rows": 9},
}


@pytest.fixture(scope="module")
def run(executor: Executor, dlog: DlogTable) -> Any:
    done: dict[tuple[str, str], Run] = {}

    def once(name: str, settings: str) -> Run:
        if (name, settings) not in done:
            case, recorder = with_algorithm(make_case(name), **SETTINGS[settings]), Recorder()
            result = simulate(case.spec, case.tables, executor=executor, dlog=dlog, tap=recorder)
            done[name, settings] = (case, result, recorder)
        return done[name, settings]

    return once


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("settings", ["layered", "mix"])
def test_trees_of_every_mode_are_those_of_the_plaintext_algorithm(name: str, settings: str, run: Any) -> None:
    case, result, _ = run(name, settings)
    assert_same_model(case, result)
    assert len({outcome.model_digest for outcome in result.outcomes.values()}) == 1


@pytest.mark.parametrize("settings", sorted(set(SETTINGS) - {"layered", "mix"}))
def test_trees_under_other_settings_are_those_of_the_plaintext_algorithm(settings: str, run: Any) -> None:
    case, result, _ = run("three parties", settings)
    expected = assert_same_model(case, result)
    assert any(len(tree) > 1 for tree in expected.trees), "else nothing was compared"


def owners_by_depth(result: SimulationResult) -> list[dict[int, set[int]]]:
    """Per tree: depth of a node -> owners of its splits."""
    found = []
    for tree in result.active.shard.trees:
        levels: dict[int, set[int]] = {}
        for node, owner in zip(tree.shape.nodes, tree.shape.owners, strict=True):
            if owner >= 0:
                levels.setdefault((node + 1).bit_length() - 1, set()).add(owner)
        found.append(levels)
    return found


def test_layered_trees_have_a_passive_top_and_an_active_bottom(run: Any) -> None:
    _, result, _ = run("three parties", "layered")
    trees = owners_by_depth(result)
    assert [trees[number][0] for number in range(3)] == [{1}, {2}, {1}]
    for number, levels in enumerate(trees):
        top, bottom = {depth: owners for depth, owners in levels.items() if depth < 2}, levels.get(2, set())
        assert all(owners <= {0, 1 + number % 2} for owners in top.values())
        assert bottom <= {0}
    assert any(max(levels) >= 2 for levels in trees), "some bottom split"


def test_a_top_node_for_which_its_party_finds_no_split_is_handed_down_to_the_active_party(run: Any) -> None:
    _, result, _ = run("three parties", "layered")
    handed_down = [
        (number, node)
        for number, tree in enumerate(result.active.shard.trees)
        for node, owner in zip(tree.shape.nodes, tree.shape.owners, strict=True)
        if owner == 0 and node < 3
    ]
    assert handed_down
    for number, node in handed_down:
        for passive in list(result.outcomes.values())[1:]:
            view = passive.shard.trees[number].shape
            assert dict(zip(view.nodes, view.owners, strict=True)).get(node, -1) == -1


def test_no_child_of_a_private_tree_has_fewer_training_rows_than_the_minimum(run: Any) -> None:
    for settings, least in (("layered", 6), ("mix", 6), ("layered, defaults", 20), ("mix, defaults", 20)):
        _, result, _ = run("three parties", settings)
        covers = [cover for tree in result.active.shard.trees for cover in tree.covers]
        assert len(covers) > 3
        assert min(covers) >= least


@pytest.mark.parametrize("settings", ["layered", "mix", "layered, defaults"])
def test_nobody_but_the_tree_s_owner_gets_its_ciphertexts_splits_or_a_request_for_sums(settings: str, run: Any) -> None:
    _, _, recorder = run("three parties", settings)
    turns: dict[str, list[PartyId | None]] = {
        "layered": [BANK, SHOP, BANK],
        "mix": [None, BANK, SHOP, None],
        "layered, defaults": [BANK, SHOP, BANK],
    }
    for number, owner in enumerate(turns[settings], start=1):
        seen = [slot for slot, _ in recorder.seen if slot.round == number and slot.kind is not Kind.LEAF_WEIGHTS]
        of = {kind: [slot for slot in seen if slot.kind is kind] for kind in Kind}
        if owner is None:
            assert not of[Kind.GRADIENTS] + of[Kind.HISTOGRAM] + of[Kind.SPLIT] + of[Kind.PARTITION]
            continue
        assert [(slot.sender, slot.recipient) for slot in of[Kind.GRADIENTS]] == [(OPERATOR, owner)]
        assert {(slot.sender, slot.recipient) for slot in of[Kind.SPLIT]} == {(OPERATOR, owner)}
        assert {(slot.sender, slot.recipient) for slot in of[Kind.HISTOGRAM]} == {(owner, OPERATOR)}
        assert {(slot.sender, slot.recipient) for slot in of[Kind.PARTITION]} <= {(owner, OPERATOR)}


def test_bottom_splits_and_their_partitions_never_leave_the_active_party(run: Any) -> None:
    """Depth 4, two levels at the top: three steps per level, then the leaf weights; levels 2 and 3 send nothing."""
    case, result, recorder = run("three parties", "layered")
    trees = range(1, case.spec.algorithm.trees + 1)
    in_training = [slot for slot, _ in recorder.seen if slot.round in trees]
    assert {slot.step for slot in in_training if slot.kind in (Kind.HISTOGRAM, Kind.SPLIT, Kind.PARTITION)} <= set(
        range(1, 7)
    )
    for slot, payload in recorder.of(Kind.SPLIT):
        announced = {one.node: one for one in decode(payload, Split).nodes}
        assert max(announced) <= 2, "nodes of the two top levels alone"
        assert {one.owner for one in announced.values()} <= {-1, 1 if slot.recipient == BANK else 2}
    assert {slot.sender for slot, _ in recorder.of(Kind.PARTITION)} <= {BANK, SHOP}
    assert {0} == {
        owner for levels in owners_by_depth(result) for depth, owners in levels.items() if depth > 1 for owner in owners
    }


def test_the_top_partition_opens_for_the_active_party_alone(run: Any) -> None:
    _, result, recorder = run("three parties", "layered")
    keys = {party: outcome.session.keys for party, outcome in result.outcomes.items()}
    sealed = [(slot, decode(payload, Partition)) for slot, payload in recorder.of(Kind.PARTITION) if slot.round <= 3]
    assert {slot.sender for slot, _ in sealed} == {BANK, SHOP}
    for slot, message in sealed:
        context = f"partition/{slot.round}/0/{(slot.step - 3) // 3}"
        assert keys[OPERATOR].unseal(message.sealed, context, slot.sender)
        for other in (BANK, SHOP):
            with pytest.raises(SealError, match="not for"):
                keys[other].unseal(message.sealed, context, slot.sender)


def test_histograms_of_merged_bins_say_how_they_follow_from_the_parent_s(run: Any) -> None:
    _, _, recorder = run("three parties", "layered")
    groups = [
        one
        for slot, payload in recorder.of(Kind.HISTOGRAM)
        if slot.step > 1
        for node in decode(payload, Histogram).groups
        for one in node
    ]
    assert any(max(sizes) > 1 for sizes, _ in groups), "some bins are merged below the root"
    assert all(missing in (0, 1, 2) for _, missing in groups)


@pytest.mark.parametrize("settings", ["layered", "mix", "layered, defaults"])
def test_a_passive_shard_ends_where_its_knowledge_ends(settings: str, run: Any) -> None:
    _, result, _ = run("three parties", settings)
    for index, outcome in enumerate(result.outcomes.values()):
        if index == 0:
            continue
        sizes = []
        for whole, tree in zip(result.active.shard.trees, outcome.shard.trees, strict=True):
            assert set(tree.shape.owners) <= {-1, index}
            assert tree.shape == whole.shape.seen_by(index)
            assert {split.node for split in tree.splits} == {
                node for node, owner in zip(tree.shape.nodes, tree.shape.owners, strict=True) if owner == index
            }
            assert (tree.covers, tree.weights) == ((), ())
            sizes.append(len(tree.shape.nodes))
        assert min(sizes) == 1, "of a tree of another's turn it knows the root alone"
        assert max(sizes) > 1


def test_which_rows_train_is_all_that_gradients_show_in_the_clear(run: Any) -> None:
    case, result, recorder = run("three parties", "layered")
    held_out = np.zeros(result.active.aligned_rows, dtype=bool)
    held_out[list(result.active.session.holdout)] = True
    for _, payload in recorder.of(Kind.GRADIENTS):
        message = decode(payload, Gradients)
        assert message.row_bits == message.routed_bits == np.packbits(~held_out, bitorder="little").tobytes()
        assert len(message.ciphertexts) == 65 * 3 * int((~held_out).sum())
    assert case.spec.stopping.rule == "trees"


def test_standard_mode_announces_and_shares_every_level(run: Any, executor: Executor, dlog: DlogTable) -> None:
    case, recorder = make_case("three parties"), Recorder()
    simulate(case.spec, case.tables, executor=executor, dlog=dlog, tap=recorder)
    for kind in (Kind.GRADIENTS, Kind.SPLIT, Kind.PARTITION):
        assert {slot.recipient for slot, _ in recorder.of(kind)} == {None}
    for _, payload in recorder.of(Kind.HISTOGRAM):
        assert all(set(sizes) <= {1} for node in decode(payload, Histogram).groups for sizes, _ in node)
    assert {slot.sender for slot, _ in recorder.of(Kind.PARTITION)} == {OPERATOR, BANK, SHOP}
