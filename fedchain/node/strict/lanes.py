"""Workers for the requests of others: whoever asks, and then does not go on, keeps nobody else's requests waiting."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from fedchain.chain.inference import MAX_REQUESTS

WORKERS = MAX_REQUESTS
"""Of one requester: so many answers fit in a block as requests do."""

WAITING = 4 * MAX_REQUESTS
"""Requests of one requester that are answered, or wait for a worker."""


class Lane:
    """One requester's.

    Attributes:
        pool: its workers.
        room: for requests.
    """

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="strict")
        self.room = threading.BoundedSemaphore(WAITING)


class Lanes:
    """One per requester, and requesters are parties of a roster; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lanes: dict[str, Lane] = {}
        self._closed = False

    def of(self, requester: str) -> Lane:
        """A requester's.

        Raises:
            RuntimeError: closed.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError("no more requests are taken")
            if requester not in self._lanes:
                self._lanes[requester] = Lane()
            return self._lanes[requester]

    def close(self) -> None:
        """Take no more."""
        with self._lock:
            self._closed = True
            for lane in self._lanes.values():
                lane.pool.shutdown(wait=False, cancel_futures=True)
