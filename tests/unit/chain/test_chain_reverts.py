"""Each node hides revert data elsewhere."""

import pytest

from fedchain.chain.reverts import revert_data
from fedchain.chain.rpc import RpcError

DATA = "0x4e487b710000000000000000000000000000000000000000000000000000000000000011"


@pytest.mark.parametrize(
    ("message", "code", "data"),
    [
        ("execution reverted: custom error 0x4e487b71", 3, DATA),  # anvil, geth, the embedded chain
        ("Execution reverted", -32000, DATA),  # Besu
        ("VM Exception while processing transaction: revert", -32000, DATA),  # Ganache, eth_call
        (  # Ganache, eth_sendRawTransaction with vmErrorsOnRPCResponse
            "VM Exception while processing transaction: revert",
            -32000,
            {"hash": "0x" + "ab" * 32, "programCounter": 7, "result": DATA, "reason": None, "message": "revert"},
        ),
        ("revert", -32000, {"0x" + "ab" * 32: {"error": "revert", "return": DATA}, "stack": "…"}),  # Ganache 6
        ("VM execution error.", -32015, "Reverted " + DATA),  # OpenEthereum
        (f"execution reverted: {DATA}", -32000, None),  # eth-tester: in the message alone
    ],
)
def test_revert_data_is_found_wherever_the_node_put_it(message: str, code: int, data: object) -> None:
    assert revert_data(RpcError("eth_call", code, message, data)) == bytes.fromhex(DATA[2:])


def test_a_revert_without_data_is_empty() -> None:
    assert revert_data(RpcError("eth_call", 3, "execution reverted", None)) == b""


@pytest.mark.parametrize("message", ["nonce too low", "insufficient funds for gas * price + value", "header not found"])
def test_another_error_is_no_revert(message: str) -> None:
    assert revert_data(RpcError("eth_sendRawTransaction", -32000, message, None)) is None


def test_data_that_is_no_hex_is_passed_over() -> None:
    assert revert_data(RpcError("eth_call", -32000, "out of gas", {"data": "0xzz", "stack": ["0x00"]})) == b""
