"""Child processes of `fedchain bench exchange`: they take commands on standard input and answer on standard output.

A line of JSON each way. A child ends when its standard input closes, so it cannot outlive the benchmark, even one that
is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from fedchain.errors import FedchainError

STOP_SECONDS = 5.0
Handler = Callable[..., Mapping[str, Any]]


class Child:
    """A child process, seen from the benchmark.

    Args:
        module: run with `python -m`; calls `serve`.
        log: file for what it says on standard error.
    """

    def __init__(self, module: str, log: Path) -> None:
        self._module, self._log = module, log
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file
            )

    def ask(self, command: str, **arguments: object) -> dict[str, Any]:
        """Have a command carried out, and wait for it.

        Raises:
            FedchainError: it failed, or the process ended; says why.
        """
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            words = self._log.read_text(errors="replace").splitlines()[-3:]
            raise FedchainError(f"{self._module} ended while it did '{command}': {' | '.join(words) or 'no output'}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise FedchainError(f"{self._module}, '{command}': {answer['error']}")
        return answer

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what was not flushed has no reader any more
                    pipe.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def serve(handlers: Mapping[str, Handler]) -> None:
    """The child's side: carry out commands one after the other until standard input closes, then end at once.

    Args:
        handlers: by command; called with its arguments, in a thread of their own.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what others print is no answer
    waiting: queue.Queue[bytes] = queue.Queue()

    def work() -> None:
        while True:
            arguments = json.loads(waiting.get())
            try:
                answer: Mapping[str, Any] = handlers[arguments.pop("command")](**arguments)
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            try:
                answers.write(json.dumps(answer).encode() + b"\n")
                answers.flush()
            except BrokenPipeError:
                os._exit(1)

    threading.Thread(target=work, name="commands", daemon=True).start()
    for line in sys.stdin.buffer:
        waiting.put(line)
    os._exit(0)
