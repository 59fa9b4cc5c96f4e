"""A bounded rate of failed logins for each client address."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

BURST = 10
"""Failed logins in a row before a client has to wait."""

SECONDS_EACH = 6.0
"""After that, one more for each of these."""

_MAX_CLIENTS = 4096


class Failures:
    """Counts failed logins by client address and token id; used from the server's one event loop.

    Failures with the id of a token that exists are counted apart from those with an id that does not, so that whoever
    guesses at random from an address locks out nobody else who comes from it, such as behind a proxy.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._empty_until: OrderedDict[tuple[str, str], float] = OrderedDict()

    def wait_seconds(self, client: str, token_id: str) -> float:
        """How long this client must wait before it may try again with that id; 0 for not at all."""
        spent = self._empty_until.get((client, token_id), 0.0) - self._clock()
        return max(0.0, spent - (BURST - 1) * SECONDS_EACH)

    def count(self, client: str, token_id: str) -> None:
        """A login failed."""
        key, now = (client, token_id), self._clock()
        self._empty_until[key] = max(self._empty_until.pop(key, 0.0), now) + SECONDS_EACH
        while len(self._empty_until) > _MAX_CLIENTS:
            self._empty_until.popitem(last=False)
