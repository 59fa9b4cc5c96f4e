"""`fedchain bench leakage`: how well a passive party can tell labels from what it received, in each mode.

A federation is run in this process, and what each passive party may open of it is recorded (`fedchain.bench.view`). The
attacker is such a party that knows the labels of a few training rows. Its attacks (`fedchain.bench.attack`) are judged
on the training rows whose labels it does not know, beside attacks from the party's own columns alone.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchain.bench.attack import attack, embedding
from fedchain.bench.jobs import Source, job
from fedchain.bench.memory import load_average
from fedchain.bench.report import BenchReport
from fedchain.bench.synthetic import Synthetic
from fedchain.bench.view import Recorder, View, view
from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.data.table import Table
from fedchain.errors import ConfigError, DataError
from fedchain.simulation.channel import StageListener
from fedchain.simulation.federation import simulate
from fedchain.simulation.reference import judge
from fedchain.types import PartyId

MODES = ("standard", "layered", "mix")
OWN, CHANCE = "own_columns", "chance"
KNOWN = 200
SMALLEST_CLASS = 5
WRONG_ORDERS = 10

Results = dict[str, dict[str, list[float]]]
"""What was attacked -> attacker -> AUC per party and seed."""


@dataclass(frozen=True)
class LeakageBench:
    """Settings of the benchmark.

    Attributes:
        source: whose columns; made-up tables take other values for each seed, files the same.
        rows: with files: so many of the common rows, drawn by the seed; None: all.
        depth, trees, bins, learning_rate: as in a job file.
        known: training rows whose labels the attacker knows.
        seeds: of the hold-out, of the known rows and of the attackers; a run of each mode for each.
    """

    source: Source
    rows: int | None = None
    depth: int = 5
    trees: int = 20
    bins: int = 32
    learning_rate: float = 0.3
    known: int = KNOWN
    seeds: Sequence[int] = (42, 43, 44)

    def algorithm(self, mode: str) -> dict[str, Any]:
        """The `[algorithm]` table of a mode's job; row minima are the mode's defaults."""
        names = ("depth", "trees", "bins", "learning_rate")
        return {"mode": mode, **{name: getattr(self, name) for name in names}}


def run(
    bench: LeakageBench,
    *,
    on_stage: StageListener | None = None,
    on_run: Callable[[str], None] | None = None,
    threads: int | None = None,
) -> BenchReport:
    """Run the benchmark: for each seed and mode a federation, and attacks by each of its passive parties.

    Metrics, means over parties and seeds:

    - `auc_attack_standard`, `auc_attack_layered`, `auc_attack_mix`: of the strongest attacker on what was received,
      with or without the party's own columns beside it.
    - `auc_attack_own_columns`: of the strongest attacker on the party's own columns alone.
    - `auc_attack_chance`: of a logistic attacker on what was received in standard mode, who takes the known labels in
      wrong orders; how far it is from 0.5 shows the noise.
    - `auc_federated_MODE`: of the model on the held-out rows.
    - `known_nodes_MODE`: nodes below a root whose rows a party came to know.

    The strongest attacker is the one with the best mean, so the attacks are rather over- than underrated.

    Args:
        on_stage: hears of progress.
        on_run: hears a line at the start of each run.
        threads: workers, shared by all parties; default one per core.

    Raises:
        ConfigError: settings out of range.
        DataError: a file does not hold what is asked for, or there are too few rows to attack.
    """
    if not bench.seeds or bench.known < 2 * SMALLEST_CLASS:
        raise ConfigError(f"bench leakage: give a seed or more, and {2 * SMALLEST_CLASS} known labels or more")
    executor = Executor(threads)
    dlog = DlogTable.load_or_build(executor=executor)
    started, load_before = time.perf_counter(), load_average()
    attacks: Results = defaultdict(lambda: defaultdict(list))
    federated: dict[str, list[float]] = defaultdict(list)
    nodes: dict[str, list[float]] = defaultdict(list)
    rows = 0
    for number, seed in enumerate(bench.seeds):
        tables = _tables(bench, seed)
        for mode in MODES:
            if on_run is not None:
                on_run(f"seed {seed}, {mode}: run {number * len(MODES) + MODES.index(mode) + 1} of {_runs(bench)}")
            spec = job(bench.source, bench.algorithm(mode), seed)
            recorder = Recorder()
            result = simulate(spec, tables, executor=executor, dlog=dlog, on_stage=on_stage, tap=recorder)
            labels = _labels(tables[spec.names[0]], result.active.session.ids)
            holdout = list(result.active.session.holdout)
            scores = result.active.holdout_scores
            assert scores is not None
            federated[mode].append(judge(spec).value(labels[holdout], scores))
            rows = len(labels)
            for me in spec.names[1:]:
                seen = view(recorder, spec, me, tables[me], result.outcomes[me])
                nodes[mode].append(len(seen.nodes))
                _attack(attacks, mode, seen, labels, bench.known, seed)
    strongest = {what: _strongest(by_attacker) for what, by_attacker in attacks.items()}
    metrics = {f"auc_attack_{what}": auc for what, (_, auc) in strongest.items()}
    metrics |= {f"auc_federated_{mode}": float(np.mean(values)) for mode, values in federated.items()}
    metrics |= {f"known_nodes_{mode}": float(np.mean(values)) for mode, values in nodes.items()}
    metrics["seconds"] = time.perf_counter() - started
    settings: dict[str, object] = {
        **bench.source.settings(),
        **({"data_seed": list(bench.seeds)} if isinstance(bench.source, Synthetic) else {}),
        "aligned_rows": rows,
        "known_labels": bench.known,
        "seeds": list(bench.seeds),
        **{key: value for key, value in bench.algorithm("").items() if key != "mode"},
        "strongest_attackers": {what: name for what, (name, _) in strongest.items()},
        "threads": executor.n_jobs,
        "load_average_before": load_before,
        "load_average_after": load_average(),
    }
    return BenchReport(settings, {name: round(value, 6) for name, value in metrics.items()})


def _attack(attacks: Results, mode: str, seen: View, labels: NDArray[np.float64], count: int, seed: int) -> None:
    """Attack what one party saw in one run; add the AUCs to `attacks`."""
    known, others = known_rows(seen.routed, labels, count, seed)
    directions = embedding(seen.memberships, seed)
    memberships, own = seen.memberships.astype(np.float64), seen.own.astype(np.float64)
    received = {
        "nodes": memberships,
        "directions of nodes": directions,
        "nodes and own columns": np.hstack([memberships, own]),
        "directions of nodes and own columns": np.hstack([directions, own]),
    }
    _add(attacks[mode], attack(received, labels, known, others, seed))
    if mode == MODES[0]:  # these are the same in every mode
        _add(attacks[OWN], attack({"own columns": own}, labels, known, others, seed))
        for turn in range(WRONG_ORDERS):
            wrong = labels.copy()
            wrong[known] = np.random.default_rng([seed, turn]).permutation(labels[known])
            _add(attacks[CHANCE], attack({"directions of nodes": directions}, wrong, known, others, seed, ["logistic"]))


def known_rows(
    routed: NDArray[np.bool_], labels: NDArray[np.float64], count: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Training rows that the attacker knows, each class in proportion, and all other training rows.

    Raises:
        DataError: too few rows, or too few of a class.
    """
    from sklearn.model_selection import train_test_split

    rows = np.flatnonzero(routed).astype(np.int64)
    if count + 2 * SMALLEST_CLASS > len(rows):
        raise DataError(f"{len(rows)} training rows are too few to know {count} labels and attack the rest")
    known, others = train_test_split(rows, train_size=count, stratify=labels[rows], random_state=seed)
    for part in (known, others):
        if min(np.bincount(labels[part].astype(np.int64), minlength=2)) < SMALLEST_CLASS:
            raise DataError(f"{count} known labels and the rest need {SMALLEST_CLASS} rows of each class each")
    return known, others


def _tables(bench: LeakageBench, seed: int) -> dict[PartyId, Table]:
    spec = job(bench.source, bench.algorithm(MODES[0]), seed)
    if isinstance(bench.source, Synthetic):
        return bench.source.with_seed(seed).tables(spec)
    tables = bench.source.tables(spec)
    if bench.rows is None:
        return tables
    common = sorted(set.intersection(*(set(table.ids) for table in tables.values())))
    if bench.rows < len(common):
        drawn = np.random.default_rng(seed).permutation(len(common))[: bench.rows]
        common = [common[place] for place in drawn]
    return {name: table.take(common) for name, table in tables.items()}


def _labels(table: Table, ids: tuple[str, ...]) -> NDArray[np.float64]:
    assert table.label is not None
    labels: NDArray[np.float64] = table.label[table.rows_of(ids)]
    return labels


def _add(attackers: dict[str, list[float]], aucs: Mapping[str, float]) -> None:
    for name, auc in aucs.items():
        attackers[name].append(auc)


def _strongest(by_attacker: Mapping[str, list[float]]) -> tuple[str, float]:
    means = {name: float(np.mean(aucs)) for name, aucs in by_attacker.items()}
    best = max(means, key=lambda name: means[name])
    return best, means[best]


def _runs(bench: LeakageBench) -> int:
    return len(bench.seeds) * len(MODES)
