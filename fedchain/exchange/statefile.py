"""A node's state file in SQLite, with a write-ahead log, of one chain: what is written outlives the process."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedchain.errors import ConfigError, WrongChainError

STATE_VERSION = "1"
_META = "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"


class StateFile:
    """The file. Safe to use from several threads.

    Args:
        path: the SQLite file; created with mode 0600, its folder with 0700.
        chain_id: of the chain this node works on.
        genesis_hash: 32 bytes, of that chain.
        tables: statements that create what it holds.

    Raises:
        WrongChainError: the file was written on another chain (or the chain was reset); names both.
        ConfigError: not a state file of this version.
    """

    def __init__(self, path: Path, *, chain_id: int, genesis_hash: bytes, tables: str) -> None:
        self.path = path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        self._lock, self._log = threading.RLock(), -1
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10.0)
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.executescript(_META + tables)
            self._log = os.open(f"{path}-wal", os.O_RDONLY)  # there as long as the connection is
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise ConfigError(f"{path}: not a readable node state ({error}); move it away to start anew") from error
        try:
            self._check("state version", "version", STATE_VERSION)
            self._check("chain id", "chain_id", str(chain_id))
            self.require_genesis(genesis_hash)
        except BaseException:
            self.close()
            raise

    def require_genesis(self, genesis_hash: bytes) -> None:
        """Make sure that the chain is the one that this file was written on.

        Raises:
            WrongChainError: it is another one (a development chain was reset, for example); names both genesis hashes.
        """
        self._check("genesis block", "genesis", "0x" + genesis_hash.hex())

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()
            if self._log >= 0:
                os.close(self._log)
            self._log = -1

    # -- what others keep in this file ------------------------------------------------------------------------------

    @contextmanager
    def transaction(self, *, synced: bool = True) -> Iterator[sqlite3.Connection]:
        """Write, all or nothing; on the disk when it ends, or, not `synced`, safe from a killed process alone."""
        with self._write(synced=synced) as db:
            yield db

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read."""
        with self._lock:
            yield self._db

    # -- inside -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _write(self, *, synced: bool = True) -> Iterator[sqlite3.Connection]:
        """A transaction; not `synced`, it survives a killed process but perhaps not a power failure."""
        with self._lock:
            self._db.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _check(self, what: str, key: str, value: str) -> None:
        with self._write() as db:
            db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (key, value))
            recorded = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0]
        if recorded != value:
            if key == "version":
                raise ConfigError(f"{self.path}: state of version {recorded}, not {value}; move it away to start anew")
            raise WrongChainError(f"{what} recorded in {self.path}", recorded, value)
