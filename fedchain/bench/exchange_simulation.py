"""The job without a chain, in a process of its own: `python -m fedchain.bench.exchange_simulation`.

A new process for each run, as each node is one: public tables are built once per process, before the first tree.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedchain.bench.exchange_child import Child, serve
from fedchain.compute.executor import Executor
from fedchain.federation.spec import JobSpec
from fedchain.federation.tables import read_party_table
from fedchain.protocol import Stage
from fedchain.simulation.federation import simulate
from fedchain.types import PartyId


@dataclass(frozen=True)
class SimulatedRun:
    """What one run took.

    Attributes:
        closes: wall seconds from the first gradient to the close of each tree.
        cpu_seconds: of all its threads, in that time.
        model_digest: of the model.
    """

    closes: tuple[float, ...]
    cpu_seconds: float
    model_digest: str

    @property
    def seconds(self) -> float:
        """To the last tree's close."""
        return self.closes[-1]


def simulated_run(
    spec: JobSpec, files: Mapping[PartyId, Path], *, threads: int | None, fill_pools: bool, log: Path
) -> SimulatedRun:
    """Simulate the job in a new process.

    Args:
        spec: the job.
        files: each party's table.
        threads: workers, shared by all parties; default one per core.
        fill_pools: as in `node.toml`.
        log: for what the process says.

    Raises:
        FedchainError: whatever the job ends with.
    """
    with Child("fedchain.bench.exchange_simulation", log) as child:
        paths = {name: str(path) for name, path in files.items()}
        answer = child.ask(
            "simulate", spec=spec.to_bytes().decode(), files=paths, threads=threads, fill_pools=fill_pools
        )
    return SimulatedRun(tuple(answer["closes"]), answer["cpu_seconds"], answer["model_digest"])


def _simulate(spec: str, files: Mapping[str, str], threads: int | None, fill_pools: bool) -> dict[str, Any]:
    job = JobSpec.from_bytes(spec.encode())
    tables = {name: read_party_table(Path(files[name]), job, name) for name in job.names}
    wall: list[float] = []
    cpu: list[float] = []

    def on_stage(party: PartyId, stage: Stage) -> None:
        if stage.name == "train" and party == job.names[0]:
            wall.append(time.perf_counter())
            cpu.append(time.process_time())

    result = simulate(job, tables, executor=Executor(threads), fill_pools=fill_pools, on_stage=on_stage)
    return {
        "closes": [one - wall[0] for one in wall[1:]],
        "cpu_seconds": cpu[-1] - cpu[0],
        "model_digest": result.active.model_digest,
    }


if __name__ == "__main__":
    serve({"simulate": _simulate})
