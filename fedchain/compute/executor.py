"""Run a function over chunks, in order, on threads or on any backend that joblib knows.

Source: joblib's backend registry (`joblib.register_parallel_backend`) gives processes and clusters by name.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import joblib

from fedchain.errors import ConfigError

T = TypeVar("T")
R = TypeVar("R")

THREADING = "threading"


def chunks(n: int, size: int) -> list[slice]:
    """Cut ``range(n)`` into consecutive slices of `size` (the last may be shorter); none for ``n == 0``.

    Raises:
        ValueError: `n` negative or `size` not positive.
    """
    if n < 0 or size < 1:
        raise ValueError(f"chunks of {size} over {n}: need n >= 0 and size >= 1")
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


class Executor:
    """Maps functions over chunks of work; results come back in the order of the chunks.

    Functions are pure (arrays in, arrays out) and importable by name, so the same call runs on threads,
    processes, or a cluster. Whoever runs the workers sees what they are given: they are inside the party's own
    trust boundary. Mapped functions do not call `map` themselves: a full thread pool would wait for itself.
    """

    def __init__(self, n_jobs: int | None = None, backend: str = THREADING) -> None:
        """Choose where to run.

        Args:
            n_jobs: workers, default one per core; 1 runs everything in the calling thread.
            backend: "threading" (one pool, kept), or any backend registered with joblib ("loky", "dask", "ray" ...).

        Raises:
            ConfigError: `n_jobs` below 1, or a backend that joblib does not know, or that lacks what it needs
                ("dask" needs an open `distributed.Client`).
        """
        self.n_jobs = n_jobs if n_jobs is not None else available_cores()
        self.backend = backend
        if self.n_jobs < 1:
            raise ConfigError(f"n_jobs is {self.n_jobs}; give 1 or more workers")
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._pool_process = 0
        if backend != THREADING:
            try:
                with joblib.parallel_config(backend=backend, n_jobs=self.n_jobs):
                    joblib.Parallel()
            except (ValueError, ImportError) as error:
                raise ConfigError(f"compute backend '{backend}' cannot be used by joblib: {error}") from error

    def map(self, fn: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Apply `fn` to every item; the first error of any item is raised.

        Args:
            fn: a pure function, importable by name (or a `functools.partial` of one).
            items: finite; consumed at once.

        Returns:
            One result per item, in order.
        """
        tasks = list(items)
        if self.n_jobs == 1 or len(tasks) < 2:
            return [fn(task) for task in tasks]
        if self.backend == THREADING:
            return list(self._threads().map(fn, tasks))
        # `parallel_config`, not an argument: joblib registers the backends of other packages only there
        with joblib.parallel_config(backend=self.backend, n_jobs=self.n_jobs):
            results: list[R] = joblib.Parallel()(joblib.delayed(fn)(task) for task in tasks)
        return results

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None or self._pool_process != os.getpid():  # threads do not survive a fork
                self._pool = ThreadPoolExecutor(self.n_jobs, thread_name_prefix="fedchain")
                self._pool_process = os.getpid()
            return self._pool


def available_cores() -> int:
    """Cores this process may use, as joblib counts them (affinity and cgroup limits included); at least 1."""
    return max(1, int(joblib.cpu_count()))


@lru_cache(maxsize=1)
def default_executor() -> Executor:
    """The process-wide executor: threads, one per core."""
    return Executor()
