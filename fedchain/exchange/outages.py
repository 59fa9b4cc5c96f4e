"""Doing something in spite of outages: what waits for the chain's node is entered in the register of waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TypeVar

import structlog

from fedchain.errors import ChainUnreachableError
from fedchain.exchange.waits import THE_CHAIN, Waits

log = structlog.get_logger(__name__)

T = TypeVar("T")

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0


def through_outages(
    act: Callable[[], T],
    done: Callable[[], T | None],
    deadline: float,
    what: str,
    *,
    waits: Waits | None = None,
    job_id: str = "",
) -> T:
    """Do `act`, again after each RPC outage unless `done` says that an earlier try arrived after all.

    Args:
        act: sends a transaction; raises ChainUnreachableError when nothing answers.
        done: reads the chain: what `act` would have returned, or None if it has not happened.
        deadline: in `time.monotonic()` seconds.
        what: for the log.
        waits: where the outage is entered while it lasts.
        job_id: for whose sake.

    Raises:
        ChainUnreachableError: still nothing answers at the deadline.
    """
    pause = _FIRST_PAUSE_SECONDS
    failed = False
    with ExitStack() as outage:
        while True:
            try:
                if failed:
                    result = done()
                    if result is not None:
                        return result
                return act()
            except ChainUnreachableError as error:
                if time.monotonic() + pause >= deadline:
                    raise
                log.warning("chain does not answer, trying again", doing=what, error=str(error))
                if waits is not None and not failed:
                    outage.enter_context(waits.on((THE_CHAIN,), "outage", f"answer to {what}", deadline, job_id=job_id))
                failed = True
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def poll(
    look: Callable[[], T | None],
    deadline: float,
    pause_seconds: float,
    *,
    waits: Waits,
    who: Sequence[str],
    about: str,
    what: str,
    job_id: str,
) -> T | None:
    """Look again and again until there is something; None where there is nothing at the deadline.

    A wait is entered unless the first look finds it. Used for what no event tells.

    Args:
        look: reads the chain.
        deadline: in `time.monotonic()` seconds.
        pause_seconds: between two looks.
        waits, who, about, what, job_id: see `Waits.on`.
    """
    found = look()
    if found is not None:
        return found
    with waits.on(who, about, what, deadline, job_id=job_id):
        while found is None and time.monotonic() < deadline:
            time.sleep(pause_seconds)
            found = look()
    return found
