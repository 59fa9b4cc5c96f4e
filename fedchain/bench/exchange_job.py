"""The job over a chain: real nodes, watched from outside, and what their training put on the chain."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedchain.chain.events import ChainEvent, RoundBegan, UplinkJudged
from fedchain.errors import DeadlineError, FedchainError, TrainingError
from fedchain.federation.spec import JobSpec
from fedchain.model.shard import model_digest
from fedchain.node.local import LocalConsortium
from fedchain.types import JobId, Reason

LOOK_SECONDS = 0.2
PATIENCE_SECONDS = 3600.0

Line = Mapping[str, Any]


@dataclass(frozen=True)
class ChainUse:
    """What training put on the chain: beginnings of rounds, and uplinks of rounds.

    Attributes:
        uplinks: accepted ones.
        transactions: that carried them, and that began rounds.
        blocks: that hold these.
        gas: of these transactions.
        payload_bytes: of the uplinks, wherever they travelled.
    """

    uplinks: int
    transactions: int
    blocks: int
    gas: int
    payload_bytes: int


@dataclass(frozen=True)
class ChainedRun:
    """What the run over the chain took.

    Attributes:
        closes: wall seconds from the first gradient to the close of each tree, by the active party's own clock.
        cpu_seconds: of all nodes in that time; None where the machine does not tell.
        chain_cpu_seconds: the same of the chain.
        model_digest: from the shard digests on chain.
        use: of the chain.
    """

    closes: tuple[float, ...]
    cpu_seconds: float | None
    chain_cpu_seconds: float | None
    model_digest: str
    use: ChainUse

    @property
    def seconds(self) -> float:
        """To the last tree's close."""
        return self.closes[-1]


class _Stopwatch:
    """Reads the active party's stage lines as they come.

    Processor times are looked up at the first and at the last alone: that takes milliseconds of the very processors
    that are measured.
    """

    def __init__(self, cpu: Callable[[], tuple[float, float] | None], trees: int) -> None:
        self._cpu, self._trees = cpu, trees
        self._seconds: list[float] = []
        self._used: list[tuple[float, float] | None] = []

    def note(self, line: Line) -> None:
        """A line of stage `train`: 0 trees, 1 tree, …"""
        if line["done"] == len(self._seconds):
            self._seconds.append(line["seconds"])
            if line["done"] in (0, self._trees):
                self._used.append(self._cpu())

    def closes(self) -> tuple[float, ...]:
        """When each tree was closed.

        Raises:
            TrainingError: the node did not tell of all of them.
        """
        if len(self._seconds) != self._trees + 1:
            raise TrainingError("the active party's node did not tell of the end of each tree")
        return tuple(one - self._seconds[0] for one in self._seconds[1:])

    def cpu_seconds(self) -> tuple[float, float] | None:
        """Used between the first line and the last: by the nodes, and by the chain."""
        first, last = self._used[0], self._used[-1]
        return None if first is None or last is None else (last[0] - first[0], last[1] - first[1])


def chained_run(
    local: LocalConsortium, spec: JobSpec, chain_pid: int | None, on_run: Callable[[str], None]
) -> ChainedRun:
    """Run the job over the chain.

    Args:
        local: accredited nodes.
        spec: the job.
        chain_pid: of the chain's process; its children count as well.
        on_run: hears of progress.

    Raises:
        JobAbortedError, FedchainError: it did not complete, or a node ended; says why.
    """
    pids = [node.process.pid for node in local.nodes.values()]

    def cpu() -> tuple[float, float] | None:
        nodes = [cpu_seconds_of(pid) for pid in pids]
        chain = 0.0 if chain_pid is None else cpu_seconds_of(chain_pid)
        if chain is None or None in nodes:
            return None
        return sum(one for one in nodes if one is not None), chain

    watch = _Stopwatch(cpu, spec.algorithm.trees)
    with _status_lines(local) as lines:  # from before the job, so that none is missed
        job_id = local.submit(spec, "bench exchange")
        _follow(local, job_id, lines, watch, on_run)
    closes, used = watch.closes(), watch.cpu_seconds()
    view = local.view(job_id)
    digests = [local.consortium.shard_digest(job_id, address) for address in view.roster]
    digest = model_digest([one for one in digests if one is not None])
    nodes, chain = (None, None) if used is None else used
    return ChainedRun(closes, nodes, chain, digest, chain_use(local, job_id))


@contextmanager
def _status_lines(local: LocalConsortium) -> Iterator[queue.Queue[Line | FedchainError]]:
    """What the active party's node tells, as it comes."""
    lines: queue.Queue[Line | FedchainError] = queue.Queue()
    local.await_ready()
    with local.control() as control:

        def read() -> None:
            try:
                for line in control.status(follow=True):
                    lines.put(line)
            except FedchainError as error:
                lines.put(error)

        threading.Thread(target=read, name="bench-status", daemon=True).start()
        yield lines


def _follow(
    local: LocalConsortium,
    job_id: JobId,
    lines: queue.Queue[Line | FedchainError],
    watch: _Stopwatch,
    on_run: Callable[[str], None],
) -> None:
    """Until the job is completed."""
    quiet_since = time.monotonic()
    while True:
        try:
            line = lines.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            local.require_alive()
            if time.monotonic() - quiet_since > PATIENCE_SECONDS:
                raise DeadlineError(f"the job made no progress for {PATIENCE_SECONDS:.0f} s") from None
            continue
        quiet_since = time.monotonic()
        if isinstance(line, FedchainError):
            local.require_alive()
            raise line
        if line.get("job") != job_id:
            continue
        if line["event"] == "stage" and line["stage"] == "train":
            watch.note(line)
            on_run(f"over the chain: tree {line['done']} of {line['total']}")
        elif line["event"] == "job" and line["status"] == "failed":
            local.view(job_id)  # says it better where the job was aborted
            raise TrainingError(f"the job failed at the active party: {line['error']}")
        elif line["event"] == "job" and line["status"] == "completed":
            return


def chain_use(local: LocalConsortium, job_id: JobId) -> ChainUse:
    """What a finished job's training put on the chain."""
    client = local.client
    events: list[ChainEvent] = []
    for start in range(local.first_block, client.head() + 1, 200):
        events += local.consortium.events(start, min(start + 199, client.head()))
    rounds = local.view(job_id).round - 1  # the one in force is that of evaluation
    of_training = [
        one
        for one in events
        if (isinstance(one, RoundBegan) and one.job_id == job_id)
        or (isinstance(one, UplinkJudged) and one.job_id == job_id and 1 <= one.envelope.round <= rounds)
    ]
    uplinks = [one for one in of_training if isinstance(one, UplinkJudged) and one.reason == Reason.ACCEPTED]
    transactions = {one.transaction_hash for one in of_training}
    receipts = [client.receipt(one) for one in transactions]
    return ChainUse(
        uplinks=len(uplinks),
        transactions=len(transactions),
        blocks=len({one.block_number for one in of_training}),
        gas=sum(int(one["gasUsed"], 16) for one in receipts if one is not None),
        payload_bytes=sum(one.envelope.size for one in uplinks),
    )


def cpu_seconds_of(pid: int) -> float | None:
    """Processor time of a process and its living children so far; None where there is no /proc."""
    ticks: dict[int, tuple[int, float]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):
            fields = path.read_text().rpartition(")")[2].split()
            ticks[int(path.parent.name)] = (int(fields[1]), float(fields[11]) + float(fields[12]))
    if pid not in ticks:
        return None
    total, family = 0.0, [pid]
    while family:
        one = family.pop()
        total += ticks[one][1]
        family += [child for child, (parent, _) in ticks.items() if parent == one]
    return total / float(os.sysconf("SC_CLK_TCK"))
