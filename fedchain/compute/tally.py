"""A number that only grows: how often something heavy was done. Who exports it reads it; this layer knows nobody."""

from __future__ import annotations

import threading


class Tally:
    """Counts from zero; several threads may add. Added to once per batch, not per item."""

    __slots__ = ("_lock", "_value")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value = 0

    def add(self, number: int = 1) -> None:
        """Count so many more.

        Raises:
            ValueError: negative: it never shrinks.
        """
        if number < 0:
            raise ValueError(f"a tally cannot go down by {-number}")
        with self._lock:
            self._value += number

    @property
    def value(self) -> int:
        """How many so far."""
        return self._value
