"""`fedchain bench boosting`: seconds per tree of a whole federation on one machine, beside a floor and a peer.

All parties run in this process over the in-memory channel, so no chain and no network is in the figures. The floor is
what the point operations that the trees cannot do without cost on the same cores in the same run; the peer is XGBoost
on the joined plaintext with the same bins.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedchain.bench import floor
from fedchain.bench.jobs import Source, job
from fedchain.bench.memory import load_average, peak_memory_mb
from fedchain.bench.report import BenchReport
from fedchain.bench.stages import StageSampler
from fedchain.bench.warm import seconds_per_tree_warm
from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.errors import ConfigError
from fedchain.federation.spec import JobSpec
from fedchain.protocol import Stage
from fedchain.simulation.channel import StageListener
from fedchain.simulation.federation import SimulationResult, simulate
from fedchain.simulation.reference import Reference, join, plaintext_reference, plaintext_seconds_per_tree
from fedchain.types import PartyId

TRAINING = ("gradients", "histogram", "split", "partition", "leaf_weights")


@dataclass(frozen=True)
class BoostingBench:
    """Settings of the benchmark.

    Attributes:
        source: whose columns: files, or made-up tables.
        mode, objective, classes, depth, growth, max_leaves, trees, bins, learning_rate: as in a job file.
        seeds: of the 20 % hold-out; one whole job for each.
    """

    source: Source
    mode: str = "standard"
    objective: str = "binary"
    classes: int | None = None
    depth: int = 3
    growth: str = "depth_wise"
    max_leaves: int | None = None
    trees: int = 10
    bins: int = 32
    learning_rate: float = 0.3
    seeds: Sequence[int] = (42,)

    def algorithm(self) -> dict[str, Any]:
        """The `[algorithm]` table of the job."""
        names = ("mode", "objective", "classes", "depth", "growth", "max_leaves", "trees", "bins", "learning_rate")
        return {name: getattr(self, name) for name in names}


@dataclass
class _Measured:
    """Of the runs so far, one entry each."""

    seconds: list[float] = field(default_factory=list)
    align: list[float] = field(default_factory=list)
    bytes: list[float] = field(default_factory=list)
    federated: list[float] = field(default_factory=list)
    plaintext: list[float] = field(default_factory=list)
    active_only: list[float] = field(default_factory=list)


def run(
    bench: BoostingBench,
    *,
    on_stage: StageListener | None = None,
    on_run: Callable[[str], None] | None = None,
    threads: int | None = None,
) -> BenchReport:
    """Run the benchmark: a job for each seed, its reference, then the cost of single point operations.

    Metrics, means over the seeds; a tree is a round of trees, one per class with ``multiclass``:

    - `seconds_per_tree`: wall, from the first gradient to the last tree; the pool of masks is empty at the start, and
      nothing else is precomputed but public tables of discrete logarithms and of multiples of G.
    - `seconds_per_tree_warm`: the same with the pool full at the start of each tree (`fedchain.bench.warm`); of up to
      ten trees of the last seed.
    - `seconds_encrypt`, `seconds_serialise`, `seconds_histogram`, `seconds_decrypt`, `seconds_split`, `seconds_other`:
      parts of `seconds_per_tree` (`fedchain.bench.stages`).
    - `encrypt_us_per_row`: wall microseconds of encryption per row that was encrypted, with all workers.
    - `floor_seconds_per_tree`, `floor_ratio`: see `fedchain.bench.floor`; at the smallest cost of an operation that was
      seen before the first job and after the last. Other programs on the machine blur it.
    - `cpu_seconds_per_tree`, `floor_cpu_ratio`: the same in processor time of all threads, which they hardly blur.
    - `plaintext_seconds_per_tree`: XGBoost on the same bins, processor time of its one thread.
    - `bytes_per_tree`: payload bytes of all uplinks of training.
    - `peak_memory_mb`: of this process, which all parties share, at the end of the first job.
    - `auc_federated`, `auc_plaintext`, `auc_active_only`: on the held-out rows (with other objectives their own metric
      in place of auc); `auc_parity`, the mean of |federated - plaintext| over the seeds; `auc_difference`, the mean of
      federated - plaintext. Other metrics have `NAME_relative_difference` instead: parity over the plaintext's value.

    Args:
        on_stage: hears of progress.
        on_run: hears a line at the start of each job.
        threads: workers, shared by all parties; default one per core.

    Raises:
        ConfigError: settings out of range.
        DataError: a file does not hold what is asked for.
    """
    if not bench.seeds or len(set(bench.seeds)) < len(bench.seeds):
        raise ConfigError("bench boosting: give one or more hold-out seeds, each once")
    executor = Executor(threads)
    specs = [job(bench.source, bench.algorithm(), seed) for seed in bench.seeds]
    tables = bench.source.tables(specs[0])
    dlog = DlogTable.load_or_build(executor=executor)
    costs = floor.calibrate(min(map(len, tables.values())), specs[0].algorithm.outputs, executor)
    measured, sampler = _Measured(), StageSampler()
    load_before, peak = load_average(), None
    results: list[SimulationResult] = []
    for number, spec in enumerate(specs):
        if on_run is not None:
            on_run(f"hold-out seed {spec.holdout.seed}: job {number + 1} of {len(specs)}")
        try:
            result = simulate(spec, tables, executor=executor, dlog=dlog, on_stage=_listener(spec, sampler, on_stage))
        finally:
            sampler.stop()
        peak = peak_memory_mb() if number == 0 else peak
        joined = join(spec, tables)
        reference = plaintext_reference(spec, tables, joined)
        _note(measured, result, reference, bench.trees)
        results.append(result)
        train_rows = int(joined.train.sum())
    load_after = load_average()

    features = [len(one.shard.binning["features"]) for one in results[0].outcomes.values()]
    runs, params = len(specs), specs[0].algorithm
    counted = [floor.count(params, one.active.shard, train_rows, features) for one in results]
    trees = runs * bench.trees
    encrypted = sum(one.encrypted_rows for one in counted)
    operations = floor.Operations(encrypted, sum(one.additions for one in counted))
    least = costs.least(floor.calibrate(train_rows, params.outputs, executor)).of(operations)
    seconds, cpu_seconds = _mean(measured.seconds), sampler.cpu_seconds / trees
    name = reference.metric.name
    metrics: dict[str, float] = {
        "seconds_per_tree": seconds,
        "seconds_per_tree_warm": seconds_per_tree_warm(specs[-1], joined, executor, dlog),
        **{f"seconds_{stage}": spent / trees for stage, spent in sampler.seconds.items()},
        "bytes_per_tree": _mean(measured.bytes),
        "cpu_seconds_per_tree": cpu_seconds,
        "floor_seconds_per_tree": least.wall / trees,
        "plaintext_seconds_per_tree": plaintext_seconds_per_tree(specs[-1], joined),
        "align_seconds": _mean(measured.align),
        f"{name}_federated": _mean(measured.federated),
        f"{name}_plaintext": _mean(measured.plaintext),
        f"{name}_active_only": _mean(measured.active_only),
        **_parity(name, measured),
    }
    if operations.additions:
        metrics["floor_ratio"] = seconds / least.wall * trees
        metrics["floor_cpu_ratio"] = cpu_seconds / least.cpu * trees
    if encrypted:
        metrics["encrypt_us_per_row"] = sampler.seconds["encrypt"] / encrypted * 1e6
    if peak is not None:
        metrics["peak_memory_mb"] = peak
    if runs > 1:
        for seed, fed, plain in zip(bench.seeds, measured.federated, measured.plaintext, strict=True):
            metrics |= {f"{name}_federated_seed_{seed}": fed, f"{name}_plaintext_seed_{seed}": plain}
    settings: dict[str, object] = {
        **bench.source.settings(),
        **bench.algorithm(),
        "seeds": list(bench.seeds),
        "min_leaf_rows": params.least_leaf_rows,
        "min_bin_rows": params.least_bin_rows,
        "train_rows": train_rows,
        "active_binned_features": features[0],
        "passive_binned_features": features[1:],
        "floor_encrypted_rows_per_tree": round(operations.encrypted_rows / trees),
        "floor_point_additions_per_tree": round(operations.additions / trees),
        "threads": executor.n_jobs,
        "cores": os.cpu_count() or 1,
        "load_average_before": load_before,
        "load_average_after": load_after,
        "parties_share": "one process: its threads and its memory",
        "plaintext": "XGBoost hist on the same bins, growth and min_child_weight, one thread; it has no row minima",
        "model_digest": results[0].active.model_digest,
    }
    return BenchReport(settings, {name: round(value, 6) for name, value in metrics.items()})


def _listener(spec: JobSpec, sampler: StageSampler, on_stage: StageListener | None) -> StageListener:
    """Watches the stages from the first gradient to the last tree, as the seconds of training are counted."""

    def listen(party: PartyId, stage: Stage) -> None:
        if stage.name == "train" and party == spec.names[0]:
            if stage.done == 0:
                sampler.start()
            elif stage.done == stage.total:
                sampler.stop()
        if on_stage is not None:
            on_stage(party, stage)

    return listen


def _note(measured: _Measured, result: SimulationResult, reference: Reference, trees: int) -> None:
    scores = result.active.holdout_scores
    assert scores is not None
    measured.seconds.append(result.seconds["train"] / trees)
    measured.align.append(result.seconds["align"])
    measured.bytes.append(sum(result.traffic.payload_bytes[kind] for kind in TRAINING) / trees)
    measured.federated.append(reference.metric.value(reference.labels[reference.holdout], scores))
    measured.plaintext.append(reference.plaintext)
    measured.active_only.append(reference.active_only)


def _parity(name: str, measured: _Measured) -> dict[str, float]:
    differences = np.subtract(measured.federated, measured.plaintext)
    parity = float(np.abs(differences).mean())
    if name == "auc":
        return {"auc_parity": parity, "auc_difference": float(differences.mean())}
    return {f"{name}_relative_difference": parity / abs(_mean(measured.plaintext))}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
