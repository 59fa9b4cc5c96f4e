"""Entering a node in the registry without starting it."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from fedchain.chain import ChainClient, Consortium, Deployment, Sender
from fedchain.errors import ConfigError
from fedchain.exchange.endpoint import Endpoint, checked_host, parse_endpoint
from fedchain.exchange.waits import Waits
from fedchain.node.certificate_files import CertificateFiles
from fedchain.node.config import NodeConfig
from fedchain.node.doctor.files import is_running
from fedchain.node.encryption import open_encryption_key
from fedchain.node.key_files import party_address
from fedchain.node.keystore import open_account
from fedchain.node.membership import join, require_acting, wait_until_accredited
from fedchain.node.ownstate import own_outbox
from fedchain.types import PartyId, Status


@dataclass(frozen=True)
class Registration:
    """What the registry says of a node; all of it is public.

    Attributes:
        name: registered name.
        address: of the node's party; its key's own until that was rotated.
        endpoint: what peers dial.
        fingerprint: SHA-256 of the certificate, 32 bytes.
        status: its standing.
        changed: whether this call wrote to the registry.
    """

    name: str
    address: str
    endpoint: str
    fingerprint: bytes
    status: Status
    changed: bool


def fixed_endpoint(config: NodeConfig) -> str:
    """The `host:port` that peers will dial, known before the node listens.

    Raises:
        ConfigError: it is not fixed, or not one that peers can dial.
    """
    serve = config.serve
    if serve.endpoint is not None:
        return str(parse_endpoint(serve.endpoint))
    bound = Endpoint(checked_host(serve.host), serve.port)
    if serve.port == 0:
        raise ConfigError(
            "[serve] port is 0, any free one, so there is nothing to register yet; "
            "set [serve] port, or [serve] endpoint"
        )
    if not bound.reachable:
        raise ConfigError(
            f"[serve] host {serve.host}: peers cannot dial that address; set [serve] endpoint to what they reach, "
            f'for example endpoint = "node.example.org:{serve.port}"'
        )
    return str(bound)


def register_node(
    config: NodeConfig, *, wait: bool = False, limit_seconds: float | None = None, stop: threading.Event | None = None
) -> Registration:
    """Write name, endpoint, certificate and encryption key into the registry where it has others; public from then on.

    A stopped node's state folder is locked meanwhile, and its outbox used, so that no transaction that it has under way
    is crossed. A running node has registered itself: then this only looks.

    Args:
        config: from `node.toml`.
        wait: wait until a steward has accredited the node.
        limit_seconds: how long at most; None takes `[chain] accreditation_days`.
        stop: ends the wait.

    Raises:
        ConfigError: no fixed endpoint; the name or the address is registered otherwise; or the node runs, and the
            registry does not say what node.toml says.
        NotAccreditedError: suspended, or not accredited in time; only with `wait`.
        ChainError: the chain.
    """
    endpoint = fixed_endpoint(config)
    files = CertificateFiles.of(config)
    identity = files.load()
    deployment = Deployment.load(config.chain.deployment)
    encryption_key = open_encryption_key(config).public
    account = open_account(config)
    with ChainClient(config.chain.rpc, expected_chain_id=config.chain.chain_id or deployment.chain_id) as client:
        sender = Sender(client, account)
        consortium = Consortium(client, deployment, sender)
        name, address = PartyId(config.name), party_address(consortium, account.address)
        entry = consortium.participant(address)
        found = (entry.name, entry.endpoint, entry.fingerprint, entry.encryption_key)
        is_there = found == (name, endpoint, identity.fingerprint, encryption_key)
        if entry.status is not Status.UNKNOWN:
            require_acting(consortium, entry)
        if not is_there:
            if is_running(config.control_socket):
                raise ConfigError(
                    f"node '{name}' runs with other settings, and keeps its registry entry itself; "
                    "restart it, and it registers what node.toml says now"
                )
            with own_outbox(config, client, sender):
                certificate = identity.certificate
                join(
                    consortium,
                    address=address,
                    name=name,
                    endpoint=endpoint,
                    certificate=certificate,
                    encryption_key=encryption_key,
                )
                files.finish(identity)
        if wait:
            days = config.chain.accreditation_days
            wait_until_accredited(
                consortium,
                address=address,
                name=name,
                stop=stop or threading.Event(),
                wait=True,
                limit_seconds=days * 86_400 if limit_seconds is None else limit_seconds,
                waits=Waits(),
            )
        status = consortium.participant(address).status
    return Registration(name, address, endpoint, identity.fingerprint, status, not is_there)
