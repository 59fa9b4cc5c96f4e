"""Tells peers that the chain has something for them: they look at once, not when they would have looked next.

A hint and nothing else: it says nothing, a peer that misses it finds out a few milliseconds later, and whoever sends
one without reason makes its peer ask the chain for its height. What a party acts on is what it reads from the chain.
What it reveals to the peer: nothing that is not on the chain.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterable
from functools import partial

import structlog

from fedchain.errors import ChainError, DeliveryError, PayloadUnavailableError, StoppingError
from fedchain.exchange.client import PayloadClient
from fedchain.exchange.directory import Directory
from fedchain.exchange.pools import PeerPools

log = structlog.get_logger(__name__)

_AT_ONCE = 2


class Nudger:
    """`PayloadClient.nudge` in the background, once for each peer; failures are of no consequence."""

    def __init__(self, directory: Directory, client: PayloadClient) -> None:
        self._directory = directory
        self._client = client
        self._pools = PeerPools("nudge")
        self._lock = threading.Lock()
        self._waiting: Counter[str] = Counter()

    def nudge(self, addresses: Iterable[str]) -> None:
        """Nudge these participants; returns at once.

        Whoever is being nudged already is nudged once more, for it may have looked too early, and not a third time.
        """
        for address in addresses:
            with self._lock:
                if self._waiting[address] >= _AT_ONCE:
                    continue
                self._waiting[address] += 1
            with contextlib.suppress(StoppingError):
                self._pools.submit(address, partial(self._nudge, address))

    def close(self) -> None:
        """Nudge nobody any more."""
        self._pools.close()

    def _nudge(self, address: str) -> None:
        try:
            self._client.nudge(self._directory.peer(address), culprit=self._directory.name_of(address))
        except StoppingError:
            pass
        except (ChainError, DeliveryError, PayloadUnavailableError) as error:
            log.debug("a peer was not nudged", error=str(error))
        finally:
            with self._lock:
                self._waiting[address] -= 1
