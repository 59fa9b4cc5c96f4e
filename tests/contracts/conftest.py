"""One running chain of each kind for the session, with the contracts on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from fedchain.chain.devchain import CHAIN_KINDS, ChainKind, find_tool
from fedchain.errors import ConfigError
from tests.contracts.stage import Stage


@pytest.fixture(scope="session")
def stage_of() -> Iterator[Callable[[ChainKind], Stage]]:
    """Opens a kind's stage on first use."""
    stages: dict[ChainKind, Stage] = {}

    def opened(kind: ChainKind) -> Stage:
        if kind not in stages:
            if kind != "embedded":
                try:
                    find_tool(kind)
                except ConfigError as error:
                    pytest.skip(str(error))
            stages[kind] = Stage(kind)
        return stages[kind]

    yield opened
    for stage in stages.values():
        stage.close()


@pytest.fixture(params=CHAIN_KINDS)
def stage(request: pytest.FixtureRequest, stage_of: Callable[[ChainKind], Stage]) -> Stage:
    """The stage on each kind of chain in turn."""
    return stage_of(request.param)
