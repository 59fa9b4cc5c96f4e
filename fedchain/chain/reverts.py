"""Where nodes hide why a call reverted."""

from __future__ import annotations

import re
from typing import Any

from fedchain.chain.abi import describe_revert
from fedchain.chain.client import ChainClient
from fedchain.chain.rpc import RpcError
from fedchain.chain.transaction import Call

_HEX = re.compile(r"0x[0-9a-fA-F]*")
_IN_MESSAGE = re.compile(r"(?:revert|error)\w*:?\s+(0x[0-9a-fA-F]{8,})")
_CODE_REVERTED = 3
_WORDS = ("revert", "out of gas", "invalid opcode")


def revert_data(error: RpcError) -> bytes | None:
    """Revert data in a node's error; None when the error is no revert, empty when it is one without data.

    geth, anvil, Besu and the embedded chain put a hex string into `data`; Ganache puts one there for `eth_call`, and an
    object with `result` when a transaction is sent; Ganache 6 an object by transaction hash with `return`; eth-tester
    puts it into the message alone.
    """
    found = _search(error.data, depth=3)
    if found is not None:
        return found
    words = error.message.lower()
    is_revert = error.code == _CODE_REVERTED or any(word in words for word in _WORDS)
    if not is_revert:
        return None
    match = _IN_MESSAGE.search(error.message)
    return bytes.fromhex(match[1][2:]) if match and len(match[1]) % 2 == 0 else b""


def why_failed(client: ChainClient, sender: str, call: Call, gas: int, receipt: dict[str, Any]) -> str:
    """Replay a failed transaction to learn its reason, in words.

    Its own block's end state comes last: state before the block is exact unless the block holds others before it; nodes
    that keep no old state answer for the newest block alone.

    Args:
        client: the chain.
        sender: the transaction's.
        call: what it was to do.
        gas: its limit.
        receipt: its JSON-RPC receipt.
    """
    block_number, gas_used = int(receipt["blockNumber"], 16), int(receipt["gasUsed"], 16)
    replay: dict[str, object] = {"from": sender, "data": "0x" + call.data.hex(), "gas": hex(gas)}
    replay["value"] = hex(call.value)
    if call.to is not None:
        replay["to"] = call.to
    for block in (block_number - 1, block_number, "latest"):
        try:
            client.call(replay, block)
        except RpcError as error:
            data = revert_data(error)
            if data:
                return describe_revert(data)
    if gas_used >= gas:
        return f"it used up its gas limit of {gas}"
    return f"no reason given (transaction in block {block_number}, gas used {gas_used} of {gas})"


def _search(data: object, depth: int) -> bytes | None:
    if isinstance(data, str):
        stripped = data.removeprefix("Reverted ")  # OpenEthereum's habit, kept by some proxies
        if _HEX.fullmatch(stripped) and len(stripped) % 2 == 0:
            return bytes.fromhex(stripped[2:])
        return None
    if isinstance(data, dict) and depth:
        for key in ("data", "result", "return"):
            found = _search(data.get(key), depth - 1)
            if found is not None:
                return found
        for value in data.values():
            if isinstance(value, dict):
                found = _search(value, depth - 1)
                if found is not None:
                    return found
    return None
