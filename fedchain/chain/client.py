"""A chain as seen through one node's RPC address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from eth_utils.crypto import keccak

from fedchain.chain.rpc import RpcTransport
from fedchain.errors import ChainError, WrongChainError

LATEST = "latest"


@dataclass(frozen=True)
class ChainUsage:
    """What a range of blocks holds.

    Attributes:
        transactions: their number.
        gas: used by them.
    """

    transactions: int
    gas: int


class Transport(Protocol):
    """A way to a node, as `RpcTransport` is one."""

    url: str

    def request(self, method: str, *params: object) -> Any:
        """See `RpcTransport.request`."""

    def close(self) -> None:
        """See `RpcTransport.close`."""


class ChainClient:
    """Reads a chain and hands it signed transactions; safe to use from several threads at once.

    Args:
        rpc_url: HTTP address of a node; or another way to one.
        expected_chain_id: what `eth_chainId` must answer; None accepts any chain.
        timeout_seconds: for each request.

    Attributes:
        rpc_url: the address without credentials.
        chain_id: what the node answered at construction.

    Raises:
        ConfigError: `rpc_url` is no HTTP address.
        ChainUnreachableError: nothing answers there. So can every method.
        WrongChainError: another chain answers.
    """

    def __init__(
        self, rpc_url: str | Transport, *, expected_chain_id: int | None = None, timeout_seconds: float = 30.0
    ) -> None:
        self._transport: Transport = RpcTransport(rpc_url, timeout_seconds) if isinstance(rpc_url, str) else rpc_url
        self.rpc_url = self._transport.url
        self.chain_id = self._number("eth_chainId")
        if expected_chain_id is not None and self.chain_id != expected_chain_id:
            self.close()
            raise WrongChainError(f"chain id at {self.rpc_url}", expected_chain_id, self.chain_id)

    def __enter__(self) -> ChainClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close idle connections."""
        self._transport.close()

    def head(self) -> int:
        """Number of the newest block."""
        return self._number("eth_blockNumber")

    def block_hash(self, number: int) -> bytes:
        """Hash of a block, 32 bytes.

        Raises:
            ChainError: there is no such block (yet, or any more).
        """
        block = self._transport.request("eth_getBlockByNumber", hex(number), False)
        if block is None:
            raise ChainError(f"the chain at {self.rpc_url} has no block {number}; its head is {self.head()}")
        return self._bytes("eth_getBlockByNumber", block.get("hash") if isinstance(block, dict) else block)

    def block_time(self, number: int | str = LATEST) -> tuple[int, int]:
        """Number and time of a block, in seconds since 1970.

        Args:
            number: the block's, or a tag.

        Raises:
            ChainError: there is no such block, or the answer is malformed.
        """
        tag = hex(number) if isinstance(number, int) else number
        block = self._transport.request("eth_getBlockByNumber", tag, False)
        try:
            return int(block["number"], 16), int(block["timestamp"], 16)
        except (KeyError, TypeError, ValueError) as error:
            raise self._malformed("eth_getBlockByNumber") from error

    def usage(self, from_block: int, to_block: int) -> ChainUsage:
        """Transactions and gas of a closed range of blocks, one request per block.

        Raises:
            ChainError: a block is missing.
        """
        transactions = gas = 0
        for number in range(from_block, to_block + 1):
            block = self._transport.request("eth_getBlockByNumber", hex(number), False)
            if not isinstance(block, dict):
                raise ChainError(f"the chain at {self.rpc_url} has no block {number}")
            transactions += len(block["transactions"])
            gas += int(block["gasUsed"], 16)
        return ChainUsage(transactions, gas)

    def genesis_hash(self) -> bytes:
        """Hash of block 0, 32 bytes: tells two chains with the same chain id apart."""
        return self.block_hash(0)

    def code_hash(self, address: str) -> bytes | None:
        """Keccak-256 of the runtime code at an address; None when there is none."""
        code = self._bytes("eth_getCode", self._transport.request("eth_getCode", address, LATEST))
        return keccak(code) if code else None

    def balance(self, address: str) -> int:
        """Balance in wei."""
        return self._number("eth_getBalance", address, LATEST)

    def nonce(self, address: str) -> int:
        """Number of the account's next transaction, pending ones counted."""
        return self._number("eth_getTransactionCount", address, "pending")

    def mined_nonce(self, address: str) -> int:
        """How many of the account's transactions are mined: the number of the first that is not."""
        return self._number("eth_getTransactionCount", address, LATEST)

    def is_known(self, transaction_hash: bytes) -> bool:
        """Whether the node has a transaction, mined or waiting."""
        return self._transport.request("eth_getTransactionByHash", "0x" + transaction_hash.hex()) is not None

    def gas_price(self) -> int:
        """The node's price for a unit of gas in wei; 0 on free-gas chains."""
        return self._number("eth_gasPrice")

    def base_fee(self) -> int:
        """What the newest block burnt of each unit's price, in wei; 0 where blocks burn nothing."""
        block = self._transport.request("eth_getBlockByNumber", LATEST, False)
        if not isinstance(block, dict):
            raise self._malformed("eth_getBlockByNumber")
        try:
            return int(block.get("baseFeePerGas") or "0x0", 16)
        except (TypeError, ValueError) as error:
            raise self._malformed("eth_getBlockByNumber") from error

    def fair_price(self) -> int:
        """What to offer for a unit of gas, in wei: what the node asks for, and room for a base fee that doubles.

        Nodes ask for what recent transactions paid. So an offer does not grow with what is asked, or each restart of a
        consortium's nodes would double the price.
        """
        return max(self.gas_price(), 2 * self.base_fee())

    def call(self, transaction: dict[str, object], block: int | str = LATEST) -> bytes:
        """Execute a call without a transaction.

        Args:
            transaction: JSON-RPC fields (`to`, `data`, perhaps `from`, `gas`, `value`).
            block: a number, or a tag.

        Raises:
            RpcError: it reverted; `revert_data` of `fedchain.chain.reverts` finds why.
        """
        tag = hex(block) if isinstance(block, int) else block
        return self._bytes("eth_call", self._transport.request("eth_call", transaction, tag))

    def estimate(self, transaction: dict[str, object]) -> int:
        """Gas that a transaction needs on the newest state that the node knows.

        Args:
            transaction: as for `call`, with `from`.

        Raises:
            RpcError: it would revert; see `call`.
        """
        return self._number("eth_estimateGas", transaction)

    def send_raw(self, raw: bytes) -> bytes:
        """Hand over a signed transaction; returns its hash. Sending the same bytes again is harmless.

        Raises:
            RpcError: the node refused it.
        """
        return self._bytes(
            "eth_sendRawTransaction", self._transport.request("eth_sendRawTransaction", "0x" + raw.hex())
        )

    def receipt(self, transaction_hash: bytes) -> dict[str, Any] | None:
        """The JSON-RPC receipt of a mined transaction, None as long as it is not mined."""
        found = self._transport.request("eth_getTransactionReceipt", "0x" + transaction_hash.hex())
        if found is None or (isinstance(found, dict) and found.get("blockNumber") is None):
            return None
        if not isinstance(found, dict):
            raise self._malformed("eth_getTransactionReceipt")
        return found

    def logs(self, addresses: Sequence[str], from_block: int, to_block: int) -> list[dict[str, Any]]:
        """JSON-RPC logs of some contracts in a closed range of blocks, in the order of the chain.

        Raises:
            RpcError: the node refuses the range (too long, or beyond its head).
        """
        query = {"address": list(addresses), "fromBlock": hex(from_block), "toBlock": hex(to_block)}
        found = self._transport.request("eth_getLogs", query)
        if not isinstance(found, list):
            raise self._malformed("eth_getLogs")
        return found

    def _number(self, method: str, *params: object) -> int:
        value = self._transport.request(method, *params)
        try:
            return int(value, 16)
        except (TypeError, ValueError) as error:
            raise self._malformed(method) from error

    def _bytes(self, method: str, value: object) -> bytes:
        if not isinstance(value, str) or not value.startswith("0x"):
            raise self._malformed(method)
        try:
            return bytes.fromhex(value[2:])
        except ValueError as error:
            raise self._malformed(method) from error

    def _malformed(self, method: str) -> ChainError:
        return ChainError(f"the node at {self.rpc_url} answered {method} with something of another shape")
