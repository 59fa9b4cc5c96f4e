"""Replaces the certificate of a running node: no restart, no refused peer, no broken job.

1. A new pair is staged on the disk (`CertificateFiles`), and served beside the old one from then on.
2. It is registered. Each peer learns of it when it reads the registry's change: at the event, else within five seconds.
   Until then it expects the old certificate, from then on the new one alone; this node has both (`Identities`).
3. It is installed on the disk, where the old pair is gone then; own connections are made with it first.
4. After the overlap the old pair is dropped from memory, too.

Where the registration's outcome is unknown (the chain does not answer), the node goes on with both, and from step 3 as
soon as it sees its registration in a block. Nothing here decides whom peers accept: that is the registry's entry alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from fedchain.chain.events import ChainEvent, ServiceChanged
from fedchain.errors import ChainError, ConfigError, FedchainError
from fedchain.exchange import Exchange, Identity
from fedchain.exchange.directory import STALE_SECONDS
from fedchain.node.certificate_files import CertificateFiles
from fedchain.node.rotation import Rotation

log = structlog.get_logger(__name__)

OVERLAP_SECONDS = STALE_SECONDS
"""How long a node has its old certificate, too: no peer trusts an older reading of the registry."""

_LOOK_SECONDS = 2.0


class Rotator:
    """Replaces a running node's certificate when asked to.

    Args:
        files: of the node.
        exchange: its traffic.
        address: of its account.
        overlap_seconds: how long the old pair stays in memory.
    """

    def __init__(
        self, files: CertificateFiles, exchange: Exchange, *, address: str, overlap_seconds: float = OVERLAP_SECONDS
    ) -> None:
        self._files = files
        self._exchange = exchange
        self._address = address
        self._overlap_seconds = overlap_seconds
        self._turn = threading.Lock()
        self._finishing = threading.Lock()
        self._expected: Identity | None = None
        self._overlap = 0  # counts rotations, so that an older one's end drops nothing of a newer one
        self._closed = threading.Event()
        exchange.directory.listen(self.observe)

    def rotate(self) -> Rotation:
        """Make, register and serve a new certificate; or go on with one that was staged and not finished.

        Returns:
            Once the registry holds it.

        Raises:
            ConfigError: a rotation is under way; or the files cannot be written, then nothing has changed.
            ChainError: not registered, or the outcome is unknown. The old certificate counts on, and the new one is
                staged: asking again, or the next start, goes on with it.
        """
        if not self._turn.acquire(blocking=False):
            raise ConfigError("a rotation of this node's certificate is under way; wait until it is done")
        try:
            identities, consortium = self._exchange.identities, self._exchange.consortium
            earlier = identities.current.fingerprint
            staged = self._files.stage()
            if staged.fingerprint == earlier:  # could not be installed when this node started
                self._files.install(staged)
                staged = self._files.stage()
            with self._finishing:
                self._overlap += 1
                identities.expect(staged)
                self._expected = staged
            log.info("certificate rotation begins", earlier=earlier.hex(), fingerprint=staged.fingerprint.hex())
            try:
                if consortium.participant(self._address).fingerprint != staged.fingerprint:
                    consortium.set_service(self._exchange.endpoint, staged.certificate)
            except FedchainError as error:
                log.warning(
                    "certificate is not registered yet; the rotation goes on when it is asked for again, "
                    "at the next start, or when the chain takes it",
                    earlier=earlier.hex(),
                    fingerprint=staged.fingerprint.hex(),
                    error=str(error),
                )
                raise
            self._finish(staged)
            return Rotation(earlier, staged.fingerprint, True, self._overlap_seconds)
        finally:
            self._turn.release()

    def observe(self, event: ChainEvent) -> None:
        """The registry's change of this node's own entry: what had been given up on is done now."""
        expected = self._expected
        if (
            expected is not None
            and isinstance(event, ServiceChanged)
            and event.party == self._address
            and event.fingerprint == expected.fingerprint
        ):
            self._finish(expected)

    def close(self) -> None:
        """Stop; a node that is started again has the current certificate alone."""
        self._closed.set()

    # -- inside -----------------------------------------------------------------------------------------------------

    def _finish(self, identity: Identity) -> None:
        with self._finishing:
            if self._expected is None or self._expected.fingerprint != identity.fingerprint:
                return  # by the other caller, just now
            identities = self._exchange.identities
            earlier = identities.current
            identities.switch(identity)
            self._expected = None
            number = self._overlap
            try:
                self._files.install(identity)
            except ConfigError as error:
                log.error("certificate could not be installed; the next start tries again", error=str(error))
        log.info(
            "certificate rotated",
            earlier=earlier.fingerprint.hex(),
            fingerprint=identity.fingerprint.hex(),
            overlap_seconds=self._overlap_seconds,
        )
        wait = threading.Thread(
            target=self._end_overlap, args=(earlier, identity, number), name="certificate-overlap", daemon=True
        )
        wait.start()

    def _end_overlap(self, earlier: Identity, identity: Identity, number: int) -> None:
        """Drop the old pair after the overlap, and not before the registration can no longer be taken back."""
        final = self._await(lambda: self._exchange.client.head() + self._exchange.confirmations)
        if final is None or self._closed.wait(self._overlap_seconds):
            return

        def settled() -> int | None:
            head, entry = self._exchange.client.head(), self._exchange.consortium.participant(self._address)
            return head if head >= final and entry.fingerprint != earlier.fingerprint else None

        if self._await(settled) is None:
            return
        with self._finishing:
            if number != self._overlap:
                return
            self._exchange.identities.drop()
        self._exchange.payloads.retire()
        log.info(
            "earlier certificate dropped", earlier=earlier.fingerprint.hex(), fingerprint=identity.fingerprint.hex()
        )

    def _await(self, look: Callable[[], int | None]) -> int | None:
        """What `look` gives once the chain answers and it gives something; None when this node stops."""
        while not self._closed.is_set():
            try:
                found = look()
            except ChainError:
                found = None
            if found is not None:
                return found
            self._closed.wait(_LOOK_SECONDS)
        return None
