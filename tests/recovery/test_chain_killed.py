"""The chain's own process is killed, or several nodes at once: everybody waits, and goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from fedchain.chain.devchain import find_tool
from fedchain.errors import ConfigError
from tests.recovery.federation import Arm, RecoveringFederation, wait_for
from tests.recovery.ganache import KillableGanache

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def ganache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillableGanache]:
    try:
        find_tool("ganache")
    except ConfigError as error:
        pytest.skip(str(error))
    chain = KillableGanache(tmp_path_factory.mktemp("ganache"))
    chain.start()
    yield chain
    chain.close()


@pytest.fixture(scope="module")
def on_ganache(ganache: KillableGanache, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecoveringFederation]:
    federation = RecoveringFederation(tmp_path_factory.mktemp("on-ganache"), ganache.rpc_url)
    yield federation
    federation.close()


def reaches(federation: RecoveringFederation, index: int, point: str, times: int = 1) -> None:
    """Wait until a company has reached a point so many times more."""
    company = federation.companies[index]
    before = company.points().count(point)
    wait_for(lambda: company.points().count(point) >= before + times, point)


@pytest.mark.parametrize(
    ("algorithm", "point", "times"),
    [
        ("layered", "passive alignment after recording BLINDED_IDS", 1),
        ("layered", "passive training after Receive GRADIENTS", 2),
        ("layered", "passive training after sending HISTOGRAM", 4),
        ("layered", "passive evaluation after Receive PREDICT_REQUEST", 1),
        ("standard", "passive evaluation before AwaitAudit posted", 1),
        ("standard", "passive evaluation after sending ContributionAudit.vote", 1),
    ],
)
def test_a_chain_killed_during_a_job_is_started_again_and_the_job_goes_on(
    algorithm: str, point: str, times: int, ganache: KillableGanache, on_ganache: RecoveringFederation
) -> None:
    job_id = on_ganache.submit(algorithm)
    reaches(on_ganache, 1, point, times)
    ganache.kill()
    time.sleep(1.0)
    ganache.start()
    on_ganache.complete(job_id, algorithm)
    on_ganache.check_record(job_id)


def test_chain_and_a_node_killed_at_once_go_on(ganache: KillableGanache, on_ganache: RecoveringFederation) -> None:
    job_id = on_ganache.submit("standard")
    reaches(on_ganache, 0, "active training after recording GRADIENTS", 2)
    ganache.kill()
    on_ganache.active.kill()
    time.sleep(1.0)
    ganache.start()
    on_ganache.complete(job_id, "standard")
    on_ganache.check_record(job_id)


@pytest.mark.parametrize("who", [(0, 1), (1, 2), (0, 1, 2)], ids=str)
def test_nodes_killed_at_once_come_back_together(who: tuple[int, ...], federation: RecoveringFederation) -> None:
    job_id = federation.submit("layered")
    for _ in range(2):
        reaches(federation, 1, "passive training before Send HISTOGRAM")
        for index in who:
            federation.companies[index].hold()
        for index in who:
            federation.companies[index].kill()
        time.sleep(0.5)
        for index in who:
            federation.companies[index].release()
    federation.complete(job_id, "layered")
    federation.check_record(job_id)


def test_a_node_that_dies_at_each_of_its_starts_comes_back_in_the_end(federation: RecoveringFederation) -> None:
    """Killed in training, then again and again while it replays what it had received."""
    replaying = [Arm("any starting before replaying"), Arm("passive alignment before Recall aligned")] * 2
    federation.companies[1].arm([Arm("passive training before Send HISTOGRAM", 3), *replaying])
    job_id = federation.submit("standard")
    federation.complete(job_id, "standard")
    assert federation.companies[1].disarm() == []
    federation.check_record(job_id)
