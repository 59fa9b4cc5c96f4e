"""Payload files by digest, with who may fetch each of them: what a node has sent by reference, and what it received."""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from fedchain.chain.files import write_atomically
from fedchain.crypto.merkle import leaf_hashes, payload_digest, root_of
from fedchain.errors import ConfigError, DigestMismatchError, MessageError, PayloadUnavailableError
from fedchain.exchange.holding import SUFFIX, Access, Holding, StoredPayload, holding_bytes, read_holding
from fedchain.exchange.retention import Retention
from fedchain.exchange.wire import MAX_PAYLOAD_BYTES
from fedchain.types import Digest, JobId

log = structlog.get_logger(__name__)

MAX_TOTAL_BYTES = 64 * 2**30
"""Default bound of one store's folder."""

_DIGEST_NAME = re.compile(r"[0-9a-f]{64}")


class PayloadStore:
    """A folder of payloads, each in a file named by the hex of its Merkle digest, with an `.access` file beside it.

    Files appear by atomic rename after an fsync, so a file with a digest's name is whole; every read is verified all
    the same. A payload without a readable access file is served to nobody. Safe to use from several threads.

    Args:
        folder: created with mode 0700.
        owner: the party's name, for errors.
        retention: what happens to payloads whose job has ended.
        max_payload_bytes: largest payload taken.
        max_total_bytes: largest sum of payload sizes kept.
    """

    def __init__(
        self,
        folder: Path,
        *,
        owner: str = "this node",
        retention: Retention = Retention(),  # noqa: B008 - frozen
        max_payload_bytes: int = MAX_PAYLOAD_BYTES,
        max_total_bytes: int = MAX_TOTAL_BYTES,
    ) -> None:
        self.folder = folder
        self._owner = owner
        self._retention = retention
        self._max_payload_bytes = max_payload_bytes
        self._max_total_bytes = max_total_bytes
        self._lock = threading.RLock()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._holdings = self._load()
        self._total = sum(holding.size for holding in self._holdings.values())

    # -- putting and getting ----------------------------------------------------------------------------------------

    def put(
        self,
        payload: bytes,
        access: Access,
        *,
        leaves: Sequence[bytes] | None = None,
        synced: bool = True,
        cached: bool = True,
    ) -> Digest:
        """Keep a payload; it and its access survive a crash once this returns. Putting it again adds the access.

        Args:
            payload: 1 to `max_payload_bytes` bytes.
            access: for which job, and who may fetch it.
            leaves: the hashes of its chunks, by whoever has just computed them.
            synced: whether a power failure counts as a crash; else only the end of this process does: for what can be
                had again. A file that was damaged so is found out when it is read.
            cached: whether somebody is about to read it; else it is no use to the operating system's cache, whose
                pages the next one is given at once.

        Returns:
            Its Merkle digest, 32 bytes.

        Raises:
            MessageError: empty or too large.
            ConfigError: the store is full.
        """
        if not 1 <= len(payload) <= self._max_payload_bytes:
            raise MessageError(f"a payload has 1 to {self._max_payload_bytes} bytes, this one has {len(payload)}")
        leaves = leaf_hashes(payload) if leaves is None else leaves
        digest = root_of(leaves)
        if self.has(digest) and self._intact(digest, payload):
            self._keep(digest, len(payload), b"".join(leaves), access, synced)
            return digest
        part = self.folder / f"{secrets.token_hex(8)}.part"
        try:
            self._require_room(len(payload))
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(payload)
                file.flush()
                if synced:
                    os.fsync(file.fileno())
                if synced and not cached and hasattr(os, "posix_fadvise"):
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            self.adopt(part, digest, len(payload), b"".join(leaves), access, synced=synced)
        finally:
            part.unlink(missing_ok=True)
        return digest

    def adopt(
        self, part: Path, digest: bytes, size: int, leaves: bytes, access: Access, *, synced: bool = True
    ) -> None:
        """Take over a file, on the same file system, whose chunks have been verified.

        Args:
            part: the file; it is renamed.
            digest: its Merkle digest.
            size: its bytes.
            leaves: 32 bytes for each chunk.
            access: for which job, and who may fetch it.
            synced: as for `put`.

        Raises:
            ConfigError: the store is full.
        """
        with self._lock:
            if digest not in self._holdings:
                self._require_room(size)
            os.replace(part, self._path(digest))
            self._keep(digest, size, leaves, access, synced)

    def get(self, digest: bytes) -> bytes:
        """The payload behind a digest.

        Raises:
            PayloadUnavailableError: not in this store.
            DigestMismatchError: the file was changed.
        """
        path = self._path(digest)
        if not self.has(digest):
            raise PayloadUnavailableError(self._owner, f"no payload {digest.hex()} in {self.folder}")
        try:
            payload = path.read_bytes()
        except FileNotFoundError:
            raise PayloadUnavailableError(self._owner, f"no payload {digest.hex()} in {self.folder}") from None
        if not payload or payload_digest(payload) != digest:
            raise DigestMismatchError(f"{path}: the file's bytes do not match their digest; it was changed on disk")
        return payload

    def open(self, digest: bytes) -> StoredPayload:
        """A payload to be read piece by piece, and who may fetch it.

        Raises:
            PayloadUnavailableError: not in this store.
            DigestMismatchError: the file beside it was changed.
        """
        path = self._path(digest)
        if not self.has(digest):
            raise PayloadUnavailableError(self._owner, f"no payload {digest.hex()} in {self.folder}")
        try:
            holding, leaves = read_holding(self._beside(digest))
        except (OSError, ValueError) as error:
            raise DigestMismatchError(f"{self._beside(digest)}: was changed on disk ({error})") from error
        if root_of([leaves[start : start + 32] for start in range(0, len(leaves), 32)]) != digest:
            raise DigestMismatchError(f"{self._beside(digest)}: its leaves do not match the digest; it was changed")
        return StoredPayload(path, holding, leaves)

    def has(self, digest: bytes) -> bool:
        """Whether a payload of that digest was put (without verifying it)."""
        with self._lock:
            return digest in self._holdings and self._path(digest).is_file()

    def discard(self, digest: bytes) -> None:
        """Delete a payload, whoever may still want it. One that is not there is no error."""
        with self._lock:
            holding = self._holdings.pop(digest, None)
            if holding is not None:
                self._total -= holding.size
            self._beside(digest).unlink(missing_ok=True)  # first: without it, nobody is served
            self._path(digest).unlink(missing_ok=True)

    # -- the ends of jobs -------------------------------------------------------------------------------------------

    def forget(self, job_id: JobId) -> None:
        """A job has ended (again, after a request of it): delete its payloads, or note it, as retention says.

        A payload that another job sent, too, stays for that one.
        """
        now = time.time()
        with self._lock:
            for digest, holding in list(self._holdings.items()):
                if any(grant.access.job_id == job_id for grant in holding.grants):
                    self._update(digest, holding.ended(job_id, now), now)

    def release(self, digest: bytes, job_id: JobId) -> None:
        """As `forget`, for one payload that a job does not need any more. One that is not there is no error."""
        now = time.time()
        with self._lock:
            holding = self._holdings.get(digest)
            if holding is not None:
                self._update(digest, holding.ended(job_id, now), now)

    def sweep(self, now: float) -> int:
        """Delete what retention no longer keeps; returns how many payloads went.

        Args:
            now: seconds since 1970.
        """
        with self._lock:
            before = len(self._holdings)
            for digest, holding in list(self._holdings.items()):
                if any(grant.ended is not None for grant in holding.grants):
                    self._update(digest, holding, now)
            return before - len(self._holdings)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _update(self, digest: bytes, holding: Holding, now: float) -> None:
        stay = tuple(
            grant for grant in holding.grants if grant.ended is None or not self._retention.is_over(grant.ended, now)
        )
        if not stay:
            self.discard(digest)
        elif stay != self._holdings[digest].grants:
            try:
                _, leaves = read_holding(self._beside(digest))
            except (OSError, ValueError) as error:
                log.error("access file is damaged; its payload is deleted", digest=digest.hex(), error=str(error))
                self.discard(digest)
                return
            self._write(Holding(digest, holding.size, stay), leaves)

    def _keep(self, digest: bytes, size: int, leaves: bytes, access: Access, synced: bool) -> None:
        with self._lock:
            known = self._holdings.get(digest)
            holding = (known or Holding(digest, size, ())).with_access(access)
            self._write(holding, leaves, synced)
            if known is None:
                self._total += size

    def _write(self, holding: Holding, leaves: bytes, synced: bool = True) -> None:
        write_atomically(self._beside(holding.digest), holding_bytes(holding, leaves), mode=0o600, synced=synced)
        if synced:
            _sync_folder(self.folder)
        self._holdings[holding.digest] = holding

    def _require_room(self, size: int) -> None:
        if self._total + size > self._max_total_bytes:
            raise ConfigError(
                f"{self.folder}: payload store is full ({self._total} of {self._max_total_bytes} bytes); set "
                '[state] keep_payloads = "job", or delete the folder once no job is running'
            )

    def _load(self) -> dict[bytes, Holding]:
        """What is here; halves that an interrupted write left behind are deleted."""
        holdings: dict[bytes, Holding] = {}
        for path in list(self.folder.iterdir()):
            name = path.name.removesuffix(SUFFIX)
            if path.name.endswith(".part") or path.name.startswith("."):
                path.unlink(missing_ok=True)
            elif _DIGEST_NAME.fullmatch(path.name):
                if not self._beside(bytes.fromhex(name)).exists():
                    path.unlink(missing_ok=True)
            elif _DIGEST_NAME.fullmatch(name):
                if not self._path(bytes.fromhex(name)).is_file():
                    path.unlink(missing_ok=True)
                    continue
                try:
                    holdings[bytes.fromhex(name)] = read_holding(path)[0]
                except (OSError, ValueError) as error:
                    log.error("access file is damaged; its payload is served to nobody", file=str(path), error=error)
        return holdings

    def _path(self, digest: bytes) -> Path:
        if len(digest) != 32:
            raise MessageError(f"a digest has 32 bytes, this one has {len(digest)}")
        return self.folder / digest.hex()

    def _beside(self, digest: bytes) -> Path:
        return self._path(digest).with_suffix(SUFFIX)

    def _intact(self, digest: bytes, payload: bytes) -> bool:
        try:
            return self._path(digest).read_bytes() == payload
        except FileNotFoundError:
            return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
