"""What every request passes: login, bounds, headers, log."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
import structlog

from fedchain.errors import ChainUnreachableError, DataError, UplinkRejectedError
from fedchain.node.api import gate as gates
from fedchain.node.api.app import api_app
from fedchain.node.api.failures import BURST
from fedchain.node.api.gate import Gate
from fedchain.node.tokens import ApiRole, TokenFile
from tests.unit.node.api.asking import Client
from tests.unit.node.api.conftest import MAX_UPLOAD, As
from tests.unit.node.api.puppet import JOB, SECRET_CELL, Puppet


def test_an_answer_has_the_headers_that_keep_browsers_and_caches_away(client: Client, as_: As) -> None:
    for answer in (
        client.get("/v1/health"),
        client.get("/v1/jobs"),
        client.get("/v1/jobs", headers=as_(ApiRole.VIEWER)),
    ):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert "strict-transport-security" not in answer.headers
        assert len(answer.headers["x-request-id"]) == 16


def test_no_other_origin_is_let_in(client: Client, as_: As) -> None:
    headers = as_(ApiRole.VIEWER) | {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}

    for answer in (client.get("/v1/jobs", headers=headers), client.request("OPTIONS", "/v1/jobs", headers=headers)):
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_over_https_browsers_are_told_to_stay_there(puppet: Puppet, tokens: TokenFile) -> None:
    client = Client(api_app(puppet, tokens, max_upload=1, https=True))

    assert client.get("/v1/health").headers["strict-transport-security"] == "max-age=31536000"


def test_a_refusal_is_a_problem_document(client: Client) -> None:
    answer = client.get("/v1/jobs")

    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == 'Bearer realm="fedchain"'
    assert answer.json() == {
        "type": "urn:fedchain:problem:not-logged-in",
        "title": "not logged in",
        "status": 401,
        "detail": "log in: send the header Authorization: Bearer, with a token",
        "instance": f"urn:fedchain:request:{answer.headers['x-request-id']}",
    }


def test_whoever_fails_too_often_waits_and_others_behind_the_same_address_do_not(
    client: Client, tokens: TokenFile, as_: As
) -> None:
    good = as_(ApiRole.VIEWER)
    guess = {"Authorization": "Bearer fedchain_ffffffffffff_" + "A" * 43}
    statuses = [client.get("/v1/jobs", headers=guess).status_code for _ in range(BURST + 5)]

    assert statuses == [401] * BURST + [429] * 5
    assert int(client.get("/v1/jobs", headers=guess).headers["retry-after"]) >= 1
    assert client.get("/v1/jobs", headers=good).status_code == 200
    wrong_secret = {"Authorization": good["Authorization"][:-1] + ("A" if good["Authorization"][-1] != "A" else "B")}
    statuses = [client.get("/v1/jobs", headers=wrong_secret).status_code for _ in range(BURST + 1)]
    assert statuses == [401] * BURST + [429]
    assert client.get("/v1/jobs", headers=good).status_code == 429, "guesses at one token's secret are bounded, too"


def test_two_authorization_headers_are_no_login(client: Client, as_: As) -> None:
    value = as_(ApiRole.VIEWER)["Authorization"]

    assert client.get("/v1/jobs", headers=[("Authorization", value), ("Authorization", value)]).status_code == 401


def test_a_token_file_that_others_may_read_lets_nobody_in(client: Client, tokens: TokenFile, as_: As) -> None:
    headers = as_(ApiRole.ADMIN)
    tokens.path.chmod(0o644)

    answer = client.get("/v1/jobs", headers=headers)

    assert answer.status_code == 503
    assert str(tokens.path) not in answer.text


def test_a_revoked_token_is_none_from_the_next_request_on(client: Client, tokens: TokenFile, as_: As) -> None:
    headers = as_(ApiRole.VIEWER)
    assert client.get("/v1/jobs", headers=headers).status_code == 200
    other = TokenFile(tokens.path.parent)  # another process
    other.revoke(next(one.id for one in other.all() if one.role is ApiRole.VIEWER))

    assert client.get("/v1/jobs", headers=headers).status_code == 401


@pytest.mark.parametrize("told", [True, False], ids=["told", "chunked"])
def test_a_body_that_is_too_large_is_refused(client: Client, puppet: Puppet, as_: As, told: bool) -> None:
    before = puppet.table.read_bytes()
    raw = b"customer,age\n" + b"1,2\n" * (MAX_UPLOAD // 4)
    body: Any = raw if told else (raw[at : at + 100] for at in range(0, len(raw), 100))
    headers = as_(ApiRole.DATA_OWNER) | {"Content-Type": "text/csv"}

    answer = client.put("/v1/data", headers=headers, content=body)

    assert answer.status_code == 413
    assert answer.json()["detail"] == f"the body has at most {MAX_UPLOAD} bytes"
    assert puppet.table.read_bytes() == before
    assert [one.name for one in puppet.table.parent.iterdir() if one.is_file()] == ["own.csv"]


def test_json_that_is_too_large_is_refused_before_it_is_read(client: Client, puppet: Puppet, as_: As) -> None:
    reason = '{"reason": "' + "x" * (1 << 20) + '"}'
    body = (reason[at : at + 65536].encode() for at in range(0, len(reason), 65536))
    headers = as_(ApiRole.ADMIN) | {"Content-Type": "application/json"}

    assert client.post(f"/v1/jobs/{JOB}/abort", headers=headers, content=body).status_code == 413
    assert puppet.aborted == []


def test_a_body_that_does_not_come_is_not_waited_for(gate: Gate, as_: As, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "BODY_SECONDS", 0.05)
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(3600)

    async def send(message: Any) -> None:
        sent.append(message)

    header = as_(ApiRole.ANALYST)["Authorization"].encode()
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": "/v1/jobs",
        "raw_path": b"/v1/jobs", "query_string": b"", "root_path": "", "scheme": "http", "server": ("t", 80),
        "client": ("127.0.0.1", 1), "headers": [(b"authorization", header), (b"content-type", b"application/toml")],
    }  # fmt: skip
    asyncio.run(gate(scope, receive, send))

    assert sent[0]["status"] == 408


def test_the_log_has_a_line_for_each_request_and_never_its_token(client: Client, as_: As, tokens: TokenFile) -> None:
    secret = as_(ApiRole.VIEWER)["Authorization"].split()[1]
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        client.get("/v1/jobs?limit=5", headers=as_(ApiRole.VIEWER))
        client.get(f"/v1/jobs?token={secret}", headers={"Authorization": f"Bearer {secret}x"})

    first, second = [line for line in lines if line["event"] == "http request"]
    viewer = next(one for one in tokens.all() if one.role is ApiRole.VIEWER)
    assert (first["route"], first["status"], first["role"], first["login"]) == ("/v1/jobs", 200, "viewer", viewer.id)
    assert (second["status"], second["role"]) == (401, None)
    assert first["request_id"] != second["request_id"]
    assert secret.split("_", 2)[2] not in str(lines)


def test_a_typed_error_becomes_its_status_and_its_one_line(client: Client, puppet: Puppet, as_: As) -> None:
    headers = as_(ApiRole.ANALYST)
    puppet.error = ChainUnreachableError("nothing answers\nat http://127.0.0.1:8545")
    answer = client.get(f"/v1/jobs/{JOB}", headers=headers)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["type"] == "urn:fedchain:problem:chain-unreachable"
    assert answer.json()["detail"] == "nothing answers at http://127.0.0.1:8545"
    puppet.error = UplinkRejectedError("partner", "answer", "SLOT_TAKEN")
    assert client.post(f"/v1/jobs/{JOB}/requests", headers=headers, json={"rows": "holdout"}).status_code == 409


def test_an_error_about_the_table_is_for_its_data_owner_alone(client: Client, puppet: Puppet, as_: As) -> None:
    puppet.error = DataError(f"own.csv, line 2: found {SECRET_CELL!r}")
    assert SECRET_CELL in client.get("/v1/data", headers=as_(ApiRole.DATA_OWNER)).json()["detail"]
    assert SECRET_CELL not in client.get("/v1/data", headers=as_(ApiRole.ANALYST)).text
    answer = client.post(f"/v1/jobs/{JOB}/requests", headers=as_(ApiRole.ANALYST), json={"rows": [0]})
    assert answer.status_code == 422
    assert SECRET_CELL not in answer.text


def test_a_defect_keeps_its_details_in_the_log(
    client: Client, puppet: Puppet, as_: As, caplog: pytest.LogCaptureFixture
) -> None:
    puppet.error = RuntimeError("secret detail")
    with structlog.testing.capture_logs() as lines, caplog.at_level(logging.ERROR):
        answer = client.get("/v1/node", headers=as_(ApiRole.VIEWER))

    assert answer.status_code == 500
    assert answer.json()["detail"] == "internal error of the node; see its log"
    assert "secret" not in answer.text
    assert any("defect" in line["event"] for line in lines)


def test_requests_are_counted_by_route_and_status(puppet: Puppet, tokens: TokenFile, as_: As) -> None:
    counted: list[tuple[str, str, int]] = []
    client = Client(api_app(puppet, tokens, max_upload=1, on_request=lambda *one: counted.append(one)))

    client.get(f"/v1/jobs/{JOB}", headers=as_(ApiRole.VIEWER))
    client.get("/v1/" + "x" * 100)
    client.request("BREW", "/v1/jobs")

    assert counted == [("GET", "/v1/jobs/{job_id}", 200), ("other", "none", 401), ("other", "none", 401)]


def test_a_websocket_is_closed(gate: Gate) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(gate({"type": "websocket", "path": "/v1/progress/stream"}, send, send))  # type: ignore[arg-type]

    assert sent == [{"type": "websocket.close", "code": 1008}]
