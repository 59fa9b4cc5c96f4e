"""Pools in whole jobs: the model does not hang on them, no mask is used twice, and their threads end with the job."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from fedchain.compute.executor import Executor
from fedchain.compute.pool import Block
from fedchain.crypto.dlog import DlogTable
from fedchain.crypto.elgamal import MaskPool, ZeroPool
from fedchain.crypto.points import PointArray
from fedchain.errors import UplinkRejectedError
from fedchain.federation import pools
from fedchain.messages import Gradients, Histogram, decode
from fedchain.protocol import Stage
from fedchain.simulation.channel import Tap
from fedchain.simulation.federation import SimulationResult, simulate
from fedchain.types import Kind, PartyId
from tests.protocol.adversary import Recorder, tapping
from tests.protocol.cases import Case, make_case, objective_case, with_algorithm

ROOT = Path(__file__).parents[2]
LAYERED: dict[str, Any] = {"mode": "layered", "depth": 3, "min_leaf_rows": 5, "min_bin_rows": 5, "trees": 3}
CASES: dict[str, Case] = {
    "standard": with_algorithm(make_case("three parties"), depth=2),
    "layered": with_algorithm(make_case("three parties"), **LAYERED),
    "mix, leaf-wise": with_algorithm(make_case("three parties"), mode="mix", growth="leaf_wise", max_leaves=4),
    "three classes": with_algorithm(objective_case("multiclass"), depth=2, objective="multiclass", classes=3),
}


def fill_between_trees(party: PartyId, stage: Stage) -> None:
    """Idle time, so that some of what the next tree takes is in stock."""
    if stage.name == "train":
        time.sleep(0.05)


class Jobs:
    """Runs jobs with pools."""

    def __init__(self, executor: Executor, dlog: DlogTable) -> None:
        self.executor, self.dlog = executor, dlog

    def __call__(self, case: Case, tap: Tap | None = None, *, fill_pools: bool = True) -> SimulationResult:
        settings: dict[str, Any] = {"executor": self.executor, "dlog": self.dlog, "fill_pools": fill_pools, "tap": tap}
        return simulate(case.spec, case.tables, on_stage=fill_between_trees, **settings)


@pytest.fixture
def jobs(executor: Executor, dlog: DlogTable) -> Jobs:
    return Jobs(executor, dlog)


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_model_is_the_same_with_pools_and_without(name: str, jobs: Jobs) -> None:
    digests = {jobs(CASES[name], fill_pools=fill).active.model_digest for fill in (True, False)}
    assert len(digests) == 1


def first_components(recorder: Recorder) -> tuple[list[str], list[str]]:
    """C1 of all that was encrypted, and of all sums, as they went over the wire (SEC1, compressed, hexadecimal).

    Rows are sent with 65 bytes a point, sums with 33; the first components of all come before the second ones.
    """
    rows: list[str] = []
    sums: list[str] = []
    for _, payload in recorder.of(Kind.GRADIENTS):
        message = decode(payload, Gradients)
        points = [message.ciphertexts[65 * row : 65 * (row + 1)] for row in range(message.rows)]
        rows += [(bytes([2 + point[64] % 2]) + point[1:33]).hex() for point in points]
    for _, payload in recorder.of(Kind.HISTOGRAM):
        raw = decode(payload, Histogram).sums
        sums += [raw[33 * one : 33 * (one + 1)].hex() for one in range(len(raw) // (33 * 3))]
    return rows, sums


class HandedOut:
    """What pools gave away: C1 of masks from the stock, and of all zeros."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.masks: list[str] = []
        self.zeros: list[str] = []
        draw, take = MaskPool.draw, ZeroPool.take

        def noted_draw(pool: MaskPool, wanted: int) -> Block | None:
            block = draw(pool, wanted)
            self.masks += [] if block is None else shown(block)
            return block

        def noted_take(pool: ZeroPool, wanted: int, executor: Executor | None = None) -> Block:
            block = take(pool, wanted, executor)
            self.zeros += shown(block)
            return block

        monkeypatch.setattr(MaskPool, "draw", noted_draw)
        monkeypatch.setattr(ZeroPool, "take", noted_take)


def shown(block: Block) -> list[str]:
    raw = PointArray(block[0]).to_sec1(compressed=True)
    return [raw[start : start + 33].hex() for start in range(0, len(raw), 33)]


def one_job_in_a_new_process() -> None:
    """For a process of its own: the layered job; prints what `first_components` gives, as JSON."""
    executor, recorder = Executor(2), Recorder()
    Jobs(executor, DlogTable.load_or_build(Path(sys.argv[1]), 1 << 15, executor=executor))(CASES["layered"], recorder)
    print(json.dumps(first_components(recorder)))


def test_no_mask_and_no_zero_is_used_twice_over_a_job_broken_off_retried_and_restarted(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = HandedOut(monkeypatch)
    broken = Recorder(tapping(Kind.HISTOGRAM, lambda _: None, after=2))
    with pytest.raises(UplinkRejectedError, match="histogram, round 2"):
        jobs(CASES["layered"], broken)
    retried = Recorder()
    jobs(CASES["layered"], retried)
    runs = [first_components(broken), first_components(retried)]
    assert len(runs[0][0]) * 3 == len(runs[1][0]) * 2, "it broke off in the second of three rounds"
    assert 0 < len(runs[0][1]) < len(runs[1][1])

    assert set(given.masks) <= {one for rows, _ in runs for one in rows}, "what the pool gave is what was sent"
    assert len(given.masks) > 100
    assert len(given.zeros) == sum(len(sums) for _, sums in runs), "each sum began from a zero of its own"
    assert len(set(given.zeros)) == len(given.zeros)

    command = "from tests.protocol.test_pools import one_job_in_a_new_process as run; run()"
    done = subprocess.run(
        [sys.executable, "-c", command, str(tmp_path / "dlog.bin")], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    restarted = json.loads(done.stdout)
    assert [len(each) for each in restarted] == [len(each) for each in runs[1]], "the same job"
    used = [one for rows, sums in [*runs, restarted] for one in (*rows, *sums)]
    assert len(set(used)) == len(used) > 1000


def pool_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "fedchain-pool"}


@pytest.mark.parametrize("name", ["layered", "three classes"])
@pytest.mark.parametrize("fails", [False, True])
def test_the_pools_threads_end_with_the_job_however_it_ends(
    name: str, fails: bool, executor: Executor, dlog: DlogTable
) -> None:
    case, before, most = CASES[name], pool_threads(), 0

    def watch(party: PartyId, stage: Stage) -> None:
        nonlocal most
        if stage.name == "train":
            most = max(most, len(pool_threads() - before))
        if fails and stage.name == "train" and stage.done == 1:
            raise KeyboardInterrupt

    settings: dict[str, Any] = {"executor": executor, "dlog": dlog, "fill_pools": True, "on_stage": watch}
    if fails:
        with pytest.raises(KeyboardInterrupt) as caught:
            simulate(case.spec, case.tables, **settings)
        assert caught.value.__traceback__ is not None, "which keeps all that the job had alive"
    else:
        simulate(case.spec, case.tables, **settings)
    assert pool_threads() - before == set()
    assert most == 1 + 2 * case.spec.algorithm.outputs, "masks, and zeros of each output at both passive parties"


def test_a_job_without_pools_starts_no_thread_for_them(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "mask_pool", None)
    monkeypatch.setattr(pools, "zero_pools", None)
    started: list[str] = []
    monkeypatch.setattr("fedchain.compute.pool._Stock.start", lambda self: started.append("a pool"))
    jobs(CASES["layered"], fill_pools=False)
    assert started == []


def test_pools_hold_what_one_tree_takes_and_stay_within_their_memory(
    gradient_keys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedchain.compute.pool._Stock.start", lambda self: None)
    with pools.mask_pool(gradient_keys, 500) as small, pools.mask_pool(gradient_keys, 10**9) as large:
        assert small.capacity == 500
        assert pools.MAX_POOL_BYTES - 64 * 3 < large.capacity * 64 * 3 <= pools.MAX_POOL_BYTES
    keys = (gradient_keys.public,) * 4
    with pools.zero_pools(keys, 40) as small_zeros, pools.zero_pools(keys, 10**9) as large_zeros:
        assert [pool.capacity for pool in small_zeros] == [pools.SMALL_NODES * 40] * 4
        assert sum(pool.capacity for pool in large_zeros) * 64 * 3 <= pools.MAX_POOL_BYTES
    with pools.zero_pools(keys, 0) as none:
        assert [pool.capacity for pool in none] == [0] * 4, "a party without features"
