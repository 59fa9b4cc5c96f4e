"""Notices a ciphertext that comes a second time, in another round, where each must be fresh."""

from __future__ import annotations

from collections.abc import Callable

from fedchain.messages import Envelope
from fedchain.types import Kind

FRESH = (Kind.PUBLIC_KEY, Kind.BLINDED_IDS, Kind.GRADIENTS, Kind.HISTOGRAM)
"""Kinds whose payloads no honest party sends twice, as in `FaultProofs`."""


class Replays:
    """The digests of one job, accepted or signed by their senders; not thread-safe.

    Args:
        on_replay: called with sender, first and second envelope; must return at once.
    """

    def __init__(self, on_replay: Callable[[str, Envelope, Envelope], None]) -> None:
        self._on_replay = on_replay
        self._first: dict[tuple[str, bytes], Envelope] = {}

    def seen(self, sender: str, envelope: Envelope) -> None:
        """An uplink was accepted, or came with its sender's signature; the same one may be told several times.

        One payload may go to several recipients of a round, or be tried again.
        """
        if envelope.kind not in FRESH:
            return
        first = self._first.setdefault((sender, envelope.digest), envelope)
        if first.round != envelope.round:
            self._on_replay(sender, first, envelope)
