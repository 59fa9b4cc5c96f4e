"""What a transaction is to do, and what has become of it."""

from __future__ import annotations

from dataclasses import dataclass

import rlp  # type: ignore[import-untyped]
from eth_utils.crypto import keccak

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
    fields = [
        *(_integer(one) for one in (nonce, gas_price, gas)),  # a legacy transaction: the one form that all chains take
        bytes.fromhex(checksum(call.to)[2:]) if call.to else b"",
        _integer(call.value),
        call.data,
    ]
    r, s, parity = account.sign_legacy(_encoded([*fields, _integer(chain_id), b"", b""]))
    raw = _encoded([*fields, *(_integer(one) for one in (2 * chain_id + 35 + parity, r, s))])  # EIP-155
    return Signed(nonce, keccak(raw), raw, call.what, gas, gas_price)


def _integer(value: int) -> bytes:
    """As RLP writes numbers: big-endian, without leading zeros."""
    return value.to_bytes(-(-value.bit_length() // 8), "big")


def _encoded(fields: list[bytes]) -> bytes:
    return bytes(rlp.encode(fields, infer_serializer=False))
