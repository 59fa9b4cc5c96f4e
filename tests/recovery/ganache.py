"""A Ganache that keeps its chain in a folder, to be killed and started again on the same port."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

from fedchain.chain import ChainClient
from fedchain.chain.account import DEV_MNEMONIC
from fedchain.chain.devchain import find_tool
from fedchain.errors import ChainError

_START_SECONDS = 60.0


class KillableGanache:
    """A chain that survives its own death.

    Args:
        folder: of its database and log.

    Attributes:
        rpc_url: the same after each start.
        deaths: how often it was killed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self.rpc_url = f"http://127.0.0.1:{self._port}"
        self.deaths = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, again with the chain as it was; returns once it answers."""
        flags = ["--server.host", "127.0.0.1", "--server.port", str(self._port), "--wallet.mnemonic", DEV_MNEMONIC]
        flags += ["--wallet.totalAccounts", "10", "--chain.hardfork", "shanghai", "--miner.instamine", "strict"]
        flags += ["--miner.blockGasLimit", "1000000000", "--miner.callGasLimit", "1000000000"]
        flags += ["--database.dbPath", str(self._folder / "database")]
        with (self._folder / "ganache.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*find_tool("ganache"), *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            assert self._process.poll() is None, (self._folder / "ganache.log").read_text()[-2000:]
            try:
                ChainClient(self.rpc_url).close()
                return
            except ChainError:
                time.sleep(0.1)
        raise AssertionError("Ganache does not answer")

    def kill(self) -> None:
        """End it without warning."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self.deaths += 1

    def close(self) -> None:
        """End it for good."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
