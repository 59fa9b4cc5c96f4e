"""`fedchain bench exchange`: what the chain costs, beside the same job without one on the same machine in the same run.

A chain, a node process for each party, the whole job; before and after it the same job simulated in one process; all of
it several times in turn. Then two processes that compute nothing, for what the exchange itself can do.
"""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np

from fedchain.bench.exchange_job import ChainedRun, chained_run
from fedchain.bench.exchange_pair import TRANSFERS, UPLINK_BYTES, UPLINKS, Capacity, measure
from fedchain.bench.exchange_simulation import SimulatedRun, simulated_run
from fedchain.bench.jobs import Files, Source, job
from fedchain.bench.memory import load_average
from fedchain.bench.report import BenchReport
from fedchain.bench.synthetic import Synthetic
from fedchain.chain import CHAIN_KINDS, start_dev_chain
from fedchain.chain.devchain import ChainKind
from fedchain.compute.executor import Executor
from fedchain.data.table import Table
from fedchain.errors import ConfigError, TrainingError
from fedchain.federation.spec import JobSpec
from fedchain.node.local import LocalConsortium, signals_unwind
from fedchain.types import PartyId

DEFAULT_CREDIT = Synthetic(30_000, 13, (10,))
"""Made-up columns of the shape of the data set default_credit."""

PAYLOAD_BYTES = 200 * 10**6
UPLINKS_PER_BLOCK_TIME = 5
"""Strict uplinks where each waits for a block."""

REPEATS = 3
"""Runs over the chain: their median is told, for on a shared machine one of them may be a fifth off."""

ExchangeMode = Literal["strict", "pipelined"]


@dataclass(frozen=True)
class ExchangeBench:
    """Settings of the benchmark.

    Attributes:
        source: whose columns: files, or made-up tables.
        mode: how the parties consume each other's messages, `[policy] consumption`.
        chain: kind of the development chain.
        block_seconds: its block time; 0 mines every transaction at once.
        boosting_mode, depth, trees, bins: of `[algorithm]`.
        threads: workers of each node, and of the simulation; None for one per core.
        fill_pools: as in `node.toml`, for nodes and simulation: off, for here all parties share the machine.
        payload_bytes: of each measured payload.
        repeats: runs over the chain, each between two simulated ones; None for `REPEATS`, or for one where blocks take
            time: they dwarf what other programs cost.
    """

    source: Source = field(default_factory=lambda: DEFAULT_CREDIT)
    mode: str = "strict"
    chain: str = "anvil"
    block_seconds: float = 0.0
    boosting_mode: str = "standard"
    depth: int = 5
    trees: int = 10
    bins: int = 32
    threads: int | None = None
    fill_pools: bool = False
    payload_bytes: int = PAYLOAD_BYTES
    repeats: int | None = None

    @property
    def runs(self) -> int:
        """Runs over the chain."""
        return self.repeats or (1 if self.block_seconds else REPEATS)

    def spec(self) -> JobSpec:
        """The job.

        Raises:
            ConfigError: a setting is out of range.
        """
        if self.mode not in ("strict", "pipelined"):
            raise ConfigError(f"--mode {self.mode}: choose strict or pipelined")
        if self.chain not in CHAIN_KINDS:
            raise ConfigError(f"--chain {self.chain}: choose one of {', '.join(CHAIN_KINDS)}")
        if not 1 <= self.payload_bytes <= 10**9:
            raise ConfigError(f"a payload of {self.payload_bytes} bytes: choose 1 to 1000 MB")
        if self.repeats is not None and not 1 <= self.repeats <= 100:
            raise ConfigError(f"--repeats {self.repeats}: choose 1 to 100")
        algorithm: dict[str, Any] = {
            "mode": self.boosting_mode,
            "depth": self.depth,
            "trees": self.trees,
            "bins": self.bins,
        }
        plain = job(self.source, algorithm, 42)
        policy = plain.policy.model_copy(update={"consumption": self.mode})
        return plain.model_copy(update={"policy": policy})

    @property
    def chain_kind(self) -> ChainKind:
        """The kind, typed."""
        return next(kind for kind in CHAIN_KINDS if kind == self.chain)


def run(bench: ExchangeBench, on_run: Callable[[str], None] = lambda line: None) -> BenchReport:
    """Run the benchmark. Chain, nodes and folders are gone when it returns or raises.

    Metrics, all of training: from the first gradient to the last tree's close, the active party's own stage lines:

    - `overhead_ratio`: wall with the chain ÷ wall without; 1.10 is 10 % more. Each run over the chain is compared with
      the mean of the simulated one before it and the one after it; the median of these ratios. The simulation runs all
      parties in one process, one after the other, with the same number of threads; each node has as many of its own,
      so where parties work at the same time the ratio can be below 1 on an idle machine.
    - `overhead_ratio_least`, `overhead_ratio_largest`: of the same ratios, where there are several.
    - `overhead_ratio_later_trees`: the same without the first tree; tables of points are built before that.
    - `seconds_chain`, `seconds_simulated`: wall, medians.
    - `cpu_ratio`, `chain_cpu_seconds_per_tree`: processor time of all nodes ÷ the simulation's, and the chain's own;
      where the machine tells. Other programs hardly change them.
    - `transactions_per_tree`, `blocks_per_tree` (with a transaction of this training in it), `gas_per_tree`,
      `uplinks_per_tree`, `payload_mb_per_tree`.
    - `added_block_times_per_tree`: (wall with the chain − wall without) ÷ trees ÷ block time, with a block time.
    - `uplinks_per_second`, `payload_mb_per_second`, `delivery_mb_per_second`, `tls_mb_per_second`: of two processes
      that compute nothing, see `Capacity`.
    - `payload_floor_ratio`: `tls_mb_per_second` ÷ `payload_mb_per_second`.

    Args:
        on_run: hears lines of progress.

    Raises:
        ConfigError: settings out of range, or the chain is not installed.
        TrainingError: the models differ.
        FedchainError: whatever else goes wrong.
    """
    spec = bench.spec()
    load_before = load_average()
    with ExitStack() as stack:
        stack.enter_context(signals_unwind())
        workdir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fedchain-bench-")))
        files = _files(bench.source, spec, workdir)

        def simulated(when: str) -> SimulatedRun:
            on_run(f"the job without a chain, {when}")
            log = workdir / "simulation.log"
            return simulated_run(spec, files, threads=bench.threads, fill_pools=bench.fill_pools, log=log)

        comparisons: list[Comparison] = []
        before, capacity = simulated("before"), None
        for number in range(1, bench.runs + 1):
            place = workdir / f"run-{number}"
            place.mkdir()
            last = number == bench.runs
            chained, capacity = _over_the_chain(bench, spec, files, place, on_run, with_capacity=last)
            after = simulated(f"after run {number} of {bench.runs}")
            comparisons.append(Comparison(before, chained, after))
            before = after
    assert capacity is not None
    digests = {digest for one in comparisons for digest in one.digests}
    if len(digests) != 1:
        raise TrainingError(f"the models of the runs differ: {', '.join(sorted(digests))}")
    metrics = _metrics(bench, comparisons, capacity)
    settings: dict[str, object] = {
        **bench.source.settings(),
        "mode": bench.mode,
        "chain": bench.chain,
        "block_seconds": bench.block_seconds,
        "boosting_mode": bench.boosting_mode,
        "depth": bench.depth,
        "trees": bench.trees,
        "bins": bench.bins,
        "threads": Executor(bench.threads).n_jobs,
        "fill_pools": bench.fill_pools,
        "cores": os.cpu_count() or 1,
        "payload_bytes": bench.payload_bytes,
        "transfers": TRANSFERS,
        "uplinks_measured": capacity.uplinks,
        "uplink_bytes": UPLINK_BYTES,
        "load_average_before": load_before,
        "load_average_after": load_average(),
        "repeats": bench.runs,
        "closes_chain": [_rounded(one.chained.closes) for one in comparisons],
        "closes_simulated": [_rounded(one.closes) for one in (comparisons[0].before, *(c.after for c in comparisons))],
        "compared": "training, first gradient to last tree's close: one process per party over the chain, and all "
        "parties in one process without",
        "model_digest": digests.pop(),
    }
    return BenchReport(settings, {name: round(value, 6) for name, value in metrics.items()})


def _over_the_chain(
    bench: ExchangeBench,
    spec: JobSpec,
    files: Mapping[PartyId, Path],
    workdir: Path,
    on_run: Callable[[str], None],
    *,
    with_capacity: bool,
) -> tuple[ChainedRun, Capacity | None]:
    """The job with nodes; then, the nodes stopped, what the exchange can do, if that is asked for."""
    with ExitStack() as stack:
        on_run(f"starting the {bench.chain} chain and the nodes of {', '.join(spec.names)}")
        log = workdir / "chain.log"
        chain = stack.enter_context(start_dev_chain(bench.chain_kind, log_path=log, block_seconds=bench.block_seconds))
        nodes = stack.enter_context(ExitStack())
        jobs = {"fill_pools": "true" if bench.fill_pools else "false"}
        if bench.threads is not None:
            jobs["threads"] = str(bench.threads)
        local = LocalConsortium.start(chain.rpc_url, spec, files, workdir, nodes, jobs)
        local.accredit()
        chained = chained_run(local, spec, chain.process.pid, on_run)
        nodes.close()
        if not with_capacity:
            return chained, None
        on_run("uplinks and payloads between two processes")
        waits = bench.mode == "strict" and bench.block_seconds > 0
        capacity = measure(
            local,
            workdir,
            pipelined=bench.mode == "pipelined",
            uplinks=UPLINKS_PER_BLOCK_TIME if waits else UPLINKS,
            payload_bytes=bench.payload_bytes,
        )
    return chained, capacity


@dataclass(frozen=True)
class Comparison:
    """A run over the chain between two without."""

    before: SimulatedRun
    chained: ChainedRun
    after: SimulatedRun

    @property
    def digests(self) -> set[str]:
        """Of the three models."""
        return {self.before.model_digest, self.chained.model_digest, self.after.model_digest}

    @property
    def simulated(self) -> float:
        """Mean wall seconds without a chain."""
        return (self.before.seconds + self.after.seconds) / 2

    @property
    def ratio(self) -> float:
        """Wall with ÷ wall without."""
        return self.chained.seconds / self.simulated

    @property
    def later_ratio(self) -> float:
        """The same from the close of the first tree on."""
        later = sum(one.seconds - one.closes[0] for one in (self.before, self.after)) / 2
        return (self.chained.seconds - self.chained.closes[0]) / later

    @property
    def cpu_ratio(self) -> float | None:
        """Processor time with, of the nodes, ÷ without; None where the machine does not tell."""
        used = self.chained.cpu_seconds
        return None if used is None else used / ((self.before.cpu_seconds + self.after.cpu_seconds) / 2)


def _metrics(bench: ExchangeBench, runs: Sequence[Comparison], capacity: Capacity) -> dict[str, float]:
    trees, use = bench.trees, runs[-1].chained.use
    ratios = [one.ratio for one in runs]
    metrics: dict[str, float] = {
        "overhead_ratio": median(ratios),
        "seconds_chain": median(one.chained.seconds for one in runs),
        "seconds_simulated": median([runs[0].before.seconds, *(one.after.seconds for one in runs)]),
        "transactions_per_tree": use.transactions / trees,
        "blocks_per_tree": use.blocks / trees,
        "gas_per_tree": use.gas / trees,
        "uplinks_per_tree": use.uplinks / trees,
        "payload_mb_per_tree": use.payload_bytes / 1e6 / trees,
        "uplinks_per_second": capacity.uplinks_per_second,
        "payload_mb_per_second": capacity.payload_mb_per_second,
        "delivery_mb_per_second": capacity.delivery_mb_per_second,
        "tls_mb_per_second": capacity.tls_mb_per_second,
        "payload_floor_ratio": capacity.tls_mb_per_second / capacity.payload_mb_per_second,
    }
    if len(runs) > 1:
        metrics["overhead_ratio_least"], metrics["overhead_ratio_largest"] = min(ratios), max(ratios)
    if trees > 1:
        metrics["overhead_ratio_later_trees"] = median(one.later_ratio for one in runs)
    if bench.block_seconds:
        added = median(one.chained.seconds - one.simulated for one in runs)
        metrics["added_block_times_per_tree"] = added / trees / bench.block_seconds
    cpu_ratios = [one.cpu_ratio for one in runs if one.cpu_ratio is not None]
    chain_cpu = runs[-1].chained.chain_cpu_seconds
    if cpu_ratios and chain_cpu is not None:
        metrics["cpu_ratio"] = median(cpu_ratios)
        metrics["chain_cpu_seconds_per_tree"] = chain_cpu / trees
    return metrics


def _rounded(seconds: tuple[float, ...]) -> list[float]:
    return [round(one, 3) for one in seconds]


def _files(source: Source, spec: JobSpec, workdir: Path) -> dict[PartyId, Path]:
    """Each party's table as a file: nodes read files."""
    if isinstance(source, Files):
        return dict(
            zip(spec.names, [source.active.resolve(), *(path.resolve() for path in source.passive)], strict=True)
        )
    files = {}
    for name, table in source.tables(spec).items():
        files[name] = workdir / f"{name}.csv"
        write_table(table, files[name])
    return files


def write_table(table: Table, path: Path) -> None:
    """A made-up table as CSV: ids in column `id`, labels in `y`, a missing value as an empty cell.

    Numbers are written so that reading them gives the very same bits.
    """
    columns = [(column.name, column.values) for column in table.columns]
    if table.label is not None:
        columns.append(("y", table.label))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *(name for name, _ in columns)])
        cells = [["" if np.isnan(value) else repr(float(value)) for value in values] for _, values in columns]
        writer.writerows(zip(table.ids, *cells, strict=True))
