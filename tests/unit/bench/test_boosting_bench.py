"""`fedchain bench boosting` as a function: what it measures, and what it counts."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedchain.bench import floor
from fedchain.bench.boosting import BoostingBench, run
from fedchain.bench.jobs import Files, job, source_of
from fedchain.bench.stages import STAGES, StageSampler, stage_of
from fedchain.bench.synthetic import Synthetic
from fedchain.bench.warm import seconds_per_tree_warm
from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.crypto.elgamal import KeyPair, MaskPool
from fedchain.errors import ConfigError
from fedchain.messages import PublicKey, encode
from fedchain.model.shard import Shard, Tree, TreeShape
from fedchain.simulation.reference import join
from fedchain.training.boosting.params import BoostingParams, Growth, Mode

from .conftest import SmallTable

SMALL = Synthetic(600, 2, (3,))


def test_report_of_a_run_holds_together(small_dlog: SmallTable) -> None:
    report = run(BoostingBench(SMALL, depth=2, trees=2, bins=8, seeds=(1, 2)), threads=2)
    metrics = report.metrics
    assert sum(metrics[f"seconds_{stage}"] for stage in STAGES) == pytest.approx(metrics["seconds_per_tree"], rel=0.1)
    assert metrics["floor_ratio"] == pytest.approx(
        metrics["seconds_per_tree"] / metrics["floor_seconds_per_tree"], 1e-2
    )
    assert metrics["auc_federated"] == pytest.approx(
        (metrics["auc_federated_seed_1"] + metrics["auc_federated_seed_2"]) / 2, abs=2e-6
    )
    assert metrics["auc_parity"] <= 0.002  # standard mode is XGBoost
    assert metrics["auc_parity"] >= abs(metrics["auc_difference"])
    assert metrics["auc_federated"] > metrics["auc_active_only"] + 0.02
    assert metrics["plaintext_seconds_per_tree"] < metrics["seconds_per_tree"]
    assert metrics["seconds_per_tree_warm"] > 0
    assert 0 < metrics["cpu_seconds_per_tree"] < metrics["seconds_per_tree"] * 4
    assert metrics["floor_cpu_ratio"] > 0.5
    assert report.settings["floor_encrypted_rows_per_tree"] == report.settings["train_rows"] == 480


@pytest.mark.parametrize(
    ("objective", "metric", "classes"), [("multiclass", "mlogloss", 3), ("poisson", "poisson_deviance", None)]
)
def test_other_objectives_are_compared_by_their_own_metric(
    small_dlog: SmallTable, objective: str, metric: str, classes: int | None
) -> None:
    source = Synthetic(600, 2, (3,), objective=objective)
    bench = BoostingBench(source, objective=objective, classes=classes, depth=2, trees=4, bins=8)
    metrics = run(bench, threads=2).metrics
    assert metrics[f"{metric}_relative_difference"] < 0.01
    assert metrics[f"{metric}_federated"] < metrics[f"{metric}_active_only"]
    assert not any(name.startswith("auc") for name in metrics)


def test_made_up_tables_depend_on_their_settings_alone() -> None:
    spec_names = ("active", "passive_1")
    bench = BoostingBench(SMALL)
    spec = job(SMALL, bench.algorithm(), 42)
    assert spec.names == spec_names
    one, same, other = (source.tables(spec) for source in (SMALL, SMALL, SMALL.with_seed(7)))
    for name in spec.names:
        assert one[name].ids == same[name].ids
        for left, right in zip(one[name].columns, same[name].columns, strict=True):
            np.testing.assert_array_equal(left.values, right.values)
    assert not np.array_equal(one[spec.names[0]].columns[0].values, other[spec.names[0]].columns[0].values)
    assert [len(one[name].columns) for name in spec.names] == [2, 3]
    assert one[spec.names[1]].label is None
    labels = one[spec.names[0]].label
    assert labels is not None
    assert 0.1 < labels.mean() < 0.5


def test_floor_counts_smaller_siblings_where_passive_parties_compete() -> None:
    shape = TreeShape((0, 1, 2, 3, 4), (1, 0, -1, -1, -1))
    tree = Tree(shape, (), covers=(100, 60, 40, 50, 10), weights=(0.0, 0.0, 0.0))
    shard = Shard(
        party="a",
        roster=("a", "b", "c"),
        mode="standard",
        objective="binary",
        base_margins=(0.0,),
        binning={},
        trees=(tree, tree),
    )
    standard = BoostingParams(mode=Mode.STANDARD, depth=3, trees=2)
    # root 100, smaller sibling of (60, 40) 40, of (50, 10) 10; both passive parties' 4 + 6 columns, three points
    assert floor.count(standard, shard, 100, (5, 4, 6)) == floor.Operations(200, 2 * 150 * 10 * 3)
    layered = BoostingParams(mode=Mode.LAYERED, top_levels=2, depth=3, trees=2)
    # tree 1: the first passive party at two levels, tree 2: the second
    assert floor.count(layered, shard, 100, (5, 4, 6)) == floor.Operations(200, 140 * (4 + 6) * 3)
    mix = BoostingParams(mode=Mode.MIX, depth=3, trees=2)
    # tree 1 is the active party's alone
    assert floor.count(mix, shard, 100, (5, 4, 6)) == floor.Operations(100, 150 * 4 * 3)


def test_floor_of_a_leaf_wise_tree_leaves_out_the_children_that_nobody_asks_sums_of() -> None:
    shape = TreeShape((0, 1, 2, 3, 4, 5, 6), (1, 0, 2, -1, -1, -1, -1))
    tree = Tree(shape, (), covers=(100, 60, 40, 50, 10, 22, 18), weights=(0.0,) * 4)
    shard = Shard(
        party="a",
        roster=("a", "b", "c"),
        mode="standard",
        objective="binary",
        base_margins=(0.0,),
        binning={},
        trees=(tree,),
    )

    def additions(mode: Mode = Mode.STANDARD, **settings: Any) -> int:
        params = BoostingParams(mode=mode, growth=Growth.LEAF_WISE, trees=1, **settings)
        return floor.count(params, shard, 100, (5, 4, 6)).additions

    # root, smaller sibling of (60, 40), and of (50, 10) and (22, 18)
    assert additions(max_leaves=9) == (100 + 40 + 10 + 18) * 10 * 3
    assert additions(max_leaves=4) == (100 + 40 + 10) * 10 * 3, "one of the last two pairs, and not the cheaper one"
    assert additions(max_leaves=9, depth=2) == (100 + 40) * 10 * 3, "leaves at full depth are never asked for"
    assert additions(Mode.LAYERED, max_leaves=4, depth=3) == (100 + 40) * 4 * 3, "only top levels, level by level"
    assert additions(Mode.MIX, max_leaves=4) == 0, "the active party's tree"


def test_leaf_wise_growth_is_compared_with_xgboost_s(small_dlog: SmallTable) -> None:
    bench = BoostingBench(SMALL, depth=6, growth="leaf_wise", max_leaves=5, trees=3, bins=8)
    report = run(bench, threads=2)
    assert report.metrics["auc_parity"] <= 0.002
    assert (report.settings["growth"], report.settings["max_leaves"]) == ("leaf_wise", 5)
    assert report.metrics["floor_ratio"] > 0.5


def test_costs_of_single_operations_are_positive_and_plausible() -> None:
    costs = floor.calibrate(512, 1, Executor(1))
    for cost, least, most in ((costs.encrypt, 1e-6, 1e-2), (costs.add, 1e-8, 1e-3)):
        assert least < cost.wall < most
        assert least < cost.cpu < most
    whole = costs.of(floor.Operations(2, 3))
    assert whole.wall == pytest.approx(2 * costs.encrypt.wall + 3 * costs.add.wall)
    assert whole.cpu == pytest.approx(2 * costs.encrypt.cpu + 3 * costs.add.cpu)
    cheaper = floor.Costs(floor.Cost(0.0, 1.0), floor.Cost(1.0, 0.0))
    best = costs.least(cheaper)
    assert (best.encrypt, best.add) == (floor.Cost(0.0, costs.encrypt.cpu), floor.Cost(costs.add.wall, 0.0))


def test_time_is_given_to_the_innermost_stage_and_all_of_it_is_counted() -> None:
    keys, message = KeyPair.generate(2), PublicKey(bytes(32), bytes(32), b"", True, b"", bytes(32))
    values = np.ones((64, 2), dtype=np.int64)
    keys.encrypt_rows(values)
    sampler = StageSampler()
    started = time.perf_counter()
    sampler.start()
    while time.perf_counter() - started < 0.15:
        keys.encrypt_rows(values)
    while time.perf_counter() - started < 0.3:
        encode(message)
    time.sleep(0.1)
    sampler.stop()
    wall = time.perf_counter() - started
    assert sum(sampler.seconds.values()) == pytest.approx(wall, rel=0.1)
    assert sampler.seconds["encrypt"] > 0.1
    assert sampler.seconds["other"] > 0.08
    assert sampler.seconds["decrypt"] == sampler.seconds["histogram"] == 0
    assert not any(thread.name == "fedchain-stages" for thread in threading.enumerate())
    assert stage_of(None) == "other"


def test_a_source_is_files_or_made_up_columns() -> None:
    files = (Path("a.csv"), [Path("b.csv")], "id", "y")
    assert source_of(files, None, None, ()) == Files(Path("a.csv"), [Path("b.csv")], "id", "y")
    nothing = (None, (), "id", "y")
    assert source_of(nothing, 500, 0, (3, 4)) == Synthetic(500, 0, (3, 4))
    with pytest.raises(ConfigError, match="not both"):
        source_of(files, 500, 2, (3,))
    with pytest.raises(ConfigError, match="need --rows"):
        source_of(nothing, 500, None, (3,))
    with pytest.raises(ConfigError, match="give --active"):
        source_of(nothing, None, None, ())
    with pytest.raises(ConfigError, match="100 rows"):
        source_of(nothing, 50, 2, (3,))


def test_settings_out_of_range_are_errors_before_anything_is_run() -> None:
    with pytest.raises(ConfigError, match=r"algorithm\.depth"):
        run(BoostingBench(SMALL, depth=0))
    with pytest.raises(ConfigError, match="passive party"):
        run(BoostingBench(Synthetic(600, 2, ())))
    with pytest.raises(ConfigError, match="each once"):
        run(BoostingBench(SMALL, seeds=(1, 1)))
    with pytest.raises(ConfigError, match="each once"):
        run(BoostingBench(SMALL, seeds=()))


def test_a_warm_tree_takes_all_its_masks_from_the_pool(
    dlog: DlogTable, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    pools: list[MaskPool] = []
    make = MaskPool.__init__

    def noted(pool: MaskPool, *arguments: Any) -> None:
        make(pool, *arguments)
        pools.append(pool)

    monkeypatch.setattr(MaskPool, "__init__", noted)
    close = MaskPool.close

    def closed(pool: MaskPool) -> None:
        drawn.append(pool.drawn)
        close(pool)

    monkeypatch.setattr(MaskPool, "close", closed)
    spec = job(SMALL, BoostingBench(SMALL, mode="layered", depth=3, trees=2, bins=8).algorithm(), 42)
    seconds = seconds_per_tree_warm(spec, join(spec, SMALL.tables(spec)), executor, dlog)
    assert seconds > 0
    assert [pool.capacity for pool in pools] == [480]
    assert drawn == [2 * 480]
