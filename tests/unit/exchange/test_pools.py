"""PeerPools: a peer that stalls delays nobody else's traffic, and a node that stops begins nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError

import pytest
from structlog.contextvars import bound_contextvars, get_contextvars

from fedchain.errors import StoppingError
from fedchain.exchange.pools import PeerPools

SECONDS = 2.0
STALLED_SECONDS = 10.0


@pytest.fixture
def go_on() -> Iterator[threading.Event]:
    """What stalled peers wait for; set at the end, whatever happened."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def pools() -> Iterator[PeerPools]:
    one = PeerPools("test")
    yield one
    one.close()


def test_a_peer_that_stalls_delays_nobody_else(pools: PeerPools, go_on: threading.Event) -> None:
    stalled = [pools.submit("beta", lambda: go_on.wait(STALLED_SECONDS)) for _ in range(50)]
    assert pools.submit("gamma", lambda: "done").result(SECONDS) == "done"
    assert not any(one.done() for one in stalled)
    go_on.set()
    assert all(one.result(SECONDS) for one in stalled)


def test_one_call_that_stalls_does_not_stop_its_peers_next(pools: PeerPools, go_on: threading.Event) -> None:
    pools.submit("beta", lambda: go_on.wait(STALLED_SECONDS))
    assert pools.submit("beta", lambda: "done").result(SECONDS) == "done"


def test_an_error_is_for_whoever_waits_and_harms_no_later_call(pools: PeerPools) -> None:
    def fails() -> None:
        raise ValueError("of this call")

    for _ in range(5):
        with pytest.raises(ValueError, match="of this call"):
            pools.submit("beta", fails).result(SECONDS)
    assert pools.submit("beta", lambda: "done").result(SECONDS) == "done"


def test_what_is_submitted_logs_with_the_context_of_whoever_submitted_it(pools: PeerPools) -> None:
    with bound_contextvars(job="one"):
        first = pools.submit("beta", get_contextvars)
    with bound_contextvars(job="two"):
        second = pools.submit("beta", get_contextvars)
    assert [one.result(SECONDS)["job"] for one in (first, second)] == ["one", "two"]


def test_nothing_is_submitted_to_closed_pools(pools: PeerPools) -> None:
    pools.submit("beta", lambda: None).result(SECONDS)
    pools.close()
    for peer in ("beta", "gamma"):
        with pytest.raises(StoppingError):
            pools.submit(peer, lambda: None)


def test_closing_gives_up_what_has_not_begun_and_lets_the_rest_end(pools: PeerPools, go_on: threading.Event) -> None:
    begun = threading.Semaphore(0)

    def act() -> str:
        begun.release()
        go_on.wait(STALLED_SECONDS)
        return "done"

    futures = [pools.submit("beta", act) for _ in range(10)]
    assert begun.acquire(timeout=SECONDS)
    pools.close()
    assert not futures[0].done()
    go_on.set()
    assert futures[0].result(SECONDS) == "done"
    with pytest.raises(CancelledError):
        futures[-1].result(SECONDS)
