"""The requester's serials: reserved on the chain a range at a time, ahead of need, so that no row waits for a block.

What is reserved counts against the quota whether it is used or not: ranges begin small and grow with use.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import structlog

from fedchain.errors import ChainError, QuotaExceededError
from fedchain.types import JobId

if TYPE_CHECKING:
    from fedchain.chain import Consortium

log = structlog.get_logger(__name__)

FIRST_RANGE = 64
LARGEST_RANGE = 2**14
"""Serials reserved ahead; a request for more rows reserves as many as it needs."""

MOST = 2**24
"""Serials in one reservation; a bound of the contract."""

_PART_OF_QUOTA = 16
_QUICK_SECONDS = 10.0
_REFUSED_SECONDS = 1.0


class Reservations:
    """One job's serials at its requester; safe to use from several threads.

    Args:
        consortium: with this node's sender.
        job_id: a completed job.
        address: this party's.
        quota: rows per window, of the job's terms.
        window_seconds: of the job's terms.
        clock: seconds; for tests.
    """

    def __init__(
        self,
        consortium: Consortium,
        job_id: JobId,
        address: str,
        *,
        quota: int,
        window_seconds: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._consortium = consortium
        self._job_id, self._address = job_id, address
        self._quota, self._window_seconds = quota, window_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._reserving = threading.Lock()  # one at a time: whoever comes second finds what the first has reserved
        self._ranges: list[tuple[int, int]] = []
        self._size = max(1, min(FIRST_RANGE, quota // _PART_OF_QUOTA))
        self._last_at = float("-inf")
        self._low = 0
        self._refused: tuple[float, QuotaExceededError] | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="reserve")
        self._is_ahead = False
        self._closed = False

    def take(self, rows: int) -> int:
        """The first of `rows` serials in a row, which nobody else gets.

        Raises:
            QuotaExceededError: the job allows no more in this window; says when it ends.
            ChainError: they cannot be reserved.
        """
        while True:
            first = self._from_ranges(rows)
            if first is not None:
                return first
            with self._reserving:
                first = self._from_ranges(rows)
                if first is not None:
                    return first
                self._reserve(rows)

    def prepare(self, rows: int) -> None:
        """Reserve `rows` serials in a row, unless there are as many: none of a batch waits for a block then.

        More than `MOST` are in several ranges.

        Raises:
            QuotaExceededError: the job allows less in this window; nothing is reserved.
            ChainError: they cannot be reserved.
        """
        with self._reserving:
            with self._lock:
                if any(end - first >= rows for first, end in self._ranges):
                    return
            usage = self._consortium.inference.reserved(self._job_id, self._address)
            left = max(0, self._quota - usage.used_in_window)
            if left < rows:
                raise QuotaExceededError(self._job_id, left, (usage.window + 1) * self._window_seconds)
            for first in range(0, rows, MOST):
                self._reserve(min(MOST, rows - first))

    def drop_below(self, floor: int) -> None:
        """Give up serials below `floor`: some answerer takes them no more. They stay counted."""
        with self._lock:
            self._ranges = [(max(first, floor), end) for first, end in self._ranges if end > floor]

    def next_on_chain(self) -> int:
        """The serial after the last that the chain has reserved for this party."""
        return self._consortium.inference.reserved(self._job_id, self._address).next

    @property
    def left(self) -> int:
        """Serials that are reserved and not taken."""
        with self._lock:
            return sum(end - first for first, end in self._ranges)

    def close(self) -> None:
        """Reserve no more."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _from_ranges(self, rows: int) -> int | None:
        ahead, found = False, None
        with self._lock:
            for place, (first, end) in enumerate(self._ranges):
                if end - first >= rows:
                    self._ranges[place] = (first + rows, end)
                    found = first
                    break
            self._ranges = [one for one in self._ranges if one[0] < one[1]]
            left = sum(end - first for first, end in self._ranges)
            if found is not None and left < self._low and not self._is_ahead and not self._closed:
                ahead = self._is_ahead = True
        if ahead:
            try:
                self._pool.submit(self._reserve_ahead)
            except RuntimeError:  # closed
                self._is_ahead = False
        return found

    def _reserve_ahead(self) -> None:
        try:
            with self._reserving:
                self._reserve(1)
        except QuotaExceededError as error:
            log.info("no serials are reserved ahead", job=self._job_id, reason=str(error))
            with self._lock:
                self._low = 0  # until the next range: else every row would try again
        except ChainError as error:
            log.warning("serials could not be reserved ahead", job=self._job_id, error=str(error))
        finally:
            self._is_ahead = False

    def _reserve(self, rows: int) -> None:
        """Reserve a range of at least `rows`; the caller holds `_reserving`."""
        now = self._clock()
        if self._refused is not None and now - self._refused[0] < _REFUSED_SECONDS and rows > self._refused[1].left:
            raise self._refused[1]
        if now - self._last_at < _QUICK_SECONDS:
            self._size = max(1, min(2 * self._size, LARGEST_RANGE, self._quota // _PART_OF_QUOTA))
        usage = self._consortium.inference.reserved(self._job_id, self._address)
        left = max(0, self._quota - usage.used_in_window)
        count = min(max(rows, self._size), left, MOST)
        if count < rows:
            ends = (usage.window + 1) * self._window_seconds
            error = QuotaExceededError(self._job_id, left, ends)
            self._refused = (self._clock(), error)
            raise error
        found = self._consortium.inference.reserve(self._job_id, count)
        self._last_at = self._clock()
        with self._lock:
            self._ranges.append((found.first, found.end))
            self._low = self._size // 2
            self._refused = None
