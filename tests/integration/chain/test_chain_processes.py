"""Development chains as processes: they start, answer, bind to loopback alone, and never outlive their starter."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from fedchain.chain import ChainClient, Sender, dev_accounts, start_dev_chain
from fedchain.chain.devchain import CHAIN_KINDS, ChainKind, find_tool
from fedchain.chain.embedded import MAX_REQUEST_BYTES
from fedchain.errors import ChainError, ConfigError

STARTER = """
import sys, time
from fedchain.chain import start_dev_chain
chain = start_dev_chain(sys.argv[1])
print(chain.rpc_url, flush=True)
time.sleep(600)
"""


def skip_unless_installed(kind: ChainKind) -> None:
    if kind != "embedded":
        try:
            find_tool(kind)
        except ConfigError as error:
            pytest.skip(str(error))


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("kind", CHAIN_KINDS)
def test_a_chain_ends_when_its_starter_is_killed(kind: ChainKind) -> None:
    skip_unless_installed(kind)
    with subprocess.Popen([sys.executable, "-c", STARTER, kind], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        port = urlsplit(starter.stdout.readline().strip()).port
        assert port is not None
        assert is_listening(port)
        starter.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while is_listening(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_listening(port)


@pytest.mark.parametrize("kind", CHAIN_KINDS)
def test_stopping_ends_the_process_and_doing_so_twice_is_harmless(kind: ChainKind, tmp_path: Path) -> None:
    skip_unless_installed(kind)
    with start_dev_chain(kind, log_path=tmp_path / "chain.log") as chain:
        client = ChainClient(chain.rpc_url)
        assert all(client.balance(account.address) >= 10**21 for account in dev_accounts())
    assert chain.process.poll() is not None
    chain.stop()
    assert "istening on" in (tmp_path / "chain.log").read_text()


@pytest.mark.parametrize("kind", CHAIN_KINDS)
def test_a_port_that_is_taken_is_a_typed_error(kind: ChainKind) -> None:
    skip_unless_installed(kind)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ChainError, match=f"{kind} chain did not start on port {port}.*in use"):
            start_dev_chain(kind, port=port)


def test_a_missing_tool_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    for kind in ("anvil", "ganache"):
        with pytest.raises(ConfigError, match="make tools"):
            start_dev_chain(kind)


def test_an_unknown_kind_is_a_config_error() -> None:
    unknown: Any = "hardhat"
    with pytest.raises(ConfigError, match="choose one of embedded, anvil, ganache"):
        start_dev_chain(unknown)


@pytest.mark.parametrize("kind", ["anvil", "ganache"])
def test_a_chain_with_a_block_time_makes_blocks_by_itself(kind: ChainKind) -> None:
    skip_unless_installed(kind)
    with start_dev_chain(kind, block_seconds=1) as chain, ChainClient(chain.rpc_url) as client:
        first, deadline = client.head(), time.monotonic() + 20
        while client.head() < first + 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert client.head() >= first + 2


def test_a_block_time_that_a_chain_cannot_have_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="choose anvil or ganache"):
        start_dev_chain("embedded", block_seconds=1)
    with pytest.raises(ConfigError, match="0 to 60 seconds"):
        start_dev_chain("anvil", block_seconds=-1)


@pytest.mark.parametrize("kind", ["embedded", "ganache"])
def test_a_chain_with_a_state_goes_on_where_it_was_killed(kind: ChainKind, tmp_path: Path) -> None:
    skip_unless_installed(kind)
    state, friend = tmp_path / "state", "0x" + "aa" * 20
    with start_dev_chain(kind, state=state) as chain, ChainClient(chain.rpc_url) as client:
        Sender(client, dev_accounts(1)[0]).transfer(friend, 5)
        before = [client.block_hash(number) for number in range(client.head() + 1)]
        if kind == "embedded":
            chain.process.kill()
        else:  # the process is the supervisor, which takes the chain with it
            chain.process.terminate()
        chain.process.wait(20)
    with start_dev_chain(kind, state=state) as chain, ChainClient(chain.rpc_url) as client:
        assert [client.block_hash(number) for number in range(client.head() + 1)] == before
        assert client.balance(friend) == 5
        Sender(client, dev_accounts(1)[0]).transfer(friend, 1)
        assert client.balance(friend) == 6


def test_anvil_keeps_no_state_that_a_kill_could_lose(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="choose the chain kind 'embedded' or 'ganache'"):
        start_dev_chain("anvil", state=tmp_path / "state")


def test_a_state_that_is_something_else_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no chain, but longer than the header of a database: " * 5)
    with pytest.raises(ChainError, match="is no file of an embedded chain"):
        start_dev_chain("embedded", state=tmp_path / "notes.txt")


def test_a_chain_listens_where_it_is_told() -> None:
    with start_dev_chain("embedded", host="0.0.0.0") as chain:
        assert chain.rpc_url.startswith("http://127.0.0.1:")
        assert ChainClient(chain.rpc_url).head() == 0
    with pytest.raises(ConfigError, match="'localhost' is no IPv4 address"):
        start_dev_chain("embedded", host="localhost")


def post(url: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request("POST", "/", body, headers or {})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_the_embedded_chain_listens_on_loopback_alone(embedded: Any) -> None:
    port = urlsplit(embedded.chain.rpc_url).port
    table = Path("/proc/net/tcp")
    if not table.exists():
        pytest.skip("no /proc/net/tcp here")
    rows = [line.split()[1:4] for line in table.read_text().splitlines()[1:]]
    listening = {local for local, _, state in rows if state == "0A" and local.endswith(f":{port:04X}")}
    assert listening == {f"0100007F:{port:04X}"}


def test_the_embedded_chain_answers_a_batch_in_order(embedded: Any) -> None:
    methods = ["eth_chainId", "eth_nope", "eth_blockNumber"]
    batch = [{"jsonrpc": "2.0", "id": index, "method": name, "params": []} for index, name in enumerate(methods)]
    status, answers = post(embedded.chain.rpc_url, json.dumps(batch).encode())
    assert status == 200
    assert [answer["id"] for answer in answers] == [0, 1, 2]
    assert answers[0]["result"] == hex(embedded.client.chain_id)
    assert answers[1]["error"]["code"] == -32601


def test_the_embedded_chain_refuses_a_body_that_is_too_large(embedded: Any) -> None:
    status, answer = post(embedded.chain.rpc_url, b"{}", {"Content-Length": str(MAX_REQUEST_BYTES + 1)})
    assert (status, answer) == (413, {"error": "request is too large"})


def test_the_embedded_chain_survives_a_body_that_is_no_json(embedded: Any) -> None:
    status, answer = post(embedded.chain.rpc_url, b"{nonsense")
    assert (status, answer["error"]["code"]) == (200, -32700)
    assert embedded.client.head() > 0


def test_the_embedded_chain_ends_with_its_standard_input() -> None:
    command = [sys.executable, "-m", "fedchain.chain.embedded", "--until-stdin-closes"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline().startswith(b"listening on http://127.0.0.1:")
        process.stdin.close()
        assert process.wait(10) == 0
