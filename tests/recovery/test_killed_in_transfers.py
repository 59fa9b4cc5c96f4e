"""Payloads too large for a transaction: whoever dies while it stores, fetches, sends or takes one goes on there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fedchain.chain import UplinkJudged
from fedchain.chain.devchain import find_tool, start_dev_chain
from fedchain.errors import ConfigError
from fedchain.types import INLINE_LIMIT, Kind
from tests.recovery.federation import Arm, RecoveringFederation

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

ROWS = 2600
SENDING = [
    Arm("active training before storing the payload of GRADIENTS"),
    Arm("active training after storing the payload of GRADIENTS", 2),
    Arm("active training after recording GRADIENTS"),
]
FETCHING = [
    Arm("passive node before fetching a payload"),
    Arm("passive node after a part of a payload"),
    Arm("passive node after fetching a payload"),
]
TAKING = [
    Arm("passive node before recording a delivery"),
    Arm("passive node after recording a delivery", 2),
    Arm("passive node before taking a delivery"),
    Arm("passive node after taking a delivery", 2),
]
HANDING_OVER = [*SENDING, Arm("active node before delivering an uplink"), Arm("active node after delivering an uplink")]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecoveringFederation]:
    """Three companies with tables whose encrypted gradients go by reference."""
    try:
        find_tool("anvil")
    except ConfigError as error:
        pytest.skip(str(error))
    with start_dev_chain("anvil") as chain:
        one = RecoveringFederation(tmp_path_factory.mktemp("large"), chain.rpc_url, rows=ROWS)
        yield one
        one.close()


@pytest.mark.parametrize(
    ("algorithm", "plan"),
    [
        pytest.param("layered", {0: SENDING, 1: FETCHING}, id="strict"),
        pytest.param("pipelined", {0: HANDING_OVER, 2: TAKING}, id="pipelined"),
    ],
)
def test_a_node_killed_in_the_middle_of_a_transfer_comes_back(
    algorithm: str, plan: dict[int, list[Arm]], large: RecoveringFederation
) -> None:
    for index, arms in plan.items():
        large.companies[index].arm(arms)
    job_id = large.submit(algorithm)
    large.complete(job_id, algorithm)
    assert [arm for index in plan for arm in large.companies[index].disarm()] == []
    large.check_record(job_id)
    gradients = [
        event.envelope.size
        for event in large.consortium.events(0, large.chain.head())
        if isinstance(event, UplinkJudged) and event.job_id == job_id and event.envelope.kind == Kind.GRADIENTS
    ]
    assert gradients
    assert min(gradients) > INLINE_LIMIT
