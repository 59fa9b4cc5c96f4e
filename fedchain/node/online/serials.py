"""The answerer's count: which serials of its requesters are spent. Each is good for one row, once.

A serial counts from the chain's reservations: those below the requester's next one are reserved. In memory there is a
bit for each; on the disk only how far the reservations went that were begun. After a restart what was begun before is
refused as a whole, because the bits are gone: the requester reserves anew. Where the file itself is gone, after a
restore for example, all that is reserved by then is refused once.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from fedchain.errors import AskRefusedError, ConfigError
from fedchain.node.online.refusals import BEGUN, SPENT, UNRESERVED
from fedchain.types import JobId

PAGE = 2**16
"""Serials in one number of bits."""

MAX_PAGES = 4096
"""Of one requester and job, 32 MB: beyond them the oldest are refused as a whole."""

_ALL = -1
"""All bits set, as a Python number without end."""

_LOST = "*"
"""In the place of a job: what was begun before this file was made is not known."""

_LAG_SECONDS = 1.0
_LOOK_SECONDS = 0.05

Reserved = Callable[[JobId, str], int]
"""(job, requester's address) → its next serial on the chain: all below are reserved."""


class Serials:
    """Spends serials; safe to use from several threads, also in the very same moment.

    Args:
        path: the file that says what was begun; created with mode 0600.
        reserved: reads the chain.
        has_answered: whether this node may have answered before it had this file.

    Raises:
        ConfigError: the file is damaged.
    """

    def __init__(self, path: Path, reserved: Reserved, *, has_answered: bool = False) -> None:
        self._reserved = reserved
        is_lost = has_answered and not path.exists()
        self._lock = threading.Lock()
        self._books: dict[tuple[JobId, str], _Book] = {}
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10.0)
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS begun (job TEXT, requester TEXT, below INTEGER NOT NULL, "
                "PRIMARY KEY (job, requester)) WITHOUT ROWID"
            )
            if is_lost:
                self._db.execute("INSERT OR REPLACE INTO begun VALUES (?, '', 0)", (_LOST,))
            self._is_lost = self._row(JobId(_LOST), "") is not None
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise ConfigError(f"{path}: cannot be read ({error}); move it away to refuse no serial twice") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def spend(self, job_id: JobId, requester: str, first: int, rows: int) -> None:
        """Mark `rows` serials from `first` on as spent: all of them, or none.

        Args:
            job_id: the job.
            requester: address.
            first: 0 to 2^62.
            rows: at least 1.

        Raises:
            AskRefusedError: one of them is spent, is not reserved on the chain, or was begun before this node's start.
            ChainError: the reservations cannot be read.
        """
        book = self._book(job_id, requester)
        last = first + rows
        until = time.monotonic() + _LAG_SECONDS
        while True:
            with book.lock:
                if last > book.reserved:
                    reserved = self._reserved(job_id, requester)
                    if reserved > book.reserved:
                        self._begin(job_id, requester, reserved)  # before any of them is spent
                        book.reserved = reserved
                if last <= book.reserved:
                    book.spend(first, last)
                    return
            if time.monotonic() >= until:  # this node's view of the chain may be a block behind the requester's
                raise AskRefusedError(
                    UNRESERVED, f"serials {first} to {last - 1} are not reserved on the chain", book.reserved
                )
            time.sleep(_LOOK_SECONDS)

    def _book(self, job_id: JobId, requester: str) -> _Book:
        with self._lock:
            book = self._books.get((job_id, requester))
            if book is None:
                below = self._row(job_id, requester)
                if below is None:
                    below = self._reserved(job_id, requester) if self._is_lost else 0
                book = self._books[job_id, requester] = _Book(below)
            return book

    def _row(self, job_id: JobId, requester: str) -> int | None:
        query = "SELECT below FROM begun WHERE job = ? AND requester = ?"
        row = self._db.execute(query, (job_id, requester)).fetchone()
        return None if row is None else int(row[0])

    def _begin(self, job_id: JobId, requester: str, below: int) -> None:
        with self._lock:
            self._db.execute("INSERT OR REPLACE INTO begun VALUES (?, ?, ?)", (job_id, requester, below))


class _Book:
    """One requester's serials in one job; `lock` is held around `spend`."""

    def __init__(self, floor: int) -> None:
        self.lock = threading.Lock()
        self.reserved = floor
        self._floor = floor
        self._pages: dict[int, int] = {}

    def spend(self, first: int, last: int) -> None:
        if first < self._floor:
            raise AskRefusedError(
                BEGUN,
                f"serials below {self._floor} were begun before this node started, and may be spent; reserve anew",
                self._floor,
            )
        masks: list[tuple[int, int]] = []
        at = first
        while at < last:
            page, offset = divmod(at, PAGE)
            count = min(PAGE - offset, last - at)
            mask = (1 << count) - 1 << offset
            if self._pages.get(page, 0) & mask:
                raise AskRefusedError(SPENT, f"some of the serials {first} to {last - 1} were used before")
            masks.append((page, mask))
            at += count
        for page, mask in masks:
            bits = self._pages.get(page, 0) | mask
            self._pages[page] = _ALL if bits == (1 << PAGE) - 1 else bits
        if len(self._pages) > MAX_PAGES:
            kept = sorted(self._pages)[-MAX_PAGES // 2 :]
            self._floor = max(self._floor, kept[0] * PAGE)
            self._pages = {page: self._pages[page] for page in kept}
