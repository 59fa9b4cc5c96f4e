"""Who is waited for in a job: told by a node's own status lines, or as far as the chain alone shows it."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fedchain.cli.output import note
from fedchain.errors import FedchainError
from fedchain.types import JobId, Phase

if TYPE_CHECKING:
    from fedchain.chain import Consortium, JobView

WaitLine = dict[str, Any]
"""A status line of event `wait`, see docs/reference/cli.md."""


class ChainWaits:
    """What the contracts show: declarations that are due, or uplinks of the round in force.

    Args:
        consortium: to read from.
    """

    def __init__(self, consortium: Consortium) -> None:
        self._consortium = consortium
        self._names: dict[str, str] = {}
        self._state: object = None
        self._since = time.time()

    def lines(self, view: JobView, accepted: int) -> list[WaitLine]:
        """The wait of the moment; none once the job has ended.

        Args:
            view: the job.
            accepted: uplinks so far; `since` is when this or the job's phase or round was last seen to change.
        """
        who, what = self._due(view)
        state = (view.phase, view.round, view.attempt, accepted, who)
        if state != self._state:
            self._state, self._since = state, time.time()
        if not who:
            return []
        now = time.time()
        return [
            {
                "event": "wait",
                "job": view.job_id,
                "who": [self._name(address) for address in who],
                "what": what,
                "since": round(self._since, 3),
                "seconds": round(now - self._since, 3),
                "status": "waiting",
                "misses": {},
            }
        ]

    def _due(self, view: JobView) -> tuple[tuple[str, ...], str]:
        read, job = self._consortium, view.job_id
        if view.phase is Phase.PROPOSED:
            return tuple(one for one in view.roster if not read.has_accepted(job, one)), "acceptance of the job"
        if view.phase is Phase.ALIGNING:
            return tuple(one for one in view.roster if not read.has_aligned(job, one)), "alignment"
        if view.phase is Phase.TRAINING:
            stopped = [one for one in view.roster if read.has_stopped(job, one)]
            if stopped:
                return tuple(one for one in view.roster if one not in stopped), "declaration of the stop"
            what = f"uplinks of round {view.round}" if view.round else "beginning of the first round"
            return (view.roster if view.round else view.roster[:1]), what
        if view.phase is Phase.EVALUATING:
            return tuple(one for one in view.roster if read.shard_digest(job, one) is None), "shard digest"
        return (), ""

    def _name(self, address: str) -> str:
        if address not in self._names:
            self._names[address] = self._consortium.participant(address).name or address
        return self._names[address]


class NodeWaits:
    """What a running node waits for, from its control socket, in a thread of its own.

    Args:
        folder: of the node, with its `node.toml`.
        job_id: the job.

    Raises:
        ConfigError: no node answers there.
    """

    def __init__(self, folder: Path, job_id: JobId) -> None:
        from fedchain.node.config import load_config
        from fedchain.node.control_client import ControlClient

        self._client = ControlClient(load_config(folder / "node.toml").control_socket)
        self._job_id = job_id
        self._lock = threading.Lock()
        self._lines: dict[int, WaitLine] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._follow, name="waits", daemon=True)
        self._thread.start()

    def __enter__(self) -> NodeWaits:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._client.close()
        self._thread.join(5.0)

    def lines(self) -> list[WaitLine]:
        """The node's waits that have lasted a moment, the oldest first."""
        now = time.time()
        with self._lock:
            return [line | {"seconds": round(now - line["since"], 3)} for line in self._lines.values()]

    def _follow(self) -> None:
        try:
            for line in self._client.status(follow=True, job_id=self._job_id):
                if line.get("event") != "wait":
                    continue
                with self._lock:
                    if line["status"] == "over":
                        self._lines.pop(line["wait"], None)
                    else:
                        self._lines[line["wait"]] = line
        except (FedchainError, ValueError) as error:  # the channel was closed, here or there
            with self._lock:
                self._lines.clear()
            if not self._closed:
                with contextlib.suppress(OSError):
                    note(f"{error}; from here on as far as the chain shows")


def clock(seconds: int) -> str:
    """A time of the chain, seconds since 1970, as this machine's clock shows it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def deadline_in_words(view: JobView, now: float) -> str:
    """Until when the phase or round in force has time; empty once the job has ended.

    Args:
        view: the job.
        now: seconds since 1970.
    """
    if not view.deadline:
        return ""
    left = view.deadline - now
    if left >= 0:
        return f"{clock(view.deadline)}, in {left:.0f} s"
    closed = "closed" if view.closed else "to be closed"
    expires = f"the job may be ended after {clock(view.expires_after)}"
    return f"{clock(view.deadline)}, over since {-left:.0f} s: {closed}; {expires}"


def in_words(line: WaitLine) -> str:
    """A wait in one line for people."""
    seconds = line["seconds"]
    since = time.strftime("%H:%M:%S", time.localtime(line["since"]))
    text = f"waiting for {', '.join(line['who'])}: {line['what']}, since {since} ({seconds:.0f} s)"
    if line["status"] in ("late", "overdue"):
        text += f", {line['status']}"
    missed = [f"{name} {count}×" for name, count in line.get("misses", {}).items()]
    return text + (f"; missed so far: {', '.join(missed)}" if missed else "")
