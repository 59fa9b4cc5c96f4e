"""Names, endpoints and certificates of the consortium's participants, cached from the registry."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from fedchain.chain import Consortium, Participant
from fedchain.chain.events import ChainEvent, ParticipantRegistered, ServiceChanged
from fedchain.chain.standing_events import KeyRotated
from fedchain.errors import ChainError, MessageError, PayloadUnavailableError
from fedchain.exchange.tls import check_certificate, fingerprint_of
from fedchain.types import PartyId

STALE_SECONDS = 60.0
"""What was read of the registry no longer ago than this still counts while the chain does not answer."""

_MAX_REFUSED = 1024


@dataclass(frozen=True)
class Peer:
    """Where a participant's node answers, and how it proves that it is that participant's.

    Attributes:
        endpoint: `host:port` as it registered it (not checked).
        certificate: DER, checked; nothing else is accepted from whoever answers.
    """

    endpoint: str
    certificate: bytes


class Directory:
    """Looks up participants once and keeps them until an event says that they changed. Thread-safe.

    Args:
        consortium: for reading.
        clock: seconds; for tests.
    """

    def __init__(self, consortium: Consortium, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._consortium = consortium
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, Participant] = {}
        self._read_at: dict[str, float] = {}
        self._certificates: dict[bytes, bytes] = {}
        self._refused: dict[tuple[bytes, str], str] = {}
        self._listeners: list[Callable[[ChainEvent], None]] = []

    def participant(self, address: str) -> Participant:
        """The registry's entry of an address.

        Raises:
            ChainError: the registry cannot be read.
        """
        with self._lock:
            known = self._known.get(address)
        if known is None:
            begun = self._clock()
            known = self._consortium.participant(address)
            with self._lock:
                self._known[address], self._read_at[address] = known, begun
        return known

    def name_of(self, address: str) -> PartyId:
        """A participant's name; its address where the registry knows none or cannot be asked (for error texts)."""
        try:
            return PartyId(self.participant(address).name or address)
        except ChainError:
            return PartyId(address)

    def certificate_of(self, participant: Participant) -> bytes:
        """A participant's certificate, DER, with the fingerprint of its entry and in a node's form.

        Raises:
            MessageError: the participant registered something else; that is found once, and remembered.
            ChainError: the registry cannot be read.
        """
        with self._lock:
            known = self._certificates.get(participant.fingerprint)
            refused = self._refused.get((participant.fingerprint, participant.name))
        if refused is not None:
            raise MessageError(refused)
        if known is None:
            known = self._consortium.certificate(participant.address)
            if fingerprint_of(known) != participant.fingerprint:
                raise MessageError("the certificate in the registry was changed just now; look again")
            try:
                named = check_certificate(known)
                if named != participant.name:
                    raise MessageError(f"the certificate is made out to '{named}', not to '{participant.name}'")
            except MessageError as error:
                with self._lock:
                    if len(self._refused) >= _MAX_REFUSED:
                        self._refused.clear()
                    self._refused[participant.fingerprint, participant.name] = str(error)
                raise
            with self._lock:
                self._certificates[participant.fingerprint] = known
        return known

    def peer(self, address: str) -> Peer:
        """How to reach a participant's node, as the registry said not more than a minute ago.

        So a certificate that was replaced ends at this node, too, where no event tells of it.

        Raises:
            PayloadUnavailableError: it has registered no certificate of a node; names it.
            ChainError: the registry cannot be read.
        """
        with self._lock:
            if self._clock() - self._read_at.get(address, float("inf")) > STALE_SECONDS:
                self._known.pop(address, None)
        participant = self.participant(address)
        try:
            return Peer(participant.endpoint, self.certificate_of(participant))
        except MessageError as error:
            self.forget(address)
            raise PayloadUnavailableError(
                participant.name or address, f"has registered no valid certificate: {error}"
            ) from error

    def look_up(self, address: str) -> Callable[[], Peer]:
        """As `peer`, for whoever tries several times: after the first time the registry is asked anew."""
        is_first = True

        def peer() -> Peer:
            nonlocal is_first
            if not is_first:
                self.forget(address)  # it may have restarted elsewhere, or with another certificate
            is_first = False
            return self.peer(address)

        return peer

    def forget(self, address: str) -> None:
        """Ask the registry anew next time."""
        with self._lock:
            self._known.pop(address, None)

    def observe(self, event: ChainEvent) -> None:
        """Take note of an event, and pass it on to whoever listens."""
        if isinstance(event, (ParticipantRegistered, ServiceChanged, KeyRotated)):
            self.forget(event.party)
        for listener in self._listeners:
            listener(event)

    def listen(self, listener: Callable[[ChainEvent], None]) -> None:
        """Call `listener` with each event that is observed from now on; it must return quickly."""
        self._listeners.append(listener)
