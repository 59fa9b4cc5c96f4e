"""`fedchain bench boosting`: seconds per tree of a whole federation on one machine, beside a floor and a peer.

All parties run in this process over the in-memory channel, so no chain and no network is in the figures. The floor is
what the same number of curve operations costs on the same cores in the same run; the peer is XGBoost on the joined
plaintext with the same bins.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from fedchain.bench.report import BenchReport
from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.crypto.elgamal import KeyPair, histogram
from fedchain.errors import ConfigError
from fedchain.federation.spec import JobSpec
from fedchain.simulation.channel import StageListener
from fedchain.simulation.federation import read_party_table, simulate
from fedchain.simulation.reference import plaintext_reference

CALIBRATION_ROWS = 4096


@dataclass(frozen=True)
class BoostingBench:
    """Settings of the benchmark.

    Attributes:
        active: the active party's CSV file.
        passive: the passive parties' CSV files.
        id, label: column names.
        mode, depth, trees, bins, learning_rate: as in a job file.
        holdout_seed: of the stratified 20 % hold-out.
    """

    active: Path
    passive: Sequence[Path]
    id: str = "id"
    label: str = "y"
    mode: str = "standard"
    depth: int = 3
    trees: int = 10
    bins: int = 32
    learning_rate: float = 0.3
    holdout_seed: int = 42


def run(bench: BoostingBench, *, on_stage: StageListener | None = None, threads: int | None = None) -> BenchReport:
    """Run the benchmark.

    Metrics: `seconds_per_tree` (wall from the first gradient to the last tree, divided by trees; nothing is
    precomputed but the public table of discrete logarithms), `bytes_per_tree` (payload bytes of all uplinks of
    training), `floor_seconds_per_tree`, `floor_ratio`, AUCs on the held-out rows.

    Raises:
        ConfigError: settings out of range.
        DataError: a file does not hold what is asked for.
    """
    spec = _spec(bench)
    files = dict(zip(spec.names, [bench.active, *bench.passive], strict=True))
    tables = {name: read_party_table(files[name], spec.party(name)) for name in spec.names}
    executor = Executor(threads)
    dlog = DlogTable.load_or_build(executor=executor)
    result = simulate(spec, tables, executor=executor, dlog=dlog, on_stage=on_stage)
    reference_started = time.perf_counter()
    reference = plaintext_reference(spec, tables)
    reference_seconds = time.perf_counter() - reference_started

    outcome = result.active
    assert outcome.holdout_scores is not None
    labels = reference.labels[reference.holdout]
    training = ("gradients", "histogram", "split", "partition", "leaf_weights")
    train_bytes = sum(result.traffic.payload_bytes[kind] for kind in training)
    rows = int((~reference.holdout).sum())
    features = sum(len(_features(one.shard.binning)) for one in list(result.outcomes.values())[1:])
    floor = _floor(rows, features, bench.depth, executor)
    seconds = result.seconds["train"] / bench.trees
    settings: dict[str, object] = {
        "active": str(bench.active),
        "passive": [str(path) for path in bench.passive],
        "mode": bench.mode,
        "depth": bench.depth,
        "trees": bench.trees,
        "bins": bench.bins,
        "learning_rate": bench.learning_rate,
        "holdout_seed": bench.holdout_seed,
        "train_rows": rows,
        "passive_features": features,
        "threads": executor.n_jobs,
        "cores": os.cpu_count() or 1,
        "model_digest": outcome.model_digest,
    }
    metrics = {
        "seconds_per_tree": seconds,
        "bytes_per_tree": train_bytes / bench.trees,
        "auc_federated": float(roc_auc_score(labels, outcome.holdout_scores)),
        "auc_plaintext": reference.auc_plaintext,
        "auc_active_only": reference.auc_active_only,
        "floor_seconds_per_tree": floor,
        "floor_ratio": seconds / floor,
        "align_seconds": result.seconds["align"],
        "plaintext_reference_seconds": reference_seconds,
    }
    return BenchReport(settings, {name: round(value, 6) for name, value in metrics.items()})


def _features(binning: dict[str, object]) -> list[object]:
    """Binned features of a shard's mapper in plain values."""
    features = binning["features"]
    assert isinstance(features, list)
    return features


def _spec(bench: BoostingBench) -> JobSpec:
    if not bench.passive:
        raise ConfigError("bench boosting: name at least one --passive FILE")
    passive = "".join(
        f'[[parties]]\nname = "passive_{i}"\nrole = "passive"\nid = {_quoted(bench.id)}\n'
        for i in range(1, len(bench.passive) + 1)
    )
    return JobSpec.from_toml_text(
        f'name = "bench"\n[algorithm]\nmode = {_quoted(bench.mode)}\ndepth = {bench.depth}\ntrees = {bench.trees}\n'
        f"bins = {bench.bins}\nlearning_rate = {bench.learning_rate!r}\n[holdout]\nseed = {bench.holdout_seed}\n"
        f'[[parties]]\nname = "active"\nrole = "active"\nid = {_quoted(bench.id)}\nlabel = {_quoted(bench.label)}\n'
        + passive,
        "bench boosting",
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _floor(rows: int, features: int, depth: int, executor: Executor) -> float:
    """Seconds that the curve operations of one tree take, from their cost in this run.

    Encrypting every row once, and adding every row once per passive feature at the root and half of the rows at each
    further level (the smaller siblings). No parsing, no decryption, no re-randomisation.
    """
    keys = KeyPair.generate(2)
    values = np.ones((CALIBRATION_ROWS, 2), dtype=np.int64)
    keys.encrypt_rows(values[:64], executor)  # the table of G is built once per process
    started = time.perf_counter()
    cipher = keys.encrypt_rows(values, executor)
    encrypt = (time.perf_counter() - started) / CALIBRATION_ROWS
    bins = np.zeros((CALIBRATION_ROWS, 8), dtype=np.uint8)
    every = np.arange(CALIBRATION_ROWS)
    histogram(cipher, every[:8], bins, [1] * 8, keys.public, executor)  # the key's tables likewise
    started = time.perf_counter()
    histogram(cipher, every, bins, [1] * 8, keys.public, executor)
    add = (time.perf_counter() - started) / (CALIBRATION_ROWS * 8)
    return rows * encrypt + rows * features * add * (1 + (depth - 1) / 2)
