"""Waits that last are status lines of the node, and `fedchain job watch` shows them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedchain.cli.waiting import NodeWaits, in_words
from fedchain.errors import ConfigError
from fedchain.exchange import waits as waits_module
from fedchain.exchange.waits import LEARN_FROM, Patience, Waits
from fedchain.node import waiting
from fedchain.node.control import ControlServer
from fedchain.node.progress import Line, ProgressBoard
from fedchain.node.waiting import WaitBoard
from fedchain.types import JobId

JOB = JobId("0x" + "cd" * 32)
NODE_TOML = """
name = "alpha"
[chain]
rpc = "http://127.0.0.1:1"
deployment = "deployment.json"
[data]
path = "table.csv"
"""


class Watched:
    """Stands in for a node: it is only asked for its status."""

    def __init__(self) -> None:
        self.board = ProgressBoard()

    def status(self, *, follow: bool, job_id: str | None) -> Iterator[Line | None]:
        return self.board.watch(follow=follow, job_id=job_id, poll_seconds=0.05)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(waiting, "SHOWN_AFTER_SECONDS", 0.1)
    monkeypatch.setattr(waits_module, "SOFT_FLOOR_SECONDS", 0.2)


def until(condition: Any, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def test_a_wait_that_lasts_is_a_line_in_the_snapshot_until_it_is_over() -> None:
    waits, board = Waits(), ProgressBoard()
    lines: list[Line] = []
    watching = threading.Thread(target=lambda: lines.extend(one for one in board.watch(follow=True) if one))
    watching.start()
    shown = WaitBoard(waits, board, "alpha")
    for _ in range(LEARN_FROM):
        waits.learn(JOB, "beta", "histogram", 0.01)
    patience = Patience(600.0)
    with waits.on(("beta",), "split", "brief", time.monotonic() + 9, job_id=JOB, patience=patience):
        pass
    with waits.on(("beta",), "histogram", "histogram in round 3", time.monotonic() + 9, job_id=JOB, patience=patience):
        until(lambda: board.snapshot() and board.snapshot()[0]["status"] == "overdue")
        (line,) = board.snapshot()
        assert (line["event"], line["party"], line["who"], line["job"]) == ("wait", "alpha", ["beta"], JOB)
        assert (line["what"], line["misses"]) == ("histogram in round 3", {"beta": 1})
    until(lambda: not board.snapshot())
    shown.close()
    board.close()
    watching.join(5.0)
    assert [one["status"] for one in lines] == ["waiting", "late", "overdue", "over"]


def test_watching_a_node_shows_whom_it_waits_for_and_since_when(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(NODE_TOML)
    node = Watched()
    waits = Waits()
    server = ControlServer(node, tmp_path / "state" / "node.sock")
    shown = WaitBoard(waits, node.board, "alpha")
    try:
        with NodeWaits(tmp_path, JOB) as seen:
            since = time.time()
            with waits.on(("beta",), "round", "beginning of round 2", time.monotonic() + 9, job_id=JOB):
                until(lambda: bool(seen.lines()))
                (line,) = seen.lines()
                assert since - 0.01 <= line["since"] <= time.time()
                assert in_words(line).startswith("waiting for beta: beginning of round 2, since ")
            until(lambda: not seen.lines())
    finally:
        node.board.close()
        shown.close()
        server.close()
    with pytest.raises(ConfigError, match="no node answers"):
        NodeWaits(tmp_path, JOB)


def test_lateness_and_misses_are_in_the_words() -> None:
    line = {"who": ["beta", "gamma"], "what": "phase TRAINING", "since": 0.0, "seconds": 61.4, "status": "overdue"}
    words = in_words(line | {"misses": {"beta": 2}})
    assert words.startswith("waiting for beta, gamma: phase TRAINING, since ")
    assert words.endswith("(61 s), overdue; missed so far: beta 2×")
