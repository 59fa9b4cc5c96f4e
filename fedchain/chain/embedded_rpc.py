"""The embedded chain's JSON-RPC methods: from parameters to `EmbeddedChain` and back to hex."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fedchain.chain.embedded_chain import BLOCK_GAS_LIMIT, EmbeddedChain, Log, Mined, RefusedError

MAX_BATCH = 100
_INVALID_REQUEST, _NO_METHOD, _INVALID_PARAMS = -32600, -32601, -32602
_LATEST = ("latest", "pending", "safe", "finalized")


class EmbeddedRpc:
    """Answers JSON-RPC requests, single or in batches of at most `MAX_BATCH`."""

    def __init__(self, chain: EmbeddedChain) -> None:
        self._chain = chain
        self._methods: dict[str, Callable[..., Any]] = {
            "web3_clientVersion": lambda: "fedchain-embedded/1",
            "net_version": lambda: str(chain.chain_id),
            "eth_syncing": lambda: False,
            "eth_chainId": lambda: hex(chain.chain_id),
            "eth_accounts": lambda: [_hex(address) for address in chain.accounts],
            "eth_blockNumber": lambda: hex(chain.head),
            "eth_gasPrice": lambda: "0x0",
            "eth_maxPriorityFeePerGas": lambda: "0x0",
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getBalance": lambda address, tag="latest": hex(chain.balance(_bytes(address, 20), self._number(tag))),
            "eth_getTransactionCount": lambda address, tag="latest": hex(
                chain.nonce(_bytes(address, 20), self._number(tag))
            ),
            "eth_getCode": lambda address, tag="latest": _hex(chain.code(_bytes(address, 20), self._number(tag))),
            "eth_call": self._call,
            "eth_estimateGas": self._estimate,
            "eth_sendRawTransaction": lambda raw: _hex(chain.send_raw(_bytes(raw))),
            "eth_getTransactionReceipt": self._receipt,
            "eth_getTransactionByHash": self._transaction,
            "eth_getLogs": self._logs,
            "evm_increaseTime": self._increase_time,
        }

    def answer(self, request: Any) -> Any:
        """The response to a decoded request body."""
        if not isinstance(request, list):
            return self._answer_one(request)
        if not 1 <= len(request) <= MAX_BATCH:
            return _error(None, _INVALID_REQUEST, f"a batch holds 1 to {MAX_BATCH} requests")
        return [self._answer_one(one) for one in request]

    def _answer_one(self, request: Any) -> dict[str, Any]:
        if not isinstance(request, dict):
            return _error(None, _INVALID_REQUEST, "a request is an object")
        number, name, params = request.get("id"), request.get("method"), request.get("params", [])
        method = self._methods.get(name) if isinstance(name, str) else None
        if method is None:
            return _error(number, _NO_METHOD, f"the embedded chain has no method {name!r}")
        if not isinstance(params, list):
            return _error(number, _INVALID_PARAMS, "params is a list")
        try:
            return {"jsonrpc": "2.0", "id": number, "result": method(*params)}
        except RefusedError as error:
            return _error(number, error.code, str(error), error.data)
        except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
            return _error(number, _INVALID_PARAMS, f"{name}: {error}")

    def _number(self, tag: Any) -> int:
        if tag in _LATEST:
            return self._chain.head
        return 0 if tag == "earliest" else int(tag, 16)

    def _block_by_number(self, tag: Any, full: bool = False) -> dict[str, Any] | None:
        number = self._number(tag)
        return _block(self._chain.block(number), full) if 0 <= number <= self._chain.head else None

    def _block_by_hash(self, block_hash: Any, full: bool = False) -> dict[str, Any] | None:
        number = self._chain.number_of_block(_bytes(block_hash, 32))
        return None if number is None else _block(self._chain.block(number), full)

    def _call(self, transaction: dict[str, Any], tag: Any = "latest") -> str:
        return _hex(self._chain.call(**_call_fields(transaction), number=self._number(tag)))

    def _estimate(self, transaction: dict[str, Any], tag: Any = "latest") -> str:
        return hex(self._chain.estimate(**_call_fields(transaction), number=self._number(tag)))

    def _increase_time(self, seconds: Any) -> int:
        return self._chain.increase_time(int(seconds, 16) if isinstance(seconds, str) else int(seconds))

    def _receipt(self, transaction_hash: Any) -> dict[str, Any] | None:
        number = self._chain.number_of_transaction(_bytes(transaction_hash, 32))
        if number is None:
            return None
        mined = self._chain.block(number)
        transaction = mined.transaction
        return {
            **_place(mined),
            "type": hex(getattr(transaction, "type_id", None) or 0),
            "from": _hex(transaction.sender),
            "to": _hex(transaction.to) if transaction.to else None,
            "contractAddress": None if mined.created is None else _hex(mined.created),
            "status": hex(mined.succeeded),
            "gasUsed": hex(mined.header.gas_used),
            "cumulativeGasUsed": hex(mined.header.gas_used),
            "effectiveGasPrice": "0x0",
            "logsBloom": f"0x{mined.header.bloom:0512x}",
            "logs": [_log(mined, index, log) for index, log in enumerate(mined.logs)],
        }

    def _transaction(self, transaction_hash: Any) -> dict[str, Any] | None:
        number = self._chain.number_of_transaction(_bytes(transaction_hash, 32))
        return None if number is None else _transaction(self._chain.block(number))

    def _logs(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        if "blockHash" in query:
            number = self._chain.number_of_block(_bytes(query["blockHash"], 32))
            if number is None:
                raise RefusedError("block not found")
            first = last = number
        else:
            first = self._number(query.get("fromBlock", "latest"))
            last = min(self._number(query.get("toBlock", "latest")), self._chain.head)
        wanted = query.get("address")
        if wanted is not None:
            wanted = {_bytes(address, 20) for address in ([wanted] if isinstance(wanted, str) else wanted)}
        topics = query.get("topics") or []
        found = []
        for number in range(max(first, 0), last + 1):
            mined = self._chain.block(number)
            for index, log in enumerate(mined.logs):
                if (wanted is None or log.address in wanted) and _has_topics(log, topics):
                    found.append(_log(mined, index, log))
        return found


def _call_fields(transaction: dict[str, Any]) -> dict[str, Any]:
    gas = transaction.get("gas")
    return {
        "sender": _bytes(transaction.get("from", "0x" + "00" * 20), 20),
        "to": _bytes(transaction["to"], 20) if transaction.get("to") else b"",
        "data": _bytes(transaction.get("data") or transaction.get("input") or "0x"),
        "value": int(transaction.get("value", "0x0"), 16),
        "gas": None if gas is None else int(gas, 16),
    }


def _has_topics(log: Log, wanted: list[Any]) -> bool:
    if len(wanted) > len(log.topics):
        return False
    for topic, choice in zip(log.topics, wanted, strict=False):
        if choice is not None and topic not in ([choice.lower()] if isinstance(choice, str) else choice):
            return False
    return True


def _place(mined: Mined) -> dict[str, Any]:
    return {
        "blockNumber": hex(mined.header.block_number),
        "blockHash": _hex(mined.header.hash),
        "transactionHash": _hex(mined.transaction.hash),
        "transactionIndex": "0x0",
    }


def _log(mined: Mined, index: int, log: Log) -> dict[str, Any]:
    return {
        **_place(mined),
        "logIndex": hex(index),
        "address": _hex(log.address),
        "topics": log.topics,
        "data": _hex(log.data),
        "removed": False,
    }


def _transaction(mined: Mined) -> dict[str, Any]:
    transaction = mined.transaction
    return {
        "blockNumber": hex(mined.header.block_number),
        "blockHash": _hex(mined.header.hash),
        "hash": _hex(transaction.hash),
        "transactionIndex": "0x0",
        "from": _hex(transaction.sender),
        "to": _hex(transaction.to) if transaction.to else None,
        "nonce": hex(transaction.nonce),
        "gas": hex(transaction.gas),
        "gasPrice": "0x0",
        "value": hex(transaction.value),
        "input": _hex(transaction.data),
    }


def _block(mined: Mined, full: bool) -> dict[str, Any]:
    header = mined.header
    transactions: list[Any] = []
    if mined.transaction is not None:
        transactions = [_transaction(mined) if full else _hex(mined.transaction.hash)]
    return {
        "number": hex(header.block_number),
        "hash": _hex(header.hash),
        "parentHash": _hex(header.parent_hash),
        "timestamp": hex(header.timestamp),
        "gasLimit": hex(BLOCK_GAS_LIMIT),
        "gasUsed": hex(header.gas_used),
        "baseFeePerGas": hex(header.base_fee_per_gas),
        "miner": _hex(header.coinbase),
        "mixHash": _hex(header.mix_hash),
        "extraData": _hex(header.extra_data),
        "stateRoot": _hex(header.state_root),
        "transactionsRoot": _hex(header.transaction_root),
        "receiptsRoot": _hex(header.receipt_root),
        "difficulty": "0x0",
        "transactions": transactions,
        "uncles": [],
    }


def _error(number: Any, code: int, message: str, data: str | None = None) -> dict[str, Any]:
    fault: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        fault["data"] = data
    return {"jsonrpc": "2.0", "id": number, "error": fault}


def _bytes(text: Any, size: int | None = None) -> bytes:
    if not isinstance(text, str) or not text.startswith("0x"):
        raise ValueError("expected 0x-prefixed hex")
    raw = bytes.fromhex(text[2:])
    if size is not None and len(raw) != size:
        raise ValueError(f"expected {size} bytes, found {len(raw)}")
    return raw


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
