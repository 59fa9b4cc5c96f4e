"""Joining: the registry's entry has this node's endpoint and certificate, and is touched only when it has not."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from fedchain.chain import Consortium, Participant
from fedchain.errors import ChainUnreachableError, ConfigError, NotAccreditedError
from fedchain.exchange.tls import fingerprint_of
from fedchain.exchange.waits import Waits
from fedchain.node import membership
from fedchain.node.membership import STEWARDS, join, wait_until_accredited
from fedchain.types import PartyId, Status

ADDRESS = "0x" + "ab" * 20
ENDPOINT = "node.example.org:4433"
KEY = b"\x01" * 32
UNKNOWN = Participant(ADDRESS, "", "", Status.UNKNOWN, 0, bytes(32))


class Registry:
    """What `join` uses of a consortium, and what it did."""

    def __init__(self, entry: Participant, holder: str | None = None) -> None:
        self.entry = entry
        self.holder = holder
        self.sender = SimpleNamespace(address=ADDRESS)
        self.written: list[tuple[object, ...]] = []

    def participant(self, address: str) -> Participant:
        """The entry."""
        return self.entry

    def address_of(self, name: str) -> str | None:
        """Who has the name."""
        return self.holder

    def register(self, name: str, endpoint: str, certificate: bytes, encryption_key: bytes) -> None:
        """Noted."""
        self.written.append(("register", name, endpoint, certificate, encryption_key))

    def set_encryption_key(self, encryption_key: bytes) -> None:
        """Noted."""
        self.written.append(("set_encryption_key", encryption_key))

    def set_service(self, endpoint: str, certificate: bytes) -> None:
        """Noted."""
        self.written.append(("set_service", endpoint, certificate))


def joined(registry: Registry) -> Status:
    return join(
        cast(Consortium, registry),
        address=ADDRESS,
        name=PartyId("alpha"),
        endpoint=ENDPOINT,
        certificate=b"mine",
        encryption_key=KEY,
    )


def entry(
    name: str = "alpha",
    endpoint: str = ENDPOINT,
    certificate: bytes = b"mine",
    key: bytes = KEY,
    signer: str = ADDRESS,
) -> Participant:
    return Participant(ADDRESS, name, endpoint, Status.ACCREDITED, 0, fingerprint_of(certificate), key, signer)


def test_an_unknown_node_registers_endpoint_and_certificate() -> None:
    registry = Registry(UNKNOWN)
    assert joined(registry) == Status.REGISTERED
    assert registry.written == [("register", "alpha", ENDPOINT, b"mine", KEY)]


def test_an_entry_that_is_right_is_left_alone() -> None:
    registry = Registry(entry())
    assert joined(registry) == Status.ACCREDITED
    assert registry.written == []


@pytest.mark.parametrize("stale", [entry(endpoint="127.0.0.1:1"), entry(certificate=b"earlier")])
def test_another_endpoint_or_certificate_is_replaced_and_the_standing_stays(stale: Participant) -> None:
    registry = Registry(stale)
    assert joined(registry) == Status.ACCREDITED
    assert registry.written == [("set_service", ENDPOINT, b"mine")]


def test_another_encryption_key_is_replaced() -> None:
    registry = Registry(entry(key=b"\x02" * 32))
    assert joined(registry) == Status.ACCREDITED
    assert registry.written == [("set_encryption_key", KEY)]


def test_a_key_that_was_rotated_away_is_refused() -> None:
    with pytest.raises(ConfigError, match="was rotated to 0xnew, and this keystore holds"):
        joined(Registry(entry(signer="0xnew")))


def test_a_banned_party_writes_nothing_and_waits_for_nobody() -> None:
    banned = replace(entry(endpoint="127.0.0.1:1"), status=Status.BANNED)
    registry = Registry(banned)
    assert joined(registry) == Status.BANNED
    assert registry.written == []
    with pytest.raises(NotAccreditedError, match="banned, for ever"):
        awaited(Status.BANNED)


def test_a_name_of_another_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="registered by 0xother"):
        joined(Registry(UNKNOWN, holder="0xother"))


def test_an_address_of_another_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="registered as 'beta'"):
        joined(Registry(entry(name="beta")))


class Answers:
    """Gives standings, or raises errors, one after the other; the last one again and again."""

    def __init__(self, *answers: Status | Exception, waits: Waits) -> None:
        self._answers = list(answers)
        self._waits = waits
        self.seen: list[tuple[str, tuple[str, ...]]] = []

    def participant(self, address: str) -> Participant:
        """The next one."""
        self.seen += [(one.about, one.who) for one in self._waits.current()]
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return Participant(ADDRESS, "alpha", ENDPOINT, answer, 0, bytes(32))


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "_POLL_SECONDS", 0.001)


def awaited(*answers: Status | Exception, wait: bool = True, limit: float = 30.0, stopped: bool = False) -> Answers:
    waits, stop = Waits(), threading.Event()
    if stopped:
        stop.set()
    registry = Answers(*answers, waits=waits)
    is_accredited = wait_until_accredited(
        cast(Consortium, registry),
        address=ADDRESS,
        name=PartyId("alpha"),
        stop=stop,
        wait=wait,
        limit_seconds=limit,
        waits=waits,
    )
    assert is_accredited is not stopped
    assert waits.current() == []
    return registry


def test_a_node_waits_through_an_outage_until_it_is_accredited_and_is_seen_to_wait_for_the_stewards() -> None:
    registry = awaited(Status.REGISTERED, ChainUnreachableError("down"), Status.REGISTERED, Status.ACCREDITED)
    assert registry.seen == [("accreditation", (STEWARDS,))] * 4


def test_a_node_that_is_stopped_waits_no_longer() -> None:
    awaited(Status.REGISTERED, stopped=True)


def test_the_wait_for_accreditation_has_a_limit() -> None:
    with pytest.raises(NotAccreditedError, match="ask a steward to accredit"):
        awaited(Status.REGISTERED, limit=0.02)
    with pytest.raises(ChainUnreachableError):
        awaited(ChainUnreachableError("down"), limit=0.02)


def test_whoever_does_not_wait_is_told_at_once() -> None:
    with pytest.raises(NotAccreditedError, match="not accredited yet"):
        awaited(Status.REGISTERED, wait=False)
    with pytest.raises(ChainUnreachableError):
        awaited(ChainUnreachableError("down"), Status.ACCREDITED, wait=False)
    with pytest.raises(NotAccreditedError, match="suspended"):
        awaited(Status.SUSPENDED)
