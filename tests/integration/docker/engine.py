"""The Docker engine of this machine, and a consortium that a compose file describes on it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
BASE_IMAGE = os.environ.get("FEDCHAIN_BASE_IMAGE", "python:3.11-slim-bookworm")
PATIENCE_SECONDS = 600.0
_POLL_SECONDS = 1.0


def compose_command() -> list[str] | None:
    """`docker compose`, or docker-compose; None where neither is installed."""
    if shutil.which("docker"):
        found = subprocess.run(["docker", "compose", "version"], capture_output=True, timeout=60)
        if found.returncode == 0:
            return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else None


def missing() -> str | None:
    """Why there is no engine to test on; None where there is one."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    engine = subprocess.run(["docker", "info"], capture_output=True, text=True, timeout=60)
    if engine.returncode != 0:
        return "no Docker engine answers: start one"
    if compose_command() is None:
        return "neither `docker compose` nor docker-compose is installed"
    return None


@dataclass
class Stack:
    """The services of a compose file, under a project name of their own.

    Attributes:
        files: compose files, later ones override.
        environment: for the compose files.
        project: of the engine's names.
    """

    files: list[Path]
    environment: dict[str, str]
    project: str = field(default_factory=lambda: f"fedchain-test-{secrets.token_hex(4)}")

    def run(self, *arguments: str, check: bool = True, seconds: float = PATIENCE_SECONDS) -> str:
        """A compose command's standard output."""
        command = compose_command()
        assert command is not None
        files = [part for path in self.files for part in ("--file", str(path))]
        done = subprocess.run(
            [*command, "--project-name", self.project, *files, *arguments],
            env={**os.environ, **self.environment, "COMPOSE_IGNORE_ORPHANS": "1"},
            capture_output=True,
            text=True,
            timeout=seconds,
            stdin=subprocess.DEVNULL,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(arguments)}: {done.stderr[-3000:]}")
        return done.stdout

    def inside(self, service: str, *command: str) -> Any:
        """The JSON that a fedchain command prints in a running container."""
        return json.loads(self.run("exec", "-T", service, "fedchain", *command, "--json"))

    def container(self, service: str) -> str:
        """A service's container id; stopped ones, too."""
        labels = {"project": self.project, "service": service}
        filters = [f"--filter=label=com.docker.compose.{key}={value}" for key, value in labels.items()]
        (found,) = docker("ps", "--all", "--quiet", *filters).split()
        return found

    def inspect(self, service: str) -> Any:
        """What the engine knows of a service's container."""
        (found,) = json.loads(docker("inspect", self.container(service)))
        return found

    def logs(self) -> str:
        """The last lines of all, for messages."""
        return self.run("logs", "--no-color", "--tail", "30", check=False)


def docker(*arguments: str, check: bool = True) -> str:
    """A docker command's standard output."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    if check and done.returncode != 0:
        raise AssertionError(f"docker {' '.join(arguments)}: {done.stderr[-3000:]}")
    return done.stdout


def wait_until(look: Callable[[], Any], what: str, stack: Stack) -> Any:
    """Poll until `look` gives something true; assertions and failing commands in it count as not yet."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    last: Exception | None = None
    while time.monotonic() < deadline:
        try:
            found = look()
        except (AssertionError, ValueError) as error:
            last, found = error, None
        if found:
            return found
        time.sleep(_POLL_SECONDS)
    raise AssertionError(f"waited {PATIENCE_SECONDS:.0f} s for {what} ({last}); logs:\n{stack.logs()}")
