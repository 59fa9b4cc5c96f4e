"""`fedchain bench psi --cached-rows`: two jobs of a set epoch beside the ring over the same sets of unequal size."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedchain.bench.memory import load_average
from fedchain.bench.psi import MAX_ROWS, check_orders, write_tables
from fedchain.bench.psi_processes import party_processes
from fedchain.bench.report import BenchReport
from fedchain.compute.executor import available_cores
from fedchain.errors import ConfigError

HOLDER, ASKER = "large", "small"
RUNS = ("ring", "first", "second")


@dataclass(frozen=True)
class CachedPsiBench:
    """Settings of the benchmark.

    Attributes:
        rows: ids of the smaller side.
        cached_rows: ids of the larger side.
        overlap: share of the smaller side's ids that the larger one has.
        threads: workers of each party; None divides the cores among the two.
        pad_to, proven_blinding: of `[alignment]`.
    """

    rows: int
    cached_rows: int
    overlap: float = 0.5
    threads: int | None = None
    pad_to: int | str | None = None
    proven_blinding: bool = False

    def check(self) -> None:
        """Refuse what cannot be measured.

        Raises:
            ConfigError: a setting is out of range.
        """
        if not 10 <= self.rows <= MAX_ROWS:
            raise ConfigError(f"--rows {self.rows}: choose 10 to {MAX_ROWS}")
        if not self.rows <= self.cached_rows <= MAX_ROWS:
            raise ConfigError(f"--cached-rows {self.cached_rows}: choose {self.rows} (--rows) to {MAX_ROWS}")
        if not 0 < self.overlap <= 1 or self.common < 1:
            raise ConfigError(f"--overlap {self.overlap}: choose more than 0, and up to 1")

    @property
    def common(self) -> int:
        """Ids that both parties have."""
        return round(self.rows * self.overlap)

    @property
    def workers(self) -> int:
        """Threads of each party."""
        return self.threads or max(1, available_cores() // 2)


def run(bench: CachedPsiBench, on_run: Callable[[str], None] = lambda line: None) -> BenchReport:
    """Run the benchmark; processes and files are gone when it returns or raises.

    Three alignments of the same two tables, each between new processes, as if jobs came on different days: `ring`
    without a cached set; `first`, the first job of a set epoch, in which the larger side's ids are blinded and their
    tags travel; `second`, a later job of that epoch. Metrics of each, with these names in front:

    - `…_seconds`: wall, from the opening of the first table to the last party's file of aligned ids.
    - `…_cpu_seconds`: processor time of both parties; other programs hardly change it.
    - `…_read_seconds`: of the larger table alone: part of the above, and never saved.
    - `…_bytes`: sent by both parties.
    - `…_peak_memory_mb_large`, `…_peak_memory_mb_small`: of each party.

    And `second_speedup`, `second_cpu_speedup`: the ring's seconds ÷ those of the second job; `common_rows`: found.

    Raises:
        ConfigError: a setting is out of range.
        AlignmentError: the parties did not find the ids that they have in common.
        FedchainError: a party's process ended.
    """
    bench.check()
    metrics: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="fedchain-psi-") as made:
        folder = Path(made)
        on_run(f"writing tables of {bench.cached_rows} and {bench.rows} ids")
        tables = write_tables({HOLDER: bench.cached_rows, ASKER: bench.rows}, bench.common, folder)
        for name in RUNS:
            on_run(f"aligning {bench.cached_rows} × {bench.rows} ids: {name}")
            ran = _align(bench, name, tables, folder)
            check_orders(bench.common, tables, folder)
            metrics |= _metrics(name, ran)
            metrics["common_rows"] = float(ran[HOLDER]["rows"])
    metrics["second_speedup"] = metrics["ring_seconds"] / metrics["second_seconds"]
    metrics["second_cpu_speedup"] = metrics["ring_cpu_seconds"] / metrics["second_cpu_seconds"]
    settings = {**asdict(bench), "threads": bench.workers, "cores": available_cores(), "load_average": load_average()}
    return BenchReport(settings, metrics)


def _align(bench: CachedPsiBench, run_name: str, tables: Mapping[str, Path], folder: Path) -> dict[str, dict[str, Any]]:
    """One alignment between new processes; what they keep of a set epoch is found again by the next ones."""
    names = list(tables)
    log = "{name}-" + run_name + ".log"
    with party_processes(names, threads=bench.workers, folder=folder, log=log) as ask:
        salt = secrets.token_hex(32)
        return ask(
            "run",
            lambda name: {
                "table": str(tables[name]),
                "salt": salt,
                "min_rows": 1,
                "pad_to": bench.pad_to,
                "proven": bench.proven_blinding,
                "job": run_name,
                "holder": None if run_name == "ring" else HOLDER,
            },
        )


def _metrics(name: str, ran: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    parties = list(ran.values())
    found = {
        "seconds": max(one["ended"] for one in parties) - min(one["begun"] for one in parties),
        "cpu_seconds": sum(one["cpu_seconds"] for one in parties),
        "read_seconds": ran[HOLDER]["read_seconds"],
        "bytes": float(sum(one["sent_bytes"] for one in parties)),
    }
    for party, one in ran.items():
        if one["peak_memory_mb"] is not None:
            found[f"peak_memory_mb_{party}"] = one["peak_memory_mb"]
    return {f"{name}_{metric}": value for metric, value in found.items()}
