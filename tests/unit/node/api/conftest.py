"""The API in this process, with a puppet for a node and a token of each role."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fedchain.node.api.app import api_app
from fedchain.node.api.gate import Gate
from fedchain.node.tokens import ApiRole, TokenFile
from tests.unit.node.api.asking import Client
from tests.unit.node.api.puppet import SECRET_CELL, Puppet

MAX_UPLOAD = 4096

As = Callable[[ApiRole], dict[str, str]]


@pytest.fixture
def puppet(tmp_path: Path) -> Puppet:
    table = tmp_path / "own.csv"
    table.write_text(f"customer,age,city\n1,30,{SECRET_CELL}\n2,,x\n", encoding="utf-8")
    return Puppet(table)


@pytest.fixture
def tokens(tmp_path: Path) -> TokenFile:
    return TokenFile(tmp_path / "state")


@pytest.fixture
def as_(tokens: TokenFile) -> As:
    """Headers of a login."""
    made = {role: tokens.create(role, role.value)[1] for role in ApiRole}
    return lambda role: {"Authorization": f"Bearer {made[role]}"}


@pytest.fixture
def gate(puppet: Puppet, tokens: TokenFile) -> Gate:
    return api_app(puppet, tokens, max_upload=MAX_UPLOAD)


@pytest.fixture
def client(gate: Gate) -> Client:
    return Client(gate)
