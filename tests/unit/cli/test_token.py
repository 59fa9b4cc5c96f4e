"""`fedchain node token`: made, listed and revoked from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fedchain.cli.main import app
from fedchain.node.tokens import ApiRole, TokenFile

NODE = """\
name = "operator"
[chain]
rpc = "http://127.0.0.1:1"
deployment = "deployment.json"
[data]
path = "own.csv"
"""


@pytest.fixture
def node(tmp_path: Path) -> Path:
    (tmp_path / "node.toml").write_text(NODE)
    return tmp_path


def token(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["node", "token", *(str(one) for one in arguments)])


def test_a_token_is_printed_once_and_opens_as_its_role(node: Path) -> None:
    made = token("create", node, "--role", "data-owner", "--name", "Dora", "--days", "7")
    assert made.exit_code == 0
    text = made.stdout.strip()
    found = TokenFile(node / "state").check(text)
    assert found is not None
    assert (found.role, found.name) == (ApiRole.DATA_OWNER, "Dora")
    assert "[api] port" in made.stderr, "the node serves no API yet"

    listed = token("list", node)
    assert found.id in listed.stdout
    assert text.split("_", 2)[2] not in listed.stdout


def test_as_json_there_is_one_object(node: Path) -> None:
    made = json.loads(token("create", node, "--role", "viewer", "--json").stdout)
    assert TokenFile(node / "state").check(made["token"]) is not None
    listed = json.loads(token("list", node, "--json").stdout)["tokens"]
    assert listed == [{key: value for key, value in made.items() if key != "token"}]
    assert json.loads(token("revoke", made["token_id"], node, "--json").stdout) == listed[0]
    assert json.loads(token("list", node, "--json").stdout) == {"tokens": []}


def test_a_revoked_token_opens_nothing(node: Path) -> None:
    made = json.loads(token("create", node, "--role", "admin", "--json").stdout)
    assert "is revoked" in token("revoke", made["token_id"], node).stdout
    assert TokenFile(node / "state").check(made["token"]) is None
    again = token("revoke", made["token_id"], node)
    assert (again.exit_code, again.stderr.startswith("error: no token")) == (2, True)


def test_a_role_is_needed_and_a_known_one(node: Path) -> None:
    assert token("create", node).exit_code == 2
    assert token("create", node, "--role", "root").exit_code == 2
    assert token("create", node, "--role", "viewer", "--days", "0").stderr.startswith("error: a token lasts")
