"""Who may do what: every route of the app, asked without a login and as each role."""

from __future__ import annotations

import pytest
from fastapi.routing import APIRoute

from fedchain.node.api.app import bare_app
from fedchain.node.api.endpoint import OPEN, Endpoint
from fedchain.node.api.gate import Gate
from fedchain.node.api.routes import ENDPOINTS
from fedchain.node.tokens import ApiRole
from tests.unit.docs.markdown import ROOT, section, table
from tests.unit.node.api.asking import Client
from tests.unit.node.api.conftest import As
from tests.unit.node.api.puppet import JOB, JOB_TOML, Puppet

HEALTH = {"GET /v1/health", "GET /v1/health/ready"}
ROLES = [role.value for role in ApiRole]
BODIES: dict[str, tuple[str, bytes]] = {
    "POST /v1/jobs": ("application/toml", JOB_TOML.encode()),
    "POST /v1/jobs/{job_id}/abort": ("application/json", b'{"reason": "wrong table"}'),
    "POST /v1/jobs/{job_id}/requests": ("application/json", b'{"rows": [2, 0]}'),
    "POST /v1/models/{name}/versions": ("application/json", b'{"job_id": "%s"}' % JOB.encode()),
    "POST /v1/models/{name}/requests": ("application/json", b'{"rows": [2, 0]}'),
    "POST /v1/predictions": ("application/json", b'{"target": "arrears", "ids": ["0041"]}'),
    "PUT /v1/data": ("text/csv", b"customer,age\n1,2\n"),
}


def documented() -> dict[str, set[str]]:
    """Roles by route, as the reference's table has them; `nobody` for routes that need no login."""
    text = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    found = {}
    for row in table(section(text, "Who may do what")):
        marks = dict(zip(["nobody", *ROLES], row[2:7], strict=True))
        found[row[0].strip("`")] = {name for name, mark in marks.items() if mark == "yes"}
    return found


def ask(client: Client, endpoint: Endpoint, headers: dict[str, str] | None = None) -> int:
    path = endpoint.path.replace("{job_id}", JOB).replace("{token_id}", "0" * 12)
    path = path.replace("{name}", "arrears").replace("{version}", "2")
    kind, body = BODIES.get(endpoint.name, ("", b""))
    sent = (headers or {}) | ({"Content-Type": kind} if kind else {})
    return client.request(endpoint.method, path, headers=sent, content=body).status_code


def test_every_route_of_the_app_is_an_endpoint_with_a_row_in_the_table() -> None:
    routes = set()
    for route in bare_app(ENDPOINTS).routes:
        assert isinstance(route, APIRoute), route
        routes |= {f"{method} {route.path}" for method in route.methods or ()}

    assert routes == {one.name for one in ENDPOINTS.all} == set(documented())


@pytest.mark.parametrize("endpoint", ENDPOINTS.all, ids=lambda one: one.name)
def test_nobody_without_a_login_reaches_anything_but_health(client: Client, endpoint: Endpoint) -> None:
    expected = 200 if endpoint.name in HEALTH else 401

    assert ask(client, endpoint) == expected
    assert (endpoint.roles is OPEN) == (endpoint.name in HEALTH)
    if expected == 401:
        for header in ("Bearer", "Bearer x", "Basic YTpi", "Bearer fedchain_000000000000_" + "A" * 43):
            assert ask(client, endpoint, {"Authorization": header}) in (401, 429)


@pytest.mark.parametrize("endpoint", ENDPOINTS.all, ids=lambda one: one.name)
def test_each_role_does_its_own_job_and_no_other(client: Client, puppet: Puppet, as_: As, endpoint: Endpoint) -> None:
    allowed = documented()[endpoint.name]
    if endpoint.path.endswith("/stream"):
        puppet.board.close()  # the stream is the snapshot alone

    for role in ApiRole:
        status = ask(client, endpoint, as_(role))
        if role.value in allowed or "nobody" in allowed:
            assert status in (200, 201) or (endpoint.method == "DELETE" and status == 404), role
        else:
            assert status == 403, role
    assert ("nobody" in allowed) == (endpoint.name in HEALTH)


def test_a_refused_role_leaves_nothing_behind(client: Client, puppet: Puppet, as_: As) -> None:
    before = puppet.table.read_bytes()
    for role in ApiRole:
        for endpoint in ENDPOINTS.all:
            if role not in endpoint.roles and endpoint.roles is not OPEN:
                assert ask(client, endpoint, as_(role)) == 403

    assert puppet.table.read_bytes() == before
    assert (puppet.submitted, puppet.aborted, puppet.changed) == ([], [], [])


def test_a_route_that_the_gate_does_not_know_is_closed(gate: Gate, as_: As) -> None:
    app = gate._app
    app.add_api_route("/v1/forgotten", lambda: {"open": True})  # type: ignore[attr-defined]
    client = Client(gate)

    assert client.get("/v1/forgotten").status_code == 401
    for role in ApiRole:
        assert client.get("/v1/forgotten", headers=as_(role)).status_code == 403


def test_paths_that_are_not_there_tell_strangers_nothing(client: Client, as_: As) -> None:
    for path in ("/", "/docs", "/openapi.json", "/v1", "/v1/jobs/", "/v1/health/", "/v1/health/x", "/V1/health"):
        assert client.get(path).status_code == 401, path
        assert client.get(path, headers=as_(ApiRole.ADMIN)).status_code == 404, path
    assert client.delete("/v1/jobs", headers=as_(ApiRole.ADMIN)).status_code == 405
    assert client.request("OPTIONS", "/v1/jobs").status_code == 401
    assert client.request("HEAD", "/v1/health").status_code == 401
