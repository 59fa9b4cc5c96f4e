"""Asks an ASGI application without a socket, one request at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx
from starlette.types import ASGIApp


class Client:
    """As `httpx.Client`; a body may be an iterable of chunks."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def request(
        self, method: str, path: str, *, content: bytes | Iterable[bytes] = b"", **options: Any
    ) -> httpx.Response:
        return asyncio.run(self._request(method, path, content, options))

    async def _request(
        self, method: str, path: str, content: bytes | Iterable[bytes], options: dict[str, Any]
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
            if content:
                options["content"] = content if isinstance(content, bytes) else _chunks(content)
            return await client.request(method, path, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> httpx.Response:
        return self.request("PUT", path, **options)

    def delete(self, path: str, **options: Any) -> httpx.Response:
        return self.request("DELETE", path, **options)


async def _chunks(content: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in content:
        yield chunk
