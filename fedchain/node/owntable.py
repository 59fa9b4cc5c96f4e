"""The node's own table: described for its people, and replaced by them while no job needs the one that is there."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from fedchain.data.description import TableDescription, describe
from fedchain.data.selection import Selection
from fedchain.data.source import TableSource
from fedchain.errors import ConfigError, DataError, TableInUseError
from fedchain.node.config import NodeConfig
from fedchain.types import JobId

log = structlog.get_logger(__name__)

PREVIOUS = ".previous"
"""Suffix of the table that was replaced last; it stays beside the new one."""

_Stamp = tuple[int, int, int]


class OwnTable:
    """One node's table. Safe to use from several threads.

    Args:
        config: the node's.
        lock: held by whoever reads the table for a job; replacing it waits for that.
        users: jobs that go on from the table after a restart, and so need it as it is; asked for under the lock.
        on_replaced: called once another table counts.
    """

    def __init__(
        self,
        config: NodeConfig,
        *,
        lock: threading.Lock,
        users: Callable[[], Sequence[JobId]],
        on_replaced: Callable[[], None],
    ) -> None:
        self._config = config
        self._lock = lock
        self._users = users
        self._on_replaced = on_replaced
        self._describing = threading.Lock()
        self._known: tuple[_Stamp, TableDescription] | None = None

    def describe(self) -> TableDescription:
        """What the table looks like now; of a file it is read again only once the file has changed.

        Raises:
            ConfigError, DataError: as `fedchain.data.description.describe`.
        """
        source = self._config.table
        with self._describing:
            stamp = _stamp(source)
            if stamp is not None and self._known is not None and self._known[0] == stamp:
                return self._known[1]
            found = describe(source)
            self._known = None if stamp is None else (stamp, found)
            return found

    def require_replaceable(self) -> TableSource:
        """The source, if it is a file, and no job needs it as it is.

        Raises:
            TableInUseError: it is a query, or there are such jobs.
        """
        source = self._config.table
        if not isinstance(source.origin, Path):
            raise TableInUseError("[data] query: the table is a query's result; change it in its database")
        self._require_unused()
        return source

    def new_file(self) -> Path:
        """An empty file of its owner's alone beside the table, to write another one into; earlier ones are removed.

        Raises:
            ConfigError: the folder cannot be written to.
            TableInUseError: as `require_replaceable`.
        """
        path = _target(self.require_replaceable())
        part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.upload{path.suffix}")
        try:
            for left in path.parent.glob(f".{path.name}.*.upload{path.suffix}"):
                left.unlink(missing_ok=True)  # of a process that was killed: uploads come one at a time
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except OSError as error:
            raise ConfigError(f"[data] path {path}: a table cannot be put there ({error.strerror})") from error
        return part

    def replace(self, part: Path, id_column: str | None = None) -> TableDescription:
        """Let a file that `new_file` gave be the table, after reading it as a job would; all or nothing.

        The table that was there stays beside it, with `PREVIOUS` after its name.

        Args:
            part: the file, complete; it is gone afterwards.
            id_column: the column with ids where `[data.columns]` declares none; without either, ids are not checked.

        Raises:
            DataError: it is no table, or not what is declared. The message may name values: it is for the table's
                owner.
            TableInUseError: a job has begun meanwhile.
            ConfigError: the file cannot be moved to its place.
        """
        source = self.require_replaceable()
        path = _target(source)
        try:
            found = _checked(replace(source, origin=part), id_column)
            with self._lock:
                self._require_unused()
                _move(part, path)
        except DataError as error:
            raise type(error)(str(error).replace(str(part), "the uploaded table")) from None
        finally:
            part.unlink(missing_ok=True)
        with self._describing:
            self._known = None
        self._on_replaced()
        log.info("the table was replaced", rows=found.rows, columns=len(found.columns))
        return found

    def _require_unused(self) -> None:
        jobs = self._users()
        if jobs:
            raise TableInUseError(
                f"the table is in use by {', '.join(jobs[:3])}{' and others' if len(jobs) > 3 else ''}: "
                "a running job goes on from it after a restart; wait until it has ended, or abort it"
            )


def _checked(source: TableSource, id_column: str | None) -> TableDescription:
    found = describe(source)
    if found.rows == 0:
        raise DataError(f"{source.origin}: has no rows")
    declared = {} if source.schema is None else source.schema.columns
    ids = [name for name, kind in declared.items() if kind == "id"] or ([id_column] if id_column else [])
    for name in ids:
        source.read(Selection(id=name, duplicates="error" if len(ids) == 1 else "first"))  # a part alone may repeat
    return found


def _move(part: Path, path: Path) -> None:
    previous = path.with_name(path.name + PREVIOUS)
    try:
        with part.open("rb") as written:
            os.fsync(written.fileno())
        if path.exists():
            previous.unlink(missing_ok=True)
            os.link(path, previous)
        os.replace(part, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise ConfigError(f"[data] path {path}: cannot be replaced ({error.strerror})") from error


def _target(source: TableSource) -> Path:
    assert isinstance(source.origin, Path)
    return source.origin.resolve()  # a link's target is replaced, not the link


def _stamp(source: TableSource) -> _Stamp | None:
    if isinstance(source.origin, Path):
        with contextlib.suppress(OSError):
            found = source.origin.stat()
            return found.st_ino, found.st_size, found.st_mtime_ns
    return None
