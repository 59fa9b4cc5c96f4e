"""`fedchain bench contribution`: what shares cost, and how far they are from those of retraining."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fedchain.bench.jobs import Files, Source, job
from fedchain.bench.models import MadeUpModel, made_up_model
from fedchain.bench.report import BenchReport
from fedchain.bench.retraining import Distances, NoiseParty, distances, noise_party
from fedchain.bench.settling import settlement_gas
from fedchain.bench.synthetic import Synthetic
from fedchain.contribution.commitments import RowTree, bit_leaves, check_rows
from fedchain.contribution.free_rider import DEFAULT_PERMUTATIONS, free_rider_test
from fedchain.contribution.leaf_mask import leaf_mask_shapley
from fedchain.contribution.loss_tree import LossTree, check_losses
from fedchain.contribution.losses import most_loss_e6, row_losses_e6
from fedchain.contribution.open_model import open_model
from fedchain.contribution.recheck import recheck_rows
from fedchain.contribution.sampling import sample_rows
from fedchain.errors import ConfigError
from fedchain.model.leaf_mask import leaf_weights, pack_bits
from fedchain.simulation.reference import join

PARTIES = (3, 8)
GAS_PARTIES = (3, 5, 8)
TRIES = 3
OPENED_ROWS = 299
ALGORITHM = {"mode": "standard", "trees": 30, "depth": 3, "learning_rate": 0.3, "bins": 32}
"""Of the jobs that are compared with retraining."""
MADE_UP = Synthetic(6000, 5, (5, 5))


@dataclass(frozen=True)
class ContributionBench:
    """Settings of the benchmark.

    Attributes:
        rows, trees, depth: of the timed models.
        data: folder of real tables: `telco/operator.csv`, `media_partner.csv` and `bank_partner.csv`, and
            `fate/default_credit_hetero_guest.csv` and `…_host.csv`; None: made-up tables alone.
        seeds: of the hold-outs that shares are compared with retraining on; a whole comparison for each.
        gas: whether a chain is started to measure the gas of settlements.
    """

    rows: int = 6000
    trees: int = 50
    depth: int = 5
    data: Path | None = None
    seeds: Sequence[int] = (42, 43, 44, 45, 46)
    gas: bool = True


@dataclass
class _Compared:
    """Of one source, an entry for each seed."""

    distances: list[Distances] = field(default_factory=list)
    noise: list[NoiseParty] = field(default_factory=list)


def run(bench: ContributionBench, *, on_run: Callable[[str], None] | None = None) -> BenchReport:
    """Run the benchmark. Metrics, where N is 3 or 8 parties:

    - `seconds_N_parties`: wall, best of three: losses of all coalitions, utilities, shares, and running shares, from
      bits that are there. `seconds_floor_N_parties`: of one bare pass of numpy over the same bits, for the whole model
      alone.
    - `seconds_free_rider_N_parties`: the test of all passive parties with 199 permutations.
    - `seconds_commit_N_parties`: the label holder's trees of losses and of its bits. `seconds_audit_N_parties`: one
      auditor's check of 299 opened rows. `opening_bytes_N_parties`: of their losses with path.
    - `gas_pN`, for 3, 5 and 8 parties: of posting losses, with the Shapley values, and of settling, by contracts on an
      embedded chain; `gas_post_pN`: of posting alone; `gas_audit_pN`: of all transactions that an audit adds to a job.
    - `l1_to_retraining`, `l1_block_permutation_to_retraining`, `l1_conditional_to_retraining`,
      `l1_gain_to_retraining`: L1 distance of leaf-mask shares, of block-permutation and conditional ones and of parts
      of the split gain to Shapley values of retraining, over their sizes' sum (`fedchain.bench.retraining`); means
      over the seeds, of made-up tables. `…_worst`: the largest.
      `l1_of_parts_…`: where each is divided by its own sum first, as a settlement does. With tables, the same with
      `_telco` and `_default_credit` at the end.
    - `noise_party_gain`, `noise_party_share`, `noise_party_conditional`: parts that a party of twenty columns of noise
      gets, by split gain, leaf-mask shares and conditional ones, and the same of the tables.

    Args:
        on_run: hears a line at the start of each part.

    Raises:
        ConfigError: settings out of range, or a file is missing.
        DataError: a file does not hold what is asked for.
    """
    if not bench.seeds or len(set(bench.seeds)) < len(bench.seeds):
        raise ConfigError("bench contribution: give one or more seeds, each once")
    say = on_run or (lambda _: None)
    sources = _sources(bench)
    metrics: dict[str, float] = {}
    for parties in PARTIES:
        say(f"{parties} parties, {bench.rows} rows, {bench.trees} trees of depth {bench.depth}")
        metrics |= _times(
            made_up_model(parties, rows=bench.rows, trees=bench.trees, depth=bench.depth, seed=1), parties
        )
    if bench.gas:
        say("gas of settlements")
        metrics |= settlement_gas(GAS_PARTIES)
    shares: dict[str, object] = {}
    for name, (source, label) in sources.items():
        compared = _Compared()
        for seed in bench.seeds:
            say(f"{name}: seed {seed}")
            spec = job(source, ALGORITHM, seed, label)
            used = source.with_seed(seed) if isinstance(source, Synthetic) else source
            joined = join(spec, used.tables(spec))
            compared.distances.append(distances(spec, joined))
            compared.noise.append(noise_party(spec, joined, seed))
        metrics |= _told(compared, "" if name == "made_up" else f"_{name}")
        shares[name] = [one.shares for one in compared.distances]
    settings: dict[str, object] = {
        "rows": bench.rows,
        "trees": bench.trees,
        "depth": bench.depth,
        "opened_rows": OPENED_ROWS,
        "permutations": DEFAULT_PERMUTATIONS,
        "seeds": list(bench.seeds),
        "compared_with_retraining": {**ALGORITHM, "tables": list(sources), **MADE_UP.settings()},
        "compared_model": "XGBoost on the joined bins, cut by columns: what a job in standard mode ends with",
        "shares": shares,
        "cores": os.cpu_count() or 1,
    }
    return BenchReport(settings, {name: round(value, 6) for name, value in metrics.items()})


def _sources(bench: ContributionBench) -> dict[str, tuple[Source, str | None]]:
    """By name: tables, and which label counts as positive."""
    sources: dict[str, tuple[Source, str | None]] = {"made_up": (MADE_UP, None)}
    if bench.data is None:
        return sources
    telco, fate = bench.data / "telco", bench.data / "fate"
    partners = (telco / "media_partner.csv", telco / "bank_partner.csv")
    sources["telco"] = Files(telco / "operator.csv", partners, "id", "Churn"), "Yes"
    host = fate / "default_credit_hetero_host.csv"
    sources["default_credit"] = Files(fate / "default_credit_hetero_guest.csv", (host,)), None
    for source, _ in sources.values():
        if isinstance(source, Files):
            for path in (source.active, *source.passive):
                if not path.is_file():
                    raise ConfigError(f"bench contribution: {path} is missing; --data names a folder that has it")
    return sources


def _times(made: MadeUpModel, parties: int) -> dict[str, float]:
    shard, bits, labels = made.shards[0], made.bits, made.labels
    weights = leaf_weights(shard)
    losses = row_losses_e6(shard, bits, labels, 1.0)
    rows = len(labels)
    tree = LossTree(losses, bytes(32))
    packed = [bit_leaves(pack_bits(one), rows) for one in bits]
    trees = [RowTree(one, bytes(32)) for one in packed]
    indices = sample_rows(tree.root, rows, min(OPENED_ROWS, rows))
    opening, opened = tree.open(indices), open_model(shard)
    rows_opened = [one.open(indices) for one in trees]

    def commit() -> None:
        LossTree(losses, bytes(32))
        RowTree(packed[0], bytes(32))

    def audit() -> None:
        shown = check_losses(tree.root, tree.sums, rows, indices, opening, "a", most=most_loss_e6(shard.objective))
        for one, shown_rows in zip(trees, rows_opened, strict=True):
            check_rows(one.root, rows, indices, shown_rows, "a")
        recheck_rows(opened, [one[indices] for one in bits], labels[indices], shown, 1.0)

    timed: dict[str, Callable[[], object]] = {
        "": lambda: leaf_mask_shapley(shard, bits, labels),
        "floor_": lambda: np.logical_and.reduce(bits) @ weights,
        "free_rider_": lambda: free_rider_test(shard, bits, labels, permutations=DEFAULT_PERMUTATIONS, seed=1),
        "commit_": commit,
        "audit_": audit,
    }
    metrics = {f"seconds_{name}{parties}_parties": _best(work) for name, work in timed.items()}
    metrics[f"opening_bytes_{parties}_parties"] = len(opening.losses) + len(opening.path) + len(opening.sums)
    return metrics


def _best(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(TRIES):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _told(compared: _Compared, suffix: str) -> dict[str, float]:
    metrics: dict[str, float] = {}
    told_as = {"leaf_mask": "l1", "block_permutation": "l1_block_permutation", "conditional": "l1_conditional"}
    for name, told in (told_as | {"gain": "l1_gain"}).items():
        values = [one.l1[name] for one in compared.distances]
        metrics[f"{told}_to_retraining{suffix}"] = float(np.mean(values))
        metrics[f"{told}_to_retraining{suffix}_worst"] = max(values)
        parts = [one.l1_of_parts[name] for one in compared.distances]
        metrics[f"{told.replace('l1', 'l1_of_parts')}_to_retraining{suffix}"] = float(np.mean(parts))
    metrics[f"noise_party_gain{suffix}"] = float(np.mean([one.gain for one in compared.noise]))
    metrics[f"noise_party_share{suffix}"] = float(np.mean([one.share for one in compared.noise]))
    metrics[f"noise_party_conditional{suffix}"] = float(np.mean([one.conditional for one in compared.noise]))
    return metrics
