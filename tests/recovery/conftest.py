"""One chain with one deployment and three companies for all of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fedchain.chain import start_dev_chain
from tests.chains import any_kind
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
    with start_dev_chain(any_kind()) as chain:
        one = RecoveringFederation(
            tmp_path_factory.mktemp("recovery"), chain.rpc_url, first=[Arm(point) for point in REGISTERING]
        )
        yield one
        one.close()
