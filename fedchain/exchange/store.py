"""Payload files by digest: what this node sends by reference lies here until its peers have fetched it."""

from __future__ import annotations

import os
import secrets
import threading
from pathlib import Path

from fedchain.crypto.merkle import payload_digest
from fedchain.errors import ConfigError, DigestMismatchError, MessageError, PayloadUnavailableError
from fedchain.exchange.wire import MAX_PAYLOAD_BYTES
from fedchain.types import Digest

MAX_TOTAL_BYTES = 64 * 2**30
"""Default bound of one store's folder."""


class PayloadStore:
    """A folder of payloads, each in a file named by the hex of its Merkle digest.

    Files appear by atomic rename after an fsync, so a file with a digest's name is whole; every read is verified all
    the same. Safe to use from several threads.

    Args:
        folder: created with mode 0700.
        owner: the party's name, for errors.
        max_payload_bytes: largest payload taken.
        max_total_bytes: largest sum of payload sizes kept.
    """

    def __init__(
        self,
        folder: Path,
        *,
        owner: str = "this node",
        max_payload_bytes: int = MAX_PAYLOAD_BYTES,
        max_total_bytes: int = MAX_TOTAL_BYTES,
    ) -> None:
        self.folder = folder
        self._owner = owner
        self._max_payload_bytes = max_payload_bytes
        self._max_total_bytes = max_total_bytes
        self._lock = threading.Lock()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in folder.glob("*.part"):
            leftover.unlink(missing_ok=True)
        self._total = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())

    def put(self, payload: bytes) -> Digest:
        """Keep a payload; it survives a crash once this returns. Putting it twice is harmless.

        Args:
            payload: 1 to `max_payload_bytes` bytes.

        Returns:
            Its Merkle digest, 32 bytes.

        Raises:
            MessageError: empty or too large.
            ConfigError: the store is full.
        """
        if not 1 <= len(payload) <= self._max_payload_bytes:
            raise MessageError(f"a payload has 1 to {self._max_payload_bytes} bytes, this one has {len(payload)}")
        digest = payload_digest(payload)
        target = self._path(digest)
        with self._lock:
            if self._intact(target, payload):
                return Digest(digest)
            if self._total + len(payload) > self._max_total_bytes:
                raise ConfigError(
                    f"{self.folder}: payload store is full ({self._total} of {self._max_total_bytes} bytes); "
                    "delete the folder's files once no job is running"
                )
            part = self.folder / f"{secrets.token_hex(8)}.part"
            try:
                descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(payload)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(part, target)
            finally:
                part.unlink(missing_ok=True)
            _sync_folder(self.folder)
            self._total += len(payload)
        return Digest(digest)

    def get(self, digest: bytes) -> bytes:
        """The payload behind a digest.

        Raises:
            PayloadUnavailableError: not in this store.
            DigestMismatchError: the file was changed.
        """
        path = self._path(digest)
        try:
            payload = path.read_bytes()
        except FileNotFoundError:
            raise PayloadUnavailableError(self._owner, f"no payload {digest.hex()} in {self.folder}") from None
        if not payload or payload_digest(payload) != digest:
            raise DigestMismatchError(f"{path}: the file's bytes do not match their digest; it was changed on disk")
        return payload

    def has(self, digest: bytes) -> bool:
        """Whether a payload of that digest was put (without verifying it)."""
        return self._path(digest).is_file()

    def _path(self, digest: bytes) -> Path:
        if len(digest) != 32:
            raise MessageError(f"a digest has 32 bytes, this one has {len(digest)}")
        return self.folder / digest.hex()

    @staticmethod
    def _intact(path: Path, payload: bytes) -> bool:
        try:
            return path.read_bytes() == payload
        except FileNotFoundError:
            return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
