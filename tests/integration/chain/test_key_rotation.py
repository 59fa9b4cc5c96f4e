"""A party's key is rotated, by EIP-712's signature of the old one, on every kind of chain."""

from __future__ import annotations

from typing import Any

import pytest

from fedchain.chain import Account, Consortium, EncryptionKeyChanged, KeyRotated, Sender
from fedchain.errors import TransactionError
from fedchain.types import Status
from tests.certificates import STAND_IN_KEY, stand_in_certificate


def newcomer(world: Any) -> tuple[Account, Consortium]:
    account = Account.create()
    Sender(world.client, world.accounts[4]).transfer(account.address, 10**18)
    own = Consortium(world.client, world.deployment, Sender(world.client, account))
    name = f"turning-{account.address[2:10].lower()}"
    own.register(name, "127.0.0.1:1", stand_in_certificate(name), STAND_IN_KEY)
    return account, own


def test_a_rotated_key_acts_for_the_party_and_the_old_one_for_nobody(world: Any) -> None:
    account, own = newcomer(world)
    world.steward.accredit(account.address)
    successor = Account.create()
    Sender(world.client, world.accounts[4]).transfer(successor.address, 10**18)
    new = Consortium(world.client, world.deployment, Sender(world.client, successor))
    assert own.party_of(account.address) == account.address
    assert own.participant(account.address).signer == account.address
    deadline = world.client.block_time()[1] + 600
    terms: dict[str, Any] = {
        "chain_id": world.client.chain_id,
        "registry": world.deployment.addresses["ParticipantRegistry"],
        "party": account.address,
        "successor": successor.address,
        "nonce": own.rotation_nonce(account.address),
        "deadline": deadline,
    }
    epoch = own.registry_epoch()
    for change in ({"chain_id": 5}, {"nonce": 1}, {"registry": account.address}, {"deadline": deadline + 1}):
        with pytest.raises(TransactionError, match="RotationNotSigned"):
            new.rotate_key(account.address, deadline, account.sign_rotation(**{**terms, **change}))
    with pytest.raises(TransactionError, match=r"RotationNotSigned\(expected="):
        new.rotate_key(account.address, deadline, successor.sign_rotation(**terms))
    (event,) = new.rotate_key(account.address, deadline, account.sign_rotation(**terms)).events
    assert isinstance(event, KeyRotated)
    assert (event.party, event.old_signer, event.new_signer) == (account.address, account.address, successor.address)

    assert (new.party_of(successor.address), new.party_of(account.address)) == (account.address, None)
    found = new.participant(account.address)
    assert (found.signer, found.status, found.address) == (successor.address, Status.ACCREDITED, account.address)
    assert new.participant(successor.address).status is Status.UNKNOWN
    assert (new.rotation_nonce(account.address), new.registry_epoch()) == (1, epoch + 1)
    assert new.is_key_of(account.address, account.address)
    assert new.is_key_of(account.address, successor.address)
    assert not new.is_key_of(account.address, world.accounts[1].address)
    with pytest.raises(TransactionError, match="NotRegistered"):
        own.set_encryption_key(b"\x02" * 32)
    (changed,) = new.set_encryption_key(b"\x02" * 32).events
    assert isinstance(changed, EncryptionKeyChanged)
    assert (changed.party, changed.encryption_key) == (account.address, b"\x02" * 32)
    assert new.participant(account.address).encryption_key == b"\x02" * 32


def test_a_rotation_that_comes_too_late_is_refused(world: Any) -> None:
    account, _ = newcomer(world)
    successor = Account.create()
    Sender(world.client, world.accounts[4]).transfer(successor.address, 10**18)
    new = Consortium(world.client, world.deployment, Sender(world.client, successor))
    deadline = world.client.block_time()[1] - 1
    signature = account.sign_rotation(
        chain_id=world.client.chain_id,
        registry=world.deployment.addresses["ParticipantRegistry"],
        party=account.address,
        successor=successor.address,
        nonce=0,
        deadline=deadline,
    )
    with pytest.raises(TransactionError, match="RotationExpired"):
        new.rotate_key(account.address, deadline, signature)


def test_a_new_account_signs_a_rotation_the_same_way_each_time() -> None:
    account = Account.from_private_key(b"\x01" * 32)
    terms: dict[str, Any] = {
        "chain_id": 1, "registry": "0x" + "11" * 20, "party": account.address, "successor": "0x" + "22" * 20,
        "nonce": 3, "deadline": 4,
    }  # fmt: skip
    first, second = account.sign_rotation(**terms), account.sign_rotation(**terms)
    assert first == second
    assert (len(first), first[64] in (27, 28)) == (65, True)
