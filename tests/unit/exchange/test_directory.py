"""Directory: participants are looked up once, and anew by whoever did not reach one."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from fedchain.chain import Consortium
from fedchain.chain.events import ServiceChanged
from fedchain.errors import ChainUnreachableError
from fedchain.exchange import Identity
from fedchain.exchange.directory import STALE_SECONDS, Directory
from tests.unit.exchange.peers import World, address_of

BETA = address_of("beta")


@pytest.fixture
def directory(world: World) -> Directory:
    return Directory(cast(Consortium, world.registry))


def moves(world: World, endpoint: str) -> None:
    """beta's node answers elsewhere from now on."""
    world.registry.entries[BETA] = replace(world.registry.entries[BETA], endpoint=endpoint)


def test_the_first_look_takes_what_is_known_and_every_later_one_asks_the_registry_anew(
    world: World, directory: Directory
) -> None:
    moves(world, "here:1")
    assert directory.peer(BETA).endpoint == "here:1"
    moves(world, "there:2")
    look_up = directory.look_up(BETA)
    reads = world.registry.reads
    assert look_up().endpoint == "here:1"
    assert world.registry.reads == reads
    assert look_up().endpoint == "there:2"
    moves(world, "yonder:3")
    assert look_up().endpoint == "yonder:3"


def test_a_second_look_brings_a_certificate_that_was_replaced(world: World, directory: Directory) -> None:
    look_up = directory.look_up(BETA)
    assert look_up().certificate == world.identities["beta"].certificate
    other = Identity.create("beta")
    world.registry.enter("beta", other.certificate)
    assert look_up().certificate == other.certificate


def test_each_look_up_begins_with_what_is_known_and_what_one_learns_all_know(
    world: World, directory: Directory
) -> None:
    moves(world, "here:1")
    first, second = directory.look_up(BETA), directory.look_up(BETA)
    first()
    moves(world, "there:2")
    assert second().endpoint == "here:1"
    first()
    assert directory.peer(BETA).endpoint == "there:2"


def test_a_look_that_the_chain_did_not_answer_is_not_answered_from_memory_either(
    world: World, directory: Directory
) -> None:
    look_up = directory.look_up(BETA)
    look_up()
    world.registry.away = True
    with pytest.raises(ChainUnreachableError):
        look_up()
    world.registry.away = False
    moves(world, "there:2")
    assert look_up().endpoint == "there:2"


def test_looking_one_party_up_anew_leaves_what_is_known_of_others(world: World, directory: Directory) -> None:
    directory.peer(address_of("alpha"))
    look_up = directory.look_up(BETA)
    look_up()
    look_up()
    reads = world.registry.reads
    directory.peer(address_of("alpha"))
    assert world.registry.reads == reads


def test_an_event_that_says_so_has_a_party_looked_up_anew(world: World, directory: Directory) -> None:
    directory.peer(BETA)
    moves(world, "there:2")
    entry = world.registry.entries[BETA]
    directory.observe(
        ServiceChanged(
            block_number=1,
            block_hash=bytes(32),
            log_index=0,
            transaction_hash=bytes(32),
            party=BETA,
            endpoint=entry.endpoint,
            fingerprint=entry.fingerprint,
        )
    )
    assert directory.look_up(BETA)().endpoint == "there:2"


def test_a_replaced_certificate_ends_within_a_minute_without_its_event_and_while_the_chain_is_away(
    world: World,
) -> None:
    now = [1000.0]
    directory = Directory(cast(Consortium, world.registry), clock=lambda: now[0])
    old = world.identities["beta"].certificate
    assert directory.peer(BETA).certificate == old
    new = Identity.create("beta").certificate
    world.registry.enter("beta", new)
    now[0] += STALE_SECONDS
    reads = world.registry.reads
    assert directory.peer(BETA).certificate == old
    assert world.registry.reads == reads
    now[0] += 0.1
    world.registry.away = True
    with pytest.raises(ChainUnreachableError):
        directory.peer(BETA)
    world.registry.away = False
    assert directory.peer(BETA).certificate == new
    assert directory.name_of(BETA) == "beta"
