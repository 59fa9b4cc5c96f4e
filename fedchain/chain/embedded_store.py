"""The file of an embedded chain that outlives its process: one SQLite database, one transaction per block.

A block is in the file before its transaction's sender gets an answer, so a chain that is killed at any moment opens
again at the last block that anybody has heard of. After a power failure the last blocks may be gone: nodes take that
for a reorganisation.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import msgspec
from eth.db.backends.memory import MemoryDB

from fedchain.errors import ConfigError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS trie (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS block (
    number INTEGER PRIMARY KEY, succeeded INTEGER NOT NULL, created BLOB, logs BLOB NOT NULL
);
"""
_APPLICATION_ID = 0x66656463  # "fedc": tells its files from others' databases


class KeptLog(msgspec.Struct, frozen=True, array_like=True):
    """One log as it is kept: address, topics as hex, data."""

    address: bytes
    topics: tuple[str, ...]
    data: bytes


@dataclass(frozen=True)
class KeptBlock:
    """What a block holds beside what py-evm keeps of it: whether its transaction succeeded, and what it left."""

    number: int
    succeeded: bool
    created: bytes | None
    logs: tuple[KeptLog, ...]


class RecordingDB(MemoryDB):
    """py-evm's database in memory, which notes what has changed since it was last asked."""

    def __init__(self, kv_store: dict[bytes, bytes]) -> None:
        super().__init__(kv_store)
        self._changed: dict[bytes, bytes | None] = {}

    def __setitem__(self, key: bytes, value: bytes) -> None:
        super().__setitem__(key, value)
        self._changed[bytes(key)] = bytes(value)

    def __delitem__(self, key: bytes) -> None:
        super().__delitem__(key)
        self._changed[bytes(key)] = None

    def take_changes(self) -> dict[bytes, bytes | None]:
        """What was written since the last call, None for what was deleted."""
        changed, self._changed = self._changed, {}
        return changed


class EmbeddedStore:
    """An open file; nobody else can open it meanwhile.

    Args:
        path: of the file; it is made, with its folder, where it does not exist.

    Raises:
        ConfigError: it cannot be written, is no file of an embedded chain, or another chain uses it.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0.5)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"chain state {path}: cannot be opened ({error})") from error
        try:
            self._open()
        except sqlite3.Error as error:
            self._connection.close()
            why = "another chain uses it" if "locked" in str(error) else f"is no file of an embedded chain ({error})"
            raise ConfigError(f"chain state {path}: {why}; choose another file") from error

    def _open(self) -> None:
        run = self._connection.execute
        run("PRAGMA locking_mode=EXCLUSIVE")
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA synchronous=NORMAL")
        run("BEGIN IMMEDIATE")  # takes the lock, and keeps it
        (found,) = run("PRAGMA application_id").fetchone()
        (tables,) = run("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and found != _APPLICATION_ID:
            raise sqlite3.DatabaseError("its content is of another kind")
        for statement in _SCHEMA.split(";"):
            run(statement)
        run(f"PRAGMA application_id={_APPLICATION_ID}")
        run("COMMIT")

    def load(self) -> tuple[dict[bytes, bytes], list[KeptBlock]]:
        """All of it: py-evm's database, and the blocks in their order; both empty in a new file."""
        trie = {bytes(key): bytes(value) for key, value in self._connection.execute("SELECT key, value FROM trie")}
        decoder = msgspec.msgpack.Decoder(tuple[KeptLog, ...])
        rows = self._connection.execute("SELECT number, succeeded, created, logs FROM block ORDER BY number")
        return trie, [KeptBlock(number, bool(ok), created, decoder.decode(logs)) for number, ok, created, logs in rows]

    def append(self, block: KeptBlock, changes: dict[bytes, bytes | None]) -> None:
        """Write a block and what it changed, all or nothing.

        Raises:
            sqlite3.Error: it cannot be written; the chain in memory is ahead of its file then, and must end.
        """
        run, many = self._connection.execute, self._connection.executemany
        written = [(key, value) for key, value in changes.items() if value is not None]
        deleted = [(key,) for key, value in changes.items() if value is None]
        run("BEGIN")
        many("INSERT OR REPLACE INTO trie VALUES (?, ?)", written)
        many("DELETE FROM trie WHERE key = ?", deleted)
        row = (block.number, block.succeeded, block.created, msgspec.msgpack.encode(block.logs))
        run("INSERT INTO block VALUES (?, ?, ?, ?)", row)
        run("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
