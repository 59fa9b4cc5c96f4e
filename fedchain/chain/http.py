"""A kept HTTP connection that posts JSON-RPC bodies: as much of HTTP/1.1 as that takes.

A node asks its chain hundreds of times a minute. The standard library's client spends ten times as long on a request,
most of it on headers that nobody reads, and sends head and body apart.

Source: RFC 9112 (message framing: sections 6 and 7).
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from dataclasses import dataclass
from typing import BinaryIO

_MAX_LINE_BYTES = 65_536
_MAX_LINES = 256
_PIECE_BYTES = 1 << 20


class BadAnswerError(Exception):
    """What came back is no HTTP answer, or too long."""


@dataclass(frozen=True)
class HttpAnswer:
    """An answer.

    Attributes:
        status: 200 and so on.
        body: all of it.
        is_last: whether the connection cannot be used again.
    """

    status: int
    body: bytes
    is_last: bool


class HttpConnection:
    """One connection, opened by the first request; used by one thread at a time.

    Args:
        host: name or address.
        port: number.
        is_tls: whether to speak https, checked against the system's certificates.
        timeout_seconds: for connecting, and for each read.
    """

    def __init__(self, host: str, port: int, *, is_tls: bool, timeout_seconds: float) -> None:
        self._host, self._port = host, port
        self._is_tls = is_tls
        self._timeout_seconds = timeout_seconds
        self._socket: socket.socket | None = None
        self._file: BinaryIO | None = None

    def post(self, head: bytes, body: bytes, max_bytes: int) -> HttpAnswer:
        """Send a request and read its answer.

        Args:
            head: request line and headers but for Content-Length, each line with its end, without the empty line.
            body: the request's.
            max_bytes: longest answer's body.

        Raises:
            ConnectionResetError, BrokenPipeError, ConnectionAbortedError: the connection is closed; if it was used
                before, the request may be sent again over another one.
            OSError: whatever else ails the network, timeouts among it.
            BadAnswerError: no HTTP answer, or too long.
        """
        connected, file = self._opened()
        connected.sendall(b"%sContent-Length: %d\r\n\r\n%s" % (head, len(body), body))
        while True:
            first = file.readline(_MAX_LINE_BYTES)
            if not first:
                raise ConnectionResetError("the connection was closed without an answer")
            version, status = _status(first)
            headers = _headers(file)
            if status >= 200:  # else an interim answer, before the real one
                break
        words = headers.get(b"connection", b"").lower()
        is_last = b"close" in words or (version < b"HTTP/1.1" and b"keep-alive" not in words)
        if b"chunked" in headers.get(b"transfer-encoding", b"").lower():
            return HttpAnswer(status, _chunked(file, max_bytes), is_last)
        length = headers.get(b"content-length")
        if length is None:
            return HttpAnswer(status, _to_the_end(file, max_bytes), True)
        if not length.isdigit() or int(length) > max_bytes:
            raise BadAnswerError(f"its answer exceeds {max_bytes} bytes, or has no length")
        return HttpAnswer(status, _exactly(file, int(length)), is_last)

    def close(self) -> None:
        """Close the connection; doing so twice is harmless."""
        with contextlib.suppress(OSError):
            if self._file is not None:
                self._file.close()
            if self._socket is not None:
                self._socket.close()
        self._file = self._socket = None

    def _opened(self) -> tuple[socket.socket, BinaryIO]:
        if self._socket is None or self._file is None:
            connected = socket.create_connection((self._host, self._port), self._timeout_seconds)
            try:
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._is_tls:
                    connected = ssl.create_default_context().wrap_socket(connected, server_hostname=self._host)
                self._file = connected.makefile("rb")
            except BaseException:
                connected.close()
                raise
            self._socket = connected
        return self._socket, self._file


def _status(line: bytes) -> tuple[bytes, int]:
    version, _, rest = line.partition(b" ")
    code = rest[:3]
    if not version.startswith(b"HTTP/1.") or not code.isdigit():
        raise BadAnswerError("its answer is not HTTP")
    return version, int(code)


def _headers(file: BinaryIO) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for _ in range(_MAX_LINES):
        line = file.readline(_MAX_LINE_BYTES)
        if line in (b"\r\n", b"\n"):
            return headers
        name, colon, value = line.partition(b":")
        if not colon or not line.endswith(b"\n"):
            raise BadAnswerError("its answer's headers are malformed")
        headers[name.strip().lower()] = value.strip()
    raise BadAnswerError(f"its answer has more than {_MAX_LINES} headers")


def _exactly(file: BinaryIO, length: int) -> bytes:
    body = file.read(length)
    if len(body) != length:
        raise BadAnswerError(f"its answer ended after {len(body)} of {length} bytes")
    return body


def _chunked(file: BinaryIO, max_bytes: int) -> bytes:
    body = bytearray()
    while True:
        try:
            length = int(file.readline(_MAX_LINE_BYTES).split(b";")[0], 16)
        except ValueError as error:
            raise BadAnswerError("its answer's chunks are malformed") from error
        if not 0 <= length <= max_bytes - len(body):
            raise BadAnswerError(f"its answer exceeds {max_bytes} bytes")
        if length == 0:
            _headers(file)  # the trailer
            return bytes(body)
        body += _exactly(file, length)
        if file.readline(_MAX_LINE_BYTES).strip():
            raise BadAnswerError("its answer's chunks are malformed")


def _to_the_end(file: BinaryIO, max_bytes: int) -> bytes:
    body = bytearray()
    while piece := file.read(_PIECE_BYTES):
        body += piece
        if len(body) > max_bytes:
            raise BadAnswerError(f"its answer exceeds {max_bytes} bytes")
    return bytes(body)
