"""Many pass at once; one may close it, and is alone once those inside have left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turnstile:
    """Open from the start. Thread-safe; whoever is inside must not close it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._is_closed = False

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Be inside; waits while it is closed."""
        with self._changed:
            while self._is_closed:
                self._changed.wait()
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Be alone: waits for whoever closed it before, lets nobody in, and waits until the last has left."""
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
