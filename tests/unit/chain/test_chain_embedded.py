"""The embedded chain's JSON-RPC without a server: what it answers, and what it refuses."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.chain.abi import checksum
from fedchain.chain.account import dev_accounts
from fedchain.chain.embedded_chain import EmbeddedChain
from fedchain.chain.embedded_rpc import MAX_BATCH, EmbeddedRpc
from tests.second_opinion import signed

# Creation code that leaves this runtime: PUSH4 01020304, shift left, MSTORE at 0, REVERT with its four bytes.
REVERTING_CODE = "0x6010600c60003960106000f3" + "630102030460e01b60005260046000fd"


@pytest.fixture(scope="module")
def chain() -> EmbeddedChain:
    return EmbeddedChain()


@pytest.fixture(scope="module")
def rpc(chain: EmbeddedChain) -> EmbeddedRpc:
    return EmbeddedRpc(chain)


def ask(rpc: EmbeddedRpc, method: str, *params: object) -> Any:
    answer = rpc.answer({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
    assert answer["id"] == 1
    return answer.get("result", answer.get("error"))


def send(rpc: EmbeddedRpc, *, index: int = 0, nonce: int | None = None, **fields: object) -> Any:
    account = dev_accounts(index + 1)[index]
    if nonce is None:
        nonce = int(ask(rpc, "eth_getTransactionCount", account.address, "latest"), 16)
    chain_id = int(ask(rpc, "eth_chainId"), 16)
    if isinstance(fields.get("to"), str):
        fields["to"] = checksum(str(fields["to"]))
    base: dict[str, object] = {"nonce": nonce, "gasPrice": 0, "gas": 500_000, "value": 0, "chainId": chain_id}
    return ask(rpc, "eth_sendRawTransaction", "0x" + signed(account, {**base, **fields})[0].hex())


def test_every_chain_has_a_genesis_block_of_its_own() -> None:
    first, second = (EmbeddedChain().block(0).header.hash for _ in range(2))
    assert first != second


def test_gas_is_free_and_stays_free(rpc: EmbeddedRpc) -> None:
    to = "0x" + "aa" * 20
    before = int(ask(rpc, "eth_getBalance", dev_accounts(1)[0].address, "latest"), 16)
    for _ in range(3):
        send(rpc, to=to, value=1)
    block = ask(rpc, "eth_getBlockByNumber", "latest", False)
    assert block["baseFeePerGas"] == "0x0"
    assert int(ask(rpc, "eth_getBalance", dev_accounts(1)[0].address, "latest"), 16) == before - 3
    assert int(ask(rpc, "eth_getBalance", to, "latest"), 16) == 3


def test_state_of_older_blocks_can_be_read(rpc: EmbeddedRpc) -> None:
    to = "0x" + "ab" * 20
    number = ask(rpc, "eth_blockNumber")
    send(rpc, to=to, value=5)
    assert ask(rpc, "eth_getBalance", to, number) == "0x0"
    assert ask(rpc, "eth_getBalance", to, "latest") == "0x5"


def test_a_typed_fee_market_transaction_is_mined_too(rpc: EmbeddedRpc) -> None:
    account = dev_accounts(2)[1]
    fields = {
        "type": 2, "nonce": 0, "gas": 21000, "to": checksum("0x" + "ac" * 20), "value": 1, "maxFeePerGas": 10,
        "maxPriorityFeePerGas": 0, "chainId": int(ask(rpc, "eth_chainId"), 16),
    }  # fmt: skip
    raw, digest = signed(account, fields)
    assert ask(rpc, "eth_sendRawTransaction", "0x" + raw.hex()) == "0x" + digest.hex()
    receipt = ask(rpc, "eth_getTransactionReceipt", "0x" + digest.hex())
    assert (receipt["status"], receipt["type"], receipt["gasUsed"]) == ("0x1", "0x2", hex(21000))
    assert ask(rpc, "eth_getTransactionByHash", "0x" + digest.hex())["from"] == account.address.lower()


def test_a_revert_has_status_0_in_the_receipt_and_its_data_in_a_call(rpc: EmbeddedRpc) -> None:
    digest = send(rpc, to=b"", data=REVERTING_CODE)
    address = ask(rpc, "eth_getTransactionReceipt", digest)["contractAddress"]
    assert ask(rpc, "eth_getCode", address, "latest") == "0x" + REVERTING_CODE[-32:]
    assert ask(rpc, "eth_getTransactionReceipt", send(rpc, to=address))["status"] == "0x0"
    error = ask(rpc, "eth_call", {"to": address}, "latest")
    assert error == {"code": 3, "message": "execution reverted", "data": "0x01020304"}


@pytest.mark.parametrize("nonce", [10**6, 0])
def test_a_nonce_out_of_turn_is_refused(rpc: EmbeddedRpc, nonce: int) -> None:
    send(rpc, index=2, to="0x" + "ad" * 20)
    error = send(rpc, index=2, nonce=nonce, to="0x" + "ad" * 20, value=1)
    assert "nonce" in error["message"]


def test_the_same_bytes_again_are_known(rpc: EmbeddedRpc) -> None:
    send(rpc, index=3, nonce=0, to="0x" + "ad" * 20)
    assert send(rpc, index=3, nonce=0, to="0x" + "ad" * 20)["message"] == "already known"


def test_a_value_beyond_the_balance_is_refused(rpc: EmbeddedRpc) -> None:
    assert "insufficient funds" in send(rpc, index=4, to="0x" + "ad" * 20, value=10**30)["message"]


def test_a_refused_transaction_leaves_the_chain_as_it_was(rpc: EmbeddedRpc) -> None:
    before = ask(rpc, "eth_getBlockByNumber", "latest", False)
    send(rpc, index=5, nonce=77, to="0x" + "ad" * 20)
    assert ask(rpc, "eth_getBlockByNumber", "latest", False) == before
    assert isinstance(send(rpc, index=5, to="0x" + "ad" * 20), str)


@given(st.binary(max_size=120))
def test_any_bytes_as_a_transaction_are_refused(rpc: EmbeddedRpc, raw: bytes) -> None:
    head = ask(rpc, "eth_blockNumber")
    assert "code" in ask(rpc, "eth_sendRawTransaction", "0x" + raw.hex())
    assert ask(rpc, "eth_blockNumber") == head


def test_a_transaction_for_another_chain_is_refused(rpc: EmbeddedRpc) -> None:
    assert "code" in send(rpc, index=6, to="0x" + "ad" * 20, chainId=1)


def test_blocks_are_found_by_number_and_hash(rpc: EmbeddedRpc) -> None:
    send(rpc, to="0x" + "ad" * 20)
    block = ask(rpc, "eth_getBlockByNumber", "latest", False)
    assert ask(rpc, "eth_getBlockByHash", block["hash"], False) == block
    parent = ask(rpc, "eth_getBlockByNumber", hex(int(block["number"], 16) - 1), False)
    assert parent["hash"] == block["parentHash"]
    assert int(parent["timestamp"], 16) <= int(block["timestamp"], 16)
    assert ask(rpc, "eth_getBlockByNumber", "earliest", False)["number"] == "0x0"
    assert ask(rpc, "eth_getBlockByNumber", "0xffff", False) is None


def test_a_batch_is_bounded(rpc: EmbeddedRpc) -> None:
    one = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    assert len(rpc.answer([one] * MAX_BATCH)) == MAX_BATCH
    assert rpc.answer([one] * (MAX_BATCH + 1))["error"]["code"] == -32600
    assert rpc.answer([])["error"]["code"] == -32600


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (5, -32600),
        ({"id": 1, "method": "eth_mining"}, -32601),
        ({"id": 1, "method": ["eth_chainId"]}, -32601),
        ({"id": 1, "method": "eth_chainId", "params": {"a": 1}}, -32602),
        ({"id": 1, "method": "eth_chainId", "params": [1, 2]}, -32602),
        ({"id": 1, "method": "eth_getBalance", "params": ["0x12", "latest"]}, -32602),
        ({"id": 1, "method": "eth_getBalance", "params": [None, "latest"]}, -32602),
        ({"id": 1, "method": "eth_getBalance", "params": ["0x" + "aa" * 20, "0xffff"]}, -32000),
        ({"id": 1, "method": "eth_getLogs", "params": ["latest"]}, -32602),
        ({"id": 1, "method": "eth_call", "params": [{"data": "zz"}]}, -32602),
    ],
)
def test_a_request_out_of_shape_is_answered_with_an_error(rpc: EmbeddedRpc, request_: Any, code: int) -> None:
    assert rpc.answer(request_)["error"]["code"] == code


def test_logs_are_found_by_range_address_and_block_hash(rpc: EmbeddedRpc) -> None:
    code = "0x6005600c60003960056000f3" + "60006000a0"  # PUSH1 0, PUSH1 0, LOG0: one empty log each time it is called
    created = ask(rpc, "eth_getTransactionReceipt", send(rpc, index=7, to=b"", data=code))
    address = created["contractAddress"]
    receipts = [ask(rpc, "eth_getTransactionReceipt", send(rpc, index=7, to=address)) for _ in range(3)]
    blocks = [receipt["blockNumber"] for receipt in receipts]
    query = {"fromBlock": blocks[0], "toBlock": blocks[1]}
    assert [log["blockNumber"] for log in ask(rpc, "eth_getLogs", {**query, "address": address})] == blocks[:2]
    assert [log["blockNumber"] for log in ask(rpc, "eth_getLogs", {**query, "address": [address]})] == blocks[:2]
    assert ask(rpc, "eth_getLogs", {**query, "address": ["0x" + "ee" * 20]}) == []
    assert ask(rpc, "eth_getLogs", {**query, "topics": ["0x" + "ee" * 32]}) == []
    assert ask(rpc, "eth_getLogs", {"blockHash": receipts[2]["blockHash"]}) == receipts[2]["logs"]
    assert ask(rpc, "eth_getLogs", {"fromBlock": "0xffff", "toBlock": "0xffff"}) == []


CLOCK = "0x66425f5260205ff35f5260076019f3"
"""Creates code that returns its block's timestamp."""


def test_a_call_after_the_newest_block_sees_the_time_of_the_next_one(rpc: EmbeddedRpc) -> None:
    receipt = ask(rpc, "eth_getTransactionReceipt", send(rpc, index=8, to=b"", data=CLOCK))
    clock = receipt["contractAddress"]
    for index in range(20):  # faster than a block each second: they share it
        send(rpc, index=8, to="0x" + "ad" * 20, value=index)
    mined = int(ask(rpc, "eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    assert mined <= time.time()
    ahead = ask(rpc, "evm_increaseTime", 1000)
    assert ask(rpc, "evm_increaseTime", hex(500)) >= ahead + 500
    assert int(ask(rpc, "eth_call", {"to": clock}), 16) >= mined + 1500
    send(rpc, index=8, to="0x" + "ad" * 20)
    block = ask(rpc, "eth_getBlockByNumber", "latest", False)
    assert int(block["timestamp"], 16) >= mined + 1500
    before = hex(int(block["number"], 16) - 1)
    assert ask(rpc, "eth_call", {"to": clock}, before) == f"0x{int(block['timestamp'], 16):064x}"


@pytest.mark.parametrize("seconds", [-1, 2**31 + 1, "soon", None])
def test_time_goes_ahead_and_within_bounds_only(rpc: EmbeddedRpc, seconds: Any) -> None:
    ahead = ask(rpc, "evm_increaseTime", 0)
    assert ask(rpc, "evm_increaseTime", seconds)["code"] in (-32000, -32602)
    assert abs(ask(rpc, "evm_increaseTime", 0) - ahead) < 100
