"""Hands signed uplinks to their recipients' nodes, in the background and as long as they are wanted."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import structlog

from fedchain.errors import ChainError, DeliveryError, StoppingError
from fedchain.exchange.client import PayloadClient
from fedchain.exchange.directory import Directory
from fedchain.exchange.pools import PeerPools

log = structlog.get_logger(__name__)

_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0


class Deliverer:
    """`PayloadClient.deliver` in the background, again and again."""

    def __init__(self, directory: Directory, client: PayloadClient) -> None:
        self._directory = directory
        self._client = client
        self._pools = PeerPools("deliver")
        self._closed = threading.Event()

    def submit(
        self,
        recipient: str,
        envelope: bytes,
        signature: bytes | Future[bytes],
        payload: bytes,
        *,
        deadline: float,
        wanted: Callable[[], bool],
    ) -> None:
        """Deliver in the background, again after refusals and outages, until the deadline.

        A recipient that was not reached finds the uplink on the chain when the round is committed, and fetches it.

        Args:
            recipient: checksummed address.
            envelope, signature, payload: see `PayloadClient.deliver`.
            deadline: in `time.monotonic()` seconds.
            wanted: whether it is still worth trying: the round has not been closed or rolled back.
        """

        def deliver() -> None:
            self._deliver(recipient, envelope, signature, payload, deadline, wanted)

        with contextlib.suppress(StoppingError):  # what is recorded is delivered or committed after the next start
            self._pools.submit(recipient, deliver)

    def close(self) -> None:
        """Give up what has not begun; what is under way ends when the client is closed."""
        self._closed.set()
        self._pools.close()

    def _deliver(
        self,
        recipient: str,
        envelope: bytes,
        signature: bytes | Future[bytes],
        payload: bytes,
        deadline: float,
        wanted: Callable[[], bool],
    ) -> None:
        name = self._directory.name_of(recipient)
        peer = self._directory.look_up(recipient)
        pause = _PAUSE_SECONDS
        while wanted() and not self._closed.is_set():
            remaining = deadline - time.monotonic()
            try:
                self._client.deliver(
                    peer, envelope, signature, payload, culprit=name, deadline_seconds=max(0.1, remaining)
                )
                return
            except StoppingError:
                return
            except (DeliveryError, ChainError) as error:
                if remaining <= 0:
                    log.warning("an uplink was not delivered directly", recipient=name, error=str(error))
                    return
                log.info("delivering again", recipient=name, error=str(error))
            self._closed.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
