"""Serves the embedded development chain: `python -m fedchain.chain.embedded [--port N] [--state FILE]`.

It says `listening on http://HOST:PORT` on standard output once it listens. Its state lives in memory and ends with the
process, or in a file, and goes on with the next.
"""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec

from fedchain.chain.embedded_chain import EmbeddedChain
from fedchain.chain.embedded_rpc import EmbeddedRpc
from fedchain.chain.embedded_store import EmbeddedStore
from fedchain.errors import ConfigError

HOST = "127.0.0.1"
MAX_REQUEST_BYTES = 16 * 1024 * 1024
_IDLE_SECONDS = 600


class EmbeddedServer(ThreadingHTTPServer):
    """One thread per kept-alive connection; the chain answers one request at a time."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, rpc: EmbeddedRpc, port: int, host: str = HOST) -> None:
        self.rpc = rpc
        super().__init__((host, port), _Handler)


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
        try:
            answer = self.server.rpc.answer(request)
        except sqlite3.Error as error:  # what is in memory is not in the file: go on from the file at the next start
            print(f"chain state cannot be written: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        return self._reply(200, msgspec.json.encode(answer))

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
    parser.add_argument("--host", default=HOST, help="IPv4 address to listen on")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--state", type=Path, metavar="FILE", help="keeps the chain; it goes on where there is one")
    parser.add_argument("--until-stdin-closes", action="store_true", help="exit when standard input ends")
    options = parser.parse_args(arguments)
    try:
        chain = EmbeddedChain(None if options.state is None else EmbeddedStore(options.state))
    except ConfigError as error:
        sys.exit(str(error))
    server = EmbeddedServer(EmbeddedRpc(chain), options.port, options.host)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if options.until_stdin_closes:
        threading.Thread(target=_exit_with_stdin, name="stdin-watchdog", daemon=True).start()
    print(f"listening on http://{options.host}:{server.server_address[1]}", flush=True)
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
