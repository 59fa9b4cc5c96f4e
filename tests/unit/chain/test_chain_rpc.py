"""The transport against a small HTTP server that misbehaves on demand."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from fedchain.chain import ChainClient
from fedchain.chain.rpc import RpcError, RpcTransport
from fedchain.errors import ChainError, ChainUnreachableError, ConfigError, WrongChainError

Answer = Callable[[dict[str, Any]], Any]


class Node:
    """A node whose answers the test chooses; `drop` closes the connection after each answer without saying so."""

    def __init__(self) -> None:
        self.answer: Answer = lambda request: {"result": "0x1"}
        self.raw: bytes | None = None
        self.status = 200
        self.drop = False
        self.headers: list[dict[str, str]] = []
        node = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                node.headers.append(dict(self.headers))
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                body = node.raw
                if body is None:
                    body = json.dumps({"jsonrpc": "2.0", "id": request["id"], **node.answer(request)}).encode()
                self.send_response(node.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                if node.drop:
                    self.wfile.flush()
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def node() -> Iterator[Node]:
    node = Node()
    yield node
    node.server.shutdown()
    node.server.server_close()


def test_an_idle_connection_that_the_node_closed_is_replaced(node: Node) -> None:
    node.drop = True
    client = ChainClient(node.url)
    assert [client.head() for _ in range(5)] == [1] * 5


def test_a_connection_is_kept_for_the_next_request(node: Node) -> None:
    ports = set()
    original = node.server.finish_request

    def record(request: Any, address: Any) -> None:
        ports.add(address[1])
        original(request, address)

    node.server.finish_request = record  # type: ignore[assignment]
    client = ChainClient(node.url)
    for _ in range(5):
        client.head()
    assert len(ports) == 1


@pytest.mark.parametrize("raw", [b"<html>not a node</html>", b"", b"[1,2]", b"\xff\xfe", b'{"result":'])
def test_an_answer_that_is_no_json_rpc_is_unreachable_and_names_the_address(node: Node, raw: bytes) -> None:
    node.raw = raw
    with pytest.raises(ChainUnreachableError, match=node.url):
        ChainClient(node.url)


def test_an_http_error_is_unreachable(node: Node) -> None:
    node.raw, node.status = b"go away", 403
    with pytest.raises(ChainUnreachableError, match="HTTP status 403"):
        ChainClient(node.url)


def test_nobody_listening_is_unreachable_and_says_what_to_do() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(ChainUnreachableError, match=f"{url}.*check that the node runs"):
        ChainClient(url)


def test_a_node_that_does_not_answer_in_time_is_unreachable() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(ChainUnreachableError, match="timed out"):
            ChainClient(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=0.2)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8545", "ws://127.0.0.1:8545", "http://", "http://host:port/"])
def test_an_address_that_is_no_http_address_is_a_config_error(url: str) -> None:
    with pytest.raises(ConfigError, match="RPC address"):
        RpcTransport(url, 1.0)


def test_credentials_are_sent_and_never_shown(node: Node) -> None:
    url = node.url.replace("http://", "http://user:s%40cret@")
    client = ChainClient(url)
    assert node.headers[0]["Authorization"] == "Basic dXNlcjpzQGNyZXQ="
    assert client.rpc_url == node.url
    node.raw = b"nonsense"
    with pytest.raises(ChainUnreachableError) as caught:
        client.head()
    assert "cret" not in str(caught.value)


def test_the_wrong_chain_id_names_both(node: Node) -> None:
    with pytest.raises(WrongChainError, match="expected 31337, found 1") as caught:
        ChainClient(node.url, expected_chain_id=31337)
    assert (caught.value.expected, caught.value.found) == (31337, 1)
    assert ChainClient(node.url, expected_chain_id=1).chain_id == 1


def test_an_error_of_the_node_keeps_code_message_and_data(node: Node) -> None:
    client = ChainClient(node.url)
    node.answer = lambda request: {"error": {"code": -32000, "message": "nonce too low", "data": {"x": 1}}}
    with pytest.raises(RpcError, match="eth_blockNumber: nonce too low") as caught:
        client.head()
    assert (caught.value.code, caught.value.message, caught.value.data) == (-32000, "nonce too low", {"x": 1})


def test_a_block_of_a_qbft_chain_with_long_extra_data_is_read(node: Node) -> None:
    client = ChainClient(node.url)
    node.answer = lambda request: {
        "result": {"number": "0x0", "hash": "0x" + "ab" * 32, "extraData": "0x" + "f8" * 600}
    }
    assert client.genesis_hash() == b"\xab" * 32


@pytest.mark.parametrize("result", [None, 7, "seven", "0xzz", {}, []])
def test_a_number_of_another_shape_is_a_typed_error(node: Node, result: object) -> None:
    client = ChainClient(node.url)
    node.answer = lambda request: {"result": result}
    with pytest.raises(ChainError, match="another shape"):
        client.head()


def test_a_missing_block_is_a_typed_error(node: Node) -> None:
    client = ChainClient(node.url)
    node.answer = lambda request: {"result": None if request["method"] == "eth_getBlockByNumber" else "0x5"}
    with pytest.raises(ChainError, match="no block 9; its head is 5"):
        client.block_hash(9)
