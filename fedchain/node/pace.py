"""How fast a stage goes, and how long it will still take, from the counts that a party's generator tells."""

from __future__ import annotations

import time
from collections.abc import Callable

from fedchain.protocol import Stage


class Pace:
    """Of one party's stages, one after the other.

    A stage begins with its first line; what was done then, before a restart say, counts for nothing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._name = ""
        self._begun = 0.0
        self._first = 0

    def note(self, stage: Stage) -> tuple[float | None, float | None]:
        """Take note of a line.

        Returns:
            What is done per second, and the seconds that are left at that rate; None while nobody knows.
        """
        now = self._clock()
        if stage.name != self._name or stage.done < self._first:
            self._name, self._begun, self._first = stage.name, now, stage.done
        done, seconds = stage.done - self._first, now - self._begun
        if done <= 0 or seconds <= 0:
            return None, None
        rate = done / seconds
        left = max(stage.total - stage.done, 0) / rate if stage.total else None
        return rate, left
