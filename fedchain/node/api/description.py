"""The OpenAPI document of the API: what FastAPI finds in the routes, and what it cannot know.

`python -m fedchain.node.api.description FILE` writes it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from fedchain.federation.spec import JobSpec
from fedchain.node.api.endpoint import OPEN, Endpoints
from fedchain.node.api.problems import MEDIA_TYPE

_ABOUT = """The API of one party's node, for its own people and their systems. docs/reference/api.md is its manual.

Every request but health needs a token of `fedchain node token create`. Errors are documents as RFC 9457 has them."""

_PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "What went wrong (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "description": "urn:fedchain:problem: and the kind."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "One line: what is wrong, and what to do."},
        "instance": {"type": "string", "description": "urn:fedchain:request: and the id of the request in the log."},
        "errors": {
            "type": "array",
            "description": "Of a request that does not fit: each fault.",
            "items": {
                "type": "object",
                "properties": {"in": {"type": "string"}, "key": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
_REFUSAL = {
    "description": "What went wrong.",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def describe_api(app: FastAPI, endpoints: Endpoints) -> dict[str, Any]:
    """The document; made once for each app."""
    if app.openapi_schema is None:
        app.openapi_schema = _document(app, endpoints)
    return app.openapi_schema


def to_text(document: dict[str, Any]) -> str:
    """As it is kept in the repository."""
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _document(app: FastAPI, endpoints: Endpoints) -> dict[str, Any]:
    found = get_openapi(title=app.title, version=app.version, description=_ABOUT, routes=app.routes)
    spec = JobSpec.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
    schemas = found["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas |= spec.pop("$defs", {}) | {"JobSpec": spec, "Problem": _PROBLEM}
    found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for one in endpoints.all:
        operation = found["paths"][one.path][one.method.lower()]
        operation["responses"].pop("422", None)
        operation["responses"]["default"] = _REFUSAL
        operation["x-roles"] = sorted(role.value for role in one.roles)
        operation["security"] = [] if one.roles is OPEN else [{"token": []}]
    return found


def main() -> None:
    """Write the document to the file that the command line names."""
    from fedchain.node.api.app import bare_app
    from fedchain.node.api.routes import ENDPOINTS

    Path(sys.argv[1]).write_text(to_text(bare_app(ENDPOINTS).openapi()), encoding="utf-8")


if __name__ == "__main__":
    main()
