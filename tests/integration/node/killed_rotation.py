"""Run as a process: a node, or the rotation of a stopped one's certificate, that kills itself at one step of it.

Usage: killed_rotation.py NODE_TOML run|stopped POINT
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

from fedchain.chain import Consortium
from fedchain.exchange.outbox import NodeOutbox
from fedchain.node import certificate_files
from fedchain.node.certificate_files import CertificateFiles
from fedchain.node.config import load_config
from fedchain.node.rotating import rotate_certificate
from fedchain.node.running import run_node

WATCHED: dict[str, tuple[object, str]] = {
    "staged": (CertificateFiles, "stage"),
    "recorded": (NodeOutbox, "put"),
    "sent": (Consortium, "set_service"),
    "mined": (Consortium, "set_service"),
    "installed": (CertificateFiles, "install"),
}


def arm(point: str) -> None:
    """Die right after this step."""

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if point.endswith(" replaced"):
        module: Any = certificate_files
        name, write = f"certificate.{'key' if point.startswith('key') else 'pem'}", module.write_atomically

        def written(path: Path, *arguments: Any, **named: Any) -> None:
            write(path, *arguments, **named)
            if path.name == name:
                die()

        module.write_atomically = written
        return
    if point == "sent":  # before anybody has read the receipt
        from fedchain.chain.watcher import Watcher

        Watcher.wait = lambda *_: die()  # type: ignore[method-assign,assignment]
        return
    owner, method = WATCHED[point]
    original = getattr(owner, method)

    def watched(*arguments: Any, **named: Any) -> Any:
        original(*arguments, **named)
        die()

    setattr(owner, method, watched)


def main() -> None:
    """Do it; this never returns."""
    path, what, point = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    config = load_config(path)
    if what == "stopped":
        arm(point)
        rotate_certificate(config)
        return

    def ready(_: object) -> None:
        arm(point)
        print("ready", flush=True)

    run_node(config, threading.Event(), until_stdin_closes=True, on_ready=ready)


if __name__ == "__main__":
    main()
