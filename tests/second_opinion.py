"""eth_account, a second opinion on what fedchain derives and signs itself."""

from __future__ import annotations

from typing import Any

from eth_account import Account as EthAccount

from fedchain.chain import Account


def private_key(account: Account) -> bytes:
    """The 32 bytes, which an account shows to nobody that asks kindly."""
    return bytes(account._key.secret)


def signed(account: Account, fields: dict[str, Any]) -> tuple[bytes, bytes]:
    """A transaction of any type, signed; its bytes and its 32-byte hash."""
    one = EthAccount.sign_transaction(fields, private_key(account))
    return bytes(one.raw_transaction), bytes(one.hash)
