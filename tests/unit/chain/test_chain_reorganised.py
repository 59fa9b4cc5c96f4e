"""What a sender does about transactions that a chain had mined and took back, and what it offers for gas."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode

from fedchain.chain import ChainClient, Sender, dev_accounts
from fedchain.chain.outbox import MemoryOutbox
from fedchain.chain.refusals import is_rejection
from fedchain.chain.rpc import RpcError
from fedchain.chain.transaction import Call, Signed, sign

ACCOUNT = dev_accounts(1)[0]
TO = "0x" + "11" * 20
ACCEPTED = abi_encode(["bytes32", "uint8"], [bytes(32), 0])
REJECTED = abi_encode(["bytes32", "uint8"], [bytes(32), 5])


class Chain:
    """Stands in for a client; `answers` are what the calls of recorded transactions would return."""

    chain_id = 1337
    rpc_url = "http://chain"

    def __init__(self, mined: int) -> None:
        self.mined = [mined]
        self.sent: list[bytes] = []
        self.answers: dict[bytes, Any] = {}

    def mined_nonce(self, address: str) -> int:
        return self.mined.pop(0) if len(self.mined) > 1 else self.mined[0]

    def genesis_hash(self) -> bytes:
        return bytes(32)

    def send_raw(self, raw: bytes) -> None:
        self.sent.append(raw)

    def call(self, fields: dict[str, object], block: Any) -> bytes:
        answer = self.answers.get(bytes.fromhex(str(fields["data"])[2:]), b"")
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, bytes)
        return answer


def outbox_of(*whats: str, settled: int) -> tuple[MemoryOutbox, list[Signed]]:
    """Transactions with these names and nonces 0, 1, …, the first so many mined."""
    outbox = MemoryOutbox()
    made = [
        sign(ACCOUNT, 1337, Call(what, TO, b"data%d" % nonce), nonce=nonce, gas=50_000, gas_price=0)
        for nonce, what in enumerate(whats)
    ]
    for one in made:
        outbox.put(one)
    for nonce in range(settled):
        outbox.settle(nonce)
    return outbox, made


def sender_of(chain: Chain, outbox: MemoryOutbox) -> Sender:
    anything: Any = chain
    return Sender(anything, ACCOUNT, outbox=outbox)


def test_what_was_taken_back_is_sent_again_byte_for_byte_in_the_order_of_its_nonces() -> None:
    outbox, made = outbox_of("JobManager.accept", "UplinkLedger.submit", "JobManager.declareStop", settled=3)
    chain = Chain(3)
    sender = sender_of(chain, outbox)
    assert not sender.has_lost_some()
    assert sender.reconcile()
    assert chain.sent == []
    chain.mined = [1]
    assert sender.has_lost_some()
    assert not sender.reconcile()
    assert chain.sent == [made[1].raw, made[2].raw]
    chain.mined = [3]
    assert sender.reconcile()


def test_a_transaction_mined_between_two_questions_is_not_lost() -> None:
    outbox, _ = outbox_of("JobManager.accept", settled=1)
    chain = Chain(1)
    sender = sender_of(chain, outbox)
    assert not sender.has_lost_some()
    chain.mined = [0, 1]
    assert not sender.has_lost_some()


@pytest.mark.parametrize(
    "early", [RpcError("eth_call", 3, "execution reverted", None), REJECTED], ids=["reverts", "rejected"]
)
def test_what_others_must_put_back_first_waits_and_so_does_all_behind_it(early: Any) -> None:
    outbox, made = outbox_of("JobManager.accept", "UplinkLedger.submit", "JobManager.declareStop", settled=3)
    chain = Chain(3)
    sender = sender_of(chain, outbox)
    sender.has_lost_some()
    chain.mined, chain.answers = [0], {b"data1": early}
    sender.reconcile()
    assert chain.sent == [made[0].raw]
    chain.mined, chain.answers = [1], {b"data1": ACCEPTED}
    sender.reconcile()
    assert chain.sent[1:] == [made[1].raw, made[2].raw]


def test_nothing_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every later transaction of the account needs the number of an earlier one."""
    monkeypatch.setattr("fedchain.chain.watcher._TURN_SECONDS", -1.0)
    outbox, made = outbox_of("UplinkLedger.submit", settled=1)
    chain = Chain(1)
    sender = sender_of(chain, outbox)
    sender.has_lost_some()
    chain.mined, chain.answers = [0], {b"data0": REJECTED}
    sender.reconcile()
    assert chain.sent == [made[0].raw]


@pytest.mark.parametrize(
    ("what", "returned", "expected"),
    [
        ("UplinkLedger.submit", ACCEPTED, False),
        ("UplinkLedger.submit", REJECTED, True),
        ("UplinkLedger.submitBatch", abi_encode(["bytes32[]", "uint8[]"], [[bytes(32)] * 3, [0, 0, 0]]), False),
        ("UplinkLedger.submitBatch", abi_encode(["bytes32[]", "uint8[]"], [[b"\x01" * 32] * 3, [0, 0, 4]]), True),
        ("UplinkLedger.submitBatch", abi_encode(["bytes32[]", "uint8[]"], [[b"\x01" * 32] * 3, [0, 0, 0]]), False),
        ("InferenceRouter.open", abi_encode(["uint32"], [2**31]), False),
        ("transfer", b"", False),
    ],
)
def test_an_uplink_is_rejected_by_a_value(what: str, returned: bytes, expected: bool) -> None:
    assert is_rejection(what, returned) is expected


@pytest.mark.parametrize(
    ("asked", "base_fee", "fair"),
    [(0, "0x0", 0), (7, "0x0", 7), (7, "0x2", 7), (7, "0x5", 10), (7, None, 7)],
)
def test_an_offer_does_not_grow_with_what_is_asked(
    asked: int, base_fee: str | None, fair: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes ask for what was paid last: offers that double what is asked would double with each restart."""
    answers: dict[str, Any] = {
        "eth_chainId": "0x1",
        "eth_gasPrice": hex(asked),
        "eth_getBlockByNumber": {} if base_fee is None else {"baseFeePerGas": base_fee},
    }
    monkeypatch.setattr("fedchain.chain.rpc.RpcTransport.request", lambda self, method, *_: answers[method])
    assert ChainClient("http://127.0.0.1:9").fair_price() == fair
