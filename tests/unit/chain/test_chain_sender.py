"""How a sender takes refusals, lost answers and slow blocks: against a client that follows a script."""

from __future__ import annotations

from typing import Any

import pytest

from fedchain.chain import Call, Sender, dev_accounts
from fedchain.chain.rpc import RpcError
from fedchain.errors import ChainError, ChainUnreachableError, TransactionError

CALL = Call("a call", "0x" + "aa" * 20, b"\x01\x02\x03\x04")
RECEIPT = {"blockNumber": "0x5", "gasUsed": "0x5208", "status": "0x1", "logs": []}
DATA = "0x4e487b710000000000000000000000000000000000000000000000000000000000000011"


def refusal(message: str, data: object = None, *, code: int = -32000, is_repeated: bool = False) -> RpcError:
    return RpcError("eth_sendRawTransaction", code, message, data, is_repeated=is_repeated)


class Script:
    """Stands in for a `ChainClient`; each list holds what the next calls bring, its last entry for ever."""

    chain_id = 1337

    def __init__(self, *, sends: list[Any] | None = None, receipts: list[Any] | None = None) -> None:
        self.sends = sends or [None]
        self.receipts = receipts or [RECEIPT]
        self.calls: list[Any] = [b""]
        self.nonces = [7]
        self.prices = [0]
        self.sent: list[bytes] = []
        self.replayed: list[Any] = []
        self.nonce_reads = 0
        self.price_reads = 0

    def _next(self, entries: list[Any]) -> Any:
        entry = entries.pop(0) if len(entries) > 1 else entries[0]
        if isinstance(entry, Exception):
            raise entry
        return entry

    def nonce(self, address: str) -> Any:
        self.nonce_reads += 1
        return self._next(self.nonces)

    def gas_price(self) -> Any:
        self.price_reads += 1
        return self._next(self.prices)

    def balance(self, address: str) -> int:
        return 3

    def send_raw(self, raw: bytes) -> Any:
        self.sent.append(raw)
        return self._next(self.sends)

    def receipt(self, digest: bytes) -> Any:
        return self._next(self.receipts)

    def call(self, transaction: Any, block: Any) -> Any:
        self.replayed.append(block)
        return self._next(self.calls)


def sender(script: Any, **options: float) -> Sender:
    return Sender(script, dev_accounts(1)[0], **options)


def test_nonce_and_price_are_read_once_and_counted_from_there() -> None:
    script = Script()
    one = sender(script)
    for _ in range(3):
        one.transact(CALL, 50_000)
    assert (script.nonce_reads, script.price_reads) == (1, 1)
    assert len(set(script.sent)) == 3


@pytest.mark.parametrize(
    "message",
    [
        "nonce too low",
        "the tx doesn't have the correct nonce. account has nonce of: 8 tx has nonce of: 7",
        "replacement transaction underpriced",
        "already known",
    ],
)
def test_a_nonce_that_another_took_is_read_anew(message: str) -> None:
    script = Script(sends=[refusal(message), None])
    script.nonces = [7, 8]
    sender(script).transact(CALL, 50_000)
    assert script.nonce_reads == 2
    assert len(set(script.sent)) == 2


def test_a_risen_base_fee_is_read_anew() -> None:
    script = Script(sends=[refusal("max fee per gas less than block base fee"), None])
    script.prices = [1, 9]
    sender(script).transact(CALL, 50_000)
    assert script.price_reads == 2
    assert len(set(script.sent)) == 2


def test_a_transaction_taken_over_a_connection_that_broke_is_not_sent_twice() -> None:
    script = Script(sends=[refusal("already known", is_repeated=True)])
    receipt = sender(script).transact(CALL, 50_000)
    assert receipt.block_number == 5
    assert len(script.sent) == 1


def test_a_transaction_mined_before_the_repetition_is_recognised_by_its_receipt() -> None:
    script = Script(sends=[refusal("nonce too low", is_repeated=True)])
    assert sender(script).transact(CALL, 50_000).gas_used == 21_000
    assert len(script.sent) == 1


def test_a_refusal_for_another_reason_is_not_repeated() -> None:
    script = Script(sends=[refusal("exceeds block gas limit")])
    with pytest.raises(ChainError, match=r"a call: .*exceeds block gas limit"):
        sender(script).transact(CALL, 50_000)
    assert len(script.sent) == 1


def test_refusals_are_not_repeated_for_ever() -> None:
    script = Script(sends=[refusal("nonce too low")])
    with pytest.raises(ChainError, match="nonce too low"):
        sender(script).transact(CALL, 50_000)
    assert 1 < len(script.sent) < 10


def test_a_revert_at_sending_is_a_transaction_error() -> None:
    script = Script(sends=[refusal("VM Exception while processing transaction: revert", {"result": DATA})])
    with pytest.raises(TransactionError) as caught:
        sender(script).transact(CALL, 50_000)
    assert caught.value.reason == "Panic(code=17)"


def test_an_empty_account_is_told_its_balance() -> None:
    script = Script(sends=[refusal("insufficient funds for gas * price + value")])
    with pytest.raises(ChainError, match=r"too little ether.*balance 3 wei"):
        sender(script).transact(CALL, 50_000)


def test_the_nonce_is_read_anew_after_the_node_was_away() -> None:
    script = Script(sends=[ChainUnreachableError("away"), None])
    script.nonces = [7, 8]
    one = sender(script)
    with pytest.raises(ChainUnreachableError):
        one.transact(CALL, 50_000)
    one.transact(CALL, 50_000)
    assert script.nonce_reads == 2


def test_a_receipt_is_waited_for_and_a_stumbling_node_forgiven() -> None:
    script = Script(receipts=[None, refusal("Cannot read properties of undefined"), None, RECEIPT])
    assert sender(script).transact(CALL, 50_000).block_number == 5


def test_a_transaction_that_is_never_mined_is_named_and_its_nonce_forgotten() -> None:
    script = Script(receipts=[None])
    one = sender(script, receipt_timeout_seconds=0.02)
    with pytest.raises(ChainError, match=r"transaction 0x[0-9a-f]{64} was not mined"):
        one.transact(CALL, 50_000)
    script.receipts = [RECEIPT]
    one.transact(CALL, 50_000)
    assert script.nonce_reads == 2


def test_a_failed_transaction_is_replayed_before_its_block_then_after_it() -> None:
    script = Script(receipts=[{**RECEIPT, "status": "0x0"}])
    script.calls = [refusal("missing trie node"), b"", refusal("execution reverted", DATA, code=3)]
    with pytest.raises(TransactionError) as caught:
        sender(script).transact(CALL, 50_000)
    assert script.replayed == [4, 5, "latest"]
    assert caught.value.reason == "Panic(code=17)"


def test_a_failure_that_no_replay_explains_says_so() -> None:
    script = Script(receipts=[{**RECEIPT, "status": "0x0"}])
    with pytest.raises(TransactionError, match=r"no reason given .transaction in block 5, gas used 21000 of 50000"):
        sender(script).transact(CALL, 50_000)
    with pytest.raises(TransactionError, match="used up its gas limit of 21000"):
        sender(script).transact(CALL, 21_000)
