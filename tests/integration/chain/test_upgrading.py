"""A consortium moves to another version of its contracts; members stay, and the earlier version stays readable."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedchain.chain import (
    Account,
    ChainClient,
    Consortium,
    Deployment,
    Sender,
    check_contracts,
    deploy,
    dev_accounts,
    start_dev_chain,
    upgrade,
)
from fedchain.chain import upgrading as module
from fedchain.chain.artifacts import ANOMALIES, CONTRACT_NAMES, LASTING, LATER, VERSIONED
from fedchain.chain.deploylog import progress_path
from fedchain.chain.upgrading import UPGRADE_STEPS, candidate_path, version_path
from fedchain.errors import ConfigError, ContractMissingError
from fedchain.types import Status
from tests.certificates import STAND_IN_KEY, stand_in_certificate


class Killed(BaseException):
    """Stands in for a process's end: nothing in the code under test catches it for good."""


@pytest.fixture(scope="module")
def client() -> Iterator[ChainClient]:
    with start_dev_chain("embedded") as chain, ChainClient(chain.rpc_url) as one:
        yield one


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "deployment.json"


@pytest.fixture
def earlier_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The contracts on the chain pass for those of an earlier package, until they have been replaced."""
    monkeypatch.setattr(module, "is_current", lambda client, recorded: recorded.version > 1)


def member(client: ChainClient, deployment: Deployment, stewards: list[Account]) -> str:
    account = Account.create()
    Sender(client, dev_accounts(5)[4]).transfer(account.address, 10**18)
    own = Consortium(client, deployment, Sender(client, account))
    own.register("member", "127.0.0.1:1", stand_in_certificate("member"), STAND_IN_KEY)
    for steward in stewards:
        Consortium(client, deployment, Sender(client, steward)).accredit(account.address)
    return account.address


@pytest.mark.usefixtures("earlier_code")
def test_two_stewards_upgrade_and_nothing_of_the_old_version_is_lost(client: ChainClient, out: Path) -> None:
    first, second = dev_accounts(2)
    old, _ = deploy(client, first, [first.address, second.address], out, threshold=2, delay_seconds=0)
    address = member(client, old, [first, second])

    begun = upgrade(client, first, out)
    assert (begun.changed, begun.in_force, begun.gate_admitted) == (True, False, False)
    assert (begun.gate_votes, begun.change_votes, begun.threshold, begun.not_before) == (1, 1, 2, 0)
    assert Deployment.load(out) == old
    again = upgrade(client, first, out)
    assert (again.changed, again.change_votes, again.candidate) == (False, 1, begun.candidate)

    # the other steward has the two files, and looks at the candidate before it votes
    folder = out.parent / "other"
    folder.mkdir()
    theirs = folder / out.name
    for source, target in ((out, theirs), (candidate_path(out), candidate_path(theirs))):
        target.write_bytes(source.read_bytes())
    done = upgrade(client, second, theirs)
    assert (done.changed, done.in_force, done.gate_admitted) == (True, True, True)
    assert done.earlier == version_path(theirs, 1)
    assert Deployment.load(done.earlier) == old
    new = Deployment.load(theirs)
    assert (new, new.version) == (begun.candidate, 2)
    assert not candidate_path(theirs).exists()

    # the first takes the files over, and then there is nothing to do
    assert upgrade(client, first, out).in_force
    assert Deployment.load(out) == new
    assert Deployment.load(version_path(out, 1)) == old
    nonce = client.nonce(first.address)
    idle = upgrade(client, first, out)
    assert (idle.changed, idle.in_force, idle.earlier) == (False, True, version_path(out, 1))
    assert client.nonce(first.address) == nonce

    for name in CONTRACT_NAMES:
        assert (new.addresses[name] == old.addresses[name]) is (name in LASTING)
    for deployment in (old, new):
        assert [one.problem for one in check_contracts(client, deployment)] == [""] * len(CONTRACT_NAMES)
        view = Consortium(client, deployment)
        assert view.participant(address).status is Status.ACCREDITED
        assert view.versions.current() == 2
        for name in VERSIONED:
            assert view.versions.address_of(name, deployment.version) == deployment.addresses[name]
        assert view.stewards.is_gate(deployment.addresses[ANOMALIES])


def test_a_consortium_that_has_not_all_contracts_yet_gets_them(client: ChainClient, out: Path) -> None:
    steward = dev_accounts(1)[0]
    full, _ = deploy(client, steward, None, out, delay_seconds=0)
    old = full.model_copy(
        update={"contracts": {name: full.contracts[name] for name in full.contracts if name not in LATER}}
    )
    old.save(out)
    assert Deployment.load(out) == old
    assert [one.name for one in check_contracts(client, old)] == [one for one in CONTRACT_NAMES if one not in LATER]
    done = upgrade(client, steward, out)
    assert (done.changed, done.in_force) == (True, True)
    new = Deployment.load(out)
    assert set(new.contracts) == set(CONTRACT_NAMES)
    assert [one.problem for one in check_contracts(client, new)] == [""] * len(CONTRACT_NAMES)
    assert Deployment.load(version_path(out, 1)) == old


@pytest.mark.usefixtures("earlier_code")
def test_a_change_waits_for_its_delay(client: ChainClient, out: Path) -> None:
    steward = dev_accounts(1)[0]
    old, _ = deploy(client, steward, None, out, delay_seconds=3600)
    begun = upgrade(client, steward, out)
    assert (begun.in_force, begun.gate_admitted, begun.change_votes) == (False, True, 1)
    assert begun.not_before == pytest.approx(client.block_time()[1] + 3600, abs=60)
    assert time.time() < begun.not_before
    assert Deployment.load(out) == old
    assert not upgrade(client, steward, out).in_force
    pending = Consortium(client, old).versions.pending()
    assert pending is not None
    assert (pending.version, set(pending.addresses)) == (2, set(VERSIONED))
    # verified while it is pending, too: whoever gets the candidate looks at it first
    candidate = Deployment.load(candidate_path(out))
    assert [one.problem for one in check_contracts(client, candidate)] == [""] * len(CONTRACT_NAMES)
    stewarding = Consortium(client, old, Sender(client, steward))
    assert stewarding.versions.cancel().carried
    assert stewarding.versions.pending() is None


@pytest.mark.usefixtures("earlier_code")
def test_an_upgrade_that_is_killed_at_any_transaction_is_gone_on_with(
    client: ChainClient, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steward = Account.create()
    Sender(client, dev_accounts(5)[4]).transfer(steward.address, 10**19)
    deploy(client, steward, None, out, delay_seconds=0)
    start = client.nonce(steward.address)
    send = ChainClient.send_raw

    def killed_after(self: ChainClient, raw: bytes) -> bytes:
        send(self, raw)
        raise Killed

    votes = 3  # the gate, the change, and its coming into force
    for step in range(1, UPGRADE_STEPS + votes + 1):
        with monkeypatch.context() as patch:
            patch.setattr(ChainClient, "send_raw", killed_after)
            with pytest.raises(Killed):
                upgrade(client, steward, out)
        assert client.nonce(steward.address) == start + step, f"step {step}"
    done = upgrade(client, steward, out)
    assert done.in_force
    assert client.nonce(steward.address) == start + UPGRADE_STEPS + votes
    assert not progress_path(candidate_path(out)).exists()
    assert Deployment.load(out).version == 2


@pytest.mark.usefixtures("earlier_code")
def test_killed_between_the_files_it_goes_on(client: ChainClient, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steward = dev_accounts(1)[0]
    old, _ = deploy(client, steward, None, out, delay_seconds=0)
    save = Deployment.save

    for last in ("deployment.v1.json", "deployment.json"):

        def saved(self: Deployment, path: Path, last: str = last) -> None:
            save(self, path)
            if path.name == last:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(Deployment, "save", saved)
            with pytest.raises(Killed):
                upgrade(client, steward, out)
    done = upgrade(client, steward, out)
    assert done.in_force
    assert not candidate_path(out).exists()
    assert Deployment.load(version_path(out, 1)) == old
    assert Deployment.load(out).version == 2


def test_there_is_nothing_to_upgrade_to_where_the_contracts_are_as_packaged(client: ChainClient, out: Path) -> None:
    steward = dev_accounts(1)[0]
    old, _ = deploy(client, steward, None, out)
    assert old.delay_seconds == 172_800
    nonce = client.nonce(steward.address)
    done = upgrade(client, steward, out)
    assert (done.changed, done.in_force, done.candidate, done.earlier) == (False, True, old, None)
    assert client.nonce(steward.address) == nonce


@pytest.mark.usefixtures("earlier_code")
def test_only_a_steward_with_the_file_in_force_and_a_candidate_as_packaged_has_a_say(
    client: ChainClient, out: Path
) -> None:
    first, second = dev_accounts(2)
    old, _ = deploy(client, first, [first.address, second.address], out, threshold=2)
    with pytest.raises(ConfigError, match="is no steward"):
        upgrade(client, Account.create(), out)
    upgrade(client, first, out)
    candidate = Deployment.load(candidate_path(out))

    contracts = {**candidate.contracts, "JobManager": candidate.contracts["UplinkLedger"]}
    candidate.model_copy(update={"contracts": contracts}).save(candidate_path(out))
    with pytest.raises(ContractMissingError, match="JobManager"):
        upgrade(client, second, out)
    contracts = {**candidate.contracts, "Stewards": candidate.contracts["UplinkLedger"]}
    candidate.model_copy(update={"contracts": contracts}).save(candidate_path(out))
    with pytest.raises(ConfigError, match="its Stewards is another"):
        upgrade(client, second, out)
    candidate.model_copy(update={"version": 7}).save(candidate_path(out))
    with pytest.raises(ConfigError, match="it is version 7"):
        upgrade(client, second, out)
    stewards = Consortium(client, old).stewards
    assert stewards.votes("ParticipantRegistry", stewards.gate_motion(candidate.addresses[ANOMALIES])) == 1
