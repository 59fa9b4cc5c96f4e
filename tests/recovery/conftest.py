"""One chain with one deployment and three companies for all of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fedchain.chain.devchain import find_tool, start_dev_chain
from fedchain.errors import ConfigError
from tests.recovery.federation import Arm, RecoveringFederation

REGISTERING = [
    "any starting after entering ParticipantRegistry.register into the outbox",
    "any starting after sending ParticipantRegistry.register",
    "any starting after waiting until ParticipantRegistry.register is mined",
]
"""Killed here, each company in its own place, before they have registered."""


@pytest.fixture(scope="session")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecoveringFederation]:
    """Three companies on anvil, or on the embedded chain where anvil is not installed."""
    try:
        find_tool("anvil")
        kind = "anvil"
    except ConfigError:
        kind = "embedded"
    with start_dev_chain("anvil" if kind == "anvil" else "embedded") as chain:
        one = RecoveringFederation(
            tmp_path_factory.mktemp("recovery"), chain.rpc_url, first=[Arm(point) for point in REGISTERING]
        )
        yield one
        one.close()
