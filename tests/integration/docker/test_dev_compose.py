"""The development consortium for real: up, a job, a killed node, a killed chain, a stop and a start."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedchain.data.builtin import write_breast_cancer
from tests.integration.docker.engine import ROOT, Stack, docker, wait_until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1800)]

NODES = ("operator", "media-partner", "bank-partner")
TREES = 30
PARTIES = {"operator": "operator", "partner_a": "media_partner", "partner_b": "bank_partner"}
JOB = f"""
name = "in-containers"
[algorithm]
mode = "standard"
trees = {TREES}
depth = 3
bins = 16
[alignment]
min_rows = 50
[policy]
deadline_seconds = 500
[[parties]]
name = "operator"
role = "active"
label = "diagnosis"
positive = "malignant"
[[parties]]
name = "media_partner"
role = "passive"
[[parties]]
name = "bank_partner"
role = "passive"
"""
OVERRIDE = """
version: "3.8"
services:
  operator:
    volumes:
      - {{type: bind, source: "{folder}/job.toml", target: /job.toml, read_only: true}}
"""


@pytest.fixture(scope="module")
def stack(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("tables")
    write_breast_cancer(folder)
    for ours, theirs in PARTIES.items():
        os.rename(folder / f"{ours}.csv", folder / f"{theirs}.csv")
    (folder / "job.toml").write_text(JOB)
    (folder / "override.yml").write_text(OVERRIDE.format(folder=folder))
    readable(folder)
    environment = {"FEDCHAIN_IMAGE": image, "FEDCHAIN_DATA": str(folder)}
    one = Stack([ROOT / "docker" / "compose.dev.yml", folder / "override.yml"], environment)
    try:
        one.run("up", "--detach", "--no-build")
        yield one
    finally:
        one.run("down", "--volumes", "--timeout", "5", check=False)


def readable(folder: Path) -> None:
    """Containers run as another user: let it read these files; a mounted file needs no rights on folders."""
    for path in folder.iterdir():
        path.chmod(0o644)


def ready(stack: Stack) -> None:
    """Wait until all nodes take jobs."""
    for service in NODES:
        wait_until(
            lambda name=service: stack.inside(name, "node", "status", "--require", "ready"),  # type: ignore[misc]
            f"{service} to be ready",
            stack,
        )


def test_a_consortium_comes_up_by_itself_takes_a_job_and_bears_kills(stack: Stack) -> None:
    ready(stack)
    deployed = stack.inside("operator", "chain", "status")["block"]
    assert deployed >= 8 + 3 + 3, "contracts, registrations, accreditations"

    job = stack.inside("operator", "job", "submit", "/job.toml")["job_id"]

    def trees() -> int:
        return int(stack.inside("operator", "job", "status", job)["trees_done"])

    wait_until(lambda: trees() >= 2, "two trees", stack)
    before = stack.inspect("media-partner")
    docker("kill", "--signal", "KILL", before["Id"])
    at = trees()
    assert at < TREES, "it was killed in the middle of the job"
    docker("start", before["Id"])

    wait_until(lambda: trees() > at, "training to go on", stack)
    chain = stack.container("chain")
    docker("kill", "--signal", "KILL", chain)
    docker("start", chain)
    end = wait_until(
        lambda: (one := stack.inside("operator", "job", "status", job))["phase"] in ("completed", "aborted") and one,
        "the job's end",
        stack,
    )
    assert end["phase"] == "completed"
    assert end["trees_done"] == TREES
    after = stack.inspect("media-partner")
    assert after["Id"] == before["Id"]
    assert after["State"]["StartedAt"] > before["State"]["StartedAt"]

    scores = stack.run("exec", "-T", "operator", "fedchain", "predict", job, "--rows", "holdout")
    assert len(scores.splitlines()) > 50

    # Stop, start, go on: the chain and the nodes are where they were.
    stack.run("kill")
    stack.run("up", "--detach", "--no-build")
    ready(stack)
    status = stack.inside("operator", "chain", "status")
    assert status["block"] > deployed
    assert stack.inside("operator", "job", "status", job)["model_digest"] == end["model_digest"]
    again = stack.run("exec", "-T", "operator", "fedchain", "predict", job, "--rows", "holdout")
    assert again == scores


def test_containers_keep_to_what_they_were_given(stack: Stack) -> None:
    for service in NODES:
        found = stack.inspect(service)
        assert found["HostConfig"]["ReadonlyRootfs"] is True
        assert found["Config"]["User"] == "10001:10001"
        assert found["NetworkSettings"]["Ports"] in ({}, None) or not any(found["NetworkSettings"]["Ports"].values())
        binds = [one["Destination"] for one in found["Mounts"] if one["Type"] == "bind" and one["RW"]]
        assert binds == []
    code = (
        "import json, os\n"
        "root = '/var/lib/fedchain/node'\n"
        "print(json.dumps({n: oct(os.stat(f'{root}/{n}').st_mode & 0o777) for n in sorted(os.listdir(root))}))"
    )
    modes = json.loads(stack.run("exec", "-T", "bank-partner", "python", "-c", code))
    for name in ("certificate.key", "keystore.json", "passphrase"):
        assert modes[name] == "0o600", name
    assert modes["state"] == "0o700"
    passphrase = stack.run("exec", "-T", "bank-partner", "cat", "/var/lib/fedchain/node/passphrase").strip()
    assert len(passphrase) > 30
    assert passphrase not in json.dumps(stack.inspect("bank-partner"))
    assert passphrase not in stack.run("logs", "--no-color")
