"""Gives a node's party another key, whether the node runs or not; see `fedchain.node.key_files` for the files."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import structlog

from fedchain.chain import Account, ChainClient, Consortium, Deployment, Sender
from fedchain.chain.gas import TRANSFER_GAS
from fedchain.errors import ChainError, ConfigError, StoppingError, TransactionError
from fedchain.exchange import Exchange
from fedchain.exchange.outbox import NodeOutbox
from fedchain.node.config import NodeConfig
from fedchain.node.key_files import install_key, party_address, stage_key, staged_key, staged_keystore
from fedchain.node.keystore import open_account
from fedchain.node.membership import require_acting
from fedchain.node.ownstate import own_state
from fedchain.types import PartyId

log = structlog.get_logger(__name__)

VALID_SECONDS = 3600
"""So long the present key's signature for the next one may be used, by the chain's clock."""

_AGAIN_SECONDS = 1.0


@dataclass(frozen=True)
class KeyRotation:
    """A key that took the place of another. All of it is public.

    Attributes:
        party: address of the party; it stays the same. The new key's own, where the node is not registered yet.
        earlier: address of the key before, which acts for nobody now.
        signer: address of the key that acts for the party now.
        registered: whether the registry holds it.
    """

    party: str
    earlier: str
    signer: str
    registered: bool


def finish_rotation(config: NodeConfig, client: ChainClient, deployment: Deployment) -> KeyRotation | None:
    """Do what is left of a rotation of a stopped node's key; None where there is none. Locks its state folder.

    Raises:
        ConfigError: the files, or the node runs.
        ChainError: the chain; the new key stays staged.
    """
    successor = staged_key(config)
    if successor is None:
        return None
    account = open_account(config)
    with own_state(config, client) as state:
        old = Sender(client, account, outbox=NodeOutbox(state, account.address))
        new = Sender(client, successor, outbox=NodeOutbox(state, successor.address))
        old.resume()
        registered = _hand_over(Consortium(client, deployment, new), config.name, old)
        install_key(config)
    party = party_address(Consortium(client, deployment), successor.address)
    log.info("key rotated", party=party, earlier=account.address, signer=successor.address)
    return KeyRotation(party, account.address, successor.address, registered)


def rotate_stopped(config: NodeConfig) -> KeyRotation:
    """Make a new key for a stopped node, and hand its party over to it; or finish a rotation that was interrupted.

    Raises:
        ConfigError: the files, the node runs, or its key acts for nobody any more.
        ChainError: the chain; the new key stays staged: asking again, or the next start, goes on with it.
    """
    deployment = Deployment.load(config.chain.deployment)
    with ChainClient(config.chain.rpc, expected_chain_id=config.chain.chain_id or deployment.chain_id) as client:
        if not staged_keystore(config).exists():  # else the registry may hold the new key already
            _require_acting(Consortium(client, deployment, Sender(client, open_account(config))), config.name)
        stage_key(config)
        done = finish_rotation(config, client, deployment)
        assert done is not None
        return done


class KeyRotator:
    """Replaces a running node's key when asked to: transactions wait for a few blocks, and nothing else notices.

    Args:
        config: of the node.
        exchange: its traffic.
    """

    def __init__(self, config: NodeConfig, exchange: Exchange) -> None:
        self._config = config
        self._exchange = exchange
        self._turn = threading.Lock()
        self._closed = threading.Event()

    def rotate(self) -> KeyRotation:
        """Make a new key, or take that of a rotation that was not finished, and act with it from then on.

        Returns:
            Once the registry holds it.

        Raises:
            ConfigError: a rotation is under way; or the files cannot be written, then nothing has changed.
            ChainError: it was not sent, and the present key counts on; the new one is staged: asking again, or the next
                start, goes on with it.
            StoppingError: the node stops, and the outcome is unknown: the next start finishes it.
        """
        if not self._turn.acquire(blocking=False):
            raise ConfigError("a rotation of this node's key is under way; wait until it is done")
        try:
            client, consortium = self._exchange.client, self._exchange.consortium
            sender = consortium.sender
            assert sender is not None
            earlier = sender.address
            successor = stage_key(self._config)
            log.info("key rotation begins", earlier=earlier, signer=successor.address)
            with sender.alone() as old:
                outbox = NodeOutbox(self._exchange.state, successor.address)
                new = Consortium(client, consortium.deployment, Sender(client, successor, outbox=outbox))
                registered = self._until_known(new, old)
                sender.become(successor, outbox)
            install_key(self._config)
            party = party_address(consortium, successor.address)
            log.info("key rotated", party=party, earlier=earlier, signer=successor.address)
            return KeyRotation(party, earlier, successor.address, registered)
        finally:
            self._turn.release()

    def close(self) -> None:
        """The node stops."""
        self._closed.set()

    def _until_known(self, new: Consortium, old: Sender) -> bool:
        """Hand over; where the outcome is unknown, find it out before anything is sent with either key."""
        assert new.sender is not None
        while True:
            try:
                return _hand_over(new, self._config.name, old)
            except TransactionError:
                raise
            except ChainError as error:
                if not new.sender.has_pending:
                    raise
                log.warning("the outcome of the key's rotation is not known yet; asking again", error=str(error))
            if self._closed.wait(_AGAIN_SECONDS):
                raise StoppingError("this node is stopping; its next start finishes the rotation of its key")


def _hand_over(new: Consortium, name: str, old: Sender) -> bool:
    """Make the new sender's key that of the old one's party; whatever of it was done before is not done again.

    Returns:
        Whether the registry holds it; False for a node that is not registered.
    """
    sender = new.sender
    assert sender is not None
    sender.resume()
    if new.party_of(sender.address) is not None:
        return True
    _require_acting(Consortium(new.client, new.deployment, old), name)
    party = new.party_of(old.address)
    _move_funds(new.client, old, sender.address)
    if party is None:
        return False
    deadline = new.client.block_time()[1] + VALID_SECONDS
    registry = new.deployment.addresses["ParticipantRegistry"]
    signature = old.account.sign_rotation(
        chain_id=new.client.chain_id,
        registry=registry,
        party=party,
        successor=sender.address,
        nonce=new.rotation_nonce(party),
        deadline=deadline,
    )
    try:
        new.rotate_key(party, deadline, signature)
    except TransactionError:
        if new.party_of(sender.address) != party:
            raise
    return True


def _require_acting(consortium: Consortium, name: str) -> None:
    """Raise where the name's party has another key than the sender's."""
    party = consortium.address_of(PartyId(name))
    if party is not None:
        require_acting(consortium, consortium.participant(party))


def _move_funds(client: ChainClient, old: Sender, to: str) -> None:
    """What the old key has left goes to the new one, which pays from then on."""
    amount = client.balance(old.address) - 2 * TRANSFER_GAS * client.fair_price()  # it may rise until this is sent
    if amount > 0:
        old.transfer(to, amount)


def acting_account(config: NodeConfig, client: ChainClient, deployment: Deployment) -> tuple[Account, str]:
    """The node's account and its party's address, after a rotation that was interrupted has been finished.

    Raises:
        ConfigError, ChainError: see `finish_rotation`.
    """
    finish_rotation(config, client, deployment)
    account = open_account(config)
    return account, party_address(Consortium(client, deployment), account.address)
