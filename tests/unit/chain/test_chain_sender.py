"""How a sender takes refusals, lost answers and slow blocks: against a client that follows a script."""

from __future__ import annotations

from typing import Any

import pytest

from fedchain.chain import Call, MemoryOutbox, Sender, dev_accounts
from fedchain.chain.rpc import RpcError
from fedchain.errors import ChainError, ChainUnreachableError, ConfigError, TransactionError, WrongChainError

CALL = Call("a call", "0x" + "aa" * 20, b"\x01\x02\x03\x04")
RECEIPT = {"blockNumber": "0x5", "gasUsed": "0x5208", "status": "0x1", "logs": []}
DATA = "0x4e487b710000000000000000000000000000000000000000000000000000000000000011"


def refusal(message: str, data: object = None, *, code: int = -32000, is_repeated: bool = False) -> RpcError:
    return RpcError("eth_sendRawTransaction", code, message, data, is_repeated=is_repeated)


class Script:
    """Stands in for a `ChainClient`; each list holds what the next calls bring, its last entry for ever."""

    chain_id = 1337
    rpc_url = "http://script"

    def __init__(self, *, sends: list[Any] | None = None, receipts: list[Any] | None = None) -> None:
        self.sends = sends or [None]
        self.receipts = receipts or [RECEIPT]
        self.calls: list[Any] = [b""]
        self.estimates: list[Any] = [30_000]
        self.nonces = [7]
        self.mined = [7]
        self.prices = [0]
        self.heads = [5]
        self.geneses = [b"\x01" * 32]
        self.known = [False]
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

    def mined_nonce(self, address: str) -> Any:
        return self._next(self.mined)

    def genesis_hash(self) -> Any:
        return self._next(self.geneses)

    def gas_price(self) -> Any:
        self.price_reads += 1
        return self._next(self.prices)

    def fair_price(self) -> Any:
        return 2 * self.gas_price()

    def head(self) -> Any:
        return self._next(self.heads)

    def balance(self, address: str) -> int:
        return 3

    def estimate(self, transaction: Any) -> Any:
        return self._next(self.estimates)

    def send_raw(self, raw: bytes) -> Any:
        self.sent.append(raw)
        return self._next(self.sends)

    def is_known(self, digest: bytes) -> Any:
        return self._next(self.known)

    def receipt(self, digest: bytes) -> Any:
        return self._next(self.receipts)

    def call(self, transaction: Any, block: Any) -> Any:
        self.replayed.append(block)
        return self._next(self.calls)


def sender(script: Any, **options: Any) -> Sender:
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
def test_a_nonce_that_another_took_before_the_first_send_is_read_anew(message: str) -> None:
    script, outbox = Script(sends=[refusal(message), None]), MemoryOutbox()
    script.nonces = [7, 8]
    sender(script, outbox=outbox).transact(CALL, 50_000)
    assert script.nonce_reads == 2
    assert len(set(script.sent)) == 2
    assert [one.nonce for one in outbox.recorded(0)] == [8]


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


def test_a_transaction_mined_before_the_repetition_is_recognised_even_if_the_node_needs_a_moment() -> None:
    script = Script(sends=[refusal("nonce too low", is_repeated=True)])
    script.known = [False, True]
    assert sender(script).transact(CALL, 50_000).gas_used == 21_000
    assert len(script.sent) == 1


def test_a_refusal_for_another_reason_is_not_repeated_and_nothing_stays_recorded() -> None:
    script, outbox = Script(sends=[refusal("exceeds block gas limit")]), MemoryOutbox()
    with pytest.raises(ChainError, match=r"a call: .*exceeds block gas limit"):
        sender(script, outbox=outbox).transact(CALL, 50_000)
    assert len(script.sent) == 1
    assert outbox.recorded(0) == []


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


def test_a_call_that_would_revert_is_refused_without_a_transaction() -> None:
    script, outbox = Script(), MemoryOutbox()
    script.estimates = [refusal("execution reverted", DATA, code=3)]
    with pytest.raises(TransactionError) as caught:
        sender(script, outbox=outbox).transact(CALL)
    assert caught.value.reason == "Panic(code=17)"
    assert (script.sent, outbox.recorded(0)) == ([], [])


def test_an_estimate_gets_a_margin_and_a_given_limit_is_taken_as_it_is() -> None:
    script, outbox = Script(), MemoryOutbox()
    one = sender(script, outbox=outbox)
    one.transact(CALL)
    one.transact(CALL, 50_000)
    first, second = outbox.recorded(0)
    assert 30_000 * 1.25 <= first.gas < 300_000
    assert second.gas == 50_000


def test_an_empty_account_is_told_its_balance() -> None:
    script = Script(sends=[refusal("insufficient funds for gas * price + value")])
    with pytest.raises(ChainError, match=r"too little ether.*balance 3 wei"):
        sender(script).transact(CALL, 50_000)


def test_a_transaction_is_recorded_before_it_is_sent() -> None:
    outbox = MemoryOutbox()

    class Watching(Script):
        def send_raw(self, raw: bytes) -> Any:
            assert [one.raw for one in outbox.pending()] == [raw]
            return super().send_raw(raw)

    script = Watching()
    sender(script, outbox=outbox).transact(CALL, 50_000)
    assert len(script.sent) == 1
    assert outbox.pending() == []
    assert [one.raw for one in outbox.recorded(0)] == script.sent


def test_asking_again_after_an_outage_sends_the_identical_bytes() -> None:
    script = Script(sends=[ChainUnreachableError("away"), None])
    one = sender(script)
    with pytest.raises(ChainUnreachableError):
        one.transact(CALL, 50_000)
    one.transact(Call("the same in other words", CALL.to, CALL.data), 99_000)
    assert len(script.sent) == 2
    assert len(set(script.sent)) == 1
    assert script.nonce_reads == 1


def test_asking_again_after_an_outage_while_waiting_sends_nothing_new() -> None:
    script = Script(receipts=[None, ChainUnreachableError("away"), RECEIPT])
    script.mined = [8]
    one = sender(script)
    with pytest.raises(ChainUnreachableError):
        one.transact(CALL, 50_000)
    assert one.transact(CALL, 50_000).block_number == 5
    assert len(script.sent) == 1


def test_another_call_after_an_outage_takes_the_next_nonce() -> None:
    script, outbox = Script(sends=[ChainUnreachableError("away"), None]), MemoryOutbox()
    one = sender(script, outbox=outbox)
    with pytest.raises(ChainUnreachableError):
        one.transact(CALL, 50_000)
    one.transact(Call("another", CALL.to, b"other"), 50_000)
    assert [item.nonce for item in outbox.recorded(0)] == [7, 8]
    assert [item.nonce for item in outbox.pending()] == [7]


def test_a_receipt_is_waited_for_and_a_stumbling_node_forgiven() -> None:
    script = Script(receipts=[None, refusal("Cannot read properties of undefined"), None, RECEIPT])
    assert sender(script).transact(CALL, 50_000).block_number == 5


def test_a_transaction_that_is_never_mined_is_named_and_taken_up_when_asked_for_again() -> None:
    script = Script(receipts=[None])
    one = sender(script, receipt_timeout_seconds=0.02)
    with pytest.raises(
        ChainError, match=r"transaction 0x[0-9a-f]{64} was not mined.*check that the chain makes blocks"
    ):
        one.transact(CALL, 50_000)
    script.receipts = [RECEIPT]
    one.transact(CALL, 50_000)
    assert len(set(script.sent)) == 1


def test_a_transaction_behind_a_gap_says_which_number_is_missing() -> None:
    script = Script(receipts=[None])
    script.mined = [5]
    with pytest.raises(ChainError, match="its number 7 waits for number 5"):
        sender(script, receipt_timeout_seconds=0.02).transact(CALL, 50_000)


def test_a_dropped_transaction_is_sent_again_byte_for_byte() -> None:
    class Forgetful(Script):
        def receipt(self, digest: bytes) -> Any:
            return RECEIPT if len(self.sent) == 3 else None

    script = Forgetful()
    sender(script, stuck_seconds=0.01).transact(CALL, 50_000)
    assert len(set(script.sent)) == 1


def test_a_transaction_below_the_risen_price_is_replaced_at_an_eighth_more_or_above() -> None:
    outbox = MemoryOutbox()

    class Risen(Script):
        def receipt(self, digest: bytes) -> Any:
            both = outbox.recorded(0)
            return RECEIPT if len(both) == 2 and digest == both[1].tx_hash else None

    script = Risen()
    script.prices = [100, 250]
    receipt = sender(script, outbox=outbox, stuck_seconds=0.01).transact(CALL, 50_000)
    first, second = outbox.recorded(0)
    assert (first.gas_price, second.gas_price) == (200, 500)
    assert (first.nonce, first.gas, first.call()) == (second.nonce, second.gas, second.call())
    assert receipt.tx_hash == second.tx_hash
    assert outbox.pending() == []


def test_a_replaced_transaction_that_is_mined_after_all_is_found_by_its_own_hash() -> None:
    outbox = MemoryOutbox()

    class Late(Script):
        def receipt(self, digest: bytes) -> Any:
            both = outbox.recorded(0)
            return RECEIPT if len(both) == 2 and digest == both[0].tx_hash else None

    script = Late()
    script.prices, script.heads = [8], [5, 8, 11, 14]
    receipt = sender(script, outbox=outbox, stuck_seconds=0.01).transact(CALL, 50_000)
    first, second = outbox.recorded(0)
    assert second.gas_price >= first.gas_price * 1.125
    assert receipt.tx_hash == first.tx_hash


def test_a_replacement_that_the_account_cannot_pay_is_not_recorded() -> None:
    outbox = MemoryOutbox()
    script = Script(sends=[None, *[None, refusal("insufficient funds")] * 30], receipts=[None])
    script.prices = [1, 9]
    with pytest.raises(ChainError, match="not mined"):
        sender(script, outbox=outbox, stuck_seconds=0.01, receipt_timeout_seconds=0.015).transact(CALL, 50_000)
    assert len(outbox.recorded(0)) == 1


def test_nothing_is_replaced_where_gas_is_free() -> None:
    outbox = MemoryOutbox()
    script = Script(receipts=[None])
    script.heads = list(range(100))
    with pytest.raises(ChainError, match="not mined"):
        sender(script, outbox=outbox, stuck_seconds=0.01, receipt_timeout_seconds=0.1).transact(CALL, 50_000)
    assert len(outbox.recorded(0)) == 1
    assert len(script.sent) > 2


def test_nothing_recorded_is_sent_to_a_chain_that_was_reset() -> None:
    script = Script(receipts=[None])
    script.geneses = [b"\x01" * 32, b"\x02" * 32]
    with pytest.raises(WrongChainError, match="01" * 32):
        sender(script, stuck_seconds=0.01).transact(CALL, 50_000)
    assert len(script.sent) == 1


def test_an_outbox_is_not_exchanged_while_transactions_are_under_way() -> None:
    script = Script(sends=[ChainUnreachableError("away"), None])
    one = sender(script)
    one.attach(MemoryOutbox())
    with pytest.raises(ChainUnreachableError):
        one.transact(CALL, 50_000)
    with pytest.raises(ConfigError, match="under way"):
        one.attach(MemoryOutbox())


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
