"""JSON-RPC over HTTP with connections kept alive: the only door to a chain's node.

A job sends hundreds of transactions one after the other, so a request costs some ten microseconds here: persistent
connections (`fedchain.chain.http`), no middleware, and a JSON decoder that leaves hex strings alone. Nothing of a block
but its number and hash is ever parsed, so that chains with long `extraData` (QBFT, IBFT, Clique) need no special
treatment.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import threading
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from fedchain.chain.http import BadAnswerError, HttpConnection
from fedchain.errors import ChainError, ChainUnreachableError, ConfigError

MAX_ANSWER_BYTES = 1 << 30
"""Answers above this are refused: a node that sends more is broken or hostile."""

_MAX_IDLE_CONNECTIONS = 8
_MAX_MESSAGE = 200
_OK, _FORBIDDEN = 200, 403
_STALE = (BrokenPipeError, ConnectionResetError, ConnectionAbortedError)


class RpcError(ChainError):
    """The node answered with a JSON-RPC error.

    Attributes:
        code: the JSON-RPC error code.
        message: the node's words.
        data: whatever the node attached; revert data sits in different places on different nodes.
        is_repeated: the request was sent twice because a kept connection broke; the node may have carried out the
            first, and refuse the second for that reason.
    """

    def __init__(self, method: str, code: int, message: str, data: object, *, is_repeated: bool = False) -> None:
        super().__init__(f"the chain's node refused {method}: {message} (code {code})")
        self.code = code
        self.message = message
        self.data = data
        self.is_repeated = is_repeated


class _Answer(msgspec.Struct):
    """A JSON-RPC response; unknown keys are ignored. What is none may hold a message (Besu)."""

    result: Any = None
    error: Any = None
    message: Any = None


class RpcTransport:
    """Sends JSON-RPC requests to one address; safe to use from several threads at once.

    Args:
        url: `http://` or `https://`; a user name and password in it are sent as basic authentication and never shown.
        timeout_seconds: for connecting and for each read.

    Raises:
        ConfigError: the address is no HTTP address.
    """

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self._parts = _split(url)
        self._timeout_seconds = timeout_seconds
        self._idle: list[HttpConnection] = []
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._decoder = msgspec.json.Decoder(_Answer)
        host = self._parts.hostname or ""
        host = f"[{host}]" if ":" in host else host
        netloc = host if self._parts.port is None else f"{host}:{self._parts.port}"
        self.url = f"{self._parts.scheme}://{netloc}{self._parts.path}"
        path = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
        lines = [f"POST {path} HTTP/1.1", f"Host: {netloc}", "Content-Type: application/json"]
        if self._parts.username is not None:
            pair = f"{unquote(self._parts.username)}:{unquote(self._parts.password or '')}"
            lines.append("Authorization: Basic " + base64.b64encode(pair.encode()).decode())
        try:
            self._head = "".join(f"{line}\r\n" for line in lines).encode("ascii")
        except UnicodeEncodeError as error:
            raise ConfigError("RPC address: host and path are written in ASCII (xn--… and %…)") from error

    def request(self, method: str, *params: object) -> Any:
        """Send one request and return its `result`.

        Raises:
            ChainUnreachableError: nothing answers, or not with JSON-RPC.
            RpcError: the node answered with an error.
        """
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params})
        raw, status, is_repeated = self._exchange(body)
        try:
            answer = self._decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._unreachable("its answer is not JSON-RPC") from error
        if status != _OK and answer.error is None and answer.result is None:
            raise self._unreachable(_turned_away(status, answer.message))
        if answer.error is not None:
            fault = answer.error if isinstance(answer.error, dict) else {"message": str(answer.error)}
            code = fault.get("code")
            code = code if isinstance(code, int) else 0
            raise RpcError(method, code, str(fault.get("message")), fault.get("data"), is_repeated=is_repeated)
        return answer.result

    def close(self) -> None:
        """Close idle connections; the transport stays usable."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # the constructor refused the address
            self.close()

    def _exchange(self, body: bytes) -> tuple[bytes, int, bool]:
        """The answer's body and HTTP status, and whether the request had to be sent more than once."""
        is_repeated = False
        while True:
            connection, reused = self._take()
            try:
                answer = connection.post(self._head, body, MAX_ANSWER_BYTES)
            except _STALE as error:
                connection.close()
                if reused:  # the node closed an idle connection; every request here may safely be repeated
                    is_repeated = True
                    continue
                raise self._unreachable(_words(error)) from error
            except (OSError, BadAnswerError) as error:
                connection.close()
                raise self._unreachable(_words(error)) from error
            break
        if answer.is_last:
            connection.close()
        else:
            self._give_back(connection)
        if answer.status != _OK and not answer.body.lstrip()[:1] == b"{":
            raise self._unreachable(_turned_away(answer.status, None))
        return answer.body, answer.status, is_repeated

    def _take(self) -> tuple[HttpConnection, bool]:
        with self._lock:
            if self._idle:
                return self._idle.pop(), True
        is_tls = self._parts.scheme == "https"
        port = self._parts.port or (443 if is_tls else 80)
        host = self._parts.hostname or ""
        return HttpConnection(host, port, is_tls=is_tls, timeout_seconds=self._timeout_seconds), False

    def _give_back(self, connection: HttpConnection) -> None:
        with self._lock:
            if len(self._idle) < _MAX_IDLE_CONNECTIONS:
                self._idle.append(connection)
                return
        connection.close()

    def _unreachable(self, why: str) -> ChainUnreachableError:
        return ChainUnreachableError(
            f"no usable answer from the chain at {self.url} ({why}); "
            "check that the node runs and that the RPC address is its HTTP address"
        )


def _split(url: str) -> SplitResult:
    remedy = "give the node's HTTP address, for example http://127.0.0.1:8545"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"RPC address is malformed; {remedy}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"RPC address has scheme '{parts.scheme}' and host '{parts.hostname}'; {remedy}")
    return parts


def _turned_away(status: int, message: object) -> str:
    """What a node means that answers over HTTP, but not with JSON-RPC."""
    said = f"HTTP status {status}"
    if isinstance(message, str):
        said += f", {message[:_MAX_MESSAGE].rstrip('.')}"
    if status == _FORBIDDEN:
        said += "; Besu answers so when the host's name in the address is not in its --host-allowlist"
    return said


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    return str(error) or type(error).__name__
