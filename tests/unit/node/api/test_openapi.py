"""The committed OpenAPI document is the API's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fedchain.node.api.app import bare_app
from fedchain.node.api.description import to_text
from fedchain.node.api.endpoint import Endpoint
from fedchain.node.api.routes import ENDPOINTS
from fedchain.node.tokens import ApiRole
from tests.unit.docs.markdown import ROOT
from tests.unit.node.api.asking import Client
from tests.unit.node.api.conftest import As

COMMITTED = ROOT / "docs" / "reference" / "openapi.json"
DOCUMENT: dict[str, Any] = json.loads(COMMITTED.read_text(encoding="utf-8"))


def test_the_committed_document_is_fresh() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == to_text(bare_app(ENDPOINTS).openapi()), "run `make openapi`"


def test_a_node_serves_the_same_document(client: Client, as_: As) -> None:
    assert client.get("/v1/openapi.json", headers=as_(ApiRole.VIEWER)).json() == DOCUMENT


@pytest.mark.parametrize("endpoint", ENDPOINTS.all, ids=lambda one: one.name)
def test_every_operation_says_what_it_does_who_may_and_what_its_errors_are(endpoint: Endpoint) -> None:
    operation = DOCUMENT["paths"][endpoint.path][endpoint.method.lower()]

    assert operation["description"]
    assert operation["x-roles"] == sorted(role.value for role in endpoint.roles)
    assert "application/problem+json" in operation["responses"]["default"]["content"]
    assert all("description" in one for one in operation.get("parameters", ()) if one["in"] == "query")


def test_objects_have_no_other_members() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        if schema.get("type") == "object" and name != "Problem":
            assert schema["additionalProperties"] is False, name
