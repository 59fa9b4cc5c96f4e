"""A process for each party of a measured alignment, connected to each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from fedchain.bench.exchange_child import Child

_MODULE = "fedchain.bench.psi_party"

Ask = Callable[[str, Callable[[str], Mapping[str, Any]]], dict[str, dict[str, Any]]]
"""Gives all parties a command at the same time, each with its own arguments; returns the answers by name."""


@contextmanager
def party_processes(names: Sequence[str], *, threads: int, folder: Path, log: str = "{name}.log") -> Iterator[Ask]:
    """Start them; they are gone when the block ends.

    Args:
        names: in roster order.
        threads: workers of each.
        folder: holds a folder for each party, of its name.
        log: name of each one's log file in `folder`.

    Raises:
        FedchainError: a process ended.
    """
    with ExitStack() as stack:
        children = {name: stack.enter_context(Child(_MODULE, folder / log.format(name=name))) for name in names}
        pool = stack.enter_context(ThreadPoolExecutor(len(names)))

        def ask(command: str, each: Callable[[str], Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
            asked = {name: pool.submit(children[name].ask, command, **each(name)) for name in names}
            return {name: one.result() for name, one in asked.items()}

        opened = ask("open", lambda name: {"name": name, "threads": threads, "folder": str(folder / name)})
        ports = {name: answer["port"] for name, answer in opened.items()}
        ask("connect", lambda name: {"roster": list(names), "ports": ports})
        yield ask
