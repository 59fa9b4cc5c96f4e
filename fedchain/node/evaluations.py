"""How many ids of each peer this node has evaluated under its keys of set epochs: counted on the disk, and capped.

Each evaluation tells the peer whether one id of its choice is among this node's: whoever may have many can go through
all telephone numbers. A job is counted before the first of its ids is evaluated, once, however often the node restarts.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fedchain.errors import AlignmentPolicyError, ConfigError
from fedchain.types import JobId, PartyId

DAY_SECONDS = 86_400
EVALUATIONS = "evaluations.sqlite"
_KEPT_DAYS = 400
_TABLE = """
CREATE TABLE IF NOT EXISTS evaluations (job TEXT, peer TEXT, ids INTEGER NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (job, peer)) WITHOUT ROWID;
"""


class Evaluations:
    """The counts. Safe to use from several threads and processes.

    Args:
        path: an SQLite file; made, with mode 0600, when a job is first counted.
        clock: seconds since 1970.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self._lock = threading.Lock()

    def charge(self, job_id: JobId, peer: PartyId, ids: int, *, most: int, days: float) -> None:
        """Count a job's evaluations, if there is room for them; a job that is counted already is not counted again.

        Args:
            job_id: the job.
            peer: whose ids they are.
            ids: how many, with padding.
            most: evaluations of a peer within so many days; as an epoch lasts no longer, of one key.
            days: how far back they count.

        Raises:
            AlignmentPolicyError: there is no room; names the peer.
            ConfigError: the file cannot be read or written.
        """
        now = self._clock()
        with self._open() as db:
            if db.execute("SELECT 1 FROM evaluations WHERE job = ? AND peer = ?", (job_id, peer)).fetchone():
                return
            used = self._used(db, peer, now - days * DAY_SECONDS)
            if used + ids > most:
                raise AlignmentPolicyError(
                    peer,
                    f"asks this node to evaluate {ids} ids and had {used} evaluated within {days:g} days, and "
                    f"[alignment] max_evaluations_per_epoch of node.toml is {most}; wait until the epoch has ended, "
                    "or raise the bound",
                )
            db.execute("DELETE FROM evaluations WHERE at < ?", (now - _KEPT_DAYS * DAY_SECONDS,))
            db.execute("INSERT INTO evaluations VALUES (?, ?, ?, ?)", (job_id, peer, ids, now))

    def used(self, peer: PartyId, days: float) -> int:
        """Evaluations of a peer within so many days.

        Raises:
            ConfigError: the file cannot be read.
        """
        if not self._path.exists():
            return 0
        with self._open() as db:
            return self._used(db, peer, self._clock() - days * DAY_SECONDS)

    @staticmethod
    def _used(db: sqlite3.Connection, peer: PartyId, since: float) -> int:
        query = "SELECT COALESCE(SUM(ids), 0) FROM evaluations WHERE peer = ? AND at > ?"
        return int(db.execute(query, (peer, since)).fetchone()[0])

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The file, in one transaction that nobody else writes in, synced to the disk at its end."""
        with self._lock:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600))
                db = sqlite3.connect(self._path, isolation_level=None, timeout=10.0)
            except (OSError, sqlite3.Error) as error:
                raise ConfigError(f"{self._path}: cannot be opened ({error})") from error
            try:
                db.execute("PRAGMA synchronous = FULL")
                db.executescript(_TABLE)
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
            except sqlite3.Error as error:
                raise ConfigError(
                    f"{self._path}: evaluations cannot be counted ({error}), so no id is evaluated; restore the file"
                ) from error
            finally:
                db.close()  # rolls back what was not committed
