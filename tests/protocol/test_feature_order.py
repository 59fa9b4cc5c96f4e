"""Passive parties show their features in an order of each tree, which none of the others can tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.data.table import Table
from fedchain.messages import Histogram, Split, decode
from fedchain.simulation.federation import SimulationResult, simulate
from fedchain.simulation.reference import join
from fedchain.training.boosting.sampling import column_sample, feature_order, order_secret
from fedchain.types import Kind, PartyId
from tests.protocol.adversary import Recorder
from tests.protocol.cases import ROWS, Case, numeric, spec_of

OPERATOR, BANK = PartyId("operator"), PartyId("bank")
VALUES = (2, 3, 4, 5, 6)  # different values of each of the bank's columns: so a test can tell which is which
Orders = dict[tuple[int, int], list[int]]


def case_of(**algorithm: Any) -> Case:
    random = np.random.default_rng(3)
    ids = tuple(f"P-{number}" for number in range(1000, 1000 + ROWS))
    columns = [random.integers(0, values, ROWS).astype(float) for values in VALUES]
    classes = algorithm.get("classes", 2)
    score = sum(column / values for column, values in zip(columns, VALUES, strict=True)) + random.normal(size=ROWS) / 4
    label = np.digitize(score, np.quantile(score, np.arange(1, classes) / classes)).astype(float)
    operator = Table(ids, (numeric("tenure", random.normal(size=ROWS)),), label, source="operator")
    bank = Table(ids, tuple(numeric(f"c{i}", one) for i, one in enumerate(columns)), source="bank")
    return Case(spec_of([OPERATOR, BANK], **{"trees": 6, "depth": 2, **algorithm}), {OPERATOR: operator, BANK: bank})


def run(case: Case, executor: Executor, dlog: DlogTable) -> tuple[SimulationResult, Recorder]:
    recorder = Recorder()
    return simulate(case.spec, case.tables, executor=executor, dlog=dlog, tap=recorder), recorder


def bank_bins(case: Case) -> np.ndarray[Any, np.dtype[np.uint8]]:
    bins = join(case.spec, case.tables).matrices[1][0]
    assert [len(np.unique(bins[:, feature])) for feature in range(len(VALUES))] == list(VALUES)
    return bins


def announced(recorder: Recorder, case: Case) -> Orders:
    """(round, output) -> which of its features the bank shows at each position of the root, -1: one that sits out."""
    params, orders = case.spec.algorithm, Orders()
    for slot, payload in recorder.of(Kind.HISTOGRAM):
        output, turn = divmod((slot.step - 1) // 3, params.turns)
        if turn == 0:
            sizes = [len(sizes) for sizes, _ in decode(payload, Histogram).groups[0]]
            orders[slot.round, output] = [VALUES.index(size) if size else -1 for size in sizes]
    return orders


@pytest.mark.parametrize(
    "algorithm",
    [
        {},
        {"growth": "leaf_wise", "max_leaves": 4},
        {"mode": "layered", "min_leaf_rows": 1, "min_bin_rows": 1},
        {"objective": "multiclass", "classes": 3, "trees": 3},
    ],
    ids=["standard", "leaf-wise", "layered", "three classes"],
)
def test_positions_follow_the_party_s_secret_and_differ_from_tree_to_tree(
    algorithm: dict[str, Any], executor: Executor, dlog: DlogTable
) -> None:
    case = case_of(**algorithm)
    _, recorder = run(case, executor, dlog)
    secret, found = order_secret(bank_bins(case), case.spec.seed), announced(recorder, case)
    params = case.spec.algorithm
    assert len(found) == params.trees * params.outputs
    for (number, output), order in found.items():
        assert order == feature_order(len(VALUES), secret=secret, tree=number, output=output).tolist()
    assert len({tuple(order) for order in found.values()}) > len(found) // 2
    assert not any(secret in payload for _, payload in recorder.seen)


def test_the_same_tables_give_the_same_order_and_other_rows_another(executor: Executor, dlog: DlogTable) -> None:
    case = case_of()
    (one, first), (two, second) = run(case, executor, dlog), run(case, executor, dlog)
    assert announced(first, case) == announced(second, case)
    assert one.active.model_digest == two.active.model_digest
    fewer = Case(case.spec, case.tables | {BANK: case.tables[BANK].take(case.tables[BANK].ids[1:])})
    assert announced(run(fewer, executor, dlog)[1], fewer) != announced(first, case)


def test_announced_splits_name_positions_and_the_shard_s_own_splits_features(
    executor: Executor, dlog: DlogTable
) -> None:
    case = case_of()
    result, recorder = run(case, executor, dlog)
    orders, differ = announced(recorder, case), 0
    for slot, payload in recorder.of(Kind.SPLIT):
        own = {split.node: split for split in result.outcomes[BANK].shard.trees[slot.round - 1].splits}
        for node in decode(payload, Split).nodes:
            if node.owner == 1:
                assert own[node.node].feature == orders[slot.round, 0][node.feature]
                differ += own[node.node].feature != node.feature
    assert differ > 0


def test_a_column_sample_shows_how_many_features_take_part_and_not_which(executor: Executor, dlog: DlogTable) -> None:
    """The draw is public, so it is one of positions."""
    case = case_of(column_sample=0.4, trees=12, depth=1)
    _, recorder = run(case, executor, dlog)
    drawn, taken = [], []
    for (number, _), order in announced(recorder, case).items():
        positions = column_sample(len(VALUES), 0.4, seed=case.spec.seed, tree=number, party=BANK)
        assert [one >= 0 for one in order] == positions.tolist()
        drawn.append(set(np.flatnonzero(positions).tolist()))
        taken.append({one for one in order if one >= 0})
    assert all(len(features) == 2 for features in taken)
    assert sum(one == other for one, other in zip(drawn, taken, strict=True)) < 6
    assert set.union(*taken) == set(range(len(VALUES)))
