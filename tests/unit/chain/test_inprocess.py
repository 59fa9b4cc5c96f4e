"""The embedded chain without a server serves members as the one with a server does."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fedchain.chain import JobPolicy
from fedchain.chain.inprocess import InProcessConsortium
from fedchain.chain.rpc import RpcError
from fedchain.errors import TransactionError
from fedchain.types import Status


@pytest.fixture(scope="module")
def consortium() -> InProcessConsortium:
    return InProcessConsortium()


def test_who_is_enrolled_is_accredited_and_can_send(consortium: InProcessConsortium) -> None:
    member = consortium.enrol("alpha")
    assert member.sender is not None
    found = consortium.steward.participant(member.sender.address)
    assert (found.name, found.status) == ("alpha", Status.ACCREDITED)
    assert member.acting_for() == member.sender.address


def test_a_revert_is_a_typed_error_as_over_http(consortium: InProcessConsortium) -> None:
    lone = consortium.enrol("lone")
    assert lone.sender is not None
    with pytest.raises(TransactionError, match=r"RosterSizeInvalid\(1\)|RosterSizeInvalid"):
        lone.propose(b"{}", [lone.sender.address], JobPolicy(1 << 20, 10, 10**7))


def test_time_passes_as_fast_as_it_is_told(consortium: InProcessConsortium) -> None:
    before = consortium.now()
    consortium.advance(86_400)
    consortium.enrol("later")
    assert before + 86_400 <= consortium.now() < before + 86_400 + 600
    with pytest.raises(RpcError, match="clock goes"):
        consortium.advance(-1)


def test_two_consortia_are_two_chains(consortium: InProcessConsortium) -> None:
    assert InProcessConsortium().deployment.genesis_hash != consortium.deployment.genesis_hash


@pytest.mark.parametrize(("has_server", "balance", "sent"), [(False, 0, 0), (True, 0, 1), (True, 10**18, 0)])
def test_a_member_with_little_ether_is_given_more_where_gas_costs(
    consortium: InProcessConsortium, monkeypatch: pytest.MonkeyPatch, has_server: bool, balance: int, sent: int
) -> None:
    member = consortium.steward
    given: list[tuple[str, int]] = []
    monkeypatch.setattr(consortium, "_server", object() if has_server else None)
    monkeypatch.setattr(consortium.client, "balance", lambda address: balance)
    monkeypatch.setattr(
        consortium, "_bank", SimpleNamespace(transfer=lambda address, wei: given.append((address, wei)))
    )
    consortium.fund(member)
    assert member.sender is not None
    assert given == [(member.sender.address, 10**18)] * sent
