"""Nudges: whoever waits for the chain looks at once; they say nothing, and nothing depends on them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import cast

import grpc
import pytest

from fedchain.chain import Consortium
from fedchain.errors import DeliveryError
from fedchain.exchange import Identity, PayloadServer
from fedchain.exchange.directory import Directory, Peer
from fedchain.exchange.identities import Identities
from fedchain.exchange.nudging import Nudger
from fedchain.exchange.server import NUDGE, SERVICE
from tests.unit.exchange.peers import World, address_of


class Bell:
    """Counts nudges."""

    def __init__(self) -> None:
        self.rung = 0
        self._changed = threading.Condition()

    def ring(self) -> None:
        with self._changed:
            self.rung += 1
            self._changed.notify_all()

    def wait(self, times: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.rung >= times, 5)


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def alpha(world: World, bell: Bell) -> Peer:
    """alpha's node."""
    server = PayloadServer(
        world.store("alpha"), Identities(world.identities["alpha"]), world.members("alpha"), on_nudge=bell.ring
    )
    world.opened.append(server)
    return world.peer("alpha", server.endpoint)


@pytest.fixture
def nudger(world: World) -> Iterator[Callable[[Peer], Nudger]]:
    """beta's, which finds alpha at an endpoint."""
    made: list[Nudger] = []

    def make(peer: Peer) -> Nudger:
        world.registry.enter("alpha", peer.certificate, endpoint=peer.endpoint)
        made.append(Nudger(Directory(cast(Consortium, world.registry)), world.client("beta")))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_nudge_of_a_member_arrives(world: World, alpha: Peer, bell: Bell, nudger: Callable[[Peer], Nudger]) -> None:
    one = nudger(alpha)
    for times in (1, 2):
        one.nudge([address_of("alpha")])
        bell.wait(times)


def test_nudges_do_not_pile_up_at_a_peer_that_stalls(
    world: World, alpha: Peer, bell: Bell, nudger: Callable[[Peer], Nudger]
) -> None:
    one, going_on = nudger(alpha), threading.Event()
    real = one._client.nudge

    def stalled(peer: Peer, *, culprit: str) -> None:
        assert going_on.wait(5)
        real(peer, culprit=culprit)

    one._client.nudge = stalled  # type: ignore[method-assign]
    for _ in range(10):
        one.nudge([address_of("alpha")])
    going_on.set()
    bell.wait(2)
    time.sleep(0.1)
    assert bell.rung == 2


def test_a_stranger_nudges_nobody(world: World, alpha: Peer, bell: Bell) -> None:
    stranger = world.client("beta", identity=Identity.create("beta"))
    with pytest.raises(DeliveryError, match="alpha"):
        stranger.nudge(alpha, culprit="alpha")
    assert bell.rung == 0


def test_a_nudge_that_says_something_is_refused(world: World, alpha: Peer, bell: Bell) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        world.client("beta")._channel(alpha).unary_unary(f"/{SERVICE}/{NUDGE}")(b"now", timeout=5)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert bell.rung == 0


@pytest.mark.parametrize("endpoint", ["127.0.0.1:1", "nowhere", ""])
def test_a_peer_that_cannot_be_nudged_stops_nobody(
    world: World, endpoint: str, nudger: Callable[[Peer], Nudger]
) -> None:
    one = nudger(Peer(endpoint, world.identities["alpha"].certificate))
    begun = time.monotonic()
    one.nudge([address_of("alpha"), address_of("unknown")])
    assert time.monotonic() - begun < 0.5
    one.close()
    one.nudge([address_of("alpha")])  # nothing happens
