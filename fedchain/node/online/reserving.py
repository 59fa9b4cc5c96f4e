"""The requester's serials: reserved on the chain a range at a time, ahead of need, so that no row waits for a block.

What is reserved counts against the quota whether it is used or not: ranges begin small and grow with use.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

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


class Serials(Protocol):
    """Where rounds take serials from."""

    def take(self, rows: int) -> int:
        """The first of `rows` serials in a row, which nobody else gets."""

    def drop_below(self, floor: int) -> None:
        """Give up serials below `floor`."""

    def next_on_chain(self) -> int:
        """The serial after the last that the chain has reserved for this party."""


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

    def set_apart(self, rows: int) -> BatchSerials:
        """Serials for as many rows that nobody else takes, so that no chunk of a batch waits for a block.

        They are of a range that was reserved and not used if one is long enough, else reserved now; more than `MOST`
        in several transactions.

        Raises:
            QuotaExceededError: the job allows less in this window; nothing is reserved, or what was is kept for others.
            ChainError: they cannot be reserved.
        """
        with self._reserving:
            with self._lock:
                for place, (first, end) in enumerate(self._ranges):
                    if end - first >= rows:
                        self._ranges[place] = (first + rows, end)
                        return BatchSerials(self, [(first, first + rows)])
            usage = self._consortium.inference.reserved(self._job_id, self._address)
            left = max(0, self._quota - usage.used_in_window)
            if left < rows:
                raise QuotaExceededError(self._job_id, left, (usage.window + 1) * self._window_seconds)
            found: list[tuple[int, int]] = []
            try:
                for done in range(0, rows, MOST):
                    one = self._consortium.inference.reserve(self._job_id, min(MOST, rows - done))
                    if found and found[-1][1] == one.first:  # a chunk may lie across both
                        found[-1] = (found[-1][0], one.end)
                    else:
                        found.append((one.first, one.end))
            except BaseException:
                self.give_back(found)
                raise
            return BatchSerials(self, found)

    def give_back(self, ranges: list[tuple[int, int]]) -> None:
        """Serials that were set apart and are not needed: whoever is next takes them."""
        with self._lock:
            self._ranges += [(first, end) for first, end in ranges if first < end]

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


class BatchSerials:
    """Serials that are set apart for one batch; safe to use from several threads.

    Args:
        common: the job's, for what does not fit: chunks that are asked for again count again.
        ranges: the serials, each range from its first to the one behind its last.
    """

    def __init__(self, common: Reservations, ranges: list[tuple[int, int]]) -> None:
        self._common, self._ranges = common, ranges
        self._lock = threading.Lock()

    def take(self, rows: int) -> int:
        """The first of `rows` serials in a row; raises as `Reservations.take`."""
        with self._lock:
            for place, (first, end) in enumerate(self._ranges):
                if end - first >= rows:
                    self._ranges[place] = (first + rows, end)
                    return first
        return self._common.take(rows)

    def drop_below(self, floor: int) -> None:
        """Give up serials below `floor`, here and in what the job has: some answerer takes them no more."""
        with self._lock:
            self._ranges = [(max(first, floor), end) for first, end in self._ranges if end > floor]
        self._common.drop_below(floor)

    def next_on_chain(self) -> int:
        """As `Reservations.next_on_chain`."""
        return self._common.next_on_chain()

    def give_back(self) -> None:
        """The batch is over: what it did not use is the job's again."""
        with self._lock:
            ranges, self._ranges = self._ranges, []
        self._common.give_back(ranges)
