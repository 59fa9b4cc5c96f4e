"""A folder that looks like a fresh clone of the project, and a shell in it that does what a page says."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.unit.docs.blocks import Block
from tests.unit.docs.markdown import ROOT
from tests.unit.docs.printed import difference

PATIENCE_SECONDS = 150.0
SHOWN = "8545"
"""The port of the chain in the pages; in a clone it is a free one, for several may be under test at once."""

_FILES = ("README.md", "LICENSE", "Makefile", "pyproject.toml", "package.json")
_FOLDERS = ("docs", "nodes")


class PageError(AssertionError):
    """A page says what is not so."""


@dataclass
class _Running:
    command: str
    process: subprocess.Popen[bytes]
    log: Path


class Clone:
    """The project's files, a `.venv` that is this interpreter's, and what was started in the background.

    It lies in a folder of its own, and not in pytest's: the path of a node's socket has at most 103 bytes.
    """

    def __init__(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="pages-"))
        self._whole = folder
        self.folder = folder / "fedchain"
        self.folder.mkdir()
        self.port = _free_port()
        self.home = folder / "home"
        self.home.mkdir()
        self._running: list[_Running] = []
        for name in _FILES:  # copies: nothing that a page does reaches the project's own files
            shutil.copy(ROOT / name, self.folder)
        for name in _FOLDERS:
            shutil.copytree(ROOT / name, self.folder / name)
        binaries = self.folder / ".venv" / "bin"
        binaries.mkdir(parents=True)
        for stamp in (".installed", ".installed-test"):
            (binaries.parent / stamp).touch()
        _script(binaries / "python", f'exec "{sys.executable}" "$@"')
        _script(
            binaries / "fedchain",
            f'case "$1 $2" in "chain start") shift 2; set -- chain start --port {self.port} "$@" ;; esac',
            f'exec "{sys.executable}" -m fedchain.cli.main "$@"',
        )
        (binaries / "activate").write_text(f'PATH="{binaries}:$PATH"\n')

    def environment(self, *, active: bool) -> dict[str, str]:
        """Of a shell; `active` as after `. .venv/bin/activate`."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FEDCHAIN_", "PYTEST_"))}
        path = f"{self.folder / '.venv' / 'bin'}:" if active else ""
        return kept | {
            "HOME": str(self.home),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
            "PATH": path + os.environ["PATH"],
            "FEDCHAIN_RPC": f"http://127.0.0.1:{self.port}",
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "80",
            "LC_ALL": "C.UTF-8",
        }

    def start(self, command: str, until: str, cwd: Path, environment: dict[str, str]) -> None:
        """Start a command in the background, as in a terminal of its own, and wait for what it prints.

        Raises:
            PageError: it ended, or did not print that.
        """
        log = self.home / f"{len(self._running)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-c", self.here(command)],
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._running.append(_Running(command, process, log))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.here(until) not in log.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise PageError(f"{command!r} did not print {until!r} but\n{log.read_text(errors='replace')}")
            time.sleep(0.05)

    def stop(self, text: str) -> None:
        """Ctrl-C in the terminal of the background command that contains a text.

        Raises:
            PageError: there is none.
        """
        found = [one for one in self._running if text in one.command and one.process.poll() is None]
        if not found:
            raise PageError(f"nothing that was started contains {text!r}")
        _end(found[-1].process, signal.SIGINT)

    def logs(self) -> str:
        """The ends of all logs, for messages."""
        return "\n".join(f"--- {one.command}\n{one.log.read_text(errors='replace')[-2000:]}" for one in self._running)

    def here(self, text: str) -> str:
        """A page's text with this clone's port."""
        return text.replace(f":{SHOWN}", f":{self.port}")

    def close(self) -> None:
        """End all that runs, and remove the folder."""
        for one in reversed(self._running):
            _end(one.process, signal.SIGTERM)
        shutil.rmtree(self._whole)


class Terminal:
    """A shell in a clone: variables and `cd` last, as they do for a reader.

    Args:
        active: whether `.venv/bin` is on PATH from the start.
        first: commands before the first one of a page.
    """

    def __init__(self, clone: Clone, *, active: bool, first: str = "") -> None:
        self.clone = clone
        self._known: dict[str, str] = {}
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=clone.folder,
            env=clone.environment(active=active),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        if first:
            self.run(first)

    def follow(self, block: Block) -> None:
        """Do what a block says.

        Raises:
            PageError: something came out otherwise than the page says.
        """
        if block.never:
            return
        if block.stop:
            self.clone.stop(block.stop)
        elif block.file:
            path = Path(self.run("pwd")[1].strip()) / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.clone.here(block.content), encoding="utf-8")
        elif block.until:
            *before, last = block.commands
            for command in before:
                self._check(block, command.text, command.prints, 0)
            cwd = Path(self.run("pwd")[1].strip())
            environment = dict(
                line.split("=", 1) for line in self.run("env -0 | tr '\\n\\0' ' \\n'")[1].splitlines() if "=" in line
            )
            self.clone.start(last.text, block.until, cwd, environment)
        else:
            for number, command in enumerate(block.commands, 1):
                self._check(block, command.text, command.prints, block.code if number == len(block.commands) else 0)

    def _check(self, block: Block, command: str, prints: tuple[str, ...] | None, code: int) -> None:
        ended, printed = self.run(command)
        if ended != code:
            raise PageError(f"{block.where}: {command}\nexit code {ended}, not {code}\n{printed}\n{self.clone.logs()}")
        lines = printed.replace(str(self.clone.port), SHOWN).splitlines()
        lost = None if prints is None else difference(prints, lines, self._known)
        if lost is not None:
            raise PageError(f"{block.where}: {command}\nthe page shows\n{lost}\nit printed\n{printed}")

    def run(self, command: str) -> tuple[int, str]:
        """Exit code, and all that a command printed.

        Raises:
            PageError: it ended the shell, or took too long.
        """
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        mark = "--- end of command ---"
        watchdog = threading.Timer(PATIENCE_SECONDS, self.close)
        watchdog.start()
        try:
            self._shell.stdin.write(
                f"{{\n{self.clone.here(command)}\n}} </dev/null\nprintf '\\n%s %s\\n' '{mark}' $?\n"
            )
            self._shell.stdin.flush()
            printed: list[str] = []
            for line in self._shell.stdout:
                if line.startswith(mark):
                    return int(line.split()[-1]), "".join(printed).removesuffix("\n")
                printed.append(line)
        finally:
            watchdog.cancel()
        raise PageError(f"{command}\nended the shell, or took longer than {PATIENCE_SECONDS:.0f} s\n{''.join(printed)}")

    def close(self) -> None:
        """End the shell and what runs in it."""
        _end(self._shell, signal.SIGTERM)


def _end(process: subprocess.Popen[bytes] | subprocess.Popen[str], how: signal.Signals) -> None:
    for one in (how, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, one)
        try:
            process.wait(20)
            break
        except subprocess.TimeoutExpired:
            continue
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    return int(port)


def _script(path: Path, *lines: str) -> None:
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    path.chmod(0o755)
