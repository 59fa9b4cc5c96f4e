"""One in-process chain for the folder; every test starts from the same snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from web3 import EthereumTesterProvider, Web3

from tests.contracts.consortium import Consortium


@pytest.fixture(scope="session")
def deployed() -> tuple[Consortium, bytes]:
    """The contracts on a fresh in-process chain, and a job in phase Training with round 1 begun."""
    consortium = Consortium(Web3(EthereumTesterProvider()))
    return consortium, consortium.in_round_one()


@pytest.fixture
def job_id(deployed: tuple[Consortium, bytes]) -> bytes:
    """A job in phase Training with round 1 begun."""
    return deployed[1]


@pytest.fixture
def consortium(deployed: tuple[Consortium, bytes]) -> Iterator[Consortium]:
    """The deployed contracts; whatever the test does is rolled back."""
    provider = deployed[0].w3.provider
    assert isinstance(provider, EthereumTesterProvider)
    tester: Any = provider.ethereum_tester
    snapshot = tester.take_snapshot()
    yield deployed[0]
    tester.revert_to_snapshot(snapshot)
