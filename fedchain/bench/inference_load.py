"""Load from one process: calls in a closed loop of several clients, or at a rate whether they are answered or not."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

Begin = Callable[[], Any]
"""Begins a call; gives a gRPC future."""

LATE_SECONDS = 60.0
"""How long calls that are under way at the end are waited for."""


@dataclass(frozen=True)
class Load:
    """What was measured.

    Attributes:
        latencies_ms: of each call that was answered.
        seconds: from the first call to the last answer.
        failed: calls that were not answered.
        error: what the first of them said; empty if there are none.
    """

    latencies_ms: list[float]
    seconds: float
    failed: int
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Percentiles, and what went through."""
        times = np.asarray(self.latencies_ms) if self.latencies_ms else np.full(1, np.nan)
        p50, p95, p99 = (float(one) for one in np.percentile(times, [50, 95, 99]))
        return {
            "p50_ms": p50,
            "p95_ms": p95,
            "p99_ms": p99,
            "requests_per_second": len(self.latencies_ms) / self.seconds,
            "failed": self.failed,
            "first_error": self.error,
        }


def closed_loop(call: Callable[[], object], clients: int, seconds: float) -> Load:
    """So many clients, each of which calls again as soon as it has its answer."""
    until = time.perf_counter() + seconds

    def client(_: int) -> tuple[list[float], list[str]]:
        latencies, errors = [], []
        while (begun := time.perf_counter()) < until:
            try:
                call()
                latencies.append((time.perf_counter() - begun) * 1000)
            except Exception as error:
                errors.append(f"{type(error).__name__}: {error}")
        return latencies, errors

    begun = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(client, range(clients)))
    errors = [error for _, some in found for error in some]
    latencies = [one for some, _ in found for one in some]
    return Load(latencies, time.perf_counter() - begun, len(errors), errors[0] if errors else "")


def open_loop(begin: Begin, rate: float, seconds: float, seed: int) -> Load:
    """Calls at random times, so many per second on average (a Poisson process), however long answers take.

    A call's latency counts from when it was due: if this process or the machine is late, the call is slow.
    """
    arrivals, chance = _arrivals(rate, seconds, seed), threading.Condition()
    latencies: list[float] = []
    errors: list[str] = []
    start = time.perf_counter() + 0.05

    def done(due: float, future: Any) -> None:
        ended = time.perf_counter()
        error = future.exception()
        with chance:
            if error is None:
                latencies.append((ended - due) * 1000)
            else:
                errors.append(str(getattr(error, "details", lambda: error)()))
            chance.notify()

    for arrival in arrivals:
        due = start + arrival
        pause = due - time.perf_counter()
        if pause > 0:
            time.sleep(pause)
        begin().add_done_callback(lambda future, due=due: done(due, future))
    with chance:
        chance.wait_for(lambda: len(latencies) + len(errors) == len(arrivals), LATE_SECONDS)
        missing = len(arrivals) - len(latencies)
    return Load(latencies, time.perf_counter() - start, missing, errors[0] if errors else "")


def _arrivals(rate: float, seconds: float, seed: int) -> Sequence[float]:
    """Seconds after the start."""
    generator = random.Random(seed)
    found = []
    at = generator.expovariate(rate)
    while at < seconds:
        found.append(at)
        at += generator.expovariate(rate)
    return found
