"""Leaf-wise growth: equal to XGBoost's, and an active party that announces nonsense is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.errors import DeadlineError, ProtocolViolationError
from fedchain.federation.party import objective_of_params
from fedchain.messages import Histogram, LeafWeights, Partition, Split, SplitNode, decode
from fedchain.protocol import Party, Send
from fedchain.simulation.federation import simulate
from fedchain.simulation.plaintext import predict
from fedchain.simulation.reference import join
from fedchain.training.boosting import steps
from fedchain.training.boosting.grower import Grower
from fedchain.training.boosting.params import BoostingParams, Mode
from fedchain.training.boosting.tree import level_of
from fedchain.types import Kind
from tests.protocol.adversary import Recorder, changing
from tests.protocol.boosting import BANK, OPERATOR, SHOP, Training
from tests.protocol.cases import make_case, objective_case, with_algorithm
from tests.protocol.comparing import holdout_scores

Change = Callable[[list[SplitNode]], list[SplitNode]]


@pytest.mark.parametrize("leaves", [2, 5, 9, 14])
def test_standard_mode_is_xgboost_growing_by_loss(leaves: int, executor: Executor, dlog: DlogTable) -> None:
    """Scores within 0.002: gradients go as integers of 12 bits."""
    settings: dict[str, Any] = {"depth": 6, "growth": "leaf_wise", "max_leaves": leaves, "trees": 4, "bins": 16}
    case = with_algorithm(make_case("three parties"), **settings)
    result = simulate(case.spec, case.tables, executor=executor, dlog=dlog)
    joined = join(case.spec, case.tables)
    scores = holdout_scores(result)
    peer = {
        how: predict(joined.matrices, joined.labels, ~joined.train, trees=4, depth=6, max_leaves=most)[joined.holdout]
        for how, most in (("by loss", leaves), ("by level", 0))
    }
    assert np.abs(scores - peer["by loss"]).max() < 0.002
    assert np.abs(scores - peer["by level"]).max() > 0.02, "else any growth would do"
    assert {len(tree.weights) for tree in result.active.shard.trees} == {leaves}


def test_several_classes_grow_leaf_by_leaf_as_xgboost_does(executor: Executor, dlog: DlogTable) -> None:
    case = objective_case("multiclass")
    case = with_algorithm(case, depth=5, growth="leaf_wise", max_leaves=6, classes=3, objective="multiclass")
    scores = holdout_scores(simulate(case.spec, case.tables, executor=executor, dlog=dlog))
    joined = join(case.spec, case.tables)
    objective = objective_of_params(case.spec.algorithm)
    peer = predict(joined.matrices, joined.labels, ~joined.train, objective=objective, trees=2, depth=5, max_leaves=6)
    assert np.abs(scores - peer[joined.holdout]).max() < 0.002


def test_an_honest_run_splits_leaves_of_several_levels_in_any_order(leaf_wise: Training) -> None:
    """Else what follows would catch nothing."""
    recorder = Recorder()
    outcome = leaf_wise.run(tap=recorder)
    first = [decode(payload, Split).nodes for slot, payload in recorder.of(Kind.SPLIT) if slot.round == 1]
    assert [len(nodes) for nodes in first] == [1] * 4, "five leaves: four splits, and no turn to say that it is over"
    levels = [level_of(nodes[0].node) for nodes in first]
    assert max(levels) == 2
    assert {nodes[0].owner for nodes in first} >= {1, 2}
    assert [len(tree.weights) for tree in outcome[OPERATOR].trees] == [5, 5]


@pytest.mark.parametrize(
    ("turn", "change", "says"),
    [
        (0, lambda nodes: nodes * 2, "not of one open node"),
        (0, lambda nodes: [msgspec.structs.replace(nodes[0], node=7)], "not of one open node"),
        (0, lambda nodes: [msgspec.structs.replace(nodes[0], owner=-1)], "not of one open node"),
        (0, lambda nodes: [msgspec.structs.replace(nodes[0], owner=3)], "not of one open node"),
        (0, lambda nodes: [SplitNode(0, 1, 2, 0, False)], "on none of my bins"),
        (0, lambda nodes: [SplitNode(0, 1, -1, -1, False)], "on none of my bins"),
        (1, lambda nodes: [SplitNode(1, 1, 0, 0, False), SplitNode(2, 2, 0, 0, False)], "not of one open node"),
        (1, lambda nodes: [msgspec.structs.replace(nodes[0], node=0)], "not of one open node"),
        (1, lambda nodes: [msgspec.structs.replace(nodes[0], node=3)], "not of one open node"),
    ],
    ids=[
        "the root twice",
        "a node far away",
        "no owner",
        "an owner off the roster",
        "a feature that is none",
        "no feature",
        "both children at once",
        "the root again",
        "a grandchild that is none",
    ],
)
def test_an_announcement_that_is_not_of_one_open_leaf_names_the_active_party(
    leaf_wise: Training, turn: int, change: Change, says: str
) -> None:
    def announce(message: Split) -> Split:
        return Split(tuple(change(list(message.nodes))))

    with pytest.raises(ProtocolViolationError, match=says) as caught:
        leaf_wise.run(wrap={OPERATOR: lambda party: changing(party, Split, announce, after=turn)})
    assert caught.value.culprit == OPERATOR


def test_a_leaf_at_full_depth_cannot_be_split(leaf_wise: Training) -> None:
    """At depth 1 the children of the root are leaves for good, whatever room there is."""
    shallow = replace(leaf_wise)
    shallow.params = leaf_wise.params.model_copy(update={"depth": 1})
    recorder = Recorder()
    outcome = shallow.run(tap=recorder)
    assert [len(tree.weights) for tree in outcome[OPERATOR].trees] == [2, 2]
    asked = [slot.step for slot, _ in recorder.of(Kind.HISTOGRAM)]
    assert set(asked) == {steps.histogram(0, shallow.params.turns, 0)}, "nobody asks for sums of children"

    two = replace(leaf_wise)
    two.params = leaf_wise.params.model_copy(update={"depth": 2})

    def announce(message: Split) -> Split:
        nodes = [2 * node.node + 1 if level_of(node.node) == 1 else node.node for node in message.nodes]
        return Split(tuple(msgspec.structs.replace(one, node=nodes[0]) for one in message.nodes))

    with pytest.raises(ProtocolViolationError, match="not of one open node") as caught:
        two.run(wrap={OPERATOR: lambda party: changing(party, Split, announce, after=2)})
    assert caught.value.culprit == OPERATOR


def test_what_is_announced_after_the_last_leaf_is_read_by_nobody(leaf_wise: Training) -> None:
    turns, honest = leaf_wise.params.turns, leaf_wise.run()

    def one_more(party: Party[Any]) -> Party[Any]:
        answer: Any = None
        while True:
            try:
                action = party.send(answer)
            except StopIteration as stop:
                return stop.value
            if isinstance(action, Send) and isinstance(action.message, LeafWeights):
                yield Send(Split((SplitNode(1, 1, 0, 0, False),)), steps.split(0, turns, 4))
            answer = yield action

    assert leaf_wise.run(wrap={OPERATOR: one_more}) == honest


def test_who_says_that_a_tree_is_over_and_goes_on_gets_no_more_sums(leaf_wise: Training) -> None:
    recorder = Recorder()
    with pytest.raises(DeadlineError, match="'operator' waits for Gather"):
        leaf_wise.run(
            tap=recorder,
            wrap={OPERATOR: lambda party: changing(party, Split, lambda _: Split(()), after=1)},
        )
    assert {slot.step for slot, _ in recorder.of(Kind.HISTOGRAM)} == {
        steps.histogram(0, leaf_wise.params.turns, turn) for turn in range(2)
    }


@pytest.mark.parametrize("owner", [0, 2])
def test_in_a_tree_of_its_own_a_party_takes_no_announcement_of_another_s_split(leaf_wise: Training, owner: int) -> None:
    alone = replace(leaf_wise)
    alone.params = BoostingParams(
        **{**leaf_wise.params.model_dump(), "mode": Mode.MIX, "min_leaf_rows": 1, "min_bin_rows": 1}
    )

    def announce(message: Split) -> Split:
        return Split(tuple(msgspec.structs.replace(node, owner=owner) for node in message.nodes))

    with pytest.raises(ProtocolViolationError, match="a party that does not compete here") as caught:
        alone.run(wrap={OPERATOR: lambda party: changing(party, Split, announce)})
    assert caught.value.culprit == OPERATOR


def test_sums_of_another_turn_s_leaves_are_refused(leaf_wise: Training) -> None:
    sent: list[Histogram] = []

    def replay(message: Histogram) -> Histogram:
        sent.append(message)
        return sent[-2] if len(sent) > 2 else message

    with pytest.raises(ProtocolViolationError, match="exactly the smaller siblings") as caught:
        leaf_wise.run(wrap={BANK: lambda party: changing(party, Histogram, replay)})
    assert caught.value.culprit == BANK


def test_a_partition_sealed_for_another_turn_is_refused(leaf_wise: Training) -> None:
    first: list[Partition] = []

    def replay(message: Partition) -> Partition:
        first.append(message)
        return msgspec.structs.replace(message, sealed=first[0].sealed)

    with pytest.raises(ProtocolViolationError, match="another context") as caught:
        leaf_wise.run(wrap={SHOP: lambda party: changing(party, Partition, replay)})
    assert caught.value.culprit == SHOP
    assert len(first) > 1


@pytest.mark.parametrize("growing", ["training", "leaf_wise"])
def test_histograms_are_kept_of_nodes_that_may_have_children_alone(
    growing: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tree has as many leaves as it has splits, and one more; none of them needs its sums kept."""
    growers: list[Grower] = []
    begin = Grower.__post_init__

    def noted(grower: Grower) -> None:
        begin(grower)
        growers.append(grower)

    monkeypatch.setattr(Grower, "__post_init__", noted)
    training: Training = request.getfixturevalue(growing)
    outcome = training.run()
    assert len(growers) == 2
    for grower, tree in zip(growers, outcome[OPERATOR].trees, strict=True):
        owners = dict(zip(tree.shape.nodes, tree.shape.owners, strict=True))
        assert max(owners.values()) > 0
        for kept in (set(grower._own), *map(set, grower._received._above.values())):
            assert all(level_of(node) + 1 < training.params.depth for node in kept)
            assert all(owners[node] < 0 for node in kept), "of inner nodes nothing is left either"
