"""A whole job of three real nodes, driven over HTTP alone; what HTTP says is what the commands say."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from fedchain.chain import Account, DevChain
from fedchain.cli.main import app
from fedchain.exchange.records import JobRecord
from fedchain.node.config import load_config
from fedchain.node.tokens import ApiRole, TokenFile
from fedchain.types import JobId
from tests.integration.node import test_running_nodes as running
from tests.integration.node.test_running_nodes import Member, job_toml

pytestmark = pytest.mark.timeout(120)

members = running.members


@pytest.fixture(autouse=True)
def quick_keystores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weak key stretching: a full one takes a second per keystore."""
    save = Account.save_keystore
    monkeypatch.setattr(Account, "save_keystore", lambda self, path, phrase: save(self, path, phrase, iterations=2))


class Desk:
    """Somebody at one node, with a token for each role."""

    def __init__(self, member: Member) -> None:
        assert member.node is not None
        assert member.node.api is not None
        self.url = member.node.api.url
        tokens = TokenFile(member.config.state.folder)
        self._logins = {role: tokens.create(role)[1] for role in ApiRole}

    def headers(self, role: ApiRole) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._logins[role]}"}

    def ask(self, role: ApiRole, method: str, path: str, expected: int = 200, **options: Any) -> Any:
        headers = self.headers(role) | options.pop("headers", {})
        answer = httpx.request(method, self.url + path, headers=headers, timeout=60, trust_env=False, **options)
        assert answer.status_code == expected, answer.text
        return answer.json()

    def follow(self, job_id: str) -> list[dict[str, Any]]:
        """The job's events until it ends."""
        url = f"{self.url}/v1/jobs/{job_id}/progress/stream"
        found = []
        with httpx.stream("GET", url, headers=self.headers(ApiRole.VIEWER), timeout=60, trust_env=False) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    found.append(json.loads(line[6:]))
        return found


def serve_api(member: Member) -> None:
    """Let a node serve the API; its node.toml says all that commands need."""
    path = member.config.folder / "node.toml"
    socket = member.config.serve.control_socket
    text = path.read_text().replace("# port = 8440 ", "port = 0 #").replace("# port = 9464 ", "port = 0 #")
    path.write_text(text.replace('# control_socket = "state/node.sock"', f"control_socket = {json.dumps(str(socket))}"))
    member.config = load_config(path)
    member.start()


def command(chain: DevChain, deployment: Path, *arguments: object) -> dict[str, Any]:
    """What a command prints with --json."""
    environment = {"FEDCHAIN_RPC": chain.rpc_url, "FEDCHAIN_DEPLOYMENT": str(deployment)}
    result = CliRunner(env=environment).invoke(app, [str(one) for one in (*arguments, "--json")])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_whole_job_goes_over_http_and_gives_what_the_commands_give(
    members: list[Member], chain: DevChain, deployment_path: Path
) -> None:
    for member in members:
        serve_api(member)
    operator, bank, _ = members
    desk, bank_desk = Desk(operator), Desk(bank)
    analyst, viewer, owner = ApiRole.ANALYST, ApiRole.VIEWER, ApiRole.DATA_OWNER
    toml = {"Content-Type": "application/toml"}
    spec = job_toml([member.name for member in members])

    assert httpx.get(f"{desk.url}/v1/health/ready", trust_env=False).json() == {"ready": True}
    registry = desk.ask(viewer, "GET", "/v1/participants")["participants"]
    assert {(member.name, "accredited") for member in members} <= {(one["name"], one["status"]) for one in registry}
    desk.ask(viewer, "POST", "/v1/jobs", 403, content=spec, headers=toml)
    proposed = desk.ask(analyst, "POST", "/v1/jobs", 201, content=spec, headers=toml)
    job_id = proposed["job_id"]
    path = f"/v1/jobs/{job_id}"

    for _ in range(200):  # a partner's node learns of the job from the chain
        if any(one["job_id"] == job_id for one in bank_desk.ask(viewer, "GET", "/v1/jobs")["jobs"]):
            break
        time.sleep(0.1)
    events = bank_desk.follow(job_id)
    assert (events[-1]["event"], events[-1]["status"]) == ("job", "completed"), events[-1]
    assert {"align", "train", "shard"} <= {line["stage"] for line in events if line["event"] == "stage"}
    for member in members:
        assert member.wait(JobId(job_id))["status"] == "completed"

    folder = operator.config.folder
    state = desk.ask(viewer, "GET", path)
    assert (state.pop("local")["status"], state.pop("spec")["name"]) == ("completed", "churn")
    assert state == command(chain, deployment_path, "job", "status", job_id)
    assert desk.ask(viewer, "GET", f"{path}/contributions") == command(chain, deployment_path, "contributions", job_id)
    assert desk.ask(viewer, "GET", f"{path}/audit") == command(chain, deployment_path, "audit", job_id)
    audited = desk.ask(viewer, "GET", f"{path}/audit?own_files=true")
    assert (audited["verdict"], audited["checks"]["saved outcomes"]["failed"]) == ("sound", 0)
    assert desk.ask(viewer, "GET", f"{path}/anomalies")["anomalies"] == []
    shown = desk.ask(analyst, "GET", f"{path}/model?tree=1")
    assert shown == command(chain, deployment_path, "model", "show", job_id, "--node", folder, "--tree", 1)
    desk.ask(viewer, "GET", f"{path}/model", 403)

    held_out = desk.ask(analyst, "POST", f"{path}/requests", json={"rows": "holdout"})
    told = command(chain, deployment_path, "predict", job_id, "--node", folder)
    assert (held_out["positions"], held_out["scores"]) == (told["positions"], told["scores"])
    some = held_out["positions"][3:0:-1]
    ours = bank_desk.ask(analyst, "POST", f"{path}/requests", json={"rows": some})
    rows = ",".join(map(str, some))
    told = command(chain, deployment_path, "predict", job_id, "--node", bank.config.folder, "--rows", rows)
    assert (ours["positions"], ours["scores"]) == (some, told["scores"])
    assert ours["scores"] == held_out["scores"][3:0:-1]
    assert bank_desk.ask(analyst, "POST", f"{path}/requests", 422, json={"rows": "holdout"})["title"] == "config"
    listed = bank_desk.ask(viewer, "GET", f"{path}/requests")["requests"]
    assert [one["requester"] for one in listed] == [operator.name, operator.name, bank.name, bank.name]

    check_the_table(bank, bank_desk, path, owner, analyst, some, ours["scores"])
    late = desk.ask(ApiRole.ADMIN, "POST", f"{path}/abort", 409, json={"reason": "late"})
    assert late["type"] == "urn:fedchain:problem:transaction"
    assert operator.node is not None
    assert operator.node.metrics is not None
    with urllib.request.urlopen(f"http://127.0.0.1:{operator.node.metrics.port}/metrics", timeout=10) as answer:
        page = answer.read().decode()
    counted = 'fedchain_http_requests_total{method="GET",route="/v1/jobs/{job_id}/model",status="403"} 1.0'
    assert counted in page


def check_the_table(
    bank: Member,
    desk: Desk,
    path: str,
    owner: ApiRole,
    analyst: ApiRole,
    rows: list[int],
    scores: list[float],
) -> None:
    """Another table counts for scores at once; one job that runs keeps it."""
    assert bank.config.data.path is not None
    assert bank.node is not None
    table = bank.config.data.path
    old = table.read_bytes()
    csv = {"Content-Type": "text/csv"}
    described = desk.ask(owner, "GET", "/v1/data")
    assert (described["rows"], [one["name"] for one in described["columns"]]) == (old.count(b"\n") - 1, ["id", "x"])
    header, *lines = old.decode().splitlines()
    turned = "\n".join([header, *(f"{id_},{-float(x)}" for id_, x in (line.split(",") for line in lines))]) + "\n"

    state = bank.node.exchange.state
    going = JobRecord(JobId("0x" + "77" * 32), 1, bank.account.address, b"{}", "proposed", "")
    state.remember_job(going)
    state.set_job_status(going.job_id, "running")
    assert going.job_id in desk.ask(owner, "PUT", "/v1/data", 409, content=turned, headers=csv)["detail"]
    state.set_job_status(going.job_id, "failed")
    assert table.read_bytes() == old

    desk.ask(analyst, "PUT", "/v1/data", 403, content=turned, headers=csv)
    desk.ask(owner, "PUT", "/v1/data?id_column=id", 422, content=turned + lines[0] + "\n", headers=csv)
    assert table.read_bytes() == old
    desk.ask(owner, "PUT", "/v1/data?id_column=id", content=turned, headers=csv)
    assert desk.ask(analyst, "POST", f"{path}/requests", json={"rows": rows})["scores"] != scores
    desk.ask(owner, "PUT", "/v1/data", content=old, headers=csv)
    assert desk.ask(analyst, "POST", f"{path}/requests", json={"rows": rows})["scores"] == scores
