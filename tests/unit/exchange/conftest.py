"""What the tests of traffic between nodes share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.exchange.contract import ACTIVE, SECOND
from tests.unit.exchange.peers import World
from tests.unit.exchange.pipelined import Party
from tests.unit.exchange.receivers import Node


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A registry with alpha and beta."""
    one = World(tmp_path)
    for name in ("alpha", "beta"):
        one.party(name)
    yield one
    one.close()


@pytest.fixture
def active(tmp_path: Path) -> Iterator[Party]:
    """The active party of a pipelined job in training."""
    one = Party(tmp_path / "active", ACTIVE)
    yield one
    one.close()


@pytest.fixture
def passive(tmp_path: Path) -> Iterator[Party]:
    """A passive party of another one, whose first round has begun."""
    one = Party(tmp_path / "passive", SECOND)
    one.chain.begins(1)
    yield one
    one.close()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[list[Node]]:
    """The nodes of a test, to be closed."""
    nodes: list[Node] = []
    yield nodes
    for one in nodes:
        one.state.close()


@pytest.fixture
def node(tmp_path: Path, opened: list[Node]) -> Node:
    """alpha's, the active party's, in round 1."""
    opened.append(Node(tmp_path))
    opened[0].begins(1)
    return opened[0]
