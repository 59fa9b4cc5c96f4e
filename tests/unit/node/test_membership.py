"""Joining: the registry's entry has this node's endpoint and certificate, and is touched only when it has not."""

from __future__ import annotations

from typing import cast

import pytest

from fedchain.chain import Consortium, Participant
from fedchain.errors import ConfigError
from fedchain.exchange.tls import fingerprint_of
from fedchain.node.membership import join
from fedchain.types import PartyId, Status

ADDRESS = "0x" + "ab" * 20
ENDPOINT = "node.example.org:4433"
UNKNOWN = Participant(ADDRESS, "", "", Status.UNKNOWN, 0, bytes(32))


class Registry:
    """What `join` uses of a consortium, and what it did."""

    def __init__(self, entry: Participant, holder: str | None = None) -> None:
        self.entry = entry
        self.holder = holder
        self.written: list[tuple[object, ...]] = []

    def participant(self, address: str) -> Participant:
        """The entry."""
        return self.entry

    def address_of(self, name: str) -> str | None:
        """Who has the name."""
        return self.holder

    def register(self, name: str, endpoint: str, certificate: bytes) -> None:
        """Noted."""
        self.written.append(("register", name, endpoint, certificate))

    def set_service(self, endpoint: str, certificate: bytes) -> None:
        """Noted."""
        self.written.append(("set_service", endpoint, certificate))


def joined(registry: Registry) -> Status:
    return join(
        cast(Consortium, registry), address=ADDRESS, name=PartyId("alpha"), endpoint=ENDPOINT, certificate=b"mine"
    )


def entry(name: str = "alpha", endpoint: str = ENDPOINT, certificate: bytes = b"mine") -> Participant:
    return Participant(ADDRESS, name, endpoint, Status.ACCREDITED, 0, fingerprint_of(certificate))


def test_an_unknown_node_registers_endpoint_and_certificate() -> None:
    registry = Registry(UNKNOWN)
    assert joined(registry) == Status.REGISTERED
    assert registry.written == [("register", "alpha", ENDPOINT, b"mine")]


def test_an_entry_that_is_right_is_left_alone() -> None:
    registry = Registry(entry())
    assert joined(registry) == Status.ACCREDITED
    assert registry.written == []


@pytest.mark.parametrize("stale", [entry(endpoint="127.0.0.1:1"), entry(certificate=b"earlier")])
def test_another_endpoint_or_certificate_is_replaced_and_the_standing_stays(stale: Participant) -> None:
    registry = Registry(stale)
    assert joined(registry) == Status.ACCREDITED
    assert registry.written == [("set_service", ENDPOINT, b"mine")]


def test_a_name_of_another_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="registered by 0xother"):
        joined(Registry(UNKNOWN, holder="0xother"))


def test_an_address_of_another_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="registered as 'beta'"):
        joined(Registry(entry(name="beta")))
