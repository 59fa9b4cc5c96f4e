"""A node's own entry in the registry: entering it, keeping endpoint and certificate right, awaiting accreditation."""

from __future__ import annotations

import threading
import time

import structlog

from fedchain.chain import Consortium
from fedchain.errors import ConfigError, NotAccreditedError
from fedchain.exchange.tls import fingerprint_of
from fedchain.types import PartyId, Status

log = structlog.get_logger(__name__)

_POLL_SECONDS = 0.3
_REMIND_SECONDS = 30.0


def join(consortium: Consortium, *, address: str, name: PartyId, endpoint: str, certificate: bytes) -> Status:
    """Register this node, or update its endpoint and certificate where the registry has others.

    Args:
        consortium: with this node's sender.
        address: this node's address.
        name: from its configuration.
        endpoint: where peers reach it; public from then on.
        certificate: DER; public from then on. Peers trust it because this transaction is signed by the node's account.

    Returns:
        Its standing.

    Raises:
        ConfigError: the name belongs to another address, or this address to another name.
    """
    entry = consortium.participant(address)
    fingerprint = fingerprint_of(certificate)
    if entry.status == Status.UNKNOWN:
        holder = consortium.address_of(name)
        if holder is not None:
            raise ConfigError(f"name '{name}' is registered by {holder}; choose another name, or use that key")
        consortium.register(name, endpoint, certificate)
        log.info("registered", name=name, address=address, endpoint=endpoint, fingerprint=fingerprint.hex())
        return Status.REGISTERED
    if entry.name != name:
        raise ConfigError(f"address {address} is registered as '{entry.name}': set that name in node.toml")
    if (entry.endpoint, entry.fingerprint) != (endpoint, fingerprint):
        consortium.set_service(endpoint, certificate)
        log.info(
            "endpoint or certificate changed",
            name=name,
            endpoint=endpoint,
            earlier=entry.endpoint,
            fingerprint=fingerprint.hex(),
        )
    return entry.status


def wait_until_accredited(
    consortium: Consortium, *, address: str, name: PartyId, stop: threading.Event, wait: bool
) -> bool:
    """Wait until a steward has accredited this node.

    Args:
        consortium: for reading.
        address: this node's address.
        name: this node's name.
        stop: ends the wait.
        wait: False to fail at once instead.

    Returns:
        True once accredited, False when `stop` was set first.

    Raises:
        NotAccreditedError: suspended; or not accredited yet and `wait` is False.
    """
    reminded = 0.0
    while not stop.is_set():
        status = consortium.participant(address).status
        if status == Status.ACCREDITED:
            return True
        if status == Status.SUSPENDED:
            raise NotAccreditedError(f"party '{name}' ({address}) is suspended; ask a steward to reinstate it")
        if not wait:
            raise NotAccreditedError(f"party '{name}' ({address}) is not accredited yet; ask a steward to accredit it")
        if time.monotonic() - reminded > _REMIND_SECONDS or not reminded:
            reminded = time.monotonic()
            log.info("waiting until a steward accredits this party", name=name, address=address)
        stop.wait(_POLL_SECONDS)
    return False
