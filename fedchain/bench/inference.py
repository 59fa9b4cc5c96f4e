"""`fedchain bench inference`: how fast finished models answer, with real nodes, beside what the connections alone take.

A chain, a node process for each of three parties, and a job that they really train; then a client in a process of its
own that asks the active party's node for random customers. In the same run, on the same machine, the same calls through
as many processes that compute nothing.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from fedchain.bench.exchange import write_table
from fedchain.bench.exchange_child import Child
from fedchain.bench.jobs import job
from fedchain.bench.memory import load_average
from fedchain.bench.report import BenchReport
from fedchain.bench.synthetic import Synthetic
from fedchain.chain import CHAIN_KINDS, start_dev_chain
from fedchain.errors import ConfigError, DeadlineError, TrainingError
from fedchain.federation.inferspec import InferenceSpec
from fedchain.federation.spec import JobSpec
from fedchain.model.leaf_mask import bit_count
from fedchain.node.control_client import ControlClient
from fedchain.node.jobfiles import JobFiles
from fedchain.node.local import LocalConsortium, signals_unwind
from fedchain.types import JobId, PartyId, Phase

MODES = ("online", "strict", "batch")
QUOTA = 10**9
TRAINING_SECONDS = 3600.0
WARM_SECONDS = 2.0
FULL_TREES = {"learning_rate": 0.1, "min_child_weight": 0.0}
"""So that trees grow to their depth, every party with a say in nearly every leaf: what costs most to answer."""
ASK_BYTES, ANSWER_BYTES = 320, 120
"""Of an ask for one row, and of an answer besides its bits."""
CHUNK_ROWS = 2**16
TAG_BYTES = 16


@dataclass(frozen=True)
class InferenceBench:
    """Settings of the benchmark.

    Attributes:
        mode: how is asked: online, strict or batch.
        rows: that all parties share, and that train.
        trees, depth: of the model.
        features: columns of each of the three parties.
        clients: that ask at a time.
        rate: requests per second, of an open loop instead of clients; 0 for none.
        seconds: how long is measured.
        batch_rows: ids in the file of a batch.
        chain: kind of the development chain; anvil, where blocks take time.
        block_seconds: its block time once the model is trained; 0 mines every transaction at once.
        seed: of the ids asked for.
    """

    mode: str = "online"
    rows: int = 4000
    trees: int = 50
    depth: int = 5
    features: int = 4
    clients: int = 1
    rate: float = 0.0
    seconds: float = 20.0
    batch_rows: int = 2_000_000
    chain: str = "anvil"
    block_seconds: float = 1.0
    seed: int = 42

    def spec(self) -> JobSpec:
        """The job.

        Raises:
            ConfigError: a setting is out of range.
        """
        if self.mode not in MODES:
            raise ConfigError(f"--mode {self.mode}: choose one of {', '.join(MODES)}")
        if self.chain not in CHAIN_KINDS:
            raise ConfigError(f"--chain {self.chain}: choose one of {', '.join(CHAIN_KINDS)}")
        if self.block_seconds and self.chain != "anvil":
            raise ConfigError(f"--block-time {self.block_seconds:g}: choose anvil, or 0: its miner can be told later")
        if self.rate and self.mode != "online":
            raise ConfigError("--rate: an open loop is for --mode online")
        if not 1 <= self.clients <= 64 or self.rate < 0 or self.seconds <= 0 or self.batch_rows < 1:
            raise ConfigError("--clients 1 to 64, --rate from 0, --seconds and --batch-rows above 0")
        algorithm = {"mode": "standard", "trees": self.trees, "depth": self.depth, "bins": 32, **FULL_TREES}
        plain = job(self.source, algorithm, 42)
        terms = InferenceSpec(quota=QUOTA, deadline_ms=10_000)
        policy = plain.policy.model_copy(update={"consumption": "pipelined"})
        return plain.model_copy(update={"policy": policy, "inference": terms})

    @property
    def source(self) -> Synthetic:
        """Made-up tables of three parties."""
        return Synthetic(self.rows, self.features, (self.features, self.features))


@dataclass(frozen=True)
class _World:
    """A finished job, and who asks for it."""

    local: LocalConsortium
    job_id: JobId
    row_bytes: int
    leaves: float
    client: Child
    workdir: Path


def run(bench: InferenceBench, on_run: Callable[[str], None] = lambda line: None) -> BenchReport:
    """Run the benchmark. Chain, nodes and folders are gone when it returns or raises.

    Metrics:

    - `p50_ms`, `p95_ms`, `p99_ms`: of single requests, from the call to its score; of an open loop from when each was
      due. In a batch, there are none.
    - `requests_per_second`: answered.
    - `rows_per_second`: rows scored; of a batch from its reservation to the last chunk kept, reading and looking up
      ids included; `rows_per_second_whole` counts the first look at the file and the writing of the output too.
    - `floor_…`: the same through as many processes that compute nothing, with as many bytes; of strict requests, two
      transactions one after the other that do nothing but wait for a block each.

    Args:
        on_run: hears lines of progress.

    Raises:
        ConfigError: settings out of range, or the chain is not installed.
        FedchainError: whatever else goes wrong.
    """
    spec = bench.spec()
    load_before, began = load_average(), time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(signals_unwind())
        world = _prepare(bench, spec, stack, on_run)
        setup = time.monotonic() - began
        on_run(f"asking: {bench.mode}")
        metrics = {"online": _online, "strict": _strict, "batch": _batch}[bench.mode](bench, world, on_run)
    settings: dict[str, object] = {
        "mode": bench.mode,
        "parties": len(spec.names),
        "rows": bench.rows,
        "features_per_party": bench.features,
        "trees": bench.trees,
        "depth": bench.depth,
        "boosting_mode": spec.algorithm.mode.value,
        "leaves_per_tree": round(world.leaves, 1),
        "row_bytes_per_party": world.row_bytes,
        "clients": 0 if bench.rate else bench.clients,
        "rate": bench.rate,
        "seconds": bench.seconds,
        "batch_rows": bench.batch_rows if bench.mode == "batch" else 0,
        "chain": bench.chain,
        "block_seconds": bench.block_seconds,
        "cores": os.cpu_count() or 1,
        "setup_seconds": round(setup, 1),
        "load_average_before": load_before,
        "load_average_after": load_average(),
        "compared": "three node processes and a client process over a unix socket and mutual TLS; the model is trained "
        "by these nodes, on few rows, for a score's cost does not depend on them",
    }
    return BenchReport(settings, {name: round(value, 4) for name, value in metrics.items()})


def _prepare(bench: InferenceBench, spec: JobSpec, stack: ExitStack, on_run: Callable[[str], None]) -> _World:
    workdir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fedchain-bench-")))
    files = {name: workdir / f"{name}.csv" for name in spec.names}
    for name, table in bench.source.tables(spec).items():
        write_table(table, files[name])
    on_run(f"starting the {bench.chain} chain and the nodes of {', '.join(spec.names)}")
    kind = next(kind for kind in CHAIN_KINDS if kind == bench.chain)
    chain = stack.enter_context(start_dev_chain(kind, log_path=workdir / "chain.log"))
    local = LocalConsortium.start(chain.rpc_url, spec, files, workdir, stack)
    local.accredit()
    job_id = local.submit(spec, "bench inference")
    _train(local, job_id, on_run)
    if bench.block_seconds:
        _ask_chain(chain.rpc_url, "evm_setAutomine", False)
        _ask_chain(chain.rpc_url, "evm_setIntervalMining", max(1, round(bench.block_seconds)))
    operator = local.nodes[spec.names[0]]
    _, shard, _ = JobFiles(operator.config.state.folder, job_id).load()
    row_bytes = max(-(-bit_count(shard, index) // 8) for index in range(1, len(spec.names)))
    client = stack.enter_context(Child("fedchain.bench.inference_client", workdir / "client.log"))
    socket = str(operator.config.control_socket)
    client.ask("connect", socket=socket, target=job_id, rows=bench.rows, seed=bench.seed)
    leaves = sum(len(tree.weights) for tree in shard.trees) / len(shard.trees)
    return _World(local, job_id, row_bytes, leaves, client, workdir)


def _train(local: LocalConsortium, job_id: JobId, on_run: Callable[[str], None]) -> None:
    """Until all nodes have kept the finished job."""
    deadline, told = time.monotonic() + TRAINING_SECONDS, 0
    while (view := local.view(job_id)).phase is not Phase.COMPLETED:
        local.require_alive()
        if view.round >= told + 10:
            told = view.round - view.round % 10
            on_run(f"training: tree {told}")
        if time.monotonic() > deadline:
            raise DeadlineError(f"the job is not completed after {TRAINING_SECONDS:.0f} s")
        time.sleep(0.2)
    for name in local.nodes:
        while (status := _status(local, name, job_id)) != "completed":
            if status == "failed" or time.monotonic() > deadline:
                raise TrainingError(f"the job is {status} at party '{name}'")
            time.sleep(0.1)


def _status(local: LocalConsortium, name: PartyId, job_id: JobId) -> str:
    with ControlClient(local.nodes[name].config.control_socket) as control:
        lines = [line for line in control.status(job_id=job_id) if line["event"] == "job"]
    return str(lines[-1]["status"]) if lines else "unknown"


def _online(bench: InferenceBench, world: _World, on_run: Callable[[str], None]) -> dict[str, float]:
    load = {"clients": bench.clients, "rate": bench.rate}
    world.client.ask("online", clients=bench.clients, rate=0.0, seconds=WARM_SECONDS)
    found = _answered(world.client.ask("online", seconds=bench.seconds, **load))
    on_run("the same through processes that compute nothing")
    with ExitStack() as stack:
        echo = _echo(world, stack, ASK_BYTES, ANSWER_BYTES + world.row_bytes)
        echo.ask("echo", clients=bench.clients, rate=0.0, seconds=WARM_SECONDS, size=ASK_BYTES)
        floor = _answered(echo.ask("echo", seconds=bench.seconds, size=ASK_BYTES, **load))
    return {**found, "rows_per_second": found["requests_per_second"], **_floor(floor)}


def _strict(bench: InferenceBench, world: _World, on_run: Callable[[str], None]) -> dict[str, float]:
    found = _answered(world.client.ask("strict", clients=bench.clients, seconds=bench.seconds))
    on_run("two transactions one after the other that do nothing")
    sender = world.local.consortium.sender
    assert sender is not None
    times = []
    for number in range(5):
        time.sleep(0.137 * number * bench.block_seconds)  # not always just after a block
        begun = time.monotonic()
        for _ in range(2):
            sender.transfer(sender.address, 0)
        times.append((time.monotonic() - begun) * 1000)
    return {**found, "rows_per_second": found["requests_per_second"], "floor_p50_ms": median(times)}


def _batch(bench: InferenceBench, world: _World, on_run: Callable[[str], None]) -> dict[str, float]:
    path, out = world.workdir / "ids.csv", world.workdir / "scores.csv"
    world.client.ask("write_ids", path=str(path), count=min(bench.batch_rows, 2 * CHUNK_ROWS))
    world.client.ask("batch", path=str(path), out=str(out))  # warm
    world.client.ask("write_ids", path=str(path), count=bench.batch_rows)
    done = world.client.ask("batch", path=str(path), out=str(out))
    if done["unscored"]:
        raise TrainingError(f"{done['unscored']} rows of the batch have no score")
    on_run("as many bytes through processes that compute nothing")
    with ExitStack() as stack:
        size = CHUNK_ROWS * TAG_BYTES
        echo = _echo(world, stack, size, CHUNK_ROWS * world.row_bytes)
        echo.ask("echo", clients=2, rate=0.0, seconds=WARM_SECONDS, size=ASK_BYTES)
        floor = _answered(echo.ask("echo", clients=2, rate=0.0, seconds=min(bench.seconds, 10.0), size=ASK_BYTES))
    return {
        "rows_per_second": done["rows"] / done["asking_seconds"],
        "rows_per_second_whole": done["rows"] / done["seconds"],
        "requests_per_second": done["rows"] / done["asking_seconds"] / CHUNK_ROWS,
        "floor_rows_per_second": floor["requests_per_second"] * CHUNK_ROWS,
    }


def _echo(world: _World, stack: ExitStack, ask_bytes: int, answer_bytes: int) -> Child:
    """As many processes as nodes, and a client of them."""
    log = world.workdir / "echo.log"
    front, *backs = [
        stack.enter_context(Child("fedchain.bench.inference_echo", log)) for _ in range(len(world.local.nodes))
    ]
    certificate = front.ask("identify", name="front")["certificate"]
    certificates = [back.ask("identify", name=f"back-{number}")["certificate"] for number, back in enumerate(backs)]
    ports = [back.ask("back", front=certificate, size=answer_bytes)["port"] for back in backs]
    socket = str(world.workdir / "echo.sock")
    front.ask("front", socket=socket, ports=ports, certificates=certificates, size=ask_bytes)
    client = stack.enter_context(Child("fedchain.bench.inference_client", log))
    client.ask("connect", socket=socket, target="", rows=1, seed=1)
    return client


def _answered(found: dict[str, Any]) -> dict[str, float]:
    """Figures of a load that was answered whole.

    Raises:
        DeadlineError: some calls were not; with what the first of them said.
    """
    if found["failed"]:
        raise DeadlineError(f"{found['failed']} requests were not answered; the first: {found['first_error']}")
    return {name: float(found[name]) for name in ("p50_ms", "p95_ms", "p99_ms", "requests_per_second")}


def _floor(found: dict[str, float]) -> dict[str, float]:
    return {f"floor_{name}": value for name, value in found.items()}


def _ask_chain(rpc_url: str, method: str, *params: object) -> None:
    """Tell a development chain how to mine."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}).encode()
    request = urllib.request.Request(rpc_url, body, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        found = json.load(answer)
    if "error" in found:
        raise ConfigError(f"the chain does not take {method}: {found['error']}")
