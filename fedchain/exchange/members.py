"""Who may connect: the certificates of accredited participants, kept up to date with the registry."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from fedchain.chain import Consortium, Participant
from fedchain.chain.events import (
    ChainEvent,
    ParticipantAccredited,
    ParticipantRegistered,
    ParticipantReinstated,
    ParticipantSuspended,
    ServiceChanged,
)
from fedchain.chain.standing_events import ParticipantBanned
from fedchain.errors import ChainError, MessageError, NotAccreditedError
from fedchain.exchange.directory import STALE_SECONDS, Directory
from fedchain.exchange.identities import Identities
from fedchain.exchange.tls import pem_of
from fedchain.types import Status

log = structlog.get_logger(__name__)

FRESH_SECONDS = 5.0
"""A participant's standing is read again when it was read longer ago than this."""

_SHORTEST_PAUSE_SECONDS = 1.0
_CHANGES = (
    ParticipantRegistered,
    ServiceChanged,
    ParticipantAccredited,
    ParticipantSuspended,
    ParticipantReinstated,
    ParticipantBanned,
)


@dataclass
class _Member:
    participant: Participant
    read_at: float


@dataclass
class _Snapshot:
    members: dict[bytes, _Member] = field(default_factory=dict)
    roots: bytes = b""
    read_at: float = float("-inf")


class Members:
    """The registry as the TLS server sees it. Thread-safe; a thread of its own reads the registry after changes.

    Args:
        consortium: for reading.
        directory: holds checked certificates, and brings events.
        own: this node's identities; the current one is always among the roots, so that they are never empty.
        clock: seconds; for tests.
    """

    def __init__(
        self,
        consortium: Consortium,
        directory: Directory,
        own: Identities,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._consortium = consortium
        self._directory = directory
        self._own = own
        self._clock = clock
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._wanted = threading.Event()
        self._closed = threading.Event()
        self._snapshot = _Snapshot(roots=own.current.certificate_pem)
        self._refused: set[bytes] = set()
        self._thread = threading.Thread(target=self._run, name="members", daemon=True)
        directory.listen(self.observe)
        self._thread.start()

    def roots(self) -> bytes:
        """Certificates, PEM, of those who may connect. Never waits: what is old is read anew in the background."""
        snapshot = self._snapshot
        if self._clock() - snapshot.read_at > FRESH_SECONDS:
            self._wanted.set()
        return snapshot.roots

    def caller(self, fingerprint: bytes) -> Participant:
        """The accredited participant that has registered a certificate.

        Args:
            fingerprint: SHA-256 of the certificate with which the caller has proven itself.

        Raises:
            NotAccreditedError: nobody has registered it, or its owner is not accredited; names the owner.
            ChainError: the registry could not be read for too long.
        """
        member = self._snapshot.members.get(fingerprint)
        if member is None:
            self._read_registry(_SHORTEST_PAUSE_SECONDS)
            member = self._snapshot.members.get(fingerprint)
        if member is None:
            raise NotAccreditedError(f"certificate {fingerprint.hex()[:16]}… belongs to no participant")
        participant = self._current(member)
        if participant.fingerprint != fingerprint:
            self._wanted.set()  # the next connection will come with the other one
            raise NotAccreditedError(f"party '{participant.name}' has registered another certificate since")
        if participant.status != Status.ACCREDITED:
            raise NotAccreditedError(f"party '{participant.name}' is {participant.status.name.lower()}, not accredited")
        return participant

    def observe(self, event: ChainEvent) -> None:
        """Take note of a registry event: it counts for the very next call."""
        if isinstance(event, _CHANGES):
            for member in list(self._snapshot.members.values()):
                if member.participant.address == event.party:
                    member.read_at = float("-inf")
            self._wanted.set()

    def refresh(self) -> None:
        """Read the registry now.

        Raises:
            ChainError: it cannot be read.
        """
        self._read_registry(0.0)

    def close(self) -> None:
        """Stop reading."""
        self._closed.set()
        self._wanted.set()
        self._thread.join(5.0)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _current(self, member: _Member) -> Participant:
        now = self._clock()
        if now - member.read_at > FRESH_SECONDS:
            try:
                member.participant = self._consortium.participant(member.participant.address)
                member.read_at = now
            except ChainError:
                if now - member.read_at > STALE_SECONDS:
                    raise
        return member.participant

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._closed.is_set():
                return
            try:
                self._read_registry(0.0)
            except ChainError as error:
                log.warning("registry could not be read; certificates stay as they were", error=str(error))
                if not self._closed.wait(_SHORTEST_PAUSE_SECONDS):
                    self._wanted.set()
            except Exception as error:
                log.error("reading the registry failed", error=str(error), exc_info=True)

    def _read_registry(self, unless_within: float) -> None:
        """Read all entries, one reader at a time, unless that was done within the last so many seconds."""
        with self._reading:
            now = self._clock()
            if unless_within and now - self._snapshot.read_at < unless_within:
                return
            members: dict[bytes, _Member] = {}
            own = self._own.current
            roots = [own.certificate_pem]
            for participant in self._consortium.participants():
                members[participant.fingerprint] = _Member(participant, now)
                if participant.status == Status.ACCREDITED and participant.name != own.name:
                    pem = self._pem(participant)
                    if pem is not None:
                        roots.append(pem)
            self._snapshot = _Snapshot(members, b"".join(roots), now)

    def _pem(self, participant: Participant) -> bytes | None:
        """One bad certificate in the registry must not keep the others out: it is left out, and logged once."""
        try:
            return pem_of(self._directory.certificate_of(participant))
        except MessageError as error:
            if participant.fingerprint not in self._refused:
                self._refused.add(participant.fingerprint)
                log.warning("certificate refused: party cannot connect", party=participant.name, error=str(error))
            return None
