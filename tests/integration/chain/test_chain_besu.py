"""What is particular about Besu, against a node that stands in for it: free gas, limits of logs, QBFT's blocks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fedchain.chain import (
    Account,
    Call,
    ChainClient,
    ChangeApplied,
    Consortium,
    GateAdmitted,
    Sender,
    StewardsChanged,
    check_contracts,
    deploy,
    dev_accounts,
)
from fedchain.chain.artifacts import CONTRACT_NAMES
from fedchain.chain.deploying import STEPS
from fedchain.chain.refusals import is_known, is_nonce, is_poor, is_price
from fedchain.chain.rpc import RpcError
from fedchain.data.builtin import BUILTIN_PARTIES, write_breast_cancer
from fedchain.errors import ChainError, ChainUnreachableError, TransactionError
from fedchain.node.control_client import ControlClient
from fedchain.node.init import init_node
from fedchain.node.processes import NodeProcess
from fedchain.types import PartyId, Phase, Status
from tests.certificates import STAND_IN_KEY, stand_in_certificate
from tests.e2e.federation import wait_for
from tests.integration.chain.besu import BesuNode, besu_node

JOB = """
name = "on-besu"
[algorithm]
mode = "standard"
trees = 2
depth = 2
bins = 8
[alignment]
min_rows = 50
[policy]
deadline_seconds = 100
[[parties]]
name = "operator"
role = "active"
label = "diagnosis"
positive = "malignant"
[[parties]]
name = "partner_a"
role = "passive"
[[parties]]
name = "partner_b"
role = "passive"
"""


@pytest.fixture
def node() -> Iterator[BesuNode]:
    with besu_node(largest_range=20) as one:
        yield one


@pytest.fixture
def client(node: BesuNode) -> Iterator[ChainClient]:
    with ChainClient(node.rpc_url) as one:
        yield one


@pytest.fixture
def consortium(client: ChainClient, tmp_path: Path) -> Consortium:
    """Deployed by an account without any ether, which is the steward, too."""
    account = Account.create()
    deployment, _ = deploy(client, account, None, tmp_path / "deployment.json")
    return Consortium(client, deployment, Sender(client, account))


def test_an_account_without_ether_deploys_and_takes_part_for_nothing(
    node: BesuNode, client: ChainClient, consortium: Consortium
) -> None:
    party = Account.create()
    own = Consortium(client, consortium.deployment, Sender(client, party))
    own.register("operator", "127.0.0.1:1", stand_in_certificate("operator"), STAND_IN_KEY)
    consortium.accredit(party.address)
    assert own.participant(party.address).status is Status.ACCREDITED
    assert client.fair_price() == 0
    assert len(node.gas_prices) == STEPS + 2
    assert set(node.gas_prices) == {0}
    assert client.balance(party.address) == client.balance(consortium.deployment.deployer) == 0


def test_contracts_can_be_verified(client: ChainClient, consortium: Consortium) -> None:
    assert [one.problem for one in check_contracts(client, consortium.deployment)] == [""] * len(CONTRACT_NAMES)


def test_blocks_with_a_long_extra_data_are_read_where_web3_needs_its_middleware(
    node: BesuNode, client: ChainClient, consortium: Consortium
) -> None:
    from web3 import Web3
    from web3.exceptions import ExtraDataLengthError
    from web3.middleware import ExtraDataToPOAMiddleware

    plain = Web3(Web3.HTTPProvider(node.rpc_url))
    with pytest.raises(ExtraDataLengthError):
        plain.eth.get_block(3)
    aware = Web3(Web3.HTTPProvider(node.rpc_url))
    aware.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
    block = aware.eth.get_block(3)
    assert len(block["proofOfAuthorityData"]) > 32
    assert client.block_hash(3) == bytes(block["hash"])
    assert client.block_time(3) == (3, block["timestamp"])
    assert (client.base_fee(), client.usage(1, 3).transactions) == (0, 3)


def test_logs_beyond_the_head_are_refused_and_never_asked_for(
    node: BesuNode, client: ChainClient, consortium: Consortium
) -> None:
    with pytest.raises(RpcError, match="beyond current head"):
        client.logs(list(consortium.deployment.addresses.values()), 0, client.head() + 1)
    node.refused.clear()
    assert {type(one) for one in consortium.events(0, client.head())} == {StewardsChanged, GateAdmitted, ChangeApplied}
    assert consortium.events(client.head() + 1, client.head()) == []
    assert node.refused == []


def test_a_revert_is_told_with_its_reason(client: ChainClient, consortium: Consortium) -> None:
    stranger = Consortium(client, consortium.deployment, Sender(client, Account.create()))
    with pytest.raises(TransactionError, match="WrongStatus"):
        stranger.accredit(dev_accounts(1)[0].address)


def test_besus_words_are_understood() -> None:
    def refusal(message: str) -> RpcError:
        return RpcError("eth_sendRawTransaction", -32000, message, None)

    assert is_known(refusal("Known transaction"))
    assert is_nonce(refusal("Nonce too low"))
    assert is_nonce(refusal("Replacement transaction underpriced"))
    assert is_poor(refusal("Upfront cost exceeds account balance"))
    assert is_price(refusal("Gas price below configured minimum gas price"))
    assert is_price(refusal("Gas price below current base fee"))


def test_a_poor_account_is_told_what_it_lacks(client: ChainClient) -> None:
    poor = Account.create()
    with pytest.raises(ChainError, match=f"account {poor.address} has too little ether"):
        Sender(client, poor).transact(Call("a gift", dev_accounts(1)[0].address, b"", 5), 21_000)


def test_a_host_that_is_not_on_besus_list_is_told() -> None:
    with (
        besu_node(hosts=["validator-1"]) as strict,
        pytest.raises(ChainUnreachableError, match="HTTP status 403, Host not authorized; Besu answers so"),
    ):
        ChainClient(strict.rpc_url)


def is_registered(steward: Consortium, address: str) -> bool:
    return steward.participant(address).status is Status.REGISTERED


@pytest.mark.soak
def test_nodes_without_ether_take_a_whole_job_through_it(tmp_path: Path) -> None:
    write_breast_cancer(tmp_path)
    (tmp_path / "job.toml").write_text(JOB)
    parties = tuple(PartyId(name) for name in BUILTIN_PARTIES)
    with contextlib.ExitStack() as stack:
        besu = stack.enter_context(besu_node(largest_range=20))
        client = stack.enter_context(ChainClient(besu.rpc_url))
        account, deployment_file = Account.create(), tmp_path / "deployment.json"
        deployment, _ = deploy(client, account, None, deployment_file)
        steward = Consortium(client, deployment, Sender(client, account))
        nodes = {}
        for name in parties:
            config = init_node(tmp_path / name, name, deployment_file, besu.rpc_url, tmp_path / f"{name}.csv")
            nodes[name] = stack.enter_context(NodeProcess.start(name, config, tmp_path / name))
        for name in parties:
            address = nodes[name].address
            wait_for(partial(is_registered, steward, address), f"{name} to register")
            steward.accredit(address)

        def submit() -> Any:
            with contextlib.suppress(Exception), ControlClient(nodes[parties[0]].config.control_socket) as control:
                return control.submit((tmp_path / "job.toml").read_bytes())
            return None

        job_id = wait_for(submit, "the job's proposal")
        wait_for(lambda: steward.job(job_id).phase in (Phase.COMPLETED, Phase.ABORTED), "the job's end")
        for one in nodes.values():
            one.require_alive()
        assert steward.job(job_id).phase is Phase.COMPLETED
        assert client.head() > 2 * besu.largest_range
        assert all(client.balance(one.address) == 0 for one in nodes.values())
    assert set(besu.gas_prices) == {0}
    assert not [one for one in besu.refused if "head" in one]
