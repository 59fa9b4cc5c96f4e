"""Who is found out: every fault of the injector, many times, and honest runs beside them, before the contracts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from zlib import crc32

import numpy as np

from fedchain.bench.anomaly_audits import Audits
from fedchain.bench.anomaly_jobs import RANGES, draw
from fedchain.bench.anomaly_table import table
from fedchain.bench.report import BenchReport
from fedchain.compute.executor import available_cores
from fedchain.errors import ConfigError
from fedchain.simulation.adversaries.registry import FAULTS
from fedchain.simulation.trial import Court, Findings, Trial, parse, run_trial

HONEST = "honest"
AUDITS = "audits"
TUNING_SEED = 1
"""The seed with which units and ranges were chosen; reports take another."""

DEFAULT_SEED = 20_261_128
MAX_REDRAWS = 20
_TREES = (8, 16)
_TRIALS_PER_CHAIN = 60
"""A chain in memory grows."""


@dataclass(frozen=True)
class AnomalyBench:
    """Settings of the benchmark.

    Attributes:
        honest_runs: jobs in which nobody is at fault.
        fault_runs: jobs with each fault.
        free_rider_runs: the same for free riders, of whom one in twenty passes the test by chance.
        audits: of contributions, for each number of opened rows.
        seed: of all that is drawn; not `TUNING_SEED`.
        alpha, permutations: of the free-rider test.
        only: names of the faults to run (`honest` and `audits` too); empty: all.
    """

    honest_runs: int = 200
    fault_runs: int = 40
    free_rider_runs: int = 200
    audits: int = 300
    seed: int = DEFAULT_SEED
    alpha: float = 0.05
    permutations: int = 99
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check sizes.

        Raises:
            ConfigError: out of range, or an unknown fault.
        """
        if min(self.honest_runs, self.fault_runs, self.free_rider_runs, self.audits) < 1 or self.permutations < 50:
            raise ConfigError("bench anomaly: give 1 run or more of each kind, and 50 permutations or more")
        if not 0 < self.alpha < 1:
            raise ConfigError(f"bench anomaly: alpha is {self.alpha}; give a number between 0 and 1")
        unknown = [name for name in self.only if name not in (*FAULTS, HONEST, AUDITS)]
        if unknown:
            raise ConfigError(
                f"bench anomaly: no fault '{unknown[0]}'; there are {', '.join((*FAULTS, HONEST, AUDITS))}"
            )

    def tasks(self) -> Iterator[tuple[str, int]]:
        """What is to be run: kind and number, kinds in turn, so that a part of a run says something of each."""
        counts = {HONEST: self.honest_runs, AUDITS: 1}
        for name, kind in FAULTS.items():
            counts[name] = self.free_rider_runs if kind.family == "free_rider" else self.fault_runs
        wanted = {name: count for name, count in counts.items() if not self.only or name in self.only}
        for number in range(max(wanted.values())):
            yield from ((name, number) for name, count in wanted.items() if number < count)


@dataclass
class Results:
    """What ran, by kind and number."""

    findings: dict[tuple[str, int], Findings] = field(default_factory=dict)
    audits: dict[str, float] = field(default_factory=dict)

    def of(self, name: str) -> list[Findings]:
        """The findings of one kind."""
        return [one for (kind, _), one in sorted(self.findings.items()) if kind == name]


def run(
    bench: AnomalyBench,
    *,
    resume: Path | None = None,
    seconds: float | None = None,
    workers: int | None = None,
    on_run: Callable[[str], None] | None = None,
) -> BenchReport:
    """Run the benchmark, or the rest of one.

    Metrics:

    - `tpr_FAULT`: share of the runs with this fault in which the party at fault was found by what the fault is to be
      found by (`found_by`), and no other party was accused; `runs_FAULT`: how many runs those are.
    - `honest_runs`, `honest_rounds`; `fpr_honest_rounds`: share of the honest runs' rounds with a flag or any fault on
      the record; of rounds from the ninth on, where a score exists: `fpr_honest_scored_rounds`.
    - `honest_suspensions`: honest parties that were suspended, in any run. `honest_accused`: honest parties that an
      error or a fault names, but for deadlines that they did miss (`honest_deadline_misses`).
    - `honest_weak`: share of honest parties' tests that they failed, at any strength: an accusation of nobody.
    - `free_rider_power_…`: mean published power of honest parties' tests, and what share of them passed.
    - `tamper_catch_rate`: share of audits of 299 opened rows in which 1 % tampered rows were caught, of 6,000;
      `tamper_catch_rate_459`; `tpr_false_utilities`.

    Args:
        bench: settings.
        resume: a file that keeps each run's findings; what is in it is not run again.
        seconds: start no run after so many; the report is of what was done.
        workers: processes; default one per core.
        on_run: hears a line now and then.

    Raises:
        ConfigError: settings out of range, or `resume` is of other settings.
        FedchainError: a run ended in a way that none should.
    """
    started = time.monotonic()
    kept = _Kept(bench, resume)
    todo = [task for task in bench.tasks() if not kept.has(*task)]
    total = len(todo) + len(kept.results.findings) + bool(kept.results.audits)
    queue = iter(todo)
    count = workers or available_cores()
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        running: dict[Future[str], tuple[str, int]] = {}

        def feed() -> None:
            while len(running) < 2 * count and (seconds is None or time.monotonic() - started < seconds):
                task = next(queue, None)
                if task is None:
                    return
                running[pool.submit(_run_task, bench, *task)] = task

        feed()
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                name, number = running.pop(future)
                kept.keep(name, number, future.result())
                finished = total - len(todo) + kept.fresh
                if on_run is not None and kept.fresh % 25 == 0:
                    on_run(f"{finished} of {total} runs, {time.monotonic() - started:.0f} s")
            feed()
    kept.close()
    done_runs = len(kept.results.findings) + bool(kept.results.audits)
    metrics = table(kept.results.findings, bench.alpha) | kept.results.audits
    settings: dict[str, object] = {
        **{name: getattr(bench, name) for name in ("honest_runs", "fault_runs", "free_rider_runs", "audits", "seed")},
        "alpha": bench.alpha,
        "permutations": bench.permutations,
        "tuning_seed": TUNING_SEED,
        "runs_done": done_runs,
        "runs_wanted": total,
        "workers": count,
        "drawn_from": RANGES,
        "amplitudes": {name: kind.range for name, kind in FAULTS.items()},
        "families": {name: kind.family for name, kind in FAULTS.items()},
        "found_by": {name: list(kind.found) for name, kind in FAULTS.items()},
        "seconds": round(time.monotonic() - started, 1),
    }
    return BenchReport(settings, {name: round(value, 6) for name, value in metrics.items()})


class _Kept:
    """Findings, one line each, in a file that a later call goes on with."""

    def __init__(self, bench: AnomalyBench, path: Path | None) -> None:
        self.results = Results()
        self.fresh = 0
        self._file = None
        head = json.dumps(
            {"bench": "anomaly", "seed": bench.seed, "permutations": bench.permutations, "audits": bench.audits}
        )
        if path is None:
            return
        lines = path.read_text().splitlines() if path.exists() else []
        if lines and lines[0] != head:
            raise ConfigError(f"bench anomaly: {path} is of other settings; give another file, or remove it")
        for line in lines[1:]:
            try:
                name, number, rest = line.split(" ", 2)
                self._note(name, int(number), rest)
            except ValueError:  # the last line of a run that was killed
                continue
        self._file = path.open("a")
        if not lines:
            print(head, file=self._file, flush=True)

    def has(self, name: str, number: int) -> bool:
        """Whether a run is done."""
        return bool(self.results.audits) if name == AUDITS else (name, number) in self.results.findings

    def keep(self, name: str, number: int, line: str) -> None:
        """A run is done."""
        self._note(name, number, line)
        self.fresh += 1
        if self._file is not None:
            print(name, number, line, file=self._file, flush=True)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _note(self, name: str, number: int, line: str) -> None:
        if name == AUDITS:
            self.results.audits = json.loads(line)
        else:
            self.results.findings[name, number] = parse(line)


@lru_cache(maxsize=1)
def _court(number: int) -> Court:
    return Court.open()


_trials = 0


def _run_task(bench: AnomalyBench, name: str, number: int) -> str:
    """One run, in a worker process: its findings as a line."""
    global _trials
    if name == AUDITS:
        return json.dumps(Audits(bench.audits, bench.seed).rates())
    _trials += 1
    return one_run(_court(_trials // _TRIALS_PER_CHAIN), bench, name, number).to_json()


def one_run(court: Court, bench: AnomalyBench, name: str, number: int) -> Findings:
    """A run of one kind; drawn anew where the adversary had no occasion to be at fault.

    Raises:
        ConfigError: there was none in twenty draws.
    """
    for again in range(MAX_REDRAWS):
        random = np.random.default_rng([bench.seed, crc32(name.encode()), number, again])
        seed = int(random.integers(0, 2**31))
        if name == HONEST:
            drawn = draw(random)
            return run_trial(
                court, Trial(drawn.spec, drawn.tables, delays=drawn.delays, permutations=bench.permutations, seed=seed)
            )
        drawn = draw(random, trees=_TREES, strong=True)
        adversary = FAULTS[name].adversary(random, drawn.spec)
        culprit = drawn.passive[adversary.place(len(drawn.passive))]
        trial = Trial(drawn.spec, drawn.tables, culprit, adversary, drawn.delays, bench.permutations, seed)
        findings = run_trial(court, trial)
        if findings.acted:
            return findings
    raise ConfigError(f"bench anomaly: '{name}' had no occasion in {MAX_REDRAWS} draws")
