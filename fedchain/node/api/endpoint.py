"""One route and who may call it: a route cannot be made without saying that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.routing import compile_path

from fedchain.node.tokens import ApiRole

OPEN: frozenset[ApiRole] = frozenset()
"""Without a login: health alone."""

ALL = frozenset(ApiRole)
ADMIN, DATA_OWNER = frozenset({ApiRole.ADMIN}), frozenset({ApiRole.DATA_OWNER})
ANALYST = frozenset({ApiRole.ANALYST})

NO_BODY = 0
SMALL_BODY = 1 << 20
"""Bytes of a request's body: job files and other small documents."""


@dataclass(frozen=True)
class Endpoint:
    """One route.

    Attributes:
        method, path: of HTTP; the path with `{names}`.
        handler: what answers.
        roles: who may call it; `OPEN`: everybody.
        tag: the noun, for the OpenAPI document.
        max_body: bytes of the body; None for the node's bound of uploads.
        status: of a success.
        options: others of `fastapi.FastAPI.add_api_route`.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    handler: Callable[..., Any]
    roles: frozenset[ApiRole]
    tag: str
    max_body: int | None = NO_BODY
    status: int = 200
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Method and path."""
        return f"{self.method} {self.path}"


class Endpoints:
    """All routes, to be found by what a request asks for."""

    def __init__(self, endpoints: tuple[Endpoint, ...]) -> None:
        self.all = endpoints
        self._patterns = [(one, compile_path(one.path)[0]) for one in endpoints]

    def find(self, method: str, path: str) -> Endpoint | None:
        """The route of a request, None if there is none; the first one, as in the app."""
        for endpoint, pattern in self._patterns:
            if endpoint.method == method and pattern.match(path):
                return endpoint
        return None
