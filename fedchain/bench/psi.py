"""`fedchain bench psi`: alignment between real party processes, beside the curve multiplications that it needs."""

from __future__ import annotations

import os
import random
import secrets
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedchain.bench.memory import load_average
from fedchain.bench.psi_processes import party_processes
from fedchain.bench.report import BenchReport
from fedchain.compute.executor import available_cores
from fedchain.errors import AlignmentError, ConfigError

MAX_ROWS = 20_000_000
FLOOR_POINTS = 16_384


@dataclass(frozen=True)
class PsiBench:
    """Settings of the benchmark.

    Attributes:
        rows: ids of each party.
        parties: how many.
        overlap: share of the ids that all parties have; the others are each party's own.
        threads: workers of each party; None divides the cores among them.
        pad_to, proven_blinding: of `[alignment]`.
    """

    rows: int = 100_000
    parties: int = 2
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
        if not 2 <= self.parties <= 8:
            raise ConfigError(f"--parties {self.parties}: choose 2 to 8")
        if not 0 < self.overlap <= 1 or self.common < 1:
            raise ConfigError(f"--overlap {self.overlap}: choose more than 0, and up to 1")

    @property
    def common(self) -> int:
        """Ids that all parties have."""
        return round(self.rows * self.overlap)

    @property
    def workers(self) -> int:
        """Threads of each party."""
        return self.threads or max(1, available_cores() // self.parties)


def run(bench: PsiBench, on_run: Callable[[str], None] = lambda line: None) -> BenchReport:
    """Run the benchmark; processes and files are gone when it returns or raises.

    The parties' ids are texts of 17 characters in random order, in a CSV file each. Metrics:

    - `seconds`: wall, from the opening of the first file to the last party's file of aligned ids.
    - `floor_seconds`, `floor_ratio`: what P curve multiplications per id and party take (two, for two parties: each
      party blinds each set once), done by the same processes at the same time, before and after the alignment; and
      `seconds` ÷ that.
    - `cpu_ratio`: processor time of all parties ÷ that of the same multiplications; other programs hardly change it.
    - `peak_memory_mb`: of the party that had most; `peak_memory_mb_1` and so on: of each.
    - `bytes_per_id`: sent, of all parties, ÷ ids of all parties; what goes to all counts once.
    - `ids_per_second`: of one party's set.
    - `read_seconds`: of the slowest party, its table's file.
    - `common_rows`: found.

    Raises:
        ConfigError: a setting is out of range.
        AlignmentError: the parties did not find the ids that they have in common.
        FedchainError: a party's process ended.
    """
    bench.check()
    names = [f"party-{number + 1}" for number in range(bench.parties)]
    with tempfile.TemporaryDirectory(prefix="fedchain-psi-") as made, ExitStack() as stack:
        folder = Path(made)
        on_run(f"writing {bench.parties} tables of {bench.rows} ids")
        tables = write_tables(dict.fromkeys(names, bench.rows), bench.common, folder)
        ask = stack.enter_context(party_processes(names, threads=bench.workers, folder=folder))
        points = min(FLOOR_POINTS, bench.rows)
        before = ask("floor", lambda name: {"points": points})
        on_run(f"aligning {bench.parties} × {bench.rows} ids")
        salt = secrets.token_hex(32)
        ran = ask(
            "run",
            lambda name: {
                "table": str(tables[name]),
                "salt": salt,
                "min_rows": 1,
                "pad_to": bench.pad_to,
                "proven": bench.proven_blinding,
            },
        )
        after = ask("floor", lambda name: {"points": points})
        check_orders(bench.common, names, folder)
    load = load_average()
    settings = {**asdict(bench), "threads": bench.workers, "cores": available_cores(), "load_average": load}
    return BenchReport(settings, _metrics(bench, ran, [*before.values()], [*after.values()], points))


def _metrics(
    bench: PsiBench,
    ran: Mapping[str, Mapping[str, Any]],
    before: list[dict[str, Any]],
    after: list[dict[str, Any]],
    points: int,
) -> dict[str, float]:
    parties = list(ran.values())
    seconds = max(one["ended"] for one in parties) - min(one["begun"] for one in parties)
    scale = bench.parties * bench.rows / points  # multiplications of a party, of each set once
    floor = scale * (max(one["seconds"] for one in before) + max(one["seconds"] for one in after)) / 2
    floor_cpu = scale * sum(one["cpu_seconds"] for one in [*before, *after]) / 2
    metrics = {
        "seconds": seconds,
        "floor_seconds": floor,
        "floor_ratio": seconds / floor,
        "cpu_ratio": sum(one["cpu_seconds"] for one in parties) / floor_cpu,
        "bytes_per_id": sum(one["sent_bytes"] for one in parties) / (bench.rows * bench.parties),
        "ids_per_second": bench.rows / seconds,
        "read_seconds": max(one["read_seconds"] for one in parties),
        "common_rows": float(parties[0]["rows"]),
    }
    peaks = [one["peak_memory_mb"] for one in parties]
    if None not in peaks:
        metrics["peak_memory_mb"] = max(peaks)
        metrics |= {f"peak_memory_mb_{number + 1}": peak for number, peak in enumerate(peaks)}
    return metrics


def table(benches: list[PsiBench], on_run: Callable[[str], None] = lambda line: None) -> list[dict[str, float]]:
    """Run several, and tell how each grew over the one before.

    Returns:
        A row each: `rows`, `parties`, the metrics of `run`, and `growth`: seconds ÷ seconds of the row before, where
        that had as many parties; `rows_growth` the same of the rows.
    """
    lines: list[dict[str, float]] = []
    for bench in benches:
        line = {"rows": float(bench.rows), "parties": float(bench.parties), **run(bench, on_run).metrics}
        if lines and lines[-1]["parties"] == bench.parties:
            line["rows_growth"] = bench.rows / lines[-1]["rows"]
            line["growth"] = line["seconds"] / lines[-1]["seconds"]
        lines.append(line)
    return lines


def write_tables(counts: Mapping[str, int], common: int, folder: Path) -> dict[str, Path]:
    """A CSV file of ids for each party, in a folder of its own: `common` that all have, the others its own."""
    shuffle = random.Random(1).shuffle
    tables = {}
    for number, (name, count) in enumerate(counts.items()):
        own = range((number + 1) * MAX_ROWS, (number + 1) * MAX_ROWS + count - common)
        ids = [f"customer-{one:08d}" for one in (*range(common), *own)]
        shuffle(ids)
        (folder / name).mkdir()
        tables[name] = folder / name / "table.csv"
        with tables[name].open("w", encoding="utf-8") as file:
            file.write("id\n")
            file.writelines(f"{one}\n" for one in ids)
            file.flush()
            os.fsync(file.fileno())
    return tables


def check_orders(common: int, names: Iterable[str], folder: Path) -> None:
    """Compare each party's file of aligned ids with the plain intersection.

    Raises:
        AlignmentError: it is another one.
    """
    expected = [f"customer-{one:08d}\n" for one in range(common)]
    for name in names:
        with (folder / name / "order.txt").open(encoding="utf-8") as file:
            if file.readlines() != expected:
                raise AlignmentError(f"{name} did not find the {common} ids that all have, in their order")
