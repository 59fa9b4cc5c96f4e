"""Names and endpoints of the consortium's participants, cached from the registry."""

from __future__ import annotations

import threading

from fedchain.chain import Consortium, Participant
from fedchain.chain.events import ChainEvent, EndpointChanged, ParticipantRegistered
from fedchain.errors import ChainError
from fedchain.types import PartyId


class Directory:
    """Looks up participants once and keeps them until an event says that they changed. Thread-safe."""

    def __init__(self, consortium: Consortium) -> None:
        self._consortium = consortium
        self._lock = threading.Lock()
        self._known: dict[str, Participant] = {}

    def participant(self, address: str) -> Participant:
        """The registry's entry of an address.

        Raises:
            ChainError: the registry cannot be read.
        """
        with self._lock:
            known = self._known.get(address)
        if known is None:
            known = self._consortium.participant(address)
            with self._lock:
                self._known[address] = known
        return known

    def name_of(self, address: str) -> PartyId:
        """A participant's name; its address where the registry knows none or cannot be asked (for error texts)."""
        try:
            return PartyId(self.participant(address).name or address)
        except ChainError:
            return PartyId(address)

    def endpoint_of(self, address: str) -> str:
        """Where a participant serves payloads, `host:port` as it registered it (not checked here)."""
        return self.participant(address).endpoint

    def forget(self, address: str) -> None:
        """Ask the registry anew next time."""
        with self._lock:
            self._known.pop(address, None)

    def observe(self, event: ChainEvent) -> None:
        """Take note of a registry event."""
        if isinstance(event, (ParticipantRegistered, EndpointChanged)):
            self.forget(event.party)
