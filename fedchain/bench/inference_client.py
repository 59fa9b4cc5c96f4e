"""The client of `fedchain bench inference`, in a process of its own: `python -m fedchain.bench.inference_client`."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import grpc

from fedchain.bench.exchange_child import serve
from fedchain.bench.inference_load import closed_loop, open_loop
from fedchain.node.bulk.client import BatchClient
from fedchain.node.bulk.runner import run_batch
from fedchain.node.control_client import ControlClient
from fedchain.node.control_wire import MAX_MESSAGE_BYTES, SERVICE, PredictIdsCall, pack
from fedchain.node.strict.predictions import METHOD, StrictCall


class Client:
    """The commands of the process; each returns what goes into its answer."""

    def connect(self, socket: str, target: str, rows: int, seed: int) -> dict[str, Any]:
        """Remember whom to ask, for ids 1 to `rows`."""
        self._socket, self._target, self._rows, self._seed = socket, target, rows, seed
        self._random = random.Random(seed)
        options = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)]
        self._channel = grpc.insecure_channel(f"unix:{socket}", options=options)
        grpc.channel_ready_future(self._channel).result(timeout=10.0)
        self._ids = self._channel.unary_unary(f"/{SERVICE}/PredictIds")
        self._strict = self._channel.unary_unary(f"/{SERVICE}/{METHOD}")
        self._any = self._channel.unary_unary(f"/{SERVICE}/Echo")
        return {}

    def online(self, clients: int, rate: float, seconds: float) -> dict[str, Any]:
        """Single ids; at a rate if there is one."""
        if rate:
            return open_loop(lambda: self._ids.future(self._call()), rate, seconds, self._seed).as_dict()
        return closed_loop(lambda: self._ids(self._call()), clients, seconds).as_dict()

    def strict(self, clients: int, seconds: float) -> dict[str, Any]:
        """Single ids, over the chain."""
        return closed_loop(
            lambda: self._strict(pack(StrictCall(self._target, (self._id(),)))), clients, seconds
        ).as_dict()

    def echo(self, clients: int, rate: float, seconds: float, size: int) -> dict[str, Any]:
        """The floor: what goes there and back computes nothing."""
        question = bytes(size)
        if rate:
            return open_loop(lambda: self._any.future(question), rate, seconds, self._seed).as_dict()
        return closed_loop(lambda: self._any(question), clients, seconds).as_dict()

    def write_ids(self, path: str, count: int) -> dict[str, Any]:
        """A file of random ids."""
        with Path(path).open("w") as file:
            file.write("id\n")
            file.writelines(f"{self._id()}\n" for _ in range(count))
        return {}

    def batch(self, path: str, out: str) -> dict[str, Any]:
        """Score a file of ids; from the first chunk asked for to the last one kept, and as a whole."""
        begun, first, last = time.perf_counter(), 0.0, 0.0

        def on_progress(progress: object) -> None:
            nonlocal first, last
            last = time.perf_counter()
            first = first or last

        with ControlClient(Path(self._socket)) as control:
            summary = run_batch(BatchClient(control), self._target, Path(path), Path(out), on_progress=on_progress)
        return {
            "rows": summary.rows,
            "unscored": summary.unscored,
            "asking_seconds": last - first,
            "seconds": time.perf_counter() - begun,
        }

    def _id(self) -> str:
        return str(self._random.randint(1, self._rows))

    def _call(self) -> bytes:
        return pack(PredictIdsCall(self._target, (self._id(),)))


COMMANDS = ("connect", "online", "strict", "echo", "write_ids", "batch")

if __name__ == "__main__":
    client = Client()
    serve({name: getattr(client, name) for name in COMMANDS})
