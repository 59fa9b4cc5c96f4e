"""How much of the costly the API does at a time; whoever comes later is told to come again, nobody is queued."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fedchain.node.api.problems import Problem

RETRY_SECONDS = 5


class Bound:
    """At most so many at a time of one thing.

    Args:
        what: it, in the plural, for messages.
        most: at a time.
    """

    def __init__(self, what: str, most: int) -> None:
        self._what, self._most = what, most
        self._free = threading.BoundedSemaphore(most)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Do one.

        Raises:
            Problem: 503, as many are under way as may be.
        """
        self.take()
        try:
            yield
        finally:
            self.give_back()

    def take(self) -> None:
        """As `one`, for what ends elsewhere."""
        if not self._free.acquire(blocking=False):
            raise Problem(
                503,
                "busy",
                f"{self._most} {self._what} are under way, and no more are at a time; try again later",
                headers={"Retry-After": str(RETRY_SECONDS)},
            )

    def give_back(self) -> None:
        """What was taken has ended."""
        self._free.release()


class Bounds:
    """Those of one node."""

    def __init__(self) -> None:
        self.scoring = Bound("requests for scores", 8)
        self.asking = Bound("requests by id", 64)
        self.proposing = Bound("proposals or aborts", 4)
        self.auditing = Bound("audits", 2)
        self.reading = Bound("requests that read the chain", 16)
        self.describing = Bound("readings of the table", 2)
        self.uploading = Bound("uploads", 1)
        self.streaming = Bound("streams", 32)
