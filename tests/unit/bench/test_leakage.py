"""`fedchain bench leakage`: what a passive party is taken to have seen, and how it is attacked."""

from __future__ import annotations

import numpy as np
import pytest

from fedchain.bench.attack import EMBEDDING, attack, embedding
from fedchain.bench.jobs import job
from fedchain.bench.leakage import MODES, LeakageBench, known_rows, run
from fedchain.bench.synthetic import Synthetic
from fedchain.bench.view import Recorder, View, view
from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.errors import ConfigError, DataError
from fedchain.simulation.federation import SimulationResult, simulate

from .conftest import SmallTable

SOURCE = Synthetic(500, 3, (2, 2))
DEPTH, TREES = 3, 3


def seen(mode: str, dlog: DlogTable, executor: Executor) -> tuple[SimulationResult, list[View]]:
    spec = job(SOURCE, {"mode": mode, "depth": DEPTH, "trees": TREES, "bins": 8}, 42)
    tables, recorder = SOURCE.tables(spec), Recorder()
    result = simulate(spec, tables, executor=executor, dlog=dlog, tap=recorder)
    return result, [view(recorder, spec, me, tables[me], result.outcomes[me]) for me in spec.names[1:]]


def test_in_standard_mode_a_passive_party_sees_every_node(dlog: DlogTable, executor: Executor) -> None:
    result, views = seen("standard", dlog, executor)
    for one in views:
        assert one.routed.sum() == 400
        counted = dict(zip(one.nodes, one.memberships.sum(axis=0).tolist(), strict=True))
        expected = {
            (place, node): cover
            for place, tree in enumerate(result.active.shard.trees)
            for node, cover in zip(tree.shape.nodes, tree.covers, strict=True)
            if node
        }
        assert counted == expected  # what it opened is what the active party grew
        assert not one.memberships[~one.routed].any()


def test_in_layered_mode_a_passive_party_sees_the_top_of_its_own_trees(dlog: DlogTable, executor: Executor) -> None:
    result, views = seen("layered", dlog, executor)
    for index, one in enumerate(views, start=1):
        own = {
            (place, node)
            for place, tree in enumerate(result.active.shard.trees)
            for node in tree.shape.seen_by(index).nodes
            if node
        }
        assert set(one.nodes) == own
        assert all(node <= 6 for _, node in one.nodes)
    trees = [{tree for tree, _ in one.nodes} for one in views]
    assert trees == [{0, 2}, {1}]  # owners rotate


def test_in_mix_mode_a_passive_party_sees_its_own_trees_alone(dlog: DlogTable, executor: Executor) -> None:
    _, views = seen("mix", dlog, executor)
    assert [{tree for tree, _ in one.nodes} for one in views] == [{1}, {2}]


def test_an_attacker_finds_what_tells_the_label_and_nothing_in_noise() -> None:
    random = np.random.default_rng(3)
    labels = (random.random(900) < 0.3).astype(np.float64)
    telling = np.where(random.random(900) < 0.9, labels, 1 - labels)[:, None]
    features = {"telling": telling, "noise": random.normal(size=(900, 4)), "nothing": np.zeros((900, 0))}
    rows = np.arange(900)
    aucs = attack(features, labels, rows[:200], rows[200:], 0)
    assert set(aucs) == {f"{kind} on {name}" for kind in ("logistic", "boosted") for name in features}
    for kind in ("logistic", "boosted"):
        assert aucs[f"{kind} on telling"] > 0.85
        assert abs(aucs[f"{kind} on noise"] - 0.5) < 0.1
        assert aucs[f"{kind} on nothing"] == 0.5


def test_directions_of_nodes_are_few_and_tell_groups_of_rows_apart() -> None:
    random = np.random.default_rng(4)
    group = random.integers(0, 2, 300)
    memberships = random.random((300, 60)) < np.where(group, 0.8, 0.2)[:, None]
    directions = embedding(memberships, 0)
    assert directions.shape == (300, EMBEDDING)
    assert abs(np.corrcoef(directions[:, 0], group)[0, 1]) > 0.95
    assert embedding(memberships[:, :5], 0).shape == (300, 5)


def test_known_rows_are_training_rows_of_both_classes() -> None:
    labels = np.array([0.0, 1.0] * 60)
    routed = np.arange(120) % 3 != 0
    known, others = known_rows(routed, labels, 30, 1)
    assert len(known) == 30
    assert sorted([*known, *others]) == np.flatnonzero(routed).tolist()
    assert labels[known].sum() == 15
    with pytest.raises(DataError, match="too few"):
        known_rows(routed, labels, 75, 1)
    with pytest.raises(DataError, match="each class"):
        known_rows(routed, (np.arange(120) < 10).astype(np.float64), 30, 1)


def test_report_of_a_small_run(small_dlog: SmallTable) -> None:
    source = Synthetic(700, 4, (3,))
    lines: list[str] = []
    bench = LeakageBench(source, trees=3, depth=4, bins=8, known=100, seeds=(5,))
    report = run(bench, on_run=lines.append, threads=2)
    metrics = report.metrics
    for mode in MODES:
        assert 0.4 < metrics[f"auc_attack_{mode}"] < 1
        assert 0.6 < metrics[f"auc_federated_{mode}"] < 1
    assert metrics["auc_attack_standard"] > metrics["auc_attack_own_columns"] + 0.03
    assert metrics["auc_attack_layered"] < metrics["auc_attack_standard"]
    assert abs(metrics["auc_attack_chance"] - 0.5) < 0.15
    assert max(metrics["known_nodes_layered"], metrics["known_nodes_mix"]) < metrics["known_nodes_standard"]
    assert len(lines) == 3
    with pytest.raises(ConfigError, match="known labels"):
        run(LeakageBench(source, known=3))
