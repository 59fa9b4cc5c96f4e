"""What a node means when it refuses a transaction, and a contract that rejects what it is given.

Nodes have no codes for it, only words, each its own. The uplink ledger rejects without reverting: it tells by a value.
"""

from __future__ import annotations

from fedchain.chain.rpc import RpcError

_KNOWN = ("already known", "already imported", "known transaction", "already in mempool")
_NONCE = ("nonce", "replacement transaction", "underpriced replacement")
_PRICE = ("base fee", "basefee", "underpriced", "gas price", "fee cap")
_POOR = ("insufficient", "enough funds", "upfront cost")  # the last one is Besu's


def _holds(error: RpcError, words: tuple[str, ...]) -> bool:
    message = error.message.lower()
    return any(word in message for word in words)


def is_known(error: RpcError) -> bool:
    """The node has this very transaction already."""
    return _holds(error, _KNOWN)


def is_nonce(error: RpcError) -> bool:
    """The nonce is another transaction's, mined or waiting."""
    return _holds(error, _NONCE)


def is_price(error: RpcError) -> bool:
    """The price is too low: for the next block, or for replacing one."""
    return _holds(error, _PRICE)


def is_poor(error: RpcError) -> bool:
    """The account cannot pay."""
    return _holds(error, _POOR)


def is_rejection(what: str, returned: bytes) -> bool:
    """Whether a call that does not revert is an uplink, or a batch of them, that the ledger rejects in part at least.

    Args:
        what: see `Call`.
        returned: `(id, reason)` of a single uplink, `(ids, reasons)` of a batch; a reason is 0 for *accepted*.
    """
    words = [int.from_bytes(returned[place : place + 32], "big") for place in range(0, len(returned), 32)]
    if what.endswith(".submit") and len(words) == 2:
        return words[1] != 0
    if what.endswith(".submitBatch") and len(words) >= 4:
        return any(words[words[1] // 32 + 1 :])
    return False
