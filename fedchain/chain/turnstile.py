"""Many pass at once; one may close it, and is alone once those inside have left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from fedchain.errors import ChainError


class Turnstile:
    """Open from the start. Thread-safe; whoever is inside must not close it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._is_closed = False

    @contextmanager
    def passing(
        self, seconds: float = 600.0, watched: Callable[[], AbstractContextManager[object]] = nullcontext
    ) -> Iterator[None]:
        """Be inside; waits while it is closed.

        Args:
            seconds: how long at most.
            watched: gives a context in which a wait goes on.

        Raises:
            ChainError: it was closed for longer.
        """
        with self._changed:
            if self._is_closed:
                with watched():
                    self._await_opening(time.monotonic() + seconds)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def _await_opening(self, deadline: float) -> None:
        while self._is_closed:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise ChainError("the account is being replaced, and that takes too long; nothing was sent")
            self._changed.wait(remaining)

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Be alone: waits for whoever closed it before, lets nobody in, and waits until the last has left.

        Whoever is inside has a limit of its own.
        """
        with self._changed:
            while self._is_closed:
                self._changed.wait()
            self._is_closed = True
            while self._inside:
                self._changed.wait()
        try:
            yield
        finally:
            with self._changed:
                self._is_closed = False
                self._changed.notify_all()
