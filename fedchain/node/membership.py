"""A node's own entry in the registry: entering it, keeping endpoint and certificate right, awaiting accreditation."""

from __future__ import annotations

import threading
import time

import structlog

from fedchain.chain import Consortium, Participant
from fedchain.errors import ChainUnreachableError, ConfigError, NotAccreditedError
from fedchain.exchange.tls import fingerprint_of
from fedchain.exchange.waits import Waits
from fedchain.types import PartyId, Status

log = structlog.get_logger(__name__)

_POLL_SECONDS = 0.3
_REMIND_SECONDS = 600.0

STEWARDS = "the stewards"
"""Who is waited for until this node is accredited."""


def join(
    consortium: Consortium, *, address: str, name: PartyId, endpoint: str, certificate: bytes, encryption_key: bytes
) -> Status:
    """Register this node, or update its endpoint, certificate and encryption key where the registry has others.

    Args:
        consortium: with this node's sender.
        address: this party's address; its key's own until that was rotated.
        name: from its configuration.
        endpoint: where peers reach it; public from then on.
        certificate: DER; public from then on. Peers trust it because this transaction is signed by the node's account.
        encryption_key: X25519 public key, 32 bytes; public from then on.

    Returns:
        Its standing.

    Raises:
        ConfigError: the name belongs to another address, this address to another name, or the key was rotated away.
    """
    entry = consortium.participant(address)
    fingerprint = fingerprint_of(certificate)
    if entry.status == Status.UNKNOWN:
        holder = consortium.address_of(name)
        if holder is not None:
            raise ConfigError(f"name '{name}' is registered by {holder}; choose another name, or use that key")
        consortium.register(name, endpoint, certificate, encryption_key)
        log.info("registered", name=name, address=address, endpoint=endpoint, fingerprint=fingerprint.hex())
        return Status.REGISTERED
    if entry.name != name:
        raise ConfigError(f"address {address} is registered as '{entry.name}': set that name in node.toml")
    require_acting(consortium, entry)
    if entry.status is Status.BANNED:
        return entry.status
    if (entry.endpoint, entry.fingerprint) != (endpoint, fingerprint):
        consortium.set_service(endpoint, certificate)
        log.info(
            "endpoint or certificate changed",
            name=name,
            endpoint=endpoint,
            earlier_endpoint=entry.endpoint,
            fingerprint=fingerprint.hex(),
            earlier=entry.fingerprint.hex(),
        )
    if entry.encryption_key != encryption_key:
        consortium.set_encryption_key(encryption_key)
        log.info("encryption key changed", name=name, public=encryption_key.hex(), earlier=entry.encryption_key.hex())
    return entry.status


def require_acting(consortium: Consortium, entry: Participant) -> None:
    """Raise where the sender's key does not act for a registered participant.

    Raises:
        ConfigError: the participant's key was rotated to another.
    """
    sender = consortium.sender
    if sender is not None and entry.signer != sender.address:
        raise ConfigError(
            f"the key of '{entry.name}' ({entry.address}) was rotated to {entry.signer}, and this keystore holds "
            f"{sender.address}, which acts for nobody; restore the keystore of the last rotation, or a newer backup"
        )


def wait_until_accredited(
    consortium: Consortium,
    *,
    address: str,
    name: PartyId,
    stop: threading.Event,
    wait: bool,
    limit_seconds: float,
    waits: Waits,
) -> bool:
    """Wait until a steward has accredited this node; through outages of the chain, too.

    Args:
        consortium: for reading.
        address: this node's address.
        name: this node's name.
        stop: ends the wait.
        wait: False to fail at once instead.
        limit_seconds: how long to wait at most.
        waits: where the wait is entered.

    Returns:
        True once accredited, False when `stop` was set first.

    Raises:
        NotAccreditedError: suspended or banned; or not accredited in time; or not yet and `wait` is False.
        ChainUnreachableError: the chain did not answer until the limit; or not at once and `wait` is False.
    """
    limit = time.monotonic() + (limit_seconds if wait else 0.0)
    ask = f"party '{name}' ({address}) is not accredited yet; ask a steward to accredit it"
    remind_at = 0.0
    with waits.on((STEWARDS,), "accreditation", f"accreditation of party '{name}'", limit) as entry:
        while not stop.is_set():
            is_last = time.monotonic() >= limit
            status = None
            try:
                status = consortium.participant(address).status
            except ChainUnreachableError as error:
                if is_last:
                    raise
                log.warning("chain does not answer, trying again", doing=entry.what, error=str(error))
            if status == Status.ACCREDITED:
                return True
            if status == Status.SUSPENDED:
                raise NotAccreditedError(f"party '{name}' ({address}) is suspended; ask a steward to reinstate it")
            if status == Status.BANNED:
                raise NotAccreditedError(f"party '{name}' ({address}) is banned, for ever; ask the stewards why")
            if is_last:
                raise NotAccreditedError(ask)
            if status is not None and time.monotonic() >= remind_at:
                remind_at = time.monotonic() + _REMIND_SECONDS
                log.info("waiting until a steward accredits this party", name=name, address=address)
            stop.wait(_POLL_SECONDS)
    return False
