"""The API's own description."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from fedchain.node.api.endpoint import ALL, Endpoint


def document(request: Request) -> dict[str, Any]:
    """This API as an OpenAPI document."""
    described: dict[str, Any] = request.app.openapi()
    return described


ENDPOINTS = (Endpoint("GET", "/v1/openapi.json", document, ALL, "document"),)
