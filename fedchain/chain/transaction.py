"""What a transaction is to do, and what has become of it."""

from __future__ import annotations

from dataclasses import dataclass

import rlp  # type: ignore[import-untyped]

from fedchain.chain.abi import checksum
from fedchain.chain.account import Account
from fedchain.chain.events import ChainEvent
from fedchain.errors import ChainError


@dataclass(frozen=True)
class Call:
    """What a transaction does.

    Attributes:
        what: in words, for messages: `UplinkLedger.submit`.
        to: address; None creates a contract.
        data: calldata or creation code.
        value: wei.
    """

    what: str
    to: str | None
    data: bytes
    value: int = 0

    def is_same(self, other: Call) -> bool:
        """Whether the other call does the same, however it is called."""
        to = (self.to or "").lower(), (other.to or "").lower()
        return to[0] == to[1] and self.value == other.value and self.data == other.data


@dataclass(frozen=True)
class Receipt:
    """A transaction that went through.

    Attributes:
        tx_hash: 32 bytes.
        block_number: where it stands.
        gas_used: units.
        events: the contracts' decoded events, in order; empty when no decoder was given.
        contract_address: of a created contract.
    """

    tx_hash: bytes
    block_number: int
    gas_used: int
    events: tuple[ChainEvent, ...]
    contract_address: str | None = None


@dataclass(frozen=True)
class Signed:
    """A signed transaction: what is recorded, sent, and sent again.

    Attributes:
        nonce: its number among the account's transactions.
        tx_hash: 32 bytes.
        raw: the bytes that go to a node.
        what: see `Call`.
        gas: limit.
        gas_price: wei.
    """

    nonce: int
    tx_hash: bytes
    raw: bytes
    what: str
    gas: int
    gas_price: int

    def call(self) -> Call:
        """What it does, read from its bytes.

        Raises:
            ChainError: they are no legacy transaction.
        """
        try:
            _, _, _, to, value, data, *_ = rlp.decode(self.raw)
            return Call(self.what, checksum("0x" + to.hex()) if to else None, data, int.from_bytes(value, "big"))
        except (rlp.exceptions.RLPException, TypeError, ValueError, AttributeError) as error:
            raise ChainError(f"recorded transaction 0x{self.tx_hash.hex()} ({self.what}) is damaged") from error


def sign(account: Account, chain_id: int, call: Call, *, nonce: int, gas: int, gas_price: int) -> Signed:
    """Sign a call: always the same bytes for the same arguments."""
    raw, tx_hash = account.sign(
        {
            "nonce": nonce,
            "gasPrice": gas_price,  # a legacy transaction: the one form that all chains take, at any base fee
            "gas": gas,
            "to": checksum(call.to) if call.to else b"",
            "value": call.value,
            "data": call.data,
            "chainId": chain_id,
        }
    )
    return Signed(nonce, tx_hash, raw, call.what, gas, gas_price)
