"""While a node's certificate is replaced, every peer meets the one that it expects, and the old one ends in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from fedchain.chain import Consortium
from fedchain.errors import NotAccreditedError, PayloadUnavailableError
from fedchain.exchange import Identity, PayloadClient
from fedchain.exchange.directory import Directory, Peer
from fedchain.exchange.holding import StoredPayload
from fedchain.exchange.identities import Identities
from fedchain.exchange.members import Members
from fedchain.exchange.tls import server_name_of
from fedchain.exchange.wire import RUN_BYTES
from tests.unit.exchange.peers import JOB, World, address_of

OLD, NEW, NEWEST = (Identity.create("alpha") for _ in range(3))


def fetch(
    client: PayloadClient, peer: Peer | Callable[[], Peer], digest: bytes, size: int = 5, seconds: float = 10.0
) -> bytes:
    return client.fetch(peer, digest, size, job_id=JOB, culprit="alpha", max_bytes=10**7, deadline_seconds=seconds)


# -- which are held ----------------------------------------------------------------------------------------------------


def test_the_one_that_is_expected_is_held_beside_the_current_one_and_then_before_it() -> None:
    one = Identities(OLD)
    assert (one.held, one.current) == ((OLD,), OLD)
    one.expect(NEW)
    assert (one.held, one.current) == ((OLD, NEW), OLD)
    for _ in range(2):
        one.switch(NEW)
        assert (one.held, one.current) == ((NEW, OLD), NEW)
    one.drop()
    assert one.held == (NEW,)


def test_a_second_rotation_drops_what_the_first_one_left() -> None:
    one = Identities(OLD)
    one.expect(NEW)
    one.switch(NEW)
    one.expect(NEWEST)
    assert one.held == (NEW, NEWEST)


def test_own_connections_are_tried_with_both_in_turns_and_the_current_one_first() -> None:
    one = Identities(OLD)
    assert [one.to_present(tries) for tries in range(3)] == [OLD, OLD, OLD]
    one.expect(NEW)
    assert [one.to_present(tries) for tries in range(3)] == [OLD, NEW, OLD]
    one.switch(NEW)
    assert [one.to_present(tries) for tries in range(3)] == [NEW, OLD, NEW]


def test_two_certificates_of_one_party_have_different_server_names() -> None:
    names = {server_name_of(one.certificate) for one in (OLD, NEW, NEWEST)}
    assert len(names) == 3
    assert all(name.endswith(".fedchain-node") for name in names)


# -- alpha serves ------------------------------------------------------------------------------------------------------


@pytest.fixture
def serving(world: World) -> tuple[Identities, str, list[bytes]]:
    """alpha's server with the old certificate, and payloads for beta."""
    world.identities["alpha"] = OLD
    world.party("alpha")
    own, store = Identities(OLD), world.store("alpha")
    digests: list[bytes] = [store.put(bytes([place]) * 5, world.access("beta")) for place in range(8)]
    return own, world.server("alpha", store, identities=own).endpoint, digests


def is_served(world: World, endpoint: str, expected: Identity, digest: bytes) -> bool:
    """Whether a new connection of beta's meets the certificate that it expects."""
    client = world.client("beta")
    try:
        fetch(client, Peer(endpoint, expected.certificate), digest, seconds=0.3)
    except PayloadUnavailableError:
        return False
    return True


def test_peers_that_know_of_the_change_and_peers_that_do_not_are_both_served(
    world: World, serving: tuple[Identities, str, list[bytes]]
) -> None:
    own, endpoint, digests = serving
    left = iter(digests)
    assert is_served(world, endpoint, OLD, next(left))
    assert not is_served(world, endpoint, NEW, next(left))
    own.expect(NEW)
    assert is_served(world, endpoint, OLD, next(left))
    assert is_served(world, endpoint, NEW, next(left))
    own.switch(NEW)
    assert is_served(world, endpoint, OLD, next(left))
    assert is_served(world, endpoint, NEW, next(left))
    own.drop()
    unserved = next(left)
    assert not is_served(world, endpoint, OLD, unserved)
    assert is_served(world, endpoint, NEW, unserved)


# -- alpha calls -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [OLD, NEW], ids=["not read yet", "read already"])
@pytest.mark.parametrize("is_switched", [False, True])
def test_a_server_takes_this_node_whether_it_has_read_the_change_or_not(
    world: World, known: Identity, is_switched: bool
) -> None:
    world.identities["alpha"] = known
    world.party("alpha")
    store = world.store("beta")
    digest = store.put(b"hello", world.access("alpha"))
    server = world.server("beta", store)
    own = Identities(OLD)
    own.expect(NEW)
    if is_switched:
        own.switch(NEW)
    client = world.client("alpha", identities=own)
    assert fetch(client, world.peer("beta", server.endpoint), digest) == b"hello"


def test_a_connection_with_the_old_certificate_is_left_when_its_server_has_read_the_change(world: World) -> None:
    """And the old certificate is worth nothing there from that moment on."""
    world.identities["alpha"] = OLD
    world.party("alpha")
    store = world.store("beta")
    first, second, third = (store.put(text, world.access("alpha")) for text in (b"first", b"secnd", b"third"))
    members = world.members("beta")
    server = world.server("beta", store, members=members)
    peer, own = world.peer("beta", server.endpoint), Identities(OLD)
    client, thief = world.client("alpha", identities=own), world.client("alpha", identity=OLD)
    assert fetch(client, peer, first) == b"first"
    assert fetch(thief, peer, second) == b"secnd"

    world.registry.enter("alpha", NEW.certificate)
    own.expect(NEW)
    own.switch(NEW)
    members.refresh()
    assert fetch(client, peer, second) == b"secnd"
    with pytest.raises(PayloadUnavailableError, match="UNAUTHENTICATED"):  # on its old connection
        fetch(thief, peer, third, seconds=0.5)
    with pytest.raises(PayloadUnavailableError, match="UNAVAILABLE"):  # on a new one
        fetch(world.client("alpha", identity=OLD), peer, third, seconds=0.5)
    assert fetch(client, peer, third) == b"third"


def test_a_server_that_notices_an_old_certificate_reads_the_registry_for_the_new_one(world: World) -> None:
    """Without an event: the entry of the caller is read anew, and so the roots are, for its next connection."""
    world.identities["alpha"] = OLD
    world.party("alpha")
    consortium = cast(Consortium, world.registry)
    own = Identities(world.identities["beta"])
    members = Members(consortium, Directory(consortium), own, clock=lambda: 1000.0)  # nothing grows old by itself
    world.opened.append(members)
    members.refresh()
    world.registry.enter("alpha", NEW.certificate)
    for member in members._snapshot.members.values():
        member.read_at = float("-inf")
    with pytest.raises(NotAccreditedError, match="another certificate since"):
        members.caller(OLD.fingerprint)
    deadline = time.monotonic() + 10
    while NEW.certificate_pem not in members.roots() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert NEW.certificate_pem in members.roots()
    assert OLD.certificate_pem not in members.roots()


def test_the_own_old_certificate_is_no_root_beside_the_new_one(world: World) -> None:
    """Two roots with one subject could make the TLS library look at the wrong one."""
    members = world.members("alpha")
    world.registry.enter("alpha", NEW.certificate)
    members.refresh()
    assert members.roots().count(b"BEGIN") == 2


# -- under way ---------------------------------------------------------------------------------------------------------


def test_a_transfer_under_way_goes_on_while_both_of_its_ends_change_certificates(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one call from the first chunk to the last: nothing is sent twice."""
    world.identities["alpha"] = OLD
    world.party("alpha")
    beta_old, beta_new = world.identities["beta"], Identity.create("beta")
    payload = bytes(range(256)) * (RUN_BYTES // 256) * 3
    store = world.store("alpha")
    digest = store.put(payload, world.access("beta"))
    begun, goes_on, starts = threading.Event(), threading.Event(), []
    quick = StoredPayload.runs

    def slow(self: StoredPayload, first: int) -> Iterator[tuple[int, bytes]]:
        starts.append(first)
        for one in quick(self, first):
            yield one
            begun.set()
            assert goes_on.wait(20)

    monkeypatch.setattr(StoredPayload, "runs", slow)
    alpha_members, alpha, beta = world.members("alpha"), Identities(OLD), Identities(beta_old)
    server = world.server("alpha", store, members=alpha_members, identities=alpha)
    client = world.client("beta", identities=beta)
    found: list[bytes] = []
    thread = threading.Thread(
        target=lambda: found.append(
            fetch(client, Peer(server.endpoint, OLD.certificate), digest, len(payload), seconds=30.0)
        )
    )
    thread.start()
    assert begun.wait(10)
    for own, new in ((alpha, NEW), (beta, beta_new)):
        own.expect(new)
        world.registry.enter(new.name, new.certificate)
        own.switch(new)
        own.drop()
    alpha_members.refresh()
    client.retire()
    small = store.put(b"small", world.access("beta"))
    goes_on.set()
    assert fetch(client, Peer(server.endpoint, NEW.certificate), small) == b"small"
    thread.join(20)
    assert found == [payload]
    assert starts == [0, 0]
    assert {key[2] for key in client._channels} == {beta_new.fingerprint}


def test_a_bad_certificate_is_read_once(world: World) -> None:
    members = world.members("alpha")
    world.registry.enter("mallory", b"junk")
    members.refresh()
    before = world.registry.reads
    for _ in range(3):
        members.refresh()
    assert world.registry.reads == before + 3  # the list, and no certificate
    world.registry.enter("mallory", Identity.create("mallory").certificate)
    members.refresh()
    assert members.caller(world.registry.entries[address_of("mallory")].fingerprint).name == "mallory"
    assert members.roots().count(b"BEGIN") == 3


def test_whoever_registers_anothers_certificate_does_not_keep_it_from_its_owner(world: World) -> None:
    members = world.members("alpha")
    gamma = Identity.create("gamma")
    world.registry.enter("mallory", gamma.certificate)
    members.refresh()
    assert gamma.certificate_pem not in members.roots()
    world.registry.enter("mallory", Identity.create("mallory").certificate)
    world.registry.enter("gamma", gamma.certificate)
    members.refresh()
    assert gamma.certificate_pem in members.roots()
