"""Who may connect: what the registry says now, and one bad entry shuts nobody else out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from fedchain.chain import Consortium
from fedchain.chain.events import ParticipantSuspended
from fedchain.errors import ChainUnreachableError, NotAccreditedError, PayloadUnavailableError
from fedchain.exchange import Identity, PayloadClient, PayloadStore
from fedchain.exchange.directory import STALE_SECONDS, Directory
from fedchain.exchange.identities import Identities
from fedchain.exchange.members import FRESH_SECONDS, Members
from fedchain.exchange.tls import pem_of
from fedchain.types import Status
from tests.unit.exchange.peers import JOB, World, address_of


class Clock:
    """Seconds, moved by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def directory(world: World) -> Directory:
    return Directory(cast(Consortium, world.registry))


@pytest.fixture
def members(world: World, directory: Directory, clock: Clock) -> Iterator[Members]:
    one = Members(cast(Consortium, world.registry), directory, Identities(world.identities["alpha"]), clock=clock)
    one.refresh()
    yield one
    one.close()


def test_a_caller_is_who_has_registered_its_certificate(world: World, members: Members) -> None:
    assert members.caller(world.identities["beta"].fingerprint).name == "beta"


def test_a_certificate_that_nobody_registered_is_refused(members: Members) -> None:
    with pytest.raises(NotAccreditedError, match="belongs to no participant"):
        members.caller(Identity.create("beta").fingerprint)


@pytest.mark.parametrize("status", [Status.REGISTERED, Status.SUSPENDED])
def test_a_party_that_is_not_accredited_is_refused_by_name_and_is_no_root(
    world: World, members: Members, status: Status
) -> None:
    gamma = world.party("gamma", status=status)
    members.refresh()
    with pytest.raises(NotAccreditedError, match=f"'gamma' is {status.name.lower()}"):
        members.caller(gamma.fingerprint)
    assert gamma.certificate_pem not in members.roots()
    assert world.identities["beta"].certificate_pem in members.roots()


def test_a_newcomer_is_found_without_waiting_for_an_event(world: World, members: Members, clock: Clock) -> None:
    gamma = world.party("gamma")
    clock.now += 1.0
    assert members.caller(gamma.fingerprint).name == "gamma"


def test_strangers_cannot_make_this_node_read_the_registry_all_the_time(world: World, members: Members) -> None:
    before = world.registry.reads
    for _ in range(50):
        with pytest.raises(NotAccreditedError):
            members.caller(bytes(32))
    assert world.registry.reads == before


def test_a_suspension_counts_at_once_where_its_event_is_seen(
    world: World, members: Members, directory: Directory
) -> None:
    beta = world.identities["beta"]
    members.caller(beta.fingerprint)
    world.registry.set_status("beta", Status.SUSPENDED)
    event = ParticipantSuspended(
        block_number=1,
        block_hash=bytes(32),
        log_index=0,
        transaction_hash=bytes(32),
        party=address_of("beta"),
        by=address_of("steward"),
        reason="",
    )
    directory.observe(event)
    with pytest.raises(NotAccreditedError, match="suspended"):
        members.caller(beta.fingerprint)
    deadline = time.monotonic() + 5.0
    while beta.certificate_pem in members.roots() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert beta.certificate_pem not in members.roots()


def test_a_suspension_counts_soon_even_without_its_event(world: World, members: Members, clock: Clock) -> None:
    beta = world.identities["beta"]
    world.registry.set_status("beta", Status.SUSPENDED)
    assert members.caller(beta.fingerprint).name == "beta"
    clock.now += FRESH_SECONDS + 0.1
    with pytest.raises(NotAccreditedError, match="suspended"):
        members.caller(beta.fingerprint)


def test_a_replaced_certificate_is_worth_nothing_any_more(world: World, members: Members, clock: Clock) -> None:
    beta = world.identities["beta"]
    world.registry.enter("beta", Identity.create("beta").certificate)
    clock.now += FRESH_SECONDS + 0.1
    with pytest.raises(NotAccreditedError, match="another certificate"):
        members.caller(beta.fingerprint)


def test_while_the_chain_is_away_a_standing_counts_for_a_while_only(
    world: World, members: Members, clock: Clock
) -> None:
    beta = world.identities["beta"]
    world.registry.away = True
    clock.now += STALE_SECONDS - 1.0
    assert members.caller(beta.fingerprint).name == "beta"
    clock.now += 2.0
    with pytest.raises(ChainUnreachableError):
        members.caller(beta.fingerprint)


@pytest.mark.parametrize(
    "certificate",
    [b"junk", b"\x30\x00", Identity.create("beta").certificate],
    ids=["junk", "empty", "another name's"],
)
def test_a_bad_certificate_in_the_registry_is_left_out_and_the_others_connect(
    world: World, members: Members, certificate: bytes, tmp_path: Path
) -> None:
    """The last one is made out to another party's name."""
    world.registry.enter("mallory", certificate)
    store = PayloadStore(tmp_path / "out")
    digest = store.put(b"for beta", world.access("beta"))
    server = world.server("alpha", store)
    assert members.roots().count(b"BEGIN") == 2
    payload = world.client("beta").fetch(
        world.peer("alpha", server.endpoint),
        digest,
        8,
        job_id=JOB,
        culprit="alpha",
        max_bytes=100,
        deadline_seconds=5.0,
    )
    assert payload == b"for beta"


def test_a_peer_with_a_bad_certificate_is_named(world: World, directory: Directory) -> None:
    world.registry.enter("mallory", b"junk")
    with pytest.raises(PayloadUnavailableError, match=r"'mallory'.*no valid certificate"):
        directory.peer(address_of("mallory"))


def test_a_directory_gives_the_certificate_that_the_registry_holds(world: World, directory: Directory) -> None:
    peer = directory.peer(address_of("beta"))
    assert peer.certificate == world.identities["beta"].certificate
    assert pem_of(peer.certificate) == world.identities["beta"].certificate_pem


def test_a_suspended_party_is_refused_on_a_connection_that_it_has_already(world: World, tmp_path: Path) -> None:
    store = PayloadStore(tmp_path / "out")
    first, second = store.put(b"first", world.access("beta")), store.put(b"second", world.access("beta"))
    members = world.members("alpha")
    peer = world.peer("alpha", world.server("alpha", store, members=members).endpoint)
    client = world.client("beta")

    def fetch(one: PayloadClient, digest: bytes, size: int) -> bytes:
        return one.fetch(peer, digest, size, job_id=JOB, culprit="alpha", max_bytes=100, deadline_seconds=1.0)

    assert fetch(client, first, 5) == b"first"
    world.registry.set_status("beta", Status.SUSPENDED)
    members.refresh()
    with pytest.raises(PayloadUnavailableError, match=r"UNAUTHENTICATED.*suspended"):
        fetch(client, second, 6)
    with pytest.raises(PayloadUnavailableError, match="UNAVAILABLE"):  # and gets no new connection
        fetch(world.client("beta"), second, 6)
