"""Nothing that a sender was asked for is lost, and nothing is done twice: on chains that are made to misbehave."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fedchain.chain import (
    Account,
    Call,
    ChainClient,
    Consortium,
    MemoryOutbox,
    Sender,
    dev_accounts,
    start_dev_chain,
)
from fedchain.chain.abi import function
from fedchain.chain.gas import TRANSFER_GAS
from fedchain.chain.rpc import RpcTransport
from fedchain.chain.transaction import sign
from fedchain.errors import ChainError, NonceTakenError, TransactionError
from fedchain.exchange import NodeState
from fedchain.exchange.outbox import NodeOutbox
from fedchain.types import Reason
from tests.e2e.federation import wait_for
from tests.integration.chain.conftest import skip_unless_installed

WEI = 7

KILLED = """
import os, signal, sys
from pathlib import Path
from fedchain.chain import ChainClient, Sender, dev_accounts
from fedchain.exchange import NodeState
from fedchain.exchange.outbox import NodeOutbox

class Killed(ChainClient):
    def send_raw(self, raw):
        if sys.argv[4] == "after":
            super().send_raw(raw)
        os.kill(os.getpid(), signal.SIGKILL)

client = Killed(sys.argv[1])
state = NodeState(Path(sys.argv[2]), chain_id=client.chain_id, genesis_hash=client.genesis_hash())
account = dev_accounts(10)[9]
Sender(client, account, outbox=NodeOutbox(state, account.address)).transfer(sys.argv[3], 7)
"""


@contextmanager
def outbox_of(client: ChainClient, folder: Path, account: Account) -> Iterator[NodeOutbox]:
    state = NodeState(folder / "node.sqlite", chain_id=client.chain_id, genesis_hash=client.genesis_hash())
    try:
        yield NodeOutbox(state, account.address)
    finally:
        state.close()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_process_killed_around_the_send_has_it_done_once_after_its_restart(
    world: Any, tmp_path: Path, moment: str
) -> None:
    client, account, to = world.client, dev_accounts(10)[9], Account.create().address
    command = [sys.executable, "-c", KILLED, client.rpc_url, str(tmp_path / "node.sqlite"), to, moment]
    assert subprocess.run(command, check=False).returncode == -9
    if moment == "after":
        until(lambda: client.balance(to) == WEI)  # Ganache answers before it has mined
    assert client.balance(to) == (WEI if moment == "after" else 0)
    with outbox_of(client, tmp_path, account) as outbox:
        (recorded,) = outbox.pending()
        sender = Sender(client, account, outbox=outbox)
        ((what, receipt),) = sender.resume()
        assert what == f"transfer of {WEI} wei to {to}"
        assert not isinstance(receipt, ChainError)
        assert receipt.tx_hash == recorded.tx_hash
        assert outbox.pending() == []
        assert sender.resume() == []
    assert client.balance(to) == WEI


def test_a_call_asked_for_again_after_a_restart_is_taken_up_not_repeated(world: Any, tmp_path: Path) -> None:
    client, account, to = world.client, dev_accounts(10)[9], Account.create().address
    command = [sys.executable, "-c", KILLED, client.rpc_url, str(tmp_path / "node.sqlite"), to, "after"]
    assert subprocess.run(command, check=False).returncode == -9
    with outbox_of(client, tmp_path, account) as outbox:
        (recorded,) = outbox.pending()
        sender = Sender(client, account, outbox=outbox)
        assert sender.transfer(to, WEI).tx_hash == recorded.tx_hash
        assert client.balance(to) == WEI
        assert sender.transfer(to, WEI).tx_hash != recorded.tx_hash
    assert client.balance(to) == 2 * WEI


def test_threads_of_a_node_submit_at_once_and_each_uplink_is_judged_once(world: Any, tmp_path: Path) -> None:
    job = world.aligning_job()
    account = world.accounts[1]
    with outbox_of(world.client, tmp_path, account) as outbox:
        node = Consortium(world.client, world.deployment, Sender(world.client, account, outbox=outbox))
        first = world.client.nonce(account.address)
        payloads = [os.urandom(size) for size in (10, 90_000, 10, 90_000, 10, 10)]
        envelopes = [world.envelope(job, payload) for payload in payloads]
        with ThreadPoolExecutor(3) as pool:
            judged = [one for _, one in pool.map(node.submit, envelopes, payloads)]
        assert [event.reason for event in judged if event is not None] == [Reason.ACCEPTED] * 6
        assert outbox.pending() == []
        assert [one.nonce for one in outbox.recorded(0)] == list(range(first, first + 6))
    assert node.counts(job) == (6, 0)


def test_a_call_that_would_revert_costs_no_transaction(world: Any) -> None:
    job = world.aligning_job()
    active, address = world.parties[0], world.addresses()[0]
    before = world.client.nonce(address)
    with pytest.raises(TransactionError) as caught:
        active.begin_round(job, 1)
    assert caught.value.reason == "WrongPhase(expected=3, found=2)"
    assert world.client.nonce(address) == before


def test_an_estimate_is_enough_for_the_transaction(world: Any) -> None:
    policy = (1 << 20, 100, 0, False, 600, 600, 1000, False, 2)
    data = function("JobManager", "propose").encode(os.urandom(9_000), world.addresses(), policy)
    call = Call("propose", world.deployment.addresses["JobManager"], data)
    sender = world.parties[0].sender
    estimate = world.client.estimate({"from": sender.address, "to": call.to, "data": "0x" + data.hex()})
    assert sender.transact(call, estimate).gas_used <= estimate


class Anvil:
    """A chain whose miner and pool the test commands."""

    def __init__(self, rpc_url: str) -> None:
        self.client = ChainClient(rpc_url)
        self.ask: Callable[..., Any] = RpcTransport(rpc_url, 10.0).request
        self.account = dev_accounts(1)[0]
        self.outbox = MemoryOutbox()

    def sender(self, **options: Any) -> Sender:
        return Sender(self.client, self.account, **{"outbox": self.outbox, "stuck_seconds": 0.2, **options})

    def foreign(self, to: str, nonce: int) -> None:
        """Another process's transaction with this key."""
        price = 10 * self.client.gas_price()
        call = Call("foreign", to, b"", WEI)
        chain_id = self.client.chain_id
        self.client.send_raw(sign(self.account, chain_id, call, nonce=nonce, gas=TRANSFER_GAS, gas_price=price).raw)


@pytest.fixture
def anvil() -> Iterator[Anvil]:
    skip_unless_installed("anvil")
    with start_dev_chain("anvil") as chain:
        commanded = Anvil(chain.rpc_url)
        yield commanded
        commanded.client.close()


class Sending:
    """A transfer in a thread of its own."""

    def __init__(self, sender: Sender, to: str) -> None:
        self.outcome: Any = None
        self._thread = threading.Thread(target=self._run, args=(sender, to))
        self._thread.start()

    def _run(self, sender: Sender, to: str) -> None:
        try:
            self.outcome = sender.transfer(to, WEI)
        except ChainError as error:
            self.outcome = error

    def join(self) -> Any:
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.outcome


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def in_pool(anvil: Anvil, tx_hash: bytes) -> bool:
    return anvil.client.is_known(tx_hash) and anvil.client.receipt(tx_hash) is None


def test_a_transaction_that_the_pool_dropped_is_sent_again_byte_for_byte(anvil: Anvil) -> None:
    to = Account.create().address
    anvil.ask("evm_setAutomine", False)
    sending = Sending(anvil.sender(), to)
    until(lambda: bool(anvil.outbox.pending()) and in_pool(anvil, anvil.outbox.pending()[0].tx_hash))
    (recorded,) = anvil.outbox.pending()
    anvil.ask("anvil_dropTransaction", "0x" + recorded.tx_hash.hex())
    assert not anvil.client.is_known(recorded.tx_hash)
    until(lambda: in_pool(anvil, recorded.tx_hash))
    anvil.ask("evm_mine")
    assert sending.join().tx_hash == recorded.tx_hash
    assert anvil.client.balance(to) == WEI


def test_a_transaction_below_a_risen_base_fee_is_replaced_and_done_once(anvil: Anvil) -> None:
    to = Account.create().address
    anvil.ask("evm_setAutomine", False)
    sending = Sending(anvil.sender(), to)
    until(lambda: bool(anvil.outbox.pending()) and in_pool(anvil, anvil.outbox.pending()[0].tx_hash))
    first = anvil.outbox.pending()[0]
    anvil.ask("anvil_setNextBlockBaseFeePerGas", hex(10 * first.gas_price))
    anvil.ask("evm_mine")
    assert anvil.client.receipt(first.tx_hash) is None
    until(lambda: len(anvil.outbox.pending()) > 1 and in_pool(anvil, anvil.outbox.pending()[-1].tx_hash))
    last = anvil.outbox.pending()[-1]
    assert last.gas_price >= first.gas_price * 1.125
    assert last.nonce == first.nonce
    anvil.ask("evm_mine")
    assert sending.join().tx_hash in {one.tx_hash for one in anvil.outbox.recorded(0)} - {first.tx_hash}
    assert anvil.client.balance(to) == WEI
    assert anvil.outbox.pending() == []


def test_a_foreign_transaction_in_the_place_of_one_is_a_typed_error_and_no_second_effect(anvil: Anvil) -> None:
    ours, theirs = Account.create().address, Account.create().address
    anvil.ask("evm_setAutomine", False)
    sender = anvil.sender()
    sending = Sending(sender, ours)
    until(lambda: bool(anvil.outbox.pending()) and in_pool(anvil, anvil.outbox.pending()[0].tx_hash))
    anvil.foreign(theirs, anvil.outbox.pending()[0].nonce)
    anvil.ask("evm_mine")
    outcome = sending.join()
    assert isinstance(outcome, NonceTakenError)
    assert f"transfer of {WEI} wei to {ours}" in str(outcome)
    assert (anvil.client.balance(ours), anvil.client.balance(theirs)) == (0, WEI)
    assert anvil.outbox.recorded(0) == []
    anvil.ask("evm_setAutomine", True)
    sender.transfer(ours, WEI)
    assert (anvil.client.balance(ours), anvil.client.balance(theirs)) == (WEI, WEI)


def test_a_foreign_transaction_while_this_node_was_down_is_reported_at_its_restart(anvil: Anvil) -> None:
    ours, theirs = Account.create().address, Account.create().address
    recorded = sign(
        anvil.account, anvil.client.chain_id, Call("lost", ours, b"", WEI), nonce=0, gas=TRANSFER_GAS, gas_price=10**11
    )
    anvil.outbox.put(recorded)
    anvil.foreign(theirs, 0)
    ((what, outcome),) = anvil.sender().resume()
    assert what == "lost"
    assert isinstance(outcome, NonceTakenError)
    assert anvil.client.balance(ours) == 0


def test_several_threads_share_a_sender_and_a_block(anvil: Anvil) -> None:
    recipients = [Account.create().address for _ in range(6)]
    anvil.ask("evm_setAutomine", False)
    sender = anvil.sender(stuck_seconds=60)
    sendings = [Sending(sender, to) for to in recipients]
    until(lambda: len(anvil.outbox.pending()) == 6 and anvil.client.nonce(anvil.account.address) == 6)
    anvil.ask("evm_mine")
    assert len({sending.join().block_number for sending in sendings}) == 1
    assert [anvil.client.balance(to) for to in recipients] == [WEI] * 6
    assert [one.nonce for one in anvil.outbox.recorded(0)] == list(range(6))


def test_a_transaction_whose_block_a_reorganisation_took_away_is_sent_again(anvil: Anvil) -> None:
    kept, lost, later = (Account.create().address for _ in range(3))
    sender = anvil.sender()
    sender.transfer(kept, WEI)
    snapshot = anvil.ask("evm_snapshot")
    believed = sender.transfer(lost, WEI)
    anvil.ask("evm_revert", snapshot)
    assert anvil.client.balance(lost) == 0
    sender.transfer(later, WEI)
    assert [anvil.client.balance(to) for to in (kept, lost, later)] == [WEI] * 3
    assert anvil.client.receipt(believed.tx_hash) is not None


def test_a_reorganisation_while_this_node_was_down_is_noticed_at_its_restart(anvil: Anvil, tmp_path: Path) -> None:
    lost = Account.create().address
    snapshot = anvil.ask("evm_snapshot")
    with outbox_of(anvil.client, tmp_path, anvil.account) as outbox:
        believed = anvil.sender(outbox=outbox).transfer(lost, WEI)
    anvil.ask("evm_revert", snapshot)
    assert anvil.client.balance(lost) == 0
    with outbox_of(anvil.client, tmp_path, anvil.account) as outbox:
        anvil.sender(outbox=outbox).resume()
    wait_for(lambda: anvil.client.balance(lost) == WEI, "the transaction to be mined again")
    assert anvil.client.receipt(believed.tx_hash) is not None
