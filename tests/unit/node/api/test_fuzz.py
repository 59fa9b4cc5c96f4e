"""schemathesis asks the API what its OpenAPI document says, and much that it does not say.

Whatever is asked as the role that may: no defect (500), and answers that are as the document describes them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fedchain.node.api.app import api_app
from fedchain.node.api.endpoint import OPEN, Endpoint
from fedchain.node.api.routes import ENDPOINTS
from fedchain.node.tokens import ApiRole, TokenFile
from tests.unit.docs.markdown import ROOT
from tests.unit.node.api.puppet import JOB, Puppet

DOCUMENT = json.loads((ROOT / "docs" / "reference" / "openapi.json").read_text(encoding="utf-8"))
for _operations in DOCUMENT["paths"].values():
    for _operation in _operations.values():
        _operation.pop("security")  # else logins are left out and mended: test_access does that
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]


class Fuzzed:
    """The API in this process with a login for each operation; one for all operations and examples."""

    def __init__(self, folder: Path) -> None:
        table = folder / "own.csv"
        table.write_text("customer,age\n1,30\n", encoding="utf-8")
        self.puppet = Puppet(table)
        self.puppet.board.close()  # streams end with the snapshot
        tokens = TokenFile(folder / "state")
        self.logins = {role: tokens.create(role)[1] for role in ApiRole}
        self.gate = api_app(self.puppet, tokens, max_upload=1 << 16)

    def headers(self, endpoint: Endpoint) -> dict[str, str]:
        if endpoint.roles is OPEN:
            return {}
        role = next(one for one in ApiRole if one in endpoint.roles)
        return {"Authorization": f"Bearer {self.logins[role]}"}


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Fuzzed:
    return Fuzzed(tmp_path_factory.mktemp("fuzz"))


def fuzz(fuzzed: Fuzzed, endpoint: Endpoint, examples: int) -> set[int]:
    """Statuses of what was answered to questions that fit the document, and to others that do not."""
    SCHEMA.app = fuzzed.gate
    operation: Any = SCHEMA[endpoint.path][endpoint.method]
    headers = fuzzed.headers(endpoint)
    statuses: set[int] = set()

    def ask(case: Any) -> None:
        if re.fullmatch("0x[0-9a-f]{64}", str(case.path_parameters.get("job_id"))):
            case.path_parameters["job_id"] = JOB  # one that is there
        if re.fullmatch("[a-z0-9_-]{1,64}", str(case.path_parameters.get("name"))):
            case.path_parameters["name"] = "arrears"
        response = case.call(headers=headers)
        statuses.add(response.status_code)
        assert response.status_code != 500, response.text
        case.validate_response(response, checks=CHECKS)

    quick = settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    modes = [GenerationMode.POSITIVE]
    if endpoint.max_body != 0 or "parameters" in DOCUMENT["paths"][endpoint.path][endpoint.method.lower()]:
        modes.append(GenerationMode.NEGATIVE)
    for mode in modes:
        quick(given(case=operation.as_strategy(generation_mode=mode))(ask))()
    return statuses


@pytest.mark.parametrize("endpoint", ENDPOINTS.all, ids=lambda one: one.name)
def test_an_operation_answers_whatever_it_is_asked_as_documented(fuzzed: Fuzzed, endpoint: Endpoint) -> None:
    statuses = fuzz(fuzzed, endpoint, 10)

    assert 401 not in statuses
    assert 403 not in statuses
    if endpoint.method == "GET":
        assert 200 in statuses, "some questions are good ones"


@pytest.mark.soak
@pytest.mark.parametrize("endpoint", ENDPOINTS.all, ids=lambda one: one.name)
def test_an_operation_answers_hundreds_of_questions_as_documented(fuzzed: Fuzzed, endpoint: Endpoint) -> None:
    assert not {401, 403} & fuzz(fuzzed, endpoint, 300)
