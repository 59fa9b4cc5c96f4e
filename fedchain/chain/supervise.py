"""Runs a command that ends when standard input does: `python supervise.py COMMAND…`.

A development chain must not outlive the process that started it, even a killed one. Node and anvil do not watch their
standard input, so this small parent does; on Linux the kernel ends the command with this parent as well. Run as a
script, it imports nothing of fedchain and starts in a moment.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading

_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(command: list[str]) -> int:
    """Run the command; returns its exit code."""
    on_linux = sys.platform.startswith("linux")
    process = subprocess.Popen(  # one thread so far, so preexec_fn is safe, and it is the thread that stays
        command, stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent if on_linux else None
    )

    def end(*_: object) -> None:
        with contextlib.suppress(OSError):
            process.kill()

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                continue
        end()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the starter decides
    threading.Thread(target=watch, daemon=True).start()
    return process.wait()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
