"""Who is found out: every fault of the injector, many times, and honest runs beside them, before the contracts."""

from __future__ import annotations

import atexit
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from zlib import crc32

import numpy as np
import structlog

from fedchain.bench.anomaly_audits import Audits
from fedchain.bench.anomaly_jobs import RANGES, draw
from fedchain.bench.anomaly_table import table
from fedchain.bench.report import BenchReport
from fedchain.chain import CHAIN_KINDS
from fedchain.compute.executor import Executor, available_cores
from fedchain.contribution.free_rider import DEFAULT_ALPHA, DEFAULT_PERMUTATIONS
from fedchain.crypto.dlog import DlogTable
from fedchain.errors import ConfigError
from fedchain.simulation.adversaries.registry import FAST, FAULTS, FLAGGED
from fedchain.simulation.trial import Court, Findings, Trial, parse, run_trial

HONEST = "honest"
AUDITS = "audits"
TUNING_SEED = 1
"""The seed with which units and ranges were chosen; reports take another."""

DEFAULT_SEED = 20_261_128
MAX_REDRAWS = 20
_OF_SUMS = 3
"""So many times as many runs of faults in sums: 300 of the family in all, to tell 99 % from less."""

_TREES = (5, 9)
_LONG_TREES = (16, 30)
"""Of faults that begin late, and that a comparison with what was before is to find."""

_TRIALS_PER_CHAIN = 60
"""A chain in memory grows."""


@dataclass(frozen=True)
class AnomalyBench:
    """Settings of the benchmark.

    Attributes:
        honest_runs: jobs in which nobody is at fault.
        fault_runs: jobs with each fault; thrice as many with faults in sums.
        free_rider_runs: the same for free riders, of whom one in forty passes the test by chance.
        audits: of contributions, for each number of opened rows.
        seed: of all that is drawn; not `TUNING_SEED`.
        alpha, permutations: of the free-rider test.
        chain: kind of chain; the verdicts are the same.
        only: names of the faults to run (`honest` and `audits` too); empty: all.
    """

    honest_runs: int = 200
    fault_runs: int = 20
    free_rider_runs: int = 100
    audits: int = 300
    seed: int = DEFAULT_SEED
    alpha: float = DEFAULT_ALPHA
    permutations: int = DEFAULT_PERMUTATIONS
    chain: str = "embedded"
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
        if self.chain not in CHAIN_KINDS:
            raise ConfigError(f"--chain {self.chain}: choose one of {', '.join(CHAIN_KINDS)}")
        unknown = [name for name in self.only if name not in (*FAULTS, HONEST, AUDITS)]
        if unknown:
            raise ConfigError(
                f"bench anomaly: no fault '{unknown[0]}'; there are {', '.join((*FAULTS, HONEST, AUDITS))}"
            )

    def tasks(self) -> Iterator[tuple[str, int]]:
        """What is to be run: kind and number, kinds in turn, so that a part of a run says something of each."""
        counts = {HONEST: self.honest_runs, AUDITS: 1}
        for name, kind in FAULTS.items():
            counts[name] = self.fault_runs * (_OF_SUMS if kind.family == "histogram" else 1)
            if kind.family == "free_rider":
                counts[name] = self.free_rider_runs
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
      found by (`found_by`), and no other party was accused; `runs_FAULT`: how many runs those are; `low95_FAULT`: lower
      end of the 95 % interval (Wilson). The same of the families `provable`, `structural`, `histogram`, `free_rider`.
    - `other_FAULT`: runs in which something else named the party. `without_effect_FAULT`: of faults in sums, draws that
      were drawn again, since not one sum changed by what the party did (rows left out that count nothing, say).
      `named_with_an_honest_party`: runs in which an error names the party and an honest one, since it cannot tell who
      copied.
    - `honest_runs`, `honest_rounds`; `fpr_honest_rounds`: share of the honest runs' rounds with a flag, or a fault on
      the record other than a deadline that was missed; of rounds from the ninth on, where a score exists:
      `fpr_honest_scored_rounds`. `honest_rounds_missed`: share of rounds in which a straggler did miss the deadline;
      `honest_rounds_retried`.
    - `fpr_soft`, `fpr_hard`, `fpr_fast`: of the honest parties' times, what share passed a learned deadline, or was
      called implausibly fast.
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
    with ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_be_quiet) as pool:
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
        "chain": bench.chain,
        "tuning_seed": TUNING_SEED,
        "is_tuning_seed": bench.seed == TUNING_SEED,
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
        made_by = {"bench": "anomaly", "version": version("fedchain"), "drawn_by": _drawn_by()}
        head = json.dumps({**made_by, "seed": bench.seed, "permutations": bench.permutations, "audits": bench.audits})
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


def _be_quiet() -> None:
    """In a worker process: what parties find is the runs' result, and stdout is the report's."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


@lru_cache(maxsize=1)
def _court(number: int, chain: str) -> Court:
    kind = next(kind for kind in CHAIN_KINDS if kind == chain)
    court = Court.open(dlog=DlogTable.load_or_build(executor=Executor(1)), kind=kind)
    atexit.register(court.chain.close)
    return court


_trials = 0


def _drawn_by() -> str:
    """Changes with whatever is drawn: findings of other ranges are not mixed."""
    said = json.dumps([RANGES, {name: (kind.range, kind.adversary.__name__) for name, kind in FAULTS.items()}])
    return f"{crc32(said.encode()):08x}"


def _run_task(bench: AnomalyBench, name: str, number: int) -> str:
    """One run, in a worker process: its findings as a line."""
    global _trials
    if name == AUDITS:
        return json.dumps(Audits(bench.audits, bench.seed).rates())
    _trials += 1
    return one_run(
        _court(_trials // _TRIALS_PER_CHAIN if bench.chain == "embedded" else 0, bench.chain), bench, name, number
    ).to_json()


def one_run(court: Court, bench: AnomalyBench, name: str, number: int) -> Findings:
    """A run of one kind; drawn anew where the adversary had no occasion to be at fault, or changed nothing.

    Raises:
        ConfigError: there was none in twenty draws.
    """
    without_effect = 0
    for again in range(MAX_REDRAWS):
        random = np.random.default_rng([bench.seed, crc32(name.encode()), number, again])
        seed = int(random.integers(0, 2**31))
        if name == HONEST:
            drawn = draw(random)
            return run_trial(
                court, Trial(drawn.spec, drawn.tables, delays=drawn.delays, permutations=bench.permutations, seed=seed)
            )
        kind = FAULTS[name]
        trees = _LONG_TREES if {FLAGGED, FAST} & set(kind.found) else _TREES
        drawn = draw(random, trees=trees, strong=True, strict=kind.strict or None, audit=kind.is_label_holder)
        adversary = kind.adversary(random, drawn.spec)
        culprit = drawn.passive[adversary.place(len(drawn.passive))]
        if kind.is_label_holder:
            culprit = drawn.spec.names[0]
        trial = Trial(drawn.spec, drawn.tables, culprit, adversary, drawn.delays, bench.permutations, seed)
        findings = run_trial(court, trial)
        if findings.acted:
            return replace(findings, without_effect=without_effect)
        without_effect += findings.without_effect
    raise ConfigError(f"bench anomaly: '{name}' had no occasion in {MAX_REDRAWS} draws")
