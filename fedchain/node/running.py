"""Runs a node until it is asked to stop."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable

from fedchain.node.config import NodeConfig
from fedchain.node.runtime import Node

_LAST_SECONDS = 20.0


def run_node(
    config: NodeConfig,
    stop: threading.Event,
    *,
    wait_for_accreditation: bool = True,
    until_stdin_closes: bool = False,
    on_ready: Callable[[Node], None] | None = None,
) -> None:
    """Run a node until `stop` is set, it is asked to stop, or reading the chain fails for good.

    Args:
        config: from `node.toml`.
        stop: ends it.
        wait_for_accreditation: False: raise NotAccreditedError instead of waiting for a steward.
        until_stdin_closes: stop, too, when standard input ends: a node does not survive the parent that started it.
        on_ready: called once the node takes jobs.

    Raises:
        FedchainError: see `Node`, `Node.start`; or what ended reading the chain.
    """
    if until_stdin_closes:
        threading.Thread(target=_stop_with_stdin, args=(stop,), name="stdin-watch", daemon=True).start()
    node = Node(config, stop)
    try:
        if not node.start(wait_for_accreditation=wait_for_accreditation):
            return
        if on_ready is not None:
            on_ready(node)
        while not stop.wait(0.2):
            if node.failure is not None:
                raise node.failure
    finally:
        node.close()


def _stop_with_stdin(stop: threading.Event) -> None:
    descriptor = sys.stdin.fileno()
    try:
        while os.read(descriptor, 4096):
            continue
    except OSError:
        pass
    stop.set()
    time.sleep(_LAST_SECONDS)
    os._exit(1)  # whatever still hangs must not outlive the parent
