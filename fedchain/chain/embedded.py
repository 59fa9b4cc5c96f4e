"""Serves the embedded development chain: `python -m fedchain.chain.embedded [--port N] [--until-stdin-closes]`.

It listens on 127.0.0.1 alone and says `listening on http://127.0.0.1:PORT` on standard output once it does. Its state
lives in memory and ends with the process.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

from fedchain.chain.embedded_chain import EmbeddedChain
from fedchain.chain.embedded_rpc import EmbeddedRpc

HOST = "127.0.0.1"
MAX_REQUEST_BYTES = 16 * 1024 * 1024
_IDLE_SECONDS = 600


class EmbeddedServer(ThreadingHTTPServer):
    """One thread per kept-alive connection; the chain answers one request at a time."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, rpc: EmbeddedRpc, port: int) -> None:
        self.rpc = rpc
        super().__init__((HOST, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one write
    timeout = _IDLE_SECONDS
    server: EmbeddedServer

    def do_POST(self) -> None:
        """Answer one JSON-RPC body."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            return self._reply(411, b'{"error":"Content-Length is required"}', close=True)
        if int(length) > MAX_REQUEST_BYTES:
            return self._reply(413, b'{"error":"request is too large"}', close=True)
        body = self.rfile.read(int(length))
        try:
            request = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            fault = {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "parse error"}}
            return self._reply(200, msgspec.json.encode(fault))
        return self._reply(200, msgspec.json.encode(self.server.rpc.answer(request)))

    def _reply(self, status: int, body: bytes, *, close: bool = False) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if close:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged."""


def main(arguments: list[str] | None = None) -> None:
    """Run the server until it is ended."""
    parser = argparse.ArgumentParser(prog="fedchain.chain.embedded", description="embedded development chain")
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--until-stdin-closes", action="store_true", help="exit when standard input ends")
    options = parser.parse_args(arguments)
    server = EmbeddedServer(EmbeddedRpc(EmbeddedChain()), options.port)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if options.until_stdin_closes:
        threading.Thread(target=_exit_with_stdin, name="stdin-watchdog", daemon=True).start()
    print(f"listening on http://{HOST}:{server.server_address[1]}", flush=True)
    try:
        server.serve_forever(poll_interval=3600)
    except KeyboardInterrupt:
        return


def _exit_with_stdin() -> None:
    while os.read(0, 4096):
        continue
    os._exit(0)


if __name__ == "__main__":
    main()
