"""An embedded chain that keeps its state: what was answered is there again, whatever ended the process."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedchain.chain.abi import checksum
from fedchain.chain.account import Account, dev_accounts
from fedchain.chain.embedded_chain import EmbeddedChain
from fedchain.chain.embedded_rpc import EmbeddedRpc
from fedchain.chain.embedded_store import EmbeddedStore
from fedchain.errors import ConfigError
from tests.second_opinion import signed
from tests.unit.chain.test_chain_embedded import REVERTING_CODE, ask

# Creation code whose runtime logs its calldata: CALLDATASIZE 0 0 CALLDATACOPY, CALLDATASIZE 0 LOG0, STOP.
FRIEND = checksum("0x" + "aa" * 20)
LOGGING_CODE = "0x600a600c600039600a6000f3" + "366000600037366000a0"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "chain.sqlite"


@pytest.fixture
def stores() -> Iterator[list[EmbeddedStore]]:
    opened: list[EmbeddedStore] = []
    yield opened
    for one in opened:
        one.close()


def started(path: Path, stores: list[EmbeddedStore]) -> EmbeddedRpc:
    stores.append(EmbeddedStore(path))
    return EmbeddedRpc(EmbeddedChain(stores[-1]))


def send(rpc: EmbeddedRpc, account: Account, **fields: object) -> Any:
    nonce = int(ask(rpc, "eth_getTransactionCount", account.address), 16)
    base = {"nonce": nonce, "gasPrice": 0, "gas": 500_000, "value": 0, "chainId": int(ask(rpc, "eth_chainId"), 16)}
    return ask(rpc, "eth_sendRawTransaction", "0x" + signed(account, {**base, **fields})[0].hex())


def everything(rpc: EmbeddedRpc, account: Account) -> list[Any]:
    """All that can be asked about a chain of some blocks."""
    head = int(ask(rpc, "eth_blockNumber"), 16)
    blocks = [ask(rpc, "eth_getBlockByNumber", hex(number), True) for number in range(head + 1)]
    hashes = [one["hash"] for block in blocks for one in block["transactions"]]
    return [
        blocks,
        [ask(rpc, "eth_getTransactionReceipt", one) for one in hashes],
        [ask(rpc, "eth_getTransactionByHash", one) for one in hashes],
        [ask(rpc, "eth_getBlockByHash", block["hash"], False) for block in blocks],
        ask(rpc, "eth_getLogs", {"fromBlock": "0x0", "toBlock": hex(head)}),
        [ask(rpc, "eth_getBalance", account.address, hex(number)) for number in range(head + 1)],
        [ask(rpc, "eth_getTransactionCount", account.address, hex(number)) for number in range(head + 1)],
    ]


def used(rpc: EmbeddedRpc) -> Account:
    """A transfer, contracts, a log, and a transaction that failed."""
    account = dev_accounts(1)[0]
    send(rpc, account, to=FRIEND, value=7)
    created = send(rpc, account, data=LOGGING_CODE)
    contract = ask(rpc, "eth_getTransactionReceipt", created)["contractAddress"]
    send(rpc, account, to=checksum(contract), data="0x010203")
    created = send(rpc, account, data=REVERTING_CODE)
    contract = ask(rpc, "eth_getTransactionReceipt", created)["contractAddress"]
    failed = send(rpc, account, to=checksum(contract))
    assert ask(rpc, "eth_getTransactionReceipt", failed)["status"] == "0x0"
    assert len(ask(rpc, "eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})) == 1
    return account


def test_a_chain_that_is_opened_again_answers_as_before(path: Path, stores: list[EmbeddedStore]) -> None:
    rpc = started(path, stores)
    account = used(rpc)
    before = everything(rpc, account)
    stores[0].close()
    again = started(path, stores)
    assert everything(again, account) == before
    send(again, account, to=FRIEND, value=1)
    assert int(ask(again, "eth_blockNumber"), 16) == 6
    assert ask(again, "eth_getBlockByNumber", "0x6", False)["parentHash"] == before[0][5]["hash"]
    assert ask(again, "eth_getBalance", FRIEND) == "0x8"


def test_a_killed_chain_is_at_the_last_block_that_it_answered(
    path: Path, stores: list[EmbeddedStore], tmp_path: Path
) -> None:
    rpc = started(path, stores)
    account = used(rpc)
    copy = tmp_path / "copy"  # the files as they are while the process runs: what a kill leaves
    shutil.copytree(path.parent, copy)
    assert everything(started(copy / path.name, stores), account) == everything(rpc, account)


def test_a_block_that_cannot_be_written_is_not_answered(path: Path, stores: list[EmbeddedStore]) -> None:
    rpc = started(path, stores)
    account = used(rpc)
    before = everything(rpc, account)
    stores[0]._connection.execute("PRAGMA query_only=ON")
    with pytest.raises(sqlite3.Error):
        send(rpc, account, to=FRIEND, value=1)
    stores[0].close()
    assert everything(started(path, stores), account) == before


def test_a_transaction_that_is_refused_leaves_no_trace(path: Path, stores: list[EmbeddedStore]) -> None:
    rpc = started(path, stores)
    account = used(rpc)
    before = everything(rpc, account)
    assert "invalid transaction" in send(rpc, account, nonce=99)["message"]
    stores[0].close()
    assert everything(started(path, stores), account) == before


def test_two_chains_never_share_a_file(path: Path, stores: list[EmbeddedStore]) -> None:
    started(path, stores)
    with pytest.raises(ConfigError, match="another chain uses it"):
        EmbeddedStore(path)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, and longer than SQLite's header of a hundred bytes " * 3)
    with pytest.raises(ConfigError, match="is no file of an embedded chain"):
        EmbeddedStore(text)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = other.read_bytes()
    with pytest.raises(ConfigError, match="is no file of an embedded chain"):
        EmbeddedStore(other)
    assert text.read_text().startswith("not a database")
    assert b"CREATE TABLE mine" in before
    assert b"CREATE TABLE trie" not in other.read_bytes()


def test_a_folder_that_cannot_be_made_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be opened"):
        EmbeddedStore(tmp_path / "file" / "chain.sqlite")


def test_two_new_chains_differ(tmp_path: Path, stores: list[EmbeddedStore]) -> None:
    first, second = (started(tmp_path / name, stores) for name in ("a", "b"))
    assert ask(first, "eth_getBlockByNumber", "0x0")["hash"] != ask(second, "eth_getBlockByNumber", "0x0")["hash"]
