"""Fetches payloads by reference in the background, from the endpoints that their senders have registered."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from structlog.contextvars import bound_contextvars

from fedchain.exchange.client import PayloadClient
from fedchain.exchange.directory import Directory
from fedchain.exchange.pools import PeerPools
from fedchain.types import JobId


class Fetcher:
    """`PayloadClient.fetch` in the background.

    Args:
        directory: of names and endpoints.
        client: fetches.
        on_other: called when a sender serves another payload than it committed to: with job, its address, the digest
            asked for, that of what it serves, and its signature under the two; nobody has checked that.
    """

    def __init__(
        self,
        directory: Directory,
        client: PayloadClient,
        on_other: Callable[[JobId, str, bytes, bytes, bytes], None] = lambda job, sender, digest, served, signature: (
            None
        ),
    ) -> None:
        self._on_other = on_other
        self._directory = directory
        self._client = client
        self._pools = PeerPools("payload-fetch")

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

        Raises:
            StoppingError: `close` was called.
        """
        peer = self._directory.look_up(sender)

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
                    on_other=partial(self._on_other, job_id, sender, digest),
                )

        return self._pools.submit(sender, fetch)

    def close(self) -> None:
        """Give up what has not begun; what is under way ends when the client is closed."""
        self._pools.close()
