"""Nodes as child processes of this one: started, watched, and stopped whatever happens."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from fedchain.errors import FedchainError
from fedchain.node.config import NodeConfig
from fedchain.types import PartyId

STOP_SECONDS = 5.0
LOG_TAIL_LINES = 5


@dataclass
class NodeProcess:
    """One party's node as a child process.

    It ends when its standard input closes, so it cannot outlive its starter, even one that is killed.
    """

    name: PartyId
    config: NodeConfig
    folder: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, name: PartyId, config: NodeConfig, folder: Path) -> NodeProcess:
        """Start `fedchain node run` on the folder's node.toml; its log goes to `node.log` in there."""
        command = [sys.executable, "-m", "fedchain.cli.main", "node", "run", "--config", str(folder / "node.toml")]
        with (folder / "node.log").open("ab") as log:
            process = subprocess.Popen(
                [*command, "--until-stdin-closes"], stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=folder
            )
        return cls(name, config, folder, process)

    @property
    def address(self) -> str:
        """The node's chain address, as its keystore says it in clear."""
        return "0x" + str(json.loads(self.config.keys.keystore.read_text())["address"]).removeprefix("0x")

    def require_alive(self) -> None:
        """Raise if the process has ended.

        Raises:
            FedchainError: with the last lines of its log.
        """
        code = self.process.poll()
        if code is not None:
            lines = (self.folder / "node.log").read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
            raise FedchainError(f"node '{self.name}' ended with code {code}: {' | '.join(lines) or 'no output'}")

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
