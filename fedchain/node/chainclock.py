"""What time it is by the chain's clock, which the contracts go by, and not by this machine's, which may be wrong."""

from __future__ import annotations

import time
from collections.abc import Callable

from fedchain.chain import ChainClient

PATIENCE_SECONDS = 60.0
"""So long a block is waited for before this machine's clock is relied on."""


class ChainClock:
    """Told by blocks as they arrive; between them by how long ago the last one arrived.

    On a chain where nothing happens the newest block is old, and how old, only this machine's clock says. Until a block
    has been seen to arrive there are two times, then: what is due by both is due.

    Args:
        client: of the chain.
        wall: this machine's clock, seconds since 1970.
        steady: one that is never set.
    """

    def __init__(
        self,
        client: ChainClient,
        *,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._wall = wall
        self._steady = steady
        self._begun = steady()
        self._head = -1
        self._block_time = 0
        self._seen_at = 0.0
        self._arrived = False

    def look(self) -> int:
        """Ask for the newest block; returns its number.

        Raises:
            ChainError: the chain does not answer as it should.
        """
        number, seconds = self._client.block_time()
        if number != self._head:
            self._arrived = self._head >= 0
            self._head, self._block_time, self._seen_at = number, seconds, self._steady()
        return number

    @property
    def earliest(self) -> int:
        """The chain's time if the newest block had just come when it was seen first."""
        return self._block_time + int(self._steady() - self._seen_at)

    @property
    def latest(self) -> int:
        """The chain's time if this machine's clock is right; the same as `earliest` once a block has arrived."""
        return self.earliest if self._arrived else max(self.earliest, int(self._wall()))

    @property
    def is_patient(self) -> bool:
        """Whether a block that settles which of the two it is may still come soon."""
        return self._steady() - self._begun < PATIENCE_SECONDS

    @property
    def skew(self) -> int | None:
        """By how much this machine's clock is ahead of the chain's; None until a block has arrived."""
        return int(self._wall()) - self.earliest if self._arrived else None
