"""What every request passes before any of it is parsed: login, role, bounds; on the way out: headers, a log line.

1. The route is found; without one, a login is asked for all the same.
2. The token is checked, its role compared with the route's. Whoever fails too often waits.
3. The body may have so many bytes, and must come within some time.
4. Whatever the app raises becomes a problem document; nothing of a defect but its class goes to the log's reader.
5. One line of the log for each request: never its token, its query or its body.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from fedchain.errors import FedchainError
from fedchain.node.api.endpoint import OPEN, Endpoint, Endpoints
from fedchain.node.api.failures import Failures
from fedchain.node.api.problems import MEDIA_TYPE, Problem
from fedchain.node.tokens import Token, TokenFile

log = structlog.get_logger(__name__)

BODY_SECONDS = 30.0
"""How long the next piece of a body may take."""

OnRequest = Callable[[str, str, int], None]
"""Method, route and status of a request that is over."""

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_HSTS = {"Strict-Transport-Security": "max-age=31536000"}


class Gate:
    """The ASGI application that is served: the app behind its gate.

    Args:
        app: what answers.
        endpoints: its routes.
        tokens: who may log in.
        max_upload: bytes of a body where an endpoint has no bound of its own.
        https: whether it is served over TLS.
        on_request: is told of each request.
    """

    def __init__(
        self,
        app: ASGIApp,
        endpoints: Endpoints,
        tokens: TokenFile,
        *,
        max_upload: int,
        https: bool,
        on_request: OnRequest | None = None,
    ) -> None:
        self._app = app
        self._endpoints = endpoints
        self._tokens = tokens
        self._max_upload = max_upload
        self._headers = _HEADERS | (_HSTS if https else {})
        self._on_request = on_request
        self._failures = Failures()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun, request_id = time.monotonic(), secrets.token_hex(8)
        endpoint = self._endpoints.find(scope["method"], scope["path"])
        out = _Out(send, self._headers | {"X-Request-Id": request_id}, request_id)
        token: Token | None = None
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        with bound_contextvars(request_id=request_id):
            try:
                if endpoint is None or endpoint.roles is not OPEN:
                    token = self._logged_in(scope)
                    if endpoint is not None and token.role not in endpoint.roles:
                        raise Problem(403, "not-allowed", f"the role {token.role.value} may not {endpoint.name}")
                state["token"], state["admitted"] = token, None if endpoint is None else endpoint.name
                body = _Body(receive, self._most(endpoint), out)
                body.check_length(_header(scope, b"content-length"))
                await self._app(scope, body.receive, out.send)
            except Problem as problem:
                await out.refuse(problem)
            except Exception as error:
                log.error("this is a defect of fedchain; please report it", exc_info=error)
                await out.refuse(Problem(500, "internal-error", "internal error of the node; see its log"))
            finally:
                self._tell(scope, endpoint, token, out.status, time.monotonic() - begun)

    def _most(self, endpoint: Endpoint | None) -> int:
        if endpoint is None:
            return 0
        return self._max_upload if endpoint.max_body is None else endpoint.max_body

    def _logged_in(self, scope: Scope) -> Token:
        presented = [value for name, value in scope["headers"] if name == b"authorization"]
        if not presented:
            raise _not_logged_in("log in: send the header Authorization: Bearer, with a token", "")
        scheme, _, text = presented[0].decode("latin-1").partition(" ")
        text = text.strip()
        client = _client(scope)
        try:
            token_id = self._tokens.known_id(text)
            wait = self._failures.wait_seconds(client, token_id)
            if wait > 0:
                seconds = str(int(wait) + 1)
                raise Problem(
                    429,
                    "too-many-failed-logins",
                    f"too many failed logins; try again in {seconds} s",
                    headers={"Retry-After": seconds},
                )
            token = self._tokens.check(text) if scheme.lower() == "bearer" and len(presented) == 1 else None
        except FedchainError as error:
            log.error("nobody can log in", error=str(error))
            raise Problem(503, "no-logins", "nobody can log in now; see the node's log") from None
        if token is None:
            self._failures.count(client, token_id)
            raise _not_logged_in("no such token, or it has expired", ', error="invalid_token"')
        return token

    def _tell(self, scope: Scope, endpoint: Endpoint | None, token: Token | None, status: int, seconds: float) -> None:
        method = scope["method"] if endpoint is not None else "other"
        route = endpoint.path if endpoint is not None else "none"
        tell = log.debug if endpoint is not None and endpoint.roles is OPEN else log.info
        tell(
            "http request",
            method=method,
            route=route,
            status=status,
            seconds=round(seconds, 4),
            client=_client(scope),
            login=None if token is None else token.id,
            role=None if token is None else token.role.value,
        )
        if self._on_request is not None:
            self._on_request(method, route, status)


class _Out:
    """The answer on its way out."""

    def __init__(self, send: Send, headers: dict[str, str], request_id: str) -> None:
        self._send = send
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self._request_id = request_id
        self._instead: Problem | None = None
        self._is_begun = False
        self._is_over = False
        self.status = 0

    def replace(self, problem: Problem) -> None:
        """Whatever the app answers from now on, say this."""
        self._instead = problem

    async def send(self, message: Message) -> None:
        """The app's `send`."""
        if self._is_over:
            return
        if message["type"] == "http.response.start":
            if self._instead is not None:
                await self.refuse(self._instead)
                return
            self._is_begun, self.status = True, message["status"]
            mine = {name for name, _ in self._headers}
            kept = [(name, value) for name, value in message.get("headers", ()) if name.lower() not in mine]
            message = {**message, "headers": [*kept, *self._headers]}
        await self._send(message)

    async def refuse(self, problem: Problem) -> None:
        """Answer with a problem document, unless the answer has begun."""
        if self._is_begun or self._is_over:
            return
        self._is_over, self.status = True, problem.status
        body = problem.document(self._request_id)
        headers = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
        headers += [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        if problem.status in (408, 413):
            headers.append((b"connection", b"close"))  # the rest of the body is not read
        await self._send(
            {"type": "http.response.start", "status": problem.status, "headers": [*headers, *self._headers]}
        )
        await self._send({"type": "http.response.body", "body": body})


class _Body:
    """The request's body on its way in: so many bytes, each piece within some time."""

    def __init__(self, receive: Receive, most: int, out: _Out) -> None:
        self._receive = receive
        self._most = most
        self._out = out
        self._bytes = 0
        self._is_complete = False

    def check_length(self, declared: str | None) -> None:
        """Refuse a body that says that it is too large."""
        if declared is not None and declared.isdigit() and int(declared[:20]) > self._most:
            raise self._too_large()

    async def receive(self) -> Message:
        """The app's `receive`."""
        if self._is_complete:
            return await self._receive()
        message: Message = await self._in_time(self._receive())
        if message["type"] == "http.request":
            self._bytes += len(message.get("body", b""))
            self._is_complete = not message.get("more_body", False)
            if self._bytes > self._most:
                self._fail(self._too_large())
        return message

    async def _in_time(self, coming: Awaitable[Any]) -> Any:
        try:
            return await asyncio.wait_for(coming, BODY_SECONDS)
        except (asyncio.TimeoutError, TimeoutError):
            self._fail(Problem(408, "too-slow", f"nothing of the body came for {BODY_SECONDS:g} s; send it again"))

    def _too_large(self) -> Problem:
        what = f"has at most {self._most} bytes" if self._most else "has none for this request"
        return Problem(413, "body-too-large", f"the body {what}")

    def _fail(self, problem: Problem) -> None:
        self._out.replace(problem)  # whatever the app makes of the exception
        raise problem


def _not_logged_in(detail: str, error: str) -> Problem:
    return Problem(401, "not-logged-in", detail, headers={"WWW-Authenticate": f'Bearer realm="fedchain"{error}'})


def _client(scope: Scope) -> str:
    return str(scope["client"][0]) if scope.get("client") else "?"


def _header(scope: Scope, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)
