"""A round that is being closed while its party computes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FuturesTimeoutError
from contextvars import copy_context


class Closing:
    """Does `close` in a thread of its own, and after it, if it succeeds, whatever is to follow.

    Used by one thread, that of the party.

    Args:
        close: ends by itself: each of its waits has a limit.
    """

    def __init__(self, close: Callable[[], None]) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="close-round")
        self._given_up = threading.Event()
        self._last: Future[None] = self._pool.submit(copy_context().run, close)

    def then(self, act: Callable[[], None]) -> None:
        """Do that next, unless what came before it fails or `end` is called."""
        before = self._last

        def next_one() -> None:
            before.result()
            if not self._given_up.is_set():
                act()

        self._last = self._pool.submit(copy_context().run, next_one)

    def wait(self) -> None:
        """Until all is done; raises what it raised."""
        self._pool.shutdown(wait=False)
        self._last.result()

    def end(self, seconds: float) -> None:
        """Do nothing more after what is under way, and wait so long at most until that is over. Raises nothing."""
        self._given_up.set()
        self._pool.shutdown(wait=False)
        try:
            self._last.exception(seconds)
        except FuturesTimeoutError:
            return
