"""The FastAPI application: its routes, and what becomes of errors."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from fedchain.errors import FedchainError
from fedchain.node.api.backend import Backend
from fedchain.node.api.bounds import Bounds
from fedchain.node.api.description import describe_api
from fedchain.node.api.endpoint import Endpoints
from fedchain.node.api.gate import Gate, OnRequest
from fedchain.node.api.problems import MEDIA_TYPE, Problem, problem_of
from fedchain.node.api.routes import ENDPOINTS
from fedchain.node.tokens import TokenFile

_SHOWN_FAULTS = 20


def api_app(
    backend: Backend,
    tokens: TokenFile,
    *,
    max_upload: int,
    https: bool = False,
    on_request: OnRequest | None = None,
) -> Gate:
    """The API of a node behind its gate.

    Args:
        backend: the node.
        tokens: who may log in.
        max_upload: bytes of an uploaded table.
        https: whether it is served over TLS.
        on_request: is told method, route and status of each request.
    """
    app = bare_app(ENDPOINTS)
    app.state.backend, app.state.tokens, app.state.bounds = backend, tokens, Bounds()
    return Gate(app, ENDPOINTS, tokens, max_upload=max_upload, https=https, on_request=on_request)


def bare_app(endpoints: Endpoints) -> FastAPI:
    """The routes without gate and node: what the OpenAPI document is made from. Never serve it."""
    app = FastAPI(
        title="fedchain node",
        version=version("fedchain"),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        dependencies=[Depends(require_admitted)],
    )
    for one in endpoints.all:
        app.add_api_route(
            one.path,
            one.handler,
            methods=[one.method],
            status_code=one.status,
            tags=[one.tag],
            operation_id=f"{one.tag}_{one.handler.__name__}",
            response_model_exclude_unset=False,
            **one.options,
        )
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(FedchainError, _on_fedchain_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_defect)
    app.openapi = lambda: describe_api(app, endpoints)  # type: ignore[method-assign]
    return app


def require_admitted(request: Request) -> None:
    """The route is the one that the gate let the request through for, and the query has no names but the route's.

    Raises:
        Problem: 403, gate and app take the request for different ones; 422, names what the query has too much.
    """
    route = request.scope.get("route")
    admitted = request.scope.get("state", {}).get("admitted")
    if not isinstance(route, APIRoute) or admitted != f"{request.method} {route.path}":
        raise Problem(403, "not-allowed", "nobody may do that: the gate does not know this route")
    known = {one.alias for one in route.dependant.query_params}
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        there = f"there are {', '.join(sorted(known))}" if known else "this request has none"
        raise Problem(422, "invalid-request", f"unknown query parameter {unknown[0][:60]!r}: {there}")


def _answer(request: Request, problem: Problem) -> Response:
    body = problem.document(str(request.scope.get("state", {}).get("request_id", "")))
    return Response(body, problem.status, problem.headers, MEDIA_TYPE)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _answer(request, error)


async def _on_fedchain_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FedchainError)
    token = request.scope.get("state", {}).get("token")
    return _answer(request, problem_of(error, None if token is None else token.role))


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults: list[dict[str, Any]] = []
    for one in error.errors()[:_SHOWN_FAULTS]:  # without what was sent: it may be long, or secret
        place, *key = [str(part) for part in one["loc"]]
        faults.append({"in": place, "key": ".".join(key)[:200], "message": str(one["msg"])[:300]})
    first = faults[0]
    where = f"{first['in']} {first['key']}".strip()
    problem = Problem(422, "invalid-request", f"{where}: {first['message']}", errors=faults)
    return _answer(request, problem)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kinds = {404: "not-found", 405: "method-not-allowed", 400: "invalid-request"}
    details = {
        404: "there is no such resource; docs/reference/api.md lists them",
        405: "this resource does not know that method; docs/reference/api.md lists them",
    }
    status = error.status_code
    detail = details.get(status, str(error.detail))
    return _answer(request, Problem(status, kinds.get(status, "refused"), detail, headers=dict(error.headers or {})))


async def _on_defect(request: Request, error: Exception) -> Response:
    return _answer(request, Problem(500, "internal-error", "internal error of the node; see its log"))
