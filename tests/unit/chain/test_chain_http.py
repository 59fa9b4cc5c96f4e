"""The few kinds of HTTP answer that a chain's node may give, and those that it must not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from fedchain.chain.http import BadAnswerError, HttpConnection

LIMIT = 1000
HEAD = b"POST / HTTP/1.1\r\nHost: there\r\n"
Ask = Callable[[bytes], HttpConnection]


@pytest.fixture
def answering() -> Iterator[Ask]:
    """A connection to a server that reads one request and answers with these bytes, then closes."""
    opened: list[HttpConnection] = []

    def make(answer: bytes) -> HttpConnection:
        server = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            with server, server.accept()[0] as peer:
                seen = b""
                while not seen.endswith(b"body"):
                    seen += peer.recv(4096)
                assert seen == HEAD + b"Content-Length: 4\r\n\r\nbody"
                peer.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        port = server.getsockname()[1]
        opened.append(HttpConnection("127.0.0.1", port, is_tls=False, timeout_seconds=5.0))
        return opened[-1]

    yield make
    for connection in opened:
        connection.close()


@pytest.mark.parametrize(
    ("answer", "body", "is_last"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", b"hi", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", False),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\nConnection: Close\r\n\r\nhi", b"hi", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi", True),
        (b"HTTP/1.1 200 OK\r\n\r\nhi there", b"hi there", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi", False),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n6;x=y\r\n there\r\n0\r\nA: b\r\n\r\n",
            b"hi there",
            False,
        ),
    ],
)
def test_an_answer_is_read_to_its_end(answering: Ask, answer: bytes, body: bytes, is_last: bool) -> None:
    found = answering(answer).post(HEAD, b"body", LIMIT)
    assert (found.status, found.body, found.is_last) == (200, body, is_last)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1001,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhiX\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300 + b"\r\n",
    ],
)
def test_anything_else_is_an_error_and_never_more_than_the_limit_is_kept(answering: Ask, answer: bytes) -> None:
    with pytest.raises(BadAnswerError):
        answering(answer).post(HEAD, b"body", LIMIT)


def test_a_connection_closed_without_an_answer_may_be_tried_again(answering: Ask) -> None:
    with pytest.raises(ConnectionResetError):
        answering(b"").post(HEAD, b"body", LIMIT)
