"""A consortium set up by hand: every step is a `fedchain` command in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

FEDCHAIN = [sys.executable, "-m", "fedchain.cli.main"]
PATIENCE_SECONDS = 120.0


def run(*arguments: str, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a `fedchain` command to its end and check its exit code."""
    done = subprocess.run(
        [*FEDCHAIN, *arguments], cwd=cwd, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == code, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def run_json(*arguments: str, cwd: Path) -> dict[str, Any]:
    """Run a command with --json and parse the one object on stdout."""
    parsed = json.loads(run(*arguments, "--json", cwd=cwd).stdout)
    assert isinstance(parsed, dict)
    return parsed


def wait_for(look: Callable[[], Any], what: str) -> Any:
    """Poll until `look` gives something true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {PATIENCE_SECONDS:.0f} s for {what}")


class HandmadeFederation:
    """A chain, a deployment, and one folder with one CSV for each party."""

    def __init__(self, folder: Path, tables: Path, parties: Sequence[str]) -> None:
        self.folder, self.parties = folder, tuple(parties)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        chain = subprocess.Popen(
            [*FEDCHAIN, "chain", "start", "--port", "0", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
        )
        self.processes["chain"] = chain
        assert chain.stdout is not None
        lines = []
        while True:  # one JSON object, perhaps over several lines
            lines.append(chain.stdout.readline().decode())
            try:
                self.rpc = str(json.loads("".join(lines))["rpc_url"])
                break
            except ValueError:
                assert chain.poll() is None, "the chain ended"
        run("deploy", "--rpc", self.rpc, "--out", "deployment.json", cwd=folder)
        for party in parties:
            own = folder / party
            own.mkdir()
            shutil.copy(tables / f"{party}.csv", own / "table.csv")
            run(
                *("node", "init", "node", "--name", party, "--data", "table.csv", "--rpc", self.rpc),
                *("--deployment", "../deployment.json"),
                cwd=own,
            )
            self.start(party)
        for party in parties:
            wait_for(partial(self._accredit, party), f"{party} to register")

    def _accredit(self, party: str) -> bool:
        done = subprocess.run(
            [*FEDCHAIN, "steward", "accredit", party, "--rpc", self.rpc, "--deployment", "deployment.json"],
            cwd=self.folder,
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    def start(self, party: str) -> None:
        """Start a party's node in its own folder."""
        with (self.folder / party / "log").open("ab") as log:
            self.processes[party] = subprocess.Popen(
                [*FEDCHAIN, "node", "run", "node"], cwd=self.folder / party, stdout=log, stderr=log
            )

    def kill(self, party: str) -> None:
        """End a party's node without warning."""
        self.processes[party].send_signal(signal.SIGKILL)
        self.processes[party].wait()

    def log(self, party: str) -> str:
        """What a node has logged."""
        return (self.folder / party / "log").read_text(errors="replace")

    def submit(self, job: Path) -> str:
        """Propose a job through the active party's node."""
        node = f"{self.parties[0]}/node"

        def submitted() -> str | None:
            done = subprocess.run(
                [*FEDCHAIN, "job", "submit", str(job), "--node", node, "--json"],
                cwd=self.folder,
                capture_output=True,
                text=True,
                check=False,
            )
            return str(json.loads(done.stdout)["job_id"]) if done.returncode == 0 else None

        return str(wait_for(submitted, "the operator's node to take the job"))

    def chain_command(self, *arguments: str) -> tuple[str, ...]:
        """Arguments of a command that reads the chain."""
        return (*arguments, "--rpc", self.rpc, "--deployment", "deployment.json")

    def status(self, job: str) -> dict[str, Any]:
        """`job status --json`."""
        return run_json(*self.chain_command("job", "status", job), cwd=self.folder)

    def close(self) -> None:
        """Stop everything."""
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
