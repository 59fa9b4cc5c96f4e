"""Payloads received by reference: kept so that a restarted node need not fetch them again, and so are their pieces."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from fedchain.errors import ConfigError, DigestMismatchError, PayloadUnavailableError
from fedchain.exchange.holding import Access
from fedchain.exchange.partial import PartialPayload
from fedchain.exchange.retention import Retention
from fedchain.exchange.store import MAX_TOTAL_BYTES, PayloadStore
from fedchain.types import JobId


class IncomingStore(PayloadStore):
    """A store of received payloads, served to nobody, with the transfers under way in its folder `partial`.

    Args:
        folder: created with mode 0700.
        owner: the party's name, for errors.
        retention: what happens to payloads whose job has ended.
        max_total_bytes: largest sum of payload sizes kept.
    """

    def __init__(
        self,
        folder: Path,
        *,
        owner: str = "this node",
        retention: Retention = Retention(),  # noqa: B008 - frozen
        max_total_bytes: int = MAX_TOTAL_BYTES,
    ) -> None:
        super().__init__(folder, owner=owner, retention=retention, max_total_bytes=max_total_bytes)
        self._transfers: dict[Path, threading.Lock] = {}

    def received(self, digest: bytes) -> bytes | None:
        """A payload that was received before, verified; None if there is none (a damaged one is deleted)."""
        try:
            return self.get(digest)
        except PayloadUnavailableError:
            return None
        except DigestMismatchError:
            self.discard(digest)
            return None

    @contextlib.contextmanager
    def transfer(self, job_id: JobId, digest: bytes, size: int, sender: bytes) -> Iterator[PartialPayload]:
        """Begin to receive a payload from one sender, or go on; once complete, the payload is in this store.

        Transfers of one digest from different senders share no file and no lock: a sender that stalls delays nobody
        else. Two of the same sender take turns.

        Args:
            job_id: of the uplink.
            digest: 32-byte Merkle root.
            size: bytes.
            sender: fingerprint of whoever serves it.

        Raises:
            ConfigError: the store is full, or cannot be written.
        """
        base = self._folder_of(job_id) / f"{digest.hex()}-{sender.hex()[:16]}"
        with self._lock:
            turn = self._transfers.setdefault(base, threading.Lock())
        with turn:
            base.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._require_room(size)
            try:
                partial = PartialPayload(base, digest, size)
                try:
                    yield partial
                finally:
                    partial.close()
                if partial.complete:
                    with contextlib.suppress(FileNotFoundError):  # the job was forgotten meanwhile
                        self.adopt(partial.path, digest, size, partial.leaves, Access(job_id, ()))
                    partial.delete_leaves()
            except OSError as error:
                raise ConfigError(f"{base}: a received payload cannot be written ({error.strerror})") from error

    def forget(self, job_id: JobId) -> None:
        """As `PayloadStore.forget`; the job's unfinished transfers go at once, whatever retention says."""
        super().forget(job_id)
        folder = self._folder_of(job_id)
        shutil.rmtree(folder, ignore_errors=True)
        with self._lock:
            self._transfers = {base: turn for base, turn in self._transfers.items() if base.parent != folder}

    def _folder_of(self, job_id: JobId) -> Path:
        return self.folder / "partial" / hashlib.sha256(job_id.encode()).hexdigest()[:32]
