"""What the doctor says of clock, balance and registry entry."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from fedchain.chain import ChainClient, Consortium, Participant
from fedchain.exchange import Identity
from fedchain.node.config import NodeConfig
from fedchain.node.doctor.chain import LEAST_GAS, LOW_GAS, check_balance, check_clock, check_registration
from fedchain.node.doctor.finding import Level
from fedchain.node.sections import ChainSection, DataSection, ServeSection
from fedchain.types import Status

ADDRESS = "0x" + "ab" * 20
NOW = 1_000_000


class Chain:
    """What the checks use of a chain."""

    chain_id = 4711

    def __init__(self, times: Sequence[int] = (), *, price: int = 0, balance: int = 0) -> None:
        self._times = times
        self._price = price
        self._balance = balance

    def block_time(self, number: int | str = "latest") -> tuple[int, int]:
        """Number and time."""
        place = len(self._times) - 1 if isinstance(number, str) else number
        return place, self._times[place]

    def fair_price(self) -> int:
        """Wei."""
        return self._price

    def balance(self, address: str) -> int:
        """Wei."""
        return self._balance


def clock(times: Sequence[int], *, dev: Sequence[int] = ()) -> Level:
    return check_clock(cast(ChainClient, Chain(times)), dev_chain_ids=dev, now=lambda: float(NOW)).level


@pytest.mark.parametrize(
    ("age", "level"), [(0, Level.OK), (19, Level.OK), (20, Level.WARN), (-15, Level.OK), (-16, Level.WARN)]
)
def test_a_block_may_be_fifteen_seconds_ahead_and_that_and_four_pauses_old(age: int, level: Level) -> None:
    times = [NOW - age - 10 + second for second in range(11)]
    assert clock(times) is level


def test_an_old_block_is_fine_where_blocks_are_rare() -> None:
    assert clock([NOW - 1000 - 300 * place for place in reversed(range(5))]) is Level.OK
    assert clock([NOW - 2000 - 300 * place for place in reversed(range(5))]) is Level.WARN


def test_a_development_chain_s_time_is_not_judged() -> None:
    assert clock([0, NOW - 86_400], dev=(4711,)) is Level.OK
    assert clock([0, NOW + 86_400], dev=(4711,)) is Level.OK


def test_a_chain_of_one_block_is_judged_by_that_block() -> None:
    assert clock([NOW]) is Level.OK


@pytest.mark.parametrize(
    ("price", "balance", "level"),
    [
        (0, 0, Level.OK),
        (7, 0, Level.FAIL),
        (7, 7 * LEAST_GAS - 1, Level.FAIL),
        (7, 7 * LEAST_GAS, Level.WARN),
        (7, 7 * LOW_GAS, Level.OK),
    ],
)
def test_a_balance_is_judged_by_the_gas_that_it_pays_for(price: int, balance: int, level: Level) -> None:
    assert check_balance(cast(ChainClient, Chain(price=price, balance=balance)), ADDRESS).level is level


class Registry:
    """What the check reads of a consortium."""

    def __init__(self, entry: Participant, holder: str | None = None) -> None:
        self._entry = entry
        self._holder = holder

    def participant(self, address: str) -> Participant:
        """The entry."""
        return self._entry

    def address_of(self, name: str) -> str | None:
        """Who has the name."""
        return self._holder


CONFIG = NodeConfig(
    name="bank",
    chain=ChainSection(rpc="http://127.0.0.1:1", deployment=Path("d.json")),
    data=DataSection(path=Path("t.csv")),
    serve=ServeSection(endpoint="bank.example.org:4433"),
)
IDENTITY = Identity.create("bank")


def levels(
    *,
    name: str = "bank",
    endpoint: str = "bank.example.org:4433",
    status: Status = Status.ACCREDITED,
    fingerprint: bytes = IDENTITY.fingerprint,
    holder: str | None = None,
    running: bool = False,
) -> dict[str, Level]:
    registry = Registry(Participant(ADDRESS, name, endpoint, status, 0, fingerprint), holder)
    found = check_registration(cast(Consortium, registry), CONFIG, ADDRESS, IDENTITY, running=running)
    return {one.check: one.level for one in found}


def test_an_accredited_node_with_its_certificate_is_well() -> None:
    assert levels() == {"registry": Level.OK, "registered certificate": Level.OK}


@pytest.mark.parametrize(
    ("status", "level"),
    [(Status.REGISTERED, Level.WARN), (Status.SUSPENDED, Level.FAIL), (Status.UNKNOWN, Level.WARN)],
)
def test_a_standing_other_than_accredited_is_told(status: Status, level: Level) -> None:
    assert levels(status=status)["registry"] is level


def test_a_name_that_belongs_to_another_fails() -> None:
    assert levels(status=Status.UNKNOWN, holder="0x" + "cd" * 20)["registry"] is Level.FAIL
    assert levels(name="shop")["registry"] is Level.FAIL


def test_another_endpoint_is_a_warning() -> None:
    assert levels(endpoint="old.example.org:1")["registered endpoint"] is Level.WARN


@pytest.mark.parametrize(("running", "level"), [(True, Level.FAIL), (False, Level.WARN)])
def test_another_certificate_is_worse_while_the_node_runs(running: bool, level: Level) -> None:
    assert levels(fingerprint=bytes(32), running=running)["registered certificate"] is level
