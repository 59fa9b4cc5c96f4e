"""Thread pools for traffic with peers: one for each peer, so that a peer that stalls delays nobody else's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from fedchain.errors import StoppingError

T = TypeVar("T")

_WORKERS_PER_PEER = 2


class PeerPools:
    """Small thread pools, made when a peer is first dealt with. Safe to use from several threads.

    Args:
        name: of the threads, for whoever looks at them.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._pools: dict[str, ThreadPoolExecutor] = {}
        self._is_closed = False

    def submit(self, peer: str, act: Callable[[], T]) -> Future[T]:
        """Call `act` in a thread of that peer, with what the caller's log lines carry.

        Raises:
            StoppingError: `close` was called.
        """
        with self._lock:
            if self._is_closed:
                raise StoppingError("this node is stopping")
            pool = self._pools.get(peer)
            if pool is None:
                pool = ThreadPoolExecutor(_WORKERS_PER_PEER, thread_name_prefix=self._name)
                self._pools[peer] = pool
            return pool.submit(copy_context().run, act)

    def close(self) -> None:
        """Give up what has not begun; what is under way goes on to its end."""
        with self._lock:
            self._is_closed = True
            for pool in self._pools.values():
                pool.shutdown(wait=False, cancel_futures=True)
