"""Stands in for a Besu node of a QBFT network with free gas: the embedded chain behind Besu's own rules and words.

What differs from a development chain, from Besu's documentation and sources: `extraData` far longer than 32 bytes; no
accounts; logs of at most so many blocks, and never beyond the head; other words for refusals; callers are turned away
whose Host header is not on the list. An account has no ether unless somebody gave it some.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import rlp  # type: ignore[import-untyped]

from fedchain.chain.embedded_chain import EmbeddedChain
from fedchain.chain.embedded_rpc import EmbeddedRpc

_WORDS = (
    ("already known", -32000, "Known transaction"),
    ("insufficient funds", -32004, "Upfront cost exceeds account balance"),
    ("nonce", -32001, "Nonce too low"),
    ("execution reverted", -32000, "Execution reverted"),
)


@dataclass
class BesuNode:
    """The node's rules, and what was asked of it.

    Attributes:
        largest_range: blocks per `eth_getLogs`; Besu's default is 5,000.
        hosts: `--host-allowlist`.
        gas_prices: of all transactions that it was given, in wei.
        refused: `eth_getLogs` that it refused.
        asked: methods, in order.
    """

    largest_range: int = 5000
    hosts: Sequence[str] = ("127.0.0.1", "localhost")
    chain: EmbeddedChain = field(default_factory=EmbeddedChain)
    gas_prices: list[int] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    rpc_url: str = ""

    def __post_init__(self) -> None:
        self._rpc = EmbeddedRpc(self.chain)
        validators = [bytes([number]) * 20 for number in (1, 2, 3, 4)]
        self.extra_data = "0x" + rlp.encode([bytes(32), validators, [], 0, [bytes(65)] * 3]).hex()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """One JSON-RPC answer."""
        method, params = request["method"], request["params"]
        self.asked.append(method)
        if method == "eth_sendRawTransaction":
            self.gas_prices.append(int.from_bytes(rlp.decode(bytes.fromhex(params[0][2:]))[1], "big"))
        problem = self._log_problem(params[0]) if method == "eth_getLogs" else None
        if problem is not None:
            self.refused.append(problem)
            return {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32602, "message": problem}}
        if method == "eth_accounts":
            return {"jsonrpc": "2.0", "id": request["id"], "result": []}
        answer: dict[str, Any] = self._rpc.answer(request)
        if method.startswith("eth_getBlockBy") and answer.get("result"):
            answer["result"] |= {"extraData": self.extra_data, "difficulty": "0x1"}
        if "error" in answer:
            words = answer["error"]["message"].lower()
            for theirs, code, message in _WORDS:
                if theirs in words:
                    answer["error"] |= {"code": code, "message": message}
                    break
        return answer

    def _log_problem(self, query: dict[str, Any]) -> str | None:
        start, end = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        if end > self.chain.head:
            return "Invalid params: block range extends beyond current head block"
        if end - start + 1 > self.largest_range:
            return "Requested range exceeds maximum RPC range limit"
        return None


@contextmanager
def besu_node(**rules: Any) -> Iterator[BesuNode]:
    """A node that answers at its `rpc_url` until the end of the block."""
    node = BesuNode(**rules)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Host"].split(":")[0] not in node.hosts:
                return self._reply(403, b'{"message":"Host not authorized."}')
            return self._reply(200, msgspec.json.encode(node.answer(msgspec.json.decode(body))))

        def _reply(self, status: int, body: bytes) -> None:
            self.send_response_only(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Not logged."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        node.rpc_url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield node
        server.shutdown()
        thread.join()
