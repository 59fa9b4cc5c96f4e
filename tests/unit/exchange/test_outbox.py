"""Both outboxes keep the same promises; the node's keeps them across processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedchain.chain import Account, Call, MemoryOutbox, Outbox, Signed
from fedchain.chain.outbox import KEPT_SETTLED
from fedchain.chain.transaction import sign
from fedchain.errors import ChainError
from fedchain.exchange import NodeState
from fedchain.exchange.outbox import NodeOutbox

ACCOUNT = Account.create()
CALL = Call("a call", "0x" + "aA" * 20, b"\x00data", 5)


def signed(nonce: int, price: int = 10**20) -> Signed:
    return sign(ACCOUNT, 1337, CALL, nonce=nonce, gas=21_000, gas_price=price)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[NodeState]:
    opened = NodeState(tmp_path / "node.sqlite", chain_id=1337, genesis_hash=b"\x01" * 32)
    yield opened
    opened.close()


@pytest.fixture(params=["memory", "node"])
def outbox(request: pytest.FixtureRequest, state: NodeState) -> Outbox:
    return MemoryOutbox() if request.param == "memory" else NodeOutbox(state, ACCOUNT.address)


def test_an_empty_outbox_starts_at_zero(outbox: Outbox) -> None:
    assert (outbox.next_nonce(), outbox.pending(), outbox.recorded(0)) == (0, [], [])


def test_transactions_come_back_as_they_were_by_nonce_then_in_the_order_of_recording(outbox: Outbox) -> None:
    later, first, dearer = signed(8), signed(7), signed(7, 10**21)
    for one in (later, first, dearer):
        outbox.put(one)
    assert outbox.pending() == [first, dearer, later]
    assert outbox.recorded(8) == [later]
    assert outbox.next_nonce() == 9


def test_a_settled_nonce_is_pending_no_more_and_stays_recorded(outbox: Outbox) -> None:
    one, dearer, other = signed(7), signed(7, 10**21), signed(8)
    for each in (one, dearer, other):
        outbox.put(each)
    outbox.settle(7)
    assert outbox.pending() == [other]
    assert outbox.recorded(0) == [one, dearer, other]


def test_a_withdrawn_transaction_is_forgotten_and_its_nonce_free(outbox: Outbox) -> None:
    one, dearer = signed(7), signed(7, 10**21)
    outbox.put(one)
    outbox.put(dearer)
    outbox.withdraw(dearer)
    assert outbox.recorded(0) == [one]
    outbox.withdraw(one)
    assert (outbox.recorded(0), outbox.next_nonce()) == ([], 0)


def test_long_settled_transactions_are_forgotten_and_pending_ones_never(outbox: Outbox) -> None:
    for nonce in (0, 1, 2, KEPT_SETTLED + 1):
        outbox.put(signed(nonce))
    outbox.settle(1)
    outbox.settle(2)
    outbox.settle(KEPT_SETTLED + 1)
    assert [one.nonce for one in outbox.recorded(0)] == [0, 2, KEPT_SETTLED + 1]


def test_a_recorded_transaction_tells_its_call(outbox: Outbox) -> None:
    outbox.put(signed(7))
    (found,) = outbox.pending()
    assert found.call().is_same(CALL)
    assert found.call().what == "a call"


def test_bytes_that_are_no_transaction_are_a_typed_error() -> None:
    for raw in (b"", b"\x01", b"\xc0", b"\xf8\xff\x00"):
        with pytest.raises(ChainError, match="damaged"):
            Signed(0, bytes(32), raw, "x", 21_000, 0).call()


def test_a_created_contract_has_no_address_to_call() -> None:
    call = Call("deployment", None, b"code")
    assert sign(ACCOUNT, 1, call, nonce=0, gas=99_000, gas_price=0).call() == call


def test_the_node_s_outbox_survives_its_process_and_keeps_accounts_apart(tmp_path: Path, state: NodeState) -> None:
    NodeOutbox(state, ACCOUNT.address).put(signed(7))
    again = NodeState(tmp_path / "node.sqlite", chain_id=1337, genesis_hash=b"\x01" * 32)
    try:
        assert NodeOutbox(again, ACCOUNT.address).pending() == [signed(7)]
        assert NodeOutbox(again, "0x" + "bb" * 20).pending() == []
    finally:
        again.close()
