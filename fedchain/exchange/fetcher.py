"""Fetches payloads by reference in the background, from the endpoints that their senders have registered."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

from structlog.contextvars import bound_contextvars

from fedchain.exchange.client import PayloadClient
from fedchain.exchange.directory import Directory, Peer
from fedchain.types import JobId

_WORKERS_PER_SENDER = 2


class Fetcher:
    """Small thread pools over `PayloadClient`, one for each sender: a sender that stalls delays nobody else's."""

    def __init__(self, directory: Directory, client: PayloadClient) -> None:
        self._directory = directory
        self._client = client
        self._lock = threading.Lock()
        self._pools: dict[str, ThreadPoolExecutor] = {}

    def submit(
        self, sender: str, digest: bytes, size: int, *, job_id: JobId, max_bytes: int, deadline_seconds: float
    ) -> Future[bytes]:
        """Start to fetch; the future ends with verified bytes or with an error of `PayloadClient.fetch`.

        Args:
            sender: checksummed address.
            digest: 32-byte Merkle root from the accepted envelope.
            size: bytes, from the accepted envelope.
            job_id: the job of the uplink.
            max_bytes: the job's bound.
            deadline_seconds: how long to keep trying.
        """
        tried: list[str] = []

        def peer() -> Peer:
            if tried:
                self._directory.forget(sender)  # it may have restarted elsewhere, or with another certificate
            tried.append(sender)
            return self._directory.peer(sender)

        def fetch() -> bytes:
            with bound_contextvars(job=job_id, digest=digest.hex()):
                return self._client.fetch(
                    peer,
                    digest,
                    size,
                    job_id=job_id,
                    culprit=self._directory.name_of(sender),
                    max_bytes=max_bytes,
                    deadline_seconds=deadline_seconds,
                )

        with self._lock:
            pool = self._pools.get(sender)
            if pool is None:
                pool = ThreadPoolExecutor(_WORKERS_PER_SENDER, thread_name_prefix="payload-fetch")
                self._pools[sender] = pool
            return pool.submit(fetch)

    def close(self) -> None:
        """Give up what has not begun; what is under way ends when the client is closed."""
        with self._lock:
            for pool in self._pools.values():
                pool.shutdown(wait=False, cancel_futures=True)
