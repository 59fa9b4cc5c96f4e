"""A node's memory in SQLite: how far it has read the chain, what it has sent, and the jobs it knows.

One file with a write-ahead log: what a method has recorded is there after the process is killed. What cannot be read
from the chain again (uplinks before their first send, jobs) is synced to the disk as well, against power failures.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from fedchain.errors import ConfigError, TrainingError
from fedchain.exchange.records import Cursor, Delivery, JobRecord, OutgoingSlot, OutgoingUplink, RequestRecord
from fedchain.exchange.statefile import StateFile
from fedchain.types import JobId, Kind

_SEEN_BLOCKS_KEPT = 10_000
_TABLES = """
CREATE TABLE IF NOT EXISTS cursor (id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL, hash BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS seen (block_hash BLOB, log_index INTEGER, block_number INTEGER NOT NULL,
    PRIMARY KEY (block_hash, log_index)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uplinks (job TEXT, round INTEGER, attempt INTEGER, step INTEGER, kind INTEGER,
    recipient TEXT, digest BLOB NOT NULL, size INTEGER NOT NULL, statistic_e6 INTEGER NOT NULL, payload BLOB,
    status TEXT NOT NULL, tx TEXT, PRIMARY KEY (job, round, attempt, step, kind, recipient)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS deliveries (job TEXT, round INTEGER, sender TEXT, envelope BLOB, signature BLOB NOT NULL,
    PRIMARY KEY (job, round, sender, envelope)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS proofs (job TEXT, round INTEGER, sender TEXT, envelope BLOB, signature BLOB NOT NULL,
    PRIMARY KEY (job, round, sender, envelope)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempts (job TEXT PRIMARY KEY, attempt INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS jobs (job TEXT PRIMARY KEY, block INTEGER NOT NULL, proposer TEXT NOT NULL,
    spec BLOB NOT NULL, status TEXT NOT NULL, error TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS requests (job TEXT, request INTEGER, block INTEGER NOT NULL, requester TEXT NOT NULL,
    status TEXT NOT NULL, PRIMARY KEY (job, request)) WITHOUT ROWID;
"""


class NodeState(StateFile):
    """The state file. Safe to use from several threads.

    Args:
        path: the SQLite file; created with mode 0600, its folder with 0700.
        chain_id: of the chain this node works on.
        genesis_hash: 32 bytes, of that chain.

    Raises:
        WrongChainError: the file was written on another chain (or the chain was reset); names both.
        ConfigError: not a state file of this version.
    """

    def __init__(self, path: Path, *, chain_id: int, genesis_hash: bytes) -> None:
        super().__init__(path, chain_id=chain_id, genesis_hash=genesis_hash, tables=_TABLES)

    # -- reading the chain ------------------------------------------------------------------------------------------

    def cursor(self) -> Cursor | None:
        """The last block read, None before the first."""
        with self._lock:
            row = self._db.execute("SELECT number, hash FROM cursor").fetchone()
        return None if row is None else Cursor(int(row[0]), bytes(row[1]))

    def is_seen(self, block_hash: bytes, log_index: int) -> bool:
        """Whether an event was recorded by `advance`."""
        with self._lock:
            query = "SELECT 1 FROM seen WHERE block_hash = ? AND log_index = ?"
            return self._db.execute(query, (block_hash, log_index)).fetchone() is not None

    def advance(self, cursor: Cursor, events: Iterable[tuple[bytes, int, int]]) -> None:
        """Record, in one step, that all events up to a block have been delivered.

        Args:
            cursor: the block.
            events: (block hash, log index, block number) of the events delivered since the last call.
        """
        with self._write(synced=False) as db:
            db.executemany("INSERT OR IGNORE INTO seen (block_hash, log_index, block_number) VALUES (?, ?, ?)", events)
            db.execute("DELETE FROM seen WHERE block_number < ?", (cursor.number - _SEEN_BLOCKS_KEPT,))
            db.execute("INSERT OR REPLACE INTO cursor VALUES (1, ?, ?)", (cursor.number, cursor.hash))

    def rewind(self, cursor: Cursor) -> None:
        """After a reorganisation: read on from an earlier block; events of orphaned blocks are not seen any more."""
        with self._write() as db:
            db.execute("DELETE FROM seen WHERE block_number > ?", (cursor.number,))
            db.execute("INSERT OR REPLACE INTO cursor VALUES (1, ?, ?)", (cursor.number, cursor.hash))

    def read_blocks(self) -> Iterator[Cursor]:
        """Blocks with events that were read, newest first: where to look for the last one that still stands."""
        with self._lock:
            query = "SELECT DISTINCT block_number, block_hash FROM seen ORDER BY block_number DESC"
            rows = self._db.execute(query).fetchall()
        yield from (Cursor(int(number), bytes(block_hash)) for number, block_hash in rows)

    # -- what this node sends ---------------------------------------------------------------------------------------

    def prepare(self, uplink: OutgoingUplink) -> OutgoingUplink:
        """Record an uplink before its first send.

        Returns:
            What is recorded in its slot: the same, or, if it was recorded before, the earlier record of equal digest.

        Raises:
            TrainingError: the slot already holds another digest: sending it would be equivocation.
        """
        with self._write() as db:
            earlier = self._uplink(uplink)
            if earlier is not None:
                if (earlier.digest, earlier.statistic_e6) != (uplink.digest, uplink.statistic_e6):
                    raise TrainingError(
                        f"round {uplink.round} step {uplink.step}: this node has already committed to another "
                        f"{uplink.kind.name.lower()} in that slot; it does not show two digests for one slot"
                    )
                return earlier
            db.execute(
                "INSERT INTO uplinks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    uplink.job_id,
                    uplink.round,
                    uplink.attempt,
                    uplink.step,
                    int(uplink.kind),
                    uplink.recipient,
                    uplink.digest,
                    uplink.size,
                    uplink.statistic_e6,
                    uplink.payload,
                    uplink.status,
                    uplink.tx,
                ),
            )
        return uplink

    def settle(self, uplink: OutgoingUplink, status: str, tx: str) -> None:
        """Record an uplink's verdict: `accepted` or `rejected: <reason>`, and its transaction's hash."""
        key = (uplink.job_id, uplink.round, uplink.attempt, uplink.step, int(uplink.kind), uplink.recipient)
        with self._write(synced=False) as db:
            db.execute(
                "UPDATE uplinks SET status = ?, tx = ? WHERE job = ? AND round = ? AND attempt = ? AND step = ? "
                "AND kind = ? AND recipient = ?",
                (status, tx, *key),
            )

    def uplinks(self, job_id: JobId, round: int | None = None) -> list[OutgoingUplink]:
        """This node's uplinks of a job, or of one round of it, in slot order."""
        query, values = "SELECT * FROM uplinks WHERE job = ?", list[object]([job_id])
        if round is not None:
            query, values = query + " AND round = ?", [job_id, round]
        with self._lock:
            rows = self._db.execute(query, values).fetchall()
        return [_uplink_of(row) for row in rows]

    def uplinks_of(self, job_id: JobId, digest: bytes) -> list[OutgoingUplink]:
        """This node's uplinks of a job that hold a digest. Looks through the job's: for what is asked for rarely."""
        with self._lock:
            query = "SELECT * FROM uplinks WHERE job = ? AND digest = ?"
            rows = self._db.execute(query, (job_id, digest)).fetchall()
        return [_uplink_of(row) for row in rows]

    def uplink(self, slot: OutgoingSlot) -> OutgoingUplink | None:
        """What this node recorded in a slot, None if nothing."""
        with self._lock:
            return self._uplink(slot)

    def _uplink(self, like: OutgoingSlot | OutgoingUplink) -> OutgoingUplink | None:
        row = self._db.execute(
            "SELECT * FROM uplinks WHERE job = ? AND round = ? AND attempt = ? AND step = ? AND kind = ? "
            "AND recipient = ?",
            (like.job_id, like.round, like.attempt, like.step, int(like.kind), like.recipient),
        ).fetchone()
        return None if row is None else _uplink_of(row)

    # -- what came directly from its sender --------------------------------------------------------------------------

    def remember_delivery(self, delivery: Delivery) -> None:
        """Record a signed uplink that came directly; also a second one of its slot, for it is a proof.

        Until it is on the disk this method takes its time; but nobody else who reads or writes waits for that, least of
        all the party's next message, which the uplink may have called for.
        """
        with self._write(synced=False) as db:
            db.execute(
                "INSERT OR IGNORE INTO deliveries VALUES (?, ?, ?, ?, ?)",
                (delivery.job_id, delivery.round, delivery.sender, delivery.envelope, delivery.signature),
            )
        os.fsync(self._log)

    def deliveries(self, job_id: JobId) -> list[Delivery]:
        """What came directly for a job's rounds and was not forgotten."""
        with self._lock:
            query = "SELECT * FROM deliveries WHERE job = ? ORDER BY round"
            rows = self._db.execute(query, (job_id,)).fetchall()
        return [_delivery_of(row) for row in rows]

    def forget_deliveries(self, deliveries: Iterable[Delivery]) -> None:
        """Their rounds are closed or rolled back. Proofs stay."""
        with self._write(synced=False) as db:
            db.executemany(
                "DELETE FROM deliveries WHERE job = ? AND round = ? AND sender = ? AND envelope = ?",
                [(one.job_id, one.round, one.sender, one.envelope) for one in deliveries],
            )

    def keep_proof(self, delivery: Delivery) -> None:
        """Keep a signed uplink for good: its sender has shown another digest for its slot."""
        with self._write() as db:
            db.execute(
                "INSERT OR IGNORE INTO proofs VALUES (?, ?, ?, ?, ?)",
                (delivery.job_id, delivery.round, delivery.sender, delivery.envelope, delivery.signature),
            )

    def proofs(self, job_id: JobId) -> list[Delivery]:
        """Signed uplinks of a job that prove that their sender has shown two digests for one slot."""
        with self._lock:
            rows = self._db.execute("SELECT * FROM proofs WHERE job = ? ORDER BY round", (job_id,)).fetchall()
        return [_delivery_of(row) for row in rows]

    # -- attempts of pipelined jobs ---------------------------------------------------------------------------------

    def attempt(self, job_id: JobId) -> int:
        """The last attempt of a pipelined job for which this node has started over, 0 if it has not."""
        with self._lock:
            row = self._db.execute("SELECT attempt FROM attempts WHERE job = ?", (job_id,)).fetchone()
        return 0 if row is None else int(row[0])

    def set_attempt(self, job_id: JobId, attempt: int) -> None:
        """Record that this node starts over for an attempt: what it did in earlier ones is undone."""
        with self._write() as db:
            db.execute("INSERT OR REPLACE INTO attempts VALUES (?, ?)", (job_id, attempt))

    # -- jobs and requests ------------------------------------------------------------------------------------------

    def remember_job(self, job: JobRecord) -> JobRecord:
        """Record a job unless it is recorded already; returns what is recorded.

        Of two blocks for one proposal, before and after a reorganisation, the earlier is kept: to be read again from.
        """
        with self._write() as db:
            db.execute(
                "INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (job) DO UPDATE SET block = min(block, excluded.block)",
                (job.job_id, job.block, job.proposer, job.spec, job.status, job.error),
            )
            recorded = self.job(job.job_id)
        assert recorded is not None
        return recorded

    def set_job_status(self, job_id: JobId, status: str, error: str = "") -> None:
        """Record what became of a job."""
        with self._write() as db:
            db.execute("UPDATE jobs SET status = ?, error = ? WHERE job = ?", (status, error, job_id))

    def job(self, job_id: JobId) -> JobRecord | None:
        """One job, None if unknown."""
        with self._lock:
            row = self._db.execute("SELECT * FROM jobs WHERE job = ?", (job_id,)).fetchone()
        return None if row is None else JobRecord(JobId(row[0]), row[1], row[2], bytes(row[3]), row[4], row[5])

    def jobs(self) -> list[JobRecord]:
        """All jobs in the order of their proposals."""
        with self._lock:
            rows = self._db.execute("SELECT * FROM jobs ORDER BY block, job").fetchall()
        return [JobRecord(JobId(row[0]), row[1], row[2], bytes(row[3]), row[4], row[5]) for row in rows]

    def remember_request(self, request: RequestRecord) -> None:
        """Record an inference request unless it is recorded already."""
        with self._write() as db:
            db.execute(
                "INSERT OR IGNORE INTO requests VALUES (?, ?, ?, ?, ?)",
                (request.job_id, request.request_id, request.block, request.requester, request.status),
            )

    def set_request_status(self, job_id: JobId, request_id: int, status: str) -> None:
        """Record what became of a request."""
        with self._write() as db:
            db.execute("UPDATE requests SET status = ? WHERE job = ? AND request = ?", (status, job_id, request_id))

    def requests(self, job_id: JobId) -> list[RequestRecord]:
        """All requests of a job, oldest first."""
        with self._lock:
            query = "SELECT * FROM requests WHERE job = ? ORDER BY request"
            rows = self._db.execute(query, (job_id,)).fetchall()
        return [RequestRecord(JobId(row[0]), *row[1:]) for row in rows]

    def request(self, job_id: JobId, request_id: int) -> RequestRecord | None:
        """One request, None if it is unknown."""
        with self._lock:
            query = "SELECT * FROM requests WHERE job = ? AND request = ?"
            row = self._db.execute(query, (job_id, request_id)).fetchone()
        return None if row is None else RequestRecord(JobId(row[0]), *row[1:])

    def requests_in(self, statuses: Sequence[str]) -> list[RequestRecord]:
        """All requests, of whatever job, that stand so; oldest first within a job."""
        with self._lock:
            marks = ", ".join("?" * len(statuses))
            query = f"SELECT * FROM requests WHERE status IN ({marks}) ORDER BY job, request"
            rows = self._db.execute(query, tuple(statuses)).fetchall()
        return [RequestRecord(JobId(row[0]), *row[1:]) for row in rows]


def recorded_payloads(path: Path, job_id: JobId) -> Iterator[tuple[bytes, bytes]]:
    """Digests and payloads of a job's uplinks that lie in a state file themselves; reads only, beside a running node.

    Args:
        path: the file; one that is not there holds none.

    Raises:
        ConfigError: not a readable state file.
    """
    if not path.is_file():
        return
    query = "SELECT digest, payload FROM uplinks WHERE job = ? AND payload IS NOT NULL"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10.0)) as db:
            for digest, payload in db.execute(query, (job_id,)):
                yield bytes(digest), bytes(payload)
    except sqlite3.Error as error:
        raise ConfigError(f"{path}: not a readable node state ({error})") from error


def _delivery_of(row: tuple[Any, ...]) -> Delivery:
    return Delivery(JobId(row[0]), row[1], row[2], bytes(row[3]), bytes(row[4]))


def _uplink_of(row: tuple[object, ...]) -> OutgoingUplink:
    job, round_, attempt, step, kind, recipient, digest, size, statistic, payload, status, tx = row
    assert isinstance(digest, bytes)
    return OutgoingUplink(
        JobId(str(job)),
        int(str(round_)),
        int(str(attempt)),
        int(str(step)),
        Kind(int(str(kind))),
        str(recipient),
        digest,
        int(str(size)),
        int(str(statistic)),
        payload if isinstance(payload, bytes) else None,
        str(status),
        str(tx),
    )
