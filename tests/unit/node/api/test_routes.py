"""What routes answer, and what they refuse."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

from fedchain.errors import NotAccreditedError, TableInUseError
from fedchain.exchange.records import JobRecord
from fedchain.node.api.gate import Gate
from fedchain.node.modelstate import ModelUse
from fedchain.node.tokens import ApiRole, TokenFile
from tests.unit.node.api.asking import Client
from tests.unit.node.api.conftest import As
from tests.unit.node.api.puppet import JOB, JOB_TOML, OTHER, SECRET_CELL, Puppet

JSON_JOB = {
    "name": "telco-churn",
    "parties": [
        {"name": "operator", "role": "active", "id": "customer", "label": "left"},
        {"name": "partner", "role": "passive", "id": "customer"},
    ],
}


def test_health_tells_alive_and_ready_and_nothing_else(client: Client, puppet: Puppet) -> None:
    assert client.get("/v1/health").json() == {"ready": True}
    assert client.get("/v1/health/ready").status_code == 200
    puppet.ready = False
    assert (client.get("/v1/health").status_code, client.get("/v1/health").json()) == (200, {"ready": False})
    assert (client.get("/v1/health/ready").status_code, client.get("/v1/health/ready").json()) == (
        503,
        {"ready": False},
    )


@pytest.mark.parametrize(
    ("kind", "body"), [("application/toml", JOB_TOML), ("application/json; charset=utf-8", json.dumps(JSON_JOB))]
)
def test_a_job_file_is_proposed_as_toml_or_as_json(
    client: Client, puppet: Puppet, as_: As, kind: str, body: str
) -> None:
    answer = client.post("/v1/jobs", headers=as_(ApiRole.ANALYST) | {"Content-Type": kind}, content=body.encode())

    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/jobs/{JOB}"
    assert answer.json() == {"job_id": JOB, "name": "telco-churn", "parties": ["operator", "partner"]}
    assert [one.to_bytes() for one in puppet.submitted] == [puppet.record.spec]


@pytest.mark.parametrize(
    ("kind", "body", "status", "words"),
    [
        ("text/plain", JOB_TOML, 415, "application/toml"),
        ("", JOB_TOML, 415, "application/toml"),
        ("application/toml", "name = ", 422, "not valid TOML"),
        ("application/toml", JOB_TOML + "\ncolour = 1\n", 422, "unknown key"),
        ("application/json", json.dumps(JSON_JOB | {"colour": 1}), 422, "unknown key 'colour'"),
        ("application/json", "[]", 422, "expected a table"),
        ("application/json", "[" * 10_000, 422, "not JSON"),
        ("application/json", "\ud800".encode("utf-8", "surrogatepass"), 422, "not UTF-8"),
    ],
)
def test_what_is_no_job_file_is_refused(
    client: Client, puppet: Puppet, as_: As, kind: str, body: str | bytes, status: int, words: str
) -> None:
    raw = body if isinstance(body, bytes) else body.encode()
    headers = as_(ApiRole.ANALYST) | ({"Content-Type": kind} if kind else {})

    answer = client.post("/v1/jobs", headers=headers, content=raw)

    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert puppet.submitted == []


def test_a_party_that_is_not_accredited_is_a_conflict(client: Client, puppet: Puppet, as_: As) -> None:
    puppet.error = NotAccreditedError("party 'partner' is not accredited; ask a steward to accredit it")
    headers = as_(ApiRole.ANALYST) | {"Content-Type": "application/toml"}

    answer = client.post("/v1/jobs", headers=headers, content=JOB_TOML.encode())

    assert (answer.status_code, answer.json()["title"]) == (409, "not accredited")


def test_jobs_are_listed_newest_first_in_pages(client: Client, puppet: Puppet, as_: As) -> None:
    records = [JobRecord(JOB, block, "0xbb", b"no spec", "declined", "") for block in range(5)]
    puppet.jobs = lambda: records  # type: ignore[method-assign]

    answer = client.get("/v1/jobs?limit=2&offset=1", headers=as_(ApiRole.VIEWER)).json()

    assert answer["total"] == 5
    assert [one["block"] for one in answer["jobs"]] == [3, 2]
    assert (answer["jobs"][0]["name"], answer["jobs"][0]["proposer"]) == (None, "0xbb")


def test_why_a_job_failed_is_told_but_for_cells_of_the_table(client: Client, puppet: Puppet, as_: As) -> None:
    puppet.record = JobRecord(JOB, 7, "0xaa", puppet.record.spec, "failed", f"DataError: found {SECRET_CELL!r}")
    puppet.board.post("job", job=JOB, name="x", party="operator", status="failed", error=puppet.record.error)
    puppet.board.close()
    for path in ("/v1/jobs", f"/v1/jobs/{JOB}", "/v1/progress", f"/v1/jobs/{JOB}/progress", "/v1/progress/stream"):
        assert SECRET_CELL in client.get(path, headers=as_(ApiRole.DATA_OWNER)).text, path
        for role in (ApiRole.VIEWER, ApiRole.ANALYST, ApiRole.ADMIN):
            text = client.get(path, headers=as_(role)).text
            assert SECRET_CELL not in text, path
            assert "DataError" in text, path


def test_a_job_that_is_nobody_s_is_not_found(client: Client, as_: As) -> None:
    for path in (
        "",
        "/progress",
        "/progress/stream",
        "/contributions",
        "/audit",
        "/anomalies",
        "/report",
        "/model",
        "/requests",
    ):
        answer = client.get(f"/v1/jobs/{OTHER}{path}", headers=as_(ApiRole.ANALYST))
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:fedchain:problem:unknown-job"), path


def test_a_report_is_a_page_to_be_saved(client: Client, as_: As, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = client.get(f"/v1/jobs/{JOB}/report", headers=as_(ApiRole.VIEWER))
    assert (answer.status_code, answer.text) == (200, "<!DOCTYPE html><title>report</title>")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="report-{JOB[2:14]}.html"'
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")  # opened here it shows nothing
    monkeypatch.setattr("fedchain.node.reporting.page.find_spec", lambda name: None)
    answer = client.get(f"/v1/jobs/{JOB}/report", headers=as_(ApiRole.VIEWER))
    assert (answer.status_code, answer.json()["title"]) == (501, "not installed")
    assert "fedchain[report]" in answer.json()["detail"]


def test_an_id_that_is_none_is_refused(client: Client, as_: As) -> None:
    for text in ("0x5C" + "5c" * 31, "x", "0x" + "5c" * 33, "..%2f..%2fkeys"):
        assert client.get(f"/v1/jobs/{text}", headers=as_(ApiRole.VIEWER)).status_code in (404, 422), text


def test_unknown_members_and_parameters_are_refused(client: Client, as_: As) -> None:
    answer = client.post(f"/v1/jobs/{JOB}/abort", headers=as_(ApiRole.ADMIN), json={"reason": "x", "force": True})
    assert (answer.status_code, answer.json()["errors"][0]["key"]) == (422, "force")
    answer = client.get("/v1/jobs?limt=5", headers=as_(ApiRole.VIEWER))
    assert (answer.status_code, "limt" in answer.json()["detail"]) == (422, True)
    assert client.get("/v1/health?x=1").status_code == 422


def test_what_was_sent_is_not_echoed(client: Client, as_: As) -> None:
    answer = client.post(f"/v1/jobs/{JOB}/abort", headers=as_(ApiRole.ADMIN), json={"reason": ["hunter2" * 10]})

    assert answer.status_code == 422
    assert "hunter2" not in answer.text


def test_a_job_is_aborted_with_its_reason(client: Client, puppet: Puppet, as_: As) -> None:
    for role in (ApiRole.ADMIN, ApiRole.ANALYST):
        assert client.post(f"/v1/jobs/{JOB}/abort", headers=as_(role), json={"reason": "why"}).status_code == 200
    assert puppet.aborted == [(JOB, "why")] * 2


def test_scores_come_in_the_order_asked_for(client: Client, as_: As) -> None:
    headers = as_(ApiRole.ANALYST)
    answer = client.post(f"/v1/jobs/{JOB}/requests", headers=headers, json={"rows": [7, 2, 7]}).json()
    assert (answer["positions"], answer["scores"]) == ([7, 2, 7], [0.7, 0.2, 0.7])
    answer = client.post(f"/v1/jobs/{JOB}/requests", headers=headers, json={"rows": "holdout"}).json()
    assert answer["positions"] == [0, 1, 2]


def test_scores_say_as_which_version_of_which_model_the_job_is_registered(
    client: Client, puppet: Puppet, as_: As
) -> None:
    headers, path = as_(ApiRole.ANALYST), f"/v1/jobs/{JOB}/requests"
    answer = client.post(path, headers=headers, json={"rows": [1]}).json()
    assert (answer["model"], answer["note"]) == (None, None)
    puppet.use = ModelUse("arrears", 2, 2)
    answer = client.post("/v1/models/arrears/requests", headers=headers, json={"rows": [1]}).json()
    assert (answer["job_id"], answer["scores"]) == (JOB, [0.1])
    assert (answer["model"], answer["note"]) == ({"name": "arrears", "version": 2, "in_use": 2}, None)
    puppet.use = ModelUse("arrears", 1, 2)
    note = client.post(path, headers=headers, json={"rows": [1]}).json()["note"]
    assert "version 1 of model 'arrears', of which version 2 is in use" in note
    answer = client.post("/v1/models/others/requests", headers=headers, json={"rows": [1]})
    assert (answer.status_code, answer.json()["title"]) == (404, "unknown model")


def test_models_are_proposed_approved_activated_and_rolled_back(client: Client, puppet: Puppet, as_: As) -> None:
    headers, path = as_(ApiRole.ANALYST), "/v1/models/arrears"
    assert client.post(f"{path}/versions", headers=headers, json={"job_id": JOB}).json()["version"] == 2
    assert client.post(f"{path}/versions/2/approve", headers=headers).json()["parties"][0]["approved"]
    assert client.post(f"{path}/versions/2/activate", headers=headers).json()["state"] == "active"
    for role in (ApiRole.ANALYST, ApiRole.ADMIN):
        assert client.post(f"{path}/rollback", headers=as_(role)).json()["version"] == 1
    expected = [("propose", "arrears", 2), ("approve", "arrears", 2), ("activate", "arrears", 2)]
    assert puppet.changed == expected + [("rollback", "arrears", 1)] * 2
    listed = client.get("/v1/models", headers=as_(ApiRole.VIEWER)).json()["models"]
    assert [(one["name"], one["in_use"]) for one in listed] == [("arrears", 2)]
    versions = client.get(path, headers=as_(ApiRole.VIEWER)).json()["versions"]
    assert [one["version"] for one in versions] == [1, 2]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models/Arrears", 422),
        ("GET", "/v1/models/" + "a" * 65, 422),
        ("GET", "/v1/models/others", 404),
        ("POST", "/v1/models/arrears/versions/0/approve", 422),
        ("POST", "/v1/models/arrears/versions/4294967296/approve", 422),
        ("POST", "/v1/models/arrears/versions/x/activate", 422),
        ("POST", "/v1/models/arrears/versions/3/activate", 404),
        ("POST", "/v1/models/arrears/versions", 422),
    ],
)
def test_what_is_no_model_or_version_is_refused(
    client: Client, puppet: Puppet, as_: As, method: str, path: str, status: int
) -> None:
    assert client.request(method, path, headers=as_(ApiRole.ANALYST)).status_code == status
    assert puppet.changed == []


@pytest.mark.parametrize("rows", [[], [-1], [1.0], ["1"], [True], "all", None, 3, [2**31]])
def test_rows_that_are_none_are_refused(client: Client, as_: As, rows: Any) -> None:
    answer = client.post(f"/v1/jobs/{JOB}/requests", headers=as_(ApiRole.ANALYST), json={"rows": rows})

    assert answer.status_code == 422


def test_only_so_many_requests_for_scores_wait_at_a_time(client: Client, puppet: Puppet, as_: As) -> None:
    inside, go_on = threading.Semaphore(0), threading.Event()

    def wait() -> None:
        inside.release()
        assert go_on.wait(20)

    puppet.before = wait
    headers = as_(ApiRole.ANALYST)

    def ask() -> None:
        assert client.post(f"/v1/jobs/{JOB}/requests", headers=headers, json={"rows": [1]}).status_code == 200

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert inside.acquire(timeout=20)
    answer = client.post(f"/v1/jobs/{JOB}/requests", headers=headers, json={"rows": [1]})
    go_on.set()
    for thread in threads:
        thread.join(20)

    assert (answer.status_code, answer.json()["title"]) == (503, "busy")
    assert client.post(f"/v1/jobs/{JOB}/requests", headers=headers, json={"rows": [1]}).status_code == 200


def test_the_table_is_described_without_a_cell(client: Client, as_: As) -> None:
    answer = client.get("/v1/data", headers=as_(ApiRole.DATA_OWNER))

    assert answer.json() == {
        "source": "csv",
        "rows": 2,
        "columns": [
            {"name": "customer", "kind": "numeric", "declared": "id", "missing": 0},
            {"name": "age", "kind": "numeric", "declared": "numeric", "missing": 1},
            {"name": "city", "kind": "categorical", "declared": None, "missing": 0},
        ],
    }
    assert SECRET_CELL not in answer.text


def test_a_table_of_another_kind_or_none_is_refused(client: Client, puppet: Puppet, as_: As) -> None:
    before = puppet.table.read_bytes()
    for kind in ("application/vnd.apache.parquet", "application/json", ""):
        headers = as_(ApiRole.DATA_OWNER) | {"Content-Type": kind}
        assert client.put("/v1/data", headers=headers, content=b"customer,age\n1,2\n").status_code == 415
    headers = as_(ApiRole.DATA_OWNER) | {"Content-Type": "text/csv"}
    assert client.put("/v1/data", headers=headers).status_code == 422
    assert client.put("/v1/data", headers=headers, content=b"age\n1\n").status_code == 422
    puppet.error = TableInUseError("the table is in use by 0x5c")
    assert client.put("/v1/data", headers=headers, content=b"customer,age\n1,2\n").status_code == 409

    assert puppet.table.read_bytes() == before
    assert [one.name for one in puppet.table.parent.iterdir() if one.is_file()] == ["own.csv"]


def test_tokens_are_listed_and_revoked_without_secrets(client: Client, tokens: TokenFile, as_: As) -> None:
    headers = as_(ApiRole.ADMIN)
    listed = client.get("/v1/tokens", headers=headers)
    viewer = next(one for one in listed.json()["tokens"] if one["role"] == "viewer")
    assert not any(one.hash in listed.text or one.salt in listed.text for one in tokens.all())

    assert client.delete(f"/v1/tokens/{viewer['token_id']}", headers=headers).json() == viewer
    assert client.delete(f"/v1/tokens/{viewer['token_id']}", headers=headers).status_code == 404
    assert client.get("/v1/session", headers=as_(ApiRole.VIEWER)).status_code == 401


def test_the_session_says_who_asks(client: Client, as_: As) -> None:
    answer = client.get("/v1/session", headers=as_(ApiRole.DATA_OWNER)).json()

    assert (answer["role"], answer["name"]) == ("data-owner", "data-owner")


class Stream:
    """A stream that a client reads event by event; `close` is the client going away."""

    def __init__(self, gate: Gate, path: str, headers: dict[str, str]) -> None:
        self._events: asyncio.Queue[bytes] = asyncio.Queue()
        self._gone = asyncio.Event()
        self.status = 0
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET",
            "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http",
            "client": ("127.0.0.1", 1), "server": ("node", 80),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }  # fmt: skip
        self.task = asyncio.ensure_future(gate(scope, self._receive, self._send))
        self._asked = False

    async def _receive(self) -> Any:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message.get("body"):
            self._events.put_nowait(message["body"])

    async def event(self) -> tuple[str, Any]:
        text = (await asyncio.wait_for(self._events.get(), 20)).decode()
        if text.startswith(":"):
            return "", None
        name, data = text.strip().split("\n")
        return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))

    async def close(self) -> None:
        self._gone.set()
        await asyncio.wait_for(asyncio.gather(self.task, return_exceptions=True), 20)


def test_a_stream_is_the_snapshot_and_then_every_change_until_the_job_ends(gate: Gate, puppet: Puppet, as_: As) -> None:
    board = puppet.board
    board.post("job", job=JOB, status="running", error="")

    async def follow() -> list[tuple[str, Any]]:
        stream = Stream(gate, f"/v1/jobs/{JOB}/progress/stream", as_(ApiRole.VIEWER))
        events = [await stream.event()]
        board.post("stage", job=OTHER, stage="train", done=9)
        board.post("stage", job=JOB, stage="train", done=1)
        events.append(await stream.event())
        board.post("job", job=JOB, status="completed", error="")
        events.append(await stream.event())
        await asyncio.wait_for(stream.task, 20)
        return events

    events = asyncio.run(follow())

    assert [name for name, _ in events] == ["job", "stage", "job"]
    assert [line["job"] for _, line in events] == [JOB] * 3
    assert events[-1][1]["status"] == "completed"
    assert board._listeners == []


def test_a_stream_ends_with_its_token(
    gate: Gate, puppet: Puppet, as_: As, tokens: TokenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedchain.node.api.stream.KEEP_ALIVE_SECONDS", 0.02)
    puppet.board.post("node", name="operator", status="accredited")

    async def follow() -> None:
        stream = Stream(gate, "/v1/progress/stream", as_(ApiRole.VIEWER))
        assert (await stream.event())[0] == "node"
        assert (await stream.event())[0] == ""
        tokens.revoke(next(one.id for one in tokens.all() if one.role is ApiRole.VIEWER))
        await asyncio.wait_for(stream.task, 20)

    asyncio.run(follow())


def test_streams_are_bounded_and_given_back_when_their_readers_go(gate: Gate, puppet: Puppet, as_: As) -> None:
    puppet.board.post("node", name="operator", status="accredited")
    headers = as_(ApiRole.VIEWER)

    async def follow() -> None:
        streams = [Stream(gate, "/v1/progress/stream", headers) for _ in range(32)]
        for stream in streams:
            await stream.event()
        one_more = Stream(gate, "/v1/progress/stream", headers)
        await asyncio.wait_for(one_more.task, 20)
        assert one_more.status == 503
        for stream in streams:
            await stream.close()
        again = Stream(gate, "/v1/progress/stream", headers)
        await again.event()
        assert again.status == 200
        puppet.board.close()
        await asyncio.wait_for(again.task, 20)

    asyncio.run(follow())
    assert puppet.board._listeners == []
