"""Several stewards decide: votes on members and on themselves, on one embedded chain with contracts of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from fedchain.chain import (
    Account,
    ChainClient,
    Consortium,
    Deployment,
    ParticipantAccredited,
    ParticipantBanned,
    Sender,
    StandingVoted,
    StewardsChanged,
    VoteCast,
    check_contracts,
    deploy,
    dev_accounts,
    start_dev_chain,
)
from fedchain.errors import ConfigError, TransactionError
from fedchain.types import Status
from tests.certificates import STAND_IN_KEY, stand_in_certificate

NUMBERS = count(1)


@dataclass
class Council:
    """A chain with contracts, and three stewards of whom two decide."""

    client: ChainClient
    deployment: Deployment
    stewards: list[Consortium]

    def newcomer(self) -> Consortium:
        """Somebody who has registered just now."""
        account, name = Account.create(), f"newcomer-{next(NUMBERS)}"
        Sender(self.client, dev_accounts(5)[4]).transfer(account.address, 10**18)
        own = Consortium(self.client, self.deployment, Sender(self.client, account))
        own.register(name, "127.0.0.1:1", stand_in_certificate(name), STAND_IN_KEY)
        return own


@pytest.fixture(scope="module")
def council(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Council]:
    with start_dev_chain("embedded") as chain, ChainClient(chain.rpc_url) as client:
        accounts = dev_accounts(3)
        out = tmp_path_factory.mktemp("council") / "deployment.json"
        deployment, _ = deploy(client, accounts[0], [one.address for one in accounts], out, delay_seconds=0)
        yield Council(client, deployment, [Consortium(client, deployment, Sender(client, one)) for one in accounts])


def address_of(consortium: Consortium) -> str:
    assert consortium.sender is not None
    return consortium.sender.address


def test_more_than_half_of_the_stewards_decide_by_default(council: Council) -> None:
    assert (council.deployment.threshold, council.deployment.delay_seconds) == (2, 0)
    stewards = council.stewards[0].stewards
    assert stewards.members() == tuple(council.deployment.stewards)
    assert (stewards.threshold(), stewards.epoch()) == (2, 1)
    assert stewards.is_steward(council.deployment.stewards[2])
    assert [one.problem for one in check_contracts(council.client, council.deployment)] == [""] * 13


def test_one_vote_changes_nothing_and_the_second_carries(council: Council) -> None:
    first, second, third = council.stewards
    address = address_of(council.newcomer())
    epoch = first.registry_epoch()
    vote = first.accredit(address)
    assert (str(vote), vote.carried) == ("1 of 2 votes", False)
    kinds = [type(event) for event in vote.receipt.events]
    assert kinds == [VoteCast, StandingVoted]
    assert (first.participant(address).status, first.registry_epoch()) == (Status.REGISTERED, epoch)
    assert first.stewards.voters(address, Status.ACCREDITED) == (council.deployment.stewards[0],)
    with pytest.raises(TransactionError, match="AlreadyVoted"):
        first.accredit(address)
    vote = third.accredit(address)
    assert (str(vote), vote.carried) == ("2 of 2 votes", True)
    assert isinstance(vote.receipt.events[-1], ParticipantAccredited)
    assert (first.participant(address).status, first.registry_epoch()) == (Status.ACCREDITED, epoch + 1)
    assert first.stewards.voters(address, Status.ACCREDITED) == ()
    with pytest.raises(TransactionError, match="WrongStatus"):
        second.accredit(address)


def test_whoever_is_no_steward_has_no_vote(council: Council) -> None:
    own = council.newcomer()
    for call in (own.stewards.accredit, own.stewards.reinstate):
        with pytest.raises(TransactionError, match=r"NotSteward|WrongStatus"):
            call(address_of(own))
    with pytest.raises(TransactionError, match="NotSteward"):
        own.stewards.ban(address_of(own), "myself")


def test_a_ban_is_for_ever_and_each_reason_is_on_record(council: Council) -> None:
    first, second, _ = council.stewards
    own = council.newcomer()
    first.stewards.ban(address_of(own), "forged payloads")
    vote = second.stewards.ban(address_of(own), "lied about it")
    reasons = [event.reason for event in vote.receipt.events if isinstance(event, (StandingVoted, ParticipantBanned))]
    assert reasons == ["lied about it"] * 2
    assert own.participant(address_of(own)).status is Status.BANNED
    with pytest.raises(TransactionError, match="PartyBanned"):
        own.set_service("127.0.0.1:2", b"another")
    with pytest.raises(TransactionError, match="PartyBanned"):
        first.stewards.ban(address_of(own), "again")


def test_the_stewards_vote_for_others_and_open_votes_are_void(council: Council) -> None:
    first, second, third = council.stewards
    earlier = council.deployment.stewards
    address = address_of(council.newcomer())
    third.accredit(address)
    assert not first.stewards.change(earlier[:2], 1).carried
    vote = second.stewards.change(earlier[:2], 1)
    changed = [event for event in vote.receipt.events if isinstance(event, StewardsChanged)]
    assert [(event.stewards, event.threshold) for event in changed] == [(tuple(earlier[:2]), 1)]
    assert first.stewards.voters(address, Status.ACCREDITED) == ()
    with pytest.raises(TransactionError, match="NotSteward"):
        third.accredit(address)
    assert first.accredit(address).carried
    assert second.stewards.change(earlier, 2).carried
    assert first.stewards.epoch() == 3
    # what is recorded is what was deployed, and still as packaged
    assert [one.problem for one in check_contracts(council.client, council.deployment)] == [""] * 13


def test_terms_out_of_bounds_or_unlike_the_recorded_ones_are_refused(council: Council, tmp_path: Path) -> None:
    accounts, out = dev_accounts(3), tmp_path / "deployment.json"
    three = [one.address for one in accounts]
    with pytest.raises(ConfigError, match="4 votes of 3 stewards; give 1 to 3"):
        deploy(council.client, accounts[0], three, out, threshold=4)
    with pytest.raises(ConfigError, match="give 0 to 31536000"):
        deploy(council.client, accounts[0], three, out, delay_seconds=31_536_001)
    with pytest.raises(ConfigError, match="33 given"):
        deploy(council.client, accounts[0], [Account.create().address for _ in range(33)], out)
    assert not out.exists()
    council.deployment.save(out)
    with pytest.raises(ConfigError, match="has the threshold 2, not 3"):
        deploy(council.client, accounts[0], three, out, threshold=3)
    with pytest.raises(ConfigError, match="has the delay 0, not 5"):
        deploy(council.client, accounts[0], None, out, delay_seconds=5)
