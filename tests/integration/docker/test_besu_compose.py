"""The Besu consortium with a stand-in for Besu in the validators' containers: keys, mounts, users, health, the rest."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedchain.data.builtin import write_breast_cancer
from tests.integration.docker.engine import ROOT, Stack, wait_until
from tests.integration.docker.test_dev_compose import JOB, NODES, PARTIES, TREES, readable, ready

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1800)]

VALIDATOR = """
  validator-{number}:
    image: {image}
    entrypoint: ["python", "/standin.py"]
    volumes:
      - {{type: bind, source: "{standin}", target: /standin.py, read_only: true}}
"""


@pytest.fixture(scope="module")
def stack(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("tables")
    write_breast_cancer(folder)
    for ours, theirs in PARTIES.items():
        os.rename(folder / f"{ours}.csv", folder / f"{theirs}.csv")
    (folder / "job.toml").write_text(JOB.replace(f"trees = {TREES}", "trees = 2"))
    (folder / "standin.py").write_bytes(Path(__file__).with_name("besu_standin.py").read_bytes())
    readable(folder)
    services = "".join(
        VALIDATOR.format(number=number, image=image, standin=folder / "standin.py") for number in (1, 2, 3, 4)
    )
    job = f'      - {{type: bind, source: "{folder}/job.toml", target: /job.toml, read_only: true}}\n'
    (folder / "override.yml").write_text(f'version: "3.8"\nservices:{services}  operator:\n    volumes:\n{job}')
    environment = {"FEDCHAIN_IMAGE": image, "FEDCHAIN_DATA": str(folder)}
    one = Stack([ROOT / "docker" / "compose.besu.yml", folder / "override.yml"], environment)
    try:
        one.run("up", "--detach", "--no-build", "accreditation")  # and what it depends on: all but the dashboard
        yield one
    finally:
        one.run("down", "--volumes", "--timeout", "5", check=False)


def test_validators_find_their_keys_and_the_consortium_runs_with_a_stewards_key(stack: Stack) -> None:
    ready(stack)
    for number in (1, 2, 3, 4):
        assert stack.inspect(f"validator-{number}")["State"]["Health"]["Status"] == "healthy"
    job = stack.inside("operator", "job", "submit", "/job.toml")["job_id"]
    end = wait_until(
        lambda: (one := stack.inside("operator", "job", "status", job))["phase"] in ("completed", "aborted") and one,
        "the job's end",
        stack,
    )
    assert end["phase"] == "completed"
    stewards = json.loads(stack.run("exec", "-T", "operator", "cat", "/deployment/deployment.json"))["stewards"]
    assert stewards[0] not in ("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",), "not a publicly known key"
    for service in NODES:
        targets = {one["Destination"] for one in stack.inspect(service)["Mounts"]}
        assert not targets & {"/steward", "/var/lib/validator", "/grafana"}


def test_run_again_the_network_is_left_as_it_is(stack: Stack) -> None:
    before = stack.run("exec", "-T", "validator-1", "cat", "/network/genesis.json")
    stack.run("up", "--detach", "--no-build", "--force-recreate", "network")
    wait_until(lambda: stack.inspect("network")["State"]["Status"] == "exited", "the network's service to end", stack)
    assert stack.inspect("network")["State"]["ExitCode"] == 0
    assert stack.run("exec", "-T", "validator-1", "cat", "/network/genesis.json") == before
