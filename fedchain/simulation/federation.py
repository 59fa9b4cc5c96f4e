"""A whole federation in one process: the same party code as the nodes', over the in-memory channel."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.data.table import Table
from fedchain.errors import ConfigError
from fedchain.federation.party import JobOutcome, job_party
from fedchain.federation.spec import JobSpec
from fedchain.model.shard import Shard
from fedchain.protocol import Stage
from fedchain.simulation.channel import Channel, StageListener, Tap, Traffic
from fedchain.types import PartyId


@dataclass(frozen=True)
class SimulationResult:
    """Outcome of a simulated job.

    Attributes:
        outcomes: by party, roster order.
        traffic: uplinks and payload bytes by kind.
        seconds: wall time: `align` (keys and ids), `prepare` (binning), `train` (from the first gradient to the end of
            the last tree) and `contribution` (with evaluation and shard digests).
    """

    outcomes: Mapping[PartyId, JobOutcome]
    traffic: Traffic
    seconds: Mapping[str, float]

    @property
    def active(self) -> JobOutcome:
        """The label holder's outcome."""
        return next(iter(self.outcomes.values()))


def simulate(
    spec: JobSpec,
    tables: Mapping[PartyId, Table],
    *,
    executor: Executor | None = None,
    dlog: DlogTable | None = None,
    checkpoints: Mapping[PartyId, Shard] | None = None,
    fill_pools: bool = False,
    on_stage: StageListener | None = None,
    tap: Tap | None = None,
) -> SimulationResult:
    """Run a job with all parties in this process.

    Args:
        spec: the job.
        tables: one table per party on the roster.
        executor: shared by all parties; default one thread per core.
        dlog: default the cached full-size table.
        checkpoints: every party's shard of the model that the job continues, where it names one.
        fill_pools: make work ahead in idle time, as nodes do; here all parties share the machine.
        on_stage: hears of progress.
        tap: sees, changes or rejects payloads: for tests and fault injection.

    Raises:
        ConfigError: a party has no table.
        CheckpointError: a party has no checkpoint, or one that does not fit the job.
        FedchainError: whatever the job ends with.
    """
    missing = [name for name in spec.names if name not in tables]
    if missing:
        raise ConfigError(f"no table for party {', '.join(missing)}; give one file per party of the job")
    executor = executor or Executor()
    dlog = dlog or DlogTable.load_or_build(executor=executor)
    boundaries: dict[str, float] = {"begin": time.perf_counter()}

    def listen(party: PartyId, stage: Stage) -> None:
        if party == spec.names[0]:  # the label holder begins and ends every stage but alignment
            boundaries.setdefault(f"{stage.name} begin", time.perf_counter())
            boundaries[f"{stage.name} end"] = time.perf_counter()
        if on_stage is not None:
            on_stage(party, stage)

    channel = Channel(on_stage=listen, tap=tap)
    parties = {
        name: job_party(
            spec,
            name,
            tables[name],
            executor=executor,
            dlog=dlog if name == spec.names[0] else None,
            checkpoint=(checkpoints or {}).get(name),
            fill_pools=fill_pools,
        )
        for name in spec.names
    }
    outcomes = channel.run(parties)
    ended, started = time.perf_counter(), boundaries["begin"]
    seconds = {
        "align": boundaries["align end"] - started,
        "prepare": boundaries["train begin"] - boundaries["align end"],
        "train": boundaries["train end"] - boundaries["train begin"],
        "contribution": ended - boundaries["train end"],
    }
    return SimulationResult(outcomes, channel.traffic, seconds)
