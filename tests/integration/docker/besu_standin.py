"""Runs in a validator's container in Besu's place, with Besu's flags: `entrypoint: python besu_standin.py`.

It checks, as the user and with the mounts of the compose file, what Besu would need of them: that the key can be read
and is a validator of the genesis block, that the node is on the allowlist under its own address, that the data folder
can be written. Then the first validator serves an embedded chain at the RPC address, and the others hand on to it.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import rlp  # type: ignore[import-untyped]
from eth_keys.datatypes import PrivateKey

from fedchain.chain.embedded_chain import EmbeddedChain
from fedchain.chain.embedded_rpc import EmbeddedRpc
from fedchain.chain.embedded_store import EmbeddedStore

FLAGS = dict(one[2:].split("=", 1) for one in sys.argv[1:])
MY_HOST = os.environ["BESU_P2P_HOST"]
FIRST = "http://validator-1:8545"


def check() -> bool:
    """Whether this is the first validator, if all is as Besu needs it."""
    key_file = Path(FLAGS["node-private-key-file"])
    assert key_file.stat().st_mode & 0o077 == 0, "others may read the key"
    key = PrivateKey(bytes.fromhex(key_file.read_text().strip()[2:])).public_key
    genesis = json.loads(Path(FLAGS["genesis-file"]).read_text())
    validators = rlp.decode(bytes.fromhex(genesis["extraData"][2:]))[1]
    assert key.to_canonical_address() in validators, "not a validator"
    enode = f"enode://{key.to_bytes().hex()}@{MY_HOST}:{FLAGS['p2p-port']}"
    static = json.loads(Path(FLAGS["static-nodes-file"]).read_text())
    assert enode in static, "not among the static nodes"
    assert json.dumps(enode) in Path(FLAGS["permissions-nodes-config-file"]).read_text(), "not on the allowlist"
    assert not os.access(FLAGS["genesis-file"], os.W_OK), "what all share must be read-only"
    Path(FLAGS["data-path"]).mkdir(exist_ok=True)
    assert genesis["config"]["zeroBaseFee"]
    assert FLAGS["min-gas-price"] == "0"
    return bool(static[0] == enode)


class Handler(BaseHTTPRequestHandler):
    """JSON-RPC, and what Besu answers to health checks."""

    rpc: EmbeddedRpc | None = None
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """`/readiness`."""
        self._reply(b'{"status":"UP"}')

    def do_POST(self) -> None:
        """A JSON-RPC request."""
        host = self.headers["Host"].split(":")[0]
        if host not in FLAGS["host-allowlist"].split(","):
            self.send_error(403, "Host not authorized.")
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.rpc is not None:
            self._reply(msgspec.json.encode(self.rpc.answer(msgspec.json.decode(body))))
            return
        request = urllib.request.Request(FIRST, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            self._reply(answer.read())

    def _reply(self, body: bytes) -> None:
        self.send_response_only(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Not logged."""


if __name__ == "__main__":
    if check():
        Handler.rpc = EmbeddedRpc(EmbeddedChain(EmbeddedStore(Path(FLAGS["data-path"]) / "chain.sqlite")))
    ThreadingHTTPServer((FLAGS["rpc-http-host"], int(FLAGS["rpc-http-port"])), Handler).serve_forever()
