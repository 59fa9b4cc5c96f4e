"""A deployment that is killed at any of its steps is finished by the next run, and nothing is deployed twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fedchain.chain import Account, ChainClient, Deployment, Sender, check_contracts, deploy, start_dev_chain
from fedchain.chain.artifacts import CONTRACT_NAMES
from fedchain.chain.deploying import STEPS
from fedchain.chain.deploylog import DeployLog, progress_path
from fedchain.chain.rpc import RpcError
from fedchain.errors import ChainError, ChainUnreachableError, ConfigError, TransactionError, WrongChainError

SUICIDAL = """
import os, signal, sys
from pathlib import Path
from fedchain.chain import Account, ChainClient, deploy

send, sent = ChainClient.send_raw, []

def send_raw(self, raw):
    sent.append(send(self, raw))
    if len(sent) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return sent[-1]

ChainClient.send_raw = send_raw
deploy(ChainClient(sys.argv[1]), Account.from_private_key(bytes.fromhex(sys.argv[2])), None, Path(sys.argv[3]))
"""


class Killed(BaseException):
    """Stands in for a process's end: nothing in the code under test catches it for good."""


@pytest.fixture(scope="module")
def client() -> Iterator[ChainClient]:
    with start_dev_chain("embedded") as chain, ChainClient(chain.rpc_url) as one:
        yield one


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "deployment.json"


def dying(monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """From now on the process ends at the first transaction that it sends: just before, or just after that."""
    send = ChainClient.send_raw

    def send_raw(self: ChainClient, raw: bytes) -> bytes:
        if when == "after":
            send(self, raw)
        raise Killed

    monkeypatch.setattr(ChainClient, "send_raw", send_raw)


def assert_deployed_once(client: ChainClient, account: Account, out: Path) -> None:
    """Each step was done by one transaction, and no other was sent; the file says what stands."""
    recorded = Deployment.load(out)
    assert client.nonce(account.address) == STEPS == len(recorded.transactions)
    assert [one.problem for one in check_contracts(client, recorded)] == [""] * len(CONTRACT_NAMES)
    assert not progress_path(out).exists()


def test_killed_before_and_after_each_transaction_it_goes_on(
    client: ChainClient, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = Account.create()
    runs = 0
    for step in range(1, STEPS + 1):
        for when in ("before", "after"):
            with monkeypatch.context() as patch:
                dying(patch, when)
                with pytest.raises(Killed):
                    deploy(client, account, None, out)
            runs += 1
            assert client.nonce(account.address) == step - (when == "before")
            assert not out.exists()
    assert runs == 2 * STEPS
    lines: list[str] = []
    deployment, created = deploy(client, account, None, out, progress=lines.append)
    assert created
    assert lines[0] == f"going on with an unfinished deployment: {STEPS} of {STEPS} transactions are recorded"
    assert deployment.stewards == [account.address]
    assert_deployed_once(client, account, out)


@pytest.mark.parametrize("where", [(Deployment, "save"), (DeployLog, "remove")], ids=["unwritten", "written"])
def test_killed_around_the_writing_of_its_file_it_sends_nothing_more(
    client: ChainClient, out: Path, monkeypatch: pytest.MonkeyPatch, where: tuple[type, str]
) -> None:
    account = Account.create()

    def end(*arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(*where, end)
        with pytest.raises(Killed):
            deploy(client, account, None, out)
    assert progress_path(out).exists()
    _, created = deploy(client, account, None, out)
    assert created is (where[1] == "save")
    assert_deployed_once(client, account, out)


def test_a_process_that_is_really_killed(client: ChainClient, out: Path) -> None:
    secret = "42" * 32
    account = Account.from_private_key(bytes.fromhex(secret))
    done = subprocess.run([sys.executable, "-c", SUICIDAL, client.rpc_url, secret, str(out)], timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert client.nonce(account.address) == 4
    deploy(client, account, None, out)
    assert_deployed_once(client, account, out)


def test_a_record_that_was_not_written_whole_was_not_sent(client: ChainClient, out: Path, monkeypatch: Any) -> None:
    account = Account.create()
    with monkeypatch.context() as patch:
        dying(patch, "before")
        with pytest.raises(Killed):
            deploy(client, account, None, out)
    record = progress_path(out)
    record.write_bytes(record.read_bytes()[:-30])
    deploy(client, account, None, out)
    assert_deployed_once(client, account, out)


def test_a_step_that_failed_on_the_chain_is_sent_anew(
    client: ChainClient, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = Account.create()
    with monkeypatch.context() as patch:
        patch.setattr(ChainClient, "estimate", lambda self, fields: 200_000)  # far too little for a contract
        with pytest.raises(TransactionError):
            deploy(client, account, None, out)
    deployment, _ = deploy(client, account, None, out)
    assert client.nonce(account.address) == STEPS + 1
    assert [one.problem for one in check_contracts(client, deployment)] == [""] * len(CONTRACT_NAMES)


@pytest.mark.parametrize(
    "fault", [RpcError("eth_sendRawTransaction", -32000, "no", None), ChainUnreachableError("gone")], ids=str
)
def test_a_chain_that_refuses_or_goes_away_leaves_a_run_that_can_be_gone_on_with(
    client: ChainClient, out: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    account = Account.create()
    sends = _failing(ChainClient.send_raw, fault, at=3)
    with monkeypatch.context() as patch:
        patch.setattr(ChainClient, "send_raw", sends)
        with pytest.raises(ChainError):
            deploy(client, account, None, out)
    deploy(client, account, None, out)
    assert_deployed_once(client, account, out)


def _failing(send: Callable[[ChainClient, bytes], bytes], fault: Exception, *, at: int) -> Callable[..., bytes]:
    sent: list[bytes] = []

    def send_raw(self: ChainClient, raw: bytes) -> bytes:
        sent.append(raw)
        if len(sent) == at:
            raise fault
        return send(self, raw)

    return send_raw


@pytest.fixture
def unfinished(client: ChainClient, out: Path, monkeypatch: pytest.MonkeyPatch) -> Account:
    """An account whose deployment was killed after its first transaction."""
    account = Account.create()
    with monkeypatch.context() as patch:
        dying(patch, "after")
        with pytest.raises(Killed):
            deploy(client, account, None, out)
    return account


def test_another_account_or_other_stewards_do_not_go_on_with_it(
    client: ChainClient, out: Path, unfinished: Account
) -> None:
    other = Account.create()
    with pytest.raises(ConfigError, match=f"by {unfinished.address} is unfinished"):
        deploy(client, other, None, out)
    with pytest.raises(ConfigError, match=f"stewards {unfinished.address} is unfinished"):
        deploy(client, unfinished, [other.address], out)
    assert client.nonce(other.address) == 0
    assert client.nonce(unfinished.address) == 1


def test_another_chain_is_noticed(out: Path, unfinished: Account) -> None:
    with start_dev_chain("embedded") as chain, ChainClient(chain.rpc_url) as other:
        with pytest.raises(WrongChainError, match="to deploy anew"):
            deploy(other, unfinished, None, out)
        assert other.nonce(unfinished.address) == 0


def test_two_at_once_do_not_both_deploy(client: ChainClient, out: Path, unfinished: Account) -> None:
    with (
        DeployLog(progress_path(out), client, unfinished.address, None),
        pytest.raises(ConfigError, match="another process is deploying"),
    ):
        deploy(client, unfinished, None, out)


def test_another_version_of_the_contracts_does_not_go_on_with_it(
    client: ChainClient, out: Path, unfinished: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedchain.chain.deploying.constructor_data", lambda name, *values: b"\x60\x00")
    with pytest.raises(ConfigError, match="another version of fedchain began"):
        deploy(client, unfinished, None, out)
    assert client.nonce(unfinished.address) == 1


@pytest.mark.parametrize("text", ["not json\n", '{"line": "withdrawn", "tx_hash": "0x12"}\n', "[]\n"])
def test_a_damaged_record_is_a_config_error(client: ChainClient, out: Path, text: str) -> None:
    progress_path(out).write_text(text)
    with pytest.raises(ConfigError, match="is no record of an unfinished deployment"):
        deploy(client, Account.create(), None, out)


def test_the_record_holds_no_key(out: Path, unfinished: Account) -> None:
    lines = [json.loads(line) for line in progress_path(out).read_text().splitlines()]
    assert [line["line"] for line in lines] == ["begun", "sent"]
    assert set(lines[1]) == {"line", "nonce", "tx_hash", "raw", "what", "gas", "gas_price"}


def test_the_account_may_have_sent_other_transactions_before(client: ChainClient, out: Path) -> None:
    account = Account.create()
    Sender(client, account).transfer("0x" + "aa" * 20, 0)
    deployment, _ = deploy(client, account, None, out)
    assert client.nonce(account.address) == STEPS + 1
    deployment.check(client)
