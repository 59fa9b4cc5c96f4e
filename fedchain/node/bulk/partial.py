"""The partial file of a batch: every chunk that is done, so that a run that was killed goes on where it was.

A line of JSON that says which run it is of, then one record per chunk in order:

    payload length 4 | CRC-32 of the payload 4 | payload         (numbers little-endian)

A record counts if all of it is there. What comes after the last one that counts is cut off when the file is opened
again. A chunk is on disk before the next is written.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from fedchain.errors import ConfigError

SUFFIX = ".partial"
FORMAT = "fedchain-batch-1"

_RECORD = struct.Struct("<II")
_MAX_HEADER_BYTES = 2**16
_MAX_PAYLOAD_BYTES = 2**30


class PartialFile:
    """Open for one run at a time, from construction to `close` or `remove`.

    Args:
        out: the output file; the partial file lies beside it.
        run: what the run is of: names and values as JSON holds them. A file of the same run is continued.

    Attributes:
        path: of the file.
        chunks: how many are in it.

    Raises:
        ConfigError: it is of another run, another process writes it, or it cannot be written.
    """

    def __init__(self, out: Path, run: Mapping[str, object]) -> None:
        self.path = out.with_name(out.name + SUFFIX)
        self.chunks = 0
        header = json.dumps({"format": FORMAT, **run}, sort_keys=True).encode() + b"\n"
        try:
            self._file: BinaryIO = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._begin(header)
        except BlockingIOError:
            self._file.close()
            raise ConfigError(f"{self.path}: another process writes it; wait for it, or choose another --out") from None
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> PartialFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, payload: bytes) -> None:
        """Add the next chunk; it is on disk when this returns.

        Raises:
            ConfigError: the disk does not take it.
        """
        try:
            self._file.write(_RECORD.pack(len(payload), zlib.crc32(payload)))
            self._file.write(payload)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be written: {error.strerror}") from error
        self.chunks += 1

    def payloads(self) -> Iterator[bytes]:
        """All chunks, in order; not while chunks are added."""
        self._file.seek(self._start)
        for _ in range(self.chunks):
            payload = self._next()
            assert payload is not None, "the file was changed under its lock"
            yield payload

    def remove(self) -> None:
        """The output is complete: the file is not needed any more."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Leave the file as it is."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _begin(self, header: bytes) -> None:
        found = self._file.readline(max(_MAX_HEADER_BYTES, len(header)))
        if found != header and header.startswith(found):  # new, or killed while its first line was written
            self._file.seek(0)
            self._file.truncate()
            self._file.write(header)
            self._file.flush()
            found = header
        if found != header:
            raise ConfigError(f"{self.path}: is of another run ({_difference(found, header)}); remove it to begin anew")
        self._start = end = len(found)
        while (payload := self._next()) is not None:
            self.chunks += 1
            end += _RECORD.size + len(payload)
        self._file.seek(end)
        self._file.truncate()

    def _next(self) -> bytes | None:
        head = self._file.read(_RECORD.size)
        if len(head) < _RECORD.size:
            return None
        size, check = _RECORD.unpack(head)
        if size > _MAX_PAYLOAD_BYTES:
            return None
        payload = self._file.read(size)
        return payload if len(payload) == size and zlib.crc32(payload) == check else None


def _difference(found: bytes, wanted: bytes) -> str:
    """What differs, for the user."""
    try:
        before, now = json.loads(found), json.loads(wanted)
        names = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    except (ValueError, AttributeError):
        return "it is no partial file of a batch"
    return "another " + ", ".join(names)
