"""The certificates with which this node proves itself: one, and two of its own while one replaces the other.

While the registry's change spreads, some peers know it and some do not yet. None of them has to accept two certificates
of one party: this node shows each of them the one that it expects. As a server it holds both pairs, and the caller's
TLS library names the one that it wants (`server_name_of`). As a client it cannot know, and tries them in turns.
"""

from __future__ import annotations

import threading

from fedchain.exchange.tls import Identity


class Identities:
    """One or two identities of this node, the one that the registry holds first. Thread-safe.

    Args:
        identity: certificate and key.
    """

    def __init__(self, identity: Identity) -> None:
        self._lock = threading.Lock()
        self._held: tuple[Identity, ...] = (identity,)

    @property
    def held(self) -> tuple[Identity, ...]:
        """All that this node can prove itself with; the current one first."""
        return self._held

    @property
    def current(self) -> Identity:
        """The one that the registry holds, as far as this node knows."""
        return self._held[0]

    def to_present(self, tries: int) -> Identity:
        """What to show a peer after so many tries that failed: where there are two, one after the other."""
        held = self._held
        return held[tries % len(held)]

    def expect(self, following: Identity) -> None:
        """Hold another one beside the current one: it is about to be registered. A third one is dropped."""
        with self._lock:
            self._held = (self._held[0], following)

    def switch(self, following: Identity) -> None:
        """The registry holds `following` now; the one before it stays until `drop`. Doing it twice is harmless."""
        with self._lock:
            others = [one for one in self._held if one.fingerprint != following.fingerprint]
            self._held = (following, *others[:1])

    def drop(self) -> None:
        """Hold the current one alone."""
        with self._lock:
            self._held = self._held[:1]
