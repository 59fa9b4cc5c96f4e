"""Signs and sends one account's transactions, one nonce after the other."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from fedchain.chain.abi import checksum, describe_revert
from fedchain.chain.account import Account
from fedchain.chain.client import ChainClient
from fedchain.chain.decoder import EventDecoder
from fedchain.chain.events import ChainEvent
from fedchain.chain.reverts import revert_data
from fedchain.chain.rpc import RpcError
from fedchain.errors import ChainError, ChainUnreachableError, TransactionError

TRANSFER_GAS = 21_000
_FIRST_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.25
_REBROADCAST_SECONDS = 10.0
_ATTEMPTS = 4
_KNOWN = ("already known", "already imported", "known transaction", "already in mempool")
_NONCE = ("nonce", "replacement transaction", "underpriced replacement")
_PRICE = ("base fee", "basefee", "underpriced", "gas price", "fee cap")


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


class Sender:
    """Sends transactions of one account; several threads may share it.

    The lock is held while a transaction gets its nonce and is handed to the node, not while its receipt is awaited:
    on a chain with a block time, transactions of several threads go into one block. Nonces are counted here and read
    anew from the node after any error. A transaction is signed once; what is repeated is the identical bytes.

    Args:
        client: the chain.
        account: pays and signs.
        receipt_timeout_seconds: how long to wait for a transaction to be mined.
    """

    def __init__(self, client: ChainClient, account: Account, *, receipt_timeout_seconds: float = 120.0) -> None:
        self.client = client
        self.account = account
        self._timeout_seconds = receipt_timeout_seconds
        self._lock = threading.Lock()
        self._nonce: int | None = None
        self._gas_price: int | None = None

    @property
    def address(self) -> str:
        """The account's address."""
        return self.account.address

    def transfer(self, address: str, wei: int) -> Receipt:
        """Send ether to an account without code.

        Raises:
            ChainError: not enough balance, or not mined in time.
        """
        return self.transact(Call(f"transfer of {wei} wei to {address}", address, b"", wei), TRANSFER_GAS)

    def transact(self, call: Call, gas: int, decoder: EventDecoder | None = None) -> Receipt:
        """Send a transaction and wait until it is mined.

        Args:
            call: what to do.
            gas: limit; an upper bound, nothing is estimated.
            decoder: for the receipt's events.

        Raises:
            TransactionError: it reverted; `reason` is the contract's typed error with its arguments.
            ChainUnreachableError: the node does not answer; whether the transaction was mined is unknown.
            ChainError: the node refused it, or it was not mined in time.
        """
        raw, digest = self._send(call, gas)
        receipt = self._wait(call, raw, digest)
        block_number = int(receipt["blockNumber"], 16)
        gas_used = int(receipt["gasUsed"], 16)
        if int(receipt["status"], 16) != 1:
            raise TransactionError(call.what, self._why(call, gas, block_number, gas_used))
        events = decoder.decode(receipt["logs"]) if decoder is not None else ()
        return Receipt(digest, block_number, gas_used, events, receipt.get("contractAddress"))

    def _send(self, call: Call, gas: int) -> tuple[bytes, bytes]:
        with self._lock:
            for attempt in range(1, _ATTEMPTS + 1):
                if self._nonce is None:
                    self._nonce = self.client.nonce(self.address)
                if self._gas_price is None:
                    self._gas_price = 2 * self.client.gas_price()  # room for a rising base fee; stays 0 on free gas
                raw, digest = self._sign(call, gas, self._nonce, self._gas_price)
                try:
                    self.client.send_raw(raw)
                except ChainUnreachableError:
                    self._nonce = None
                    raise
                except RpcError as error:
                    self._nonce = None
                    if not self._is_in(error, digest):
                        self._refused(call, error, is_last=attempt == _ATTEMPTS)
                        continue
                else:
                    self._nonce += 1
                return raw, digest
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _sign(self, call: Call, gas: int, nonce: int, gas_price: int) -> tuple[bytes, bytes]:
        return self.account.sign(
            {
                "nonce": nonce,
                "gasPrice": gas_price,  # a legacy transaction: the one form that all chains take, at any base fee
                "gas": gas,
                "to": checksum(call.to) if call.to else b"",
                "value": call.value,
                "data": call.data,
                "chainId": self.client.chain_id,
            }
        )

    def _is_in(self, error: RpcError, digest: bytes) -> bool:
        """Whether the node refused the transaction because it had just taken it, over a connection that then broke.

        Only then: another sender of the same account may have sent the same call with the same nonce, which makes the
        same bytes, and ours is still to be sent.
        """
        if not error.is_repeated:
            return False
        words = error.message.lower()
        return any(word in words for word in _KNOWN) or self.client.receipt(digest) is not None

    def _refused(self, call: Call, error: RpcError, *, is_last: bool) -> None:
        """Return when the transaction is worth another attempt, with nonce and price read anew."""
        data = revert_data(error)
        if data is not None:
            raise TransactionError(call.what, describe_revert(data)) from error
        words = error.message.lower()
        if "insufficient" in words or "enough funds" in words:
            raise ChainError(
                f"{call.what}: account {self.address} has too little ether for value and gas on this chain "
                f"(balance {self.client.balance(self.address)} wei); fund it first"
            ) from error
        if is_last or not any(word in words for word in (*_KNOWN, *_NONCE, *_PRICE)):
            raise ChainError(f"{call.what}: {error}") from error
        self._gas_price = None

    def _wait(self, call: Call, raw: bytes, digest: bytes) -> dict[str, Any]:
        start = last_sent = time.monotonic()
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                receipt = self.client.receipt(digest)
            except RpcError:  # Ganache trips over a receipt whose block it is still writing
                receipt = None
            if receipt is not None:
                return receipt
            now = time.monotonic()
            if now - start > self._timeout_seconds:
                with self._lock:
                    self._nonce = None
                raise ChainError(
                    f"{call.what}: transaction 0x{digest.hex()} was not mined within {self._timeout_seconds:.0f} s; "
                    "check that the chain makes blocks and that its block gas limit is not below the transaction's"
                )
            if now - last_sent > _REBROADCAST_SECONDS:
                last_sent = now
                self._rebroadcast(raw)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _rebroadcast(self, raw: bytes) -> None:
        try:
            self.client.send_raw(raw)
        except RpcError:  # it knows them still, or mined them this moment: the receipt will tell
            return

    def _why(self, call: Call, gas: int, block_number: int, gas_used: int) -> str:
        """Replay a failed transaction to learn its reason.

        Its own block's end state comes last: state before the block is exact unless the block holds others before it;
        nodes that keep no old state answer for the newest block alone.
        """
        replay: dict[str, object] = {"from": self.address, "data": "0x" + call.data.hex(), "gas": hex(gas)}
        replay["value"] = hex(call.value)
        if call.to is not None:
            replay["to"] = call.to
        for block in (block_number - 1, block_number, "latest"):
            try:
                self.client.call(replay, block)
            except RpcError as error:
                data = revert_data(error)
                if data:
                    return describe_revert(data)
        if gas_used >= gas:
            return f"it used up its gas limit of {gas}"
        return f"no reason given (transaction in block {block_number}, gas used {gas_used} of {gas})"
