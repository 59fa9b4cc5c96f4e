"""A sender killed in the middle of a transfer: once it is back, the transfer goes on where it was."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedchain.crypto.merkle import chunk_count
from fedchain.exchange.endpoint import parse_endpoint
from tests.unit.exchange.peers import JOB, World

PAYLOAD = bytes(range(256)) * 40_000  # 10 MB, 157 chunks, 40 runs


@contextmanager
def serving(folder: Path, port: int, pause: float) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.unit.exchange.serve", str(folder), str(port), str(pause)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.timeout(60)
def test_a_transfer_goes_on_where_a_killed_server_left_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    for name in ("alpha", "beta"):
        world.party(name).save(tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
    digest = world.store("alpha").put(PAYLOAD, world.access("beta"))
    client = world.client("beta")
    results: list[bytes] = []

    def fetch(endpoint: str) -> None:
        peer = world.peer("alpha", endpoint)
        results.append(
            client.fetch(
                peer,
                digest,
                len(PAYLOAD),
                job_id=JOB,
                culprit="alpha",
                max_bytes=2**30,
                deadline_seconds=40.0,
            )
        )

    try:
        with serving(tmp_path, 0, 0.05) as first:
            endpoint = line(first)
            thread = threading.Thread(target=fetch, args=(endpoint,))
            thread.start()
            assert line(first) == "from chunk 0"
            time.sleep(0.7)
            first.kill()
            first.wait()
        assert not results
        with serving(tmp_path, parse_endpoint(endpoint).port, 0.0) as second:
            assert line(second) == endpoint
            began = int(line(second).removeprefix("from chunk "))
            thread.join(30.0)
        assert results == [PAYLOAD]
        assert 0 < began < chunk_count(len(PAYLOAD))
    finally:
        world.close()
