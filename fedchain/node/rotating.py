"""Replaces a node's certificate or its key, whether it runs or not."""

from __future__ import annotations

import structlog

from fedchain.chain import ChainClient, Consortium, Deployment, Sender
from fedchain.errors import ConfigError
from fedchain.node.certificate_files import CertificateFiles
from fedchain.node.config import NodeConfig
from fedchain.node.control_client import ControlClient
from fedchain.node.doctor.files import is_running
from fedchain.node.key_files import party_address
from fedchain.node.key_rotation import KeyRotation, rotate_stopped
from fedchain.node.keystore import open_account
from fedchain.node.ownstate import own_outbox
from fedchain.node.rotation import Rotation
from fedchain.types import Status

log = structlog.get_logger(__name__)


def rotate_key(config: NodeConfig) -> KeyRotation:
    """Make a new key, and hand the node's party over to it, which keeps its address; the old key is nobody then.

    A running node is asked over its control socket, and does it without a pause. What was interrupted is gone on with.

    Raises:
        ConfigError, ChainError: see `KeyRotator.rotate` and `rotate_stopped`.
    """
    if is_running(config.control_socket):
        with ControlClient(config.control_socket) as client:
            return client.rotate_key()
    return rotate_stopped(config)


def rotate_certificate(config: NodeConfig) -> Rotation:
    """Make a new certificate and key, register the certificate, and put both in the place of the old ones.

    A running node is asked over its control socket, and does it without a pause. A stopped node's state folder is
    locked meanwhile; its registered endpoint stays as it is. Peers refuse the old certificate once they have
    read the change. What was interrupted is gone on with.

    Raises:
        ConfigError: the files cannot be written, or the address is registered under another name.
        ChainError: the chain. Where it had been asked to register the new certificate, that stays staged.
    """
    if is_running(config.control_socket):
        with ControlClient(config.control_socket) as client:
            return client.rotate_certificate()
    files = CertificateFiles.of(config)
    deployment = Deployment.load(config.chain.deployment)
    account = open_account(config)
    with ChainClient(config.chain.rpc, expected_chain_id=config.chain.chain_id or deployment.chain_id) as client:
        sender = Sender(client, account)
        consortium = Consortium(client, deployment, sender)
        with own_outbox(config, client, sender):
            entry = consortium.participant(party_address(consortium, account.address))
            is_registered = entry.status is not Status.UNKNOWN
            if is_registered and entry.name != config.name:
                raise ConfigError(f"{entry.address} is registered as '{entry.name}': set that name in node.toml")
            staged = files.stage()
            is_entered = entry.fingerprint == staged.fingerprint  # by one that was interrupted after that
            earlier = entry.fingerprint if is_registered and not is_entered else files.installed_fingerprint()
            log.info("certificate rotation begins", earlier=earlier.hex(), fingerprint=staged.fingerprint.hex())
            if is_registered and not is_entered:
                consortium.set_service(entry.endpoint, staged.certificate)
            files.install(staged)
            log.info("certificate rotated", earlier=earlier.hex(), fingerprint=staged.fingerprint.hex())
    return Rotation(earlier, staged.fingerprint, is_registered, 0.0)
