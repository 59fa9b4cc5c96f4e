"""Real nodes put a model into use by the commands: proposed, approved, activated, replaced, rolled back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from fedchain.chain import DevChain
from fedchain.cli.main import app
from fedchain.node.config import load_config
from fedchain.types import JobId
from tests.integration.node import test_running_nodes as running
from tests.integration.node.test_running_nodes import Member, job_toml

pytestmark = pytest.mark.timeout(120)

members = running.members
quick_keystores = running.quick_keystores


class Commands:
    """`fedchain`, with the chain and the deployment in its environment.

    The nodes run in this process, and log to its streams: where lines on stderr count, a command has its own process.
    """

    def __init__(self, chain: DevChain, deployment: Path) -> None:
        self._environment = {"FEDCHAIN_RPC": chain.rpc_url, "FEDCHAIN_DEPLOYMENT": str(deployment)}

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "fedchain.cli.main", *map(str, arguments)]
        environment = {**os.environ, **self._environment}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    def json(self, *arguments: object) -> dict[str, Any]:
        result = CliRunner(env=self._environment).invoke(app, [*map(str, arguments), "--json"])
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    def fails(self, code: int, *arguments: object) -> str:
        """The one line that a failure prints."""
        result = self.run(*arguments)
        assert (result.returncode, result.stdout, result.stderr.count("\n")) == (code, "", 1), result.stderr
        return result.stderr


def start(member: Member) -> Path:
    """Start a node; its folder says all that commands need."""
    path = member.config.folder / "node.toml"
    socket = json.dumps(str(member.config.serve.control_socket))
    path.write_text(path.read_text().replace('# control_socket = "state/node.sock"', f"control_socket = {socket}"))
    member.config = load_config(path)
    member.start()
    return member.config.folder


def trained(members: list[Member], name: str) -> JobId:
    """A completed job of these nodes."""
    with members[0].client() as client:
        job_id = client.submit(job_toml([member.name for member in members], name=name))
    for member in members:
        end = member.wait(job_id)
        assert end["status"] == "completed", end["error"]
    return job_id


def test_a_model_is_put_into_use_replaced_and_rolled_back(
    members: list[Member], chain: DevChain, deployment_path: Path
) -> None:
    pair = members[:2]
    operator, bank = (start(member) for member in pair)
    names = [member.name for member in pair]
    commands = Commands(chain, deployment_path)
    name = f"model-{names[0]}"
    first = trained(pair, "first")

    assert f"no model '{name}'" in commands.fails(2, "model", "show", name)
    assert "no finished job" in commands.fails(2, "model", "propose", name, "0x" + "00" * 32, "--node", operator)
    assert "is no name of a model" in commands.fails(2, "model", "propose", "My Model", first, "--node", operator)
    proposed = commands.json("model", "propose", name, first, "--node", operator)
    assert (proposed["version"], proposed["state"], proposed["job_id"]) == (1, "proposed", first)
    assert [(one["name"], one["approved"]) for one in proposed["parties"]] == [(names[0], True), (names[1], False)]
    assert commands.json("model", "propose", name, first, "--node", operator) == proposed, "again"
    assert f"lacks the approval of {names[1]}" in commands.fails(2, "model", "activate", name, 1, "--node", operator)

    shard = pair[1].config.state.folder / "jobs" / first / "shard"
    content = shard.read_bytes()
    other = (pair[0].config.state.folder / "jobs" / first / "shard").read_bytes()
    shard.write_bytes(other)
    assert "restore the file from a backup" in commands.fails(1, "model", "approve", name, 1, "--node", bank)
    shard.write_bytes(content)
    assert commands.json("model", "list")["models"][-1] == {
        "name": name, "holder": None, "versions": 1, "in_use": 0, "job_id": None,
    }  # fmt: skip
    assert commands.json("model", "approve", name, 1, "--node", bank)["state"] == "frozen"
    assert commands.json("model", "approve", name, 1, "--node", bank)["state"] == "frozen", "again"
    assert "no version of model" in commands.fails(2, "predict", name, "--node", operator)
    assert f"is '{names[0]}'" in commands.fails(2, "model", "activate", name, 1, "--node", bank)
    assert commands.json("model", "activate", name, 1, "--node", operator)["state"] == "active"
    assert commands.json("model", "activate", name, 1, "--node", operator)["state"] == "active", "again"
    assert "there is none to go back to" in commands.fails(2, "model", "rollback", name, "--node", operator)
    elsewhere = f"other-{names[0]}"
    assert "it has one name" in commands.fails(2, "model", "propose", elsewhere, first, "--node", bank)

    by_name = commands.json("predict", name, "--node", operator)
    assert (by_name["job_id"], by_name["model"]) == (first, {"name": name, "version": 1, "in_use": 1})

    second = trained(pair, "second")
    assert commands.json("predict", second, "--node", operator)["model"] is None
    commands.json("model", "propose", name, second, "--node", bank)
    commands.json("model", "approve", name, 2, "--node", operator)
    done = commands.run("model", "activate", name, 2, "--node", operator)
    assert done.stdout == f"version 2 of model {name} (job {second}) is in use\n"
    assert commands.json("predict", name, "--node", operator)["job_id"] == second
    old = commands.run("predict", first, "--node", operator, "--json")
    assert old.stderr == (
        f"this job is version 1 of model '{name}', of which version 2 is in use; ask for '{name}' to get that one\n"
    )
    answer = json.loads(old.stdout)
    assert answer["model"] == {"name": name, "version": 1, "in_use": 2}
    np.testing.assert_array_equal(answer["scores"], by_name["scores"])

    assert commands.json("model", "rollback", name, "--node", operator)["job_id"] == first
    shown = commands.json("model", "show", name)
    assert [(one["version"], one["state"], one["proposer"]) for one in shown["versions"]] == [
        (1, "active", names[0]), (2, "retired", names[1]),
    ]  # fmt: skip
    audit = commands.json("audit", first)
    assert audit["verdict"] == "sound"
    assert [(one["who"], one["what"]) for one in audit["story"] if name in one["what"]] == [
        (names[0], f"proposed its model as version 1 of '{name}'"),
        (names[0], f"approved version 1 of model '{name}'"),
        (names[1], f"approved version 1 of model '{name}'"),
        ("", f"version 1 of model '{name}' is frozen"),
        (names[0], f"put version 1 of model '{name}' into use"),
        (names[0], f"went back from version 2 of model '{name}' to 1"),
    ]
    listed = commands.json("model", "list")["models"][-1]
    assert listed == {"name": name, "holder": names[0], "versions": 2, "in_use": 1, "job_id": first}
    table = commands.run("model", "show", name).stdout
    assert "retired" in table
    assert names[1] in table
    assert commands.json("predict", name, "--node", operator)["job_id"] == first
