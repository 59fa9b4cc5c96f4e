"""What happens when the chain behind a deployment is another one, or its code is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedchain.chain import ChainClient, Consortium, DeployedContract, deploy, dev_accounts, start_dev_chain
from fedchain.chain.deploying import STEPS
from fedchain.errors import ConfigError, ContractMissingError, WrongChainError


def test_a_reset_chain_is_noticed_by_its_genesis_block(embedded: Any) -> None:
    with start_dev_chain("embedded") as chain:
        client = ChainClient(chain.rpc_url)
        assert client.chain_id == embedded.deployment.chain_id
        with pytest.raises(WrongChainError, match="genesis block"):
            Consortium(client, embedded.deployment)
        before = embedded.file.read_bytes()
        with pytest.raises(WrongChainError, match="deploy anew to a new file"):
            deploy(client, dev_accounts(1)[0], embedded.deployment.stewards, embedded.file)
        assert embedded.file.read_bytes() == before
        assert client.head() == 0


def altered(deployment: Any, name: str, **changes: str) -> Any:
    contract = DeployedContract(**{**deployment.contracts[name].model_dump(), **changes})
    return deployment.model_copy(update={"contracts": {**deployment.contracts, name: contract}})


def test_a_missing_contract_is_named_with_its_address(embedded: Any) -> None:
    address = "0x" + "12" * 20
    with pytest.raises(ContractMissingError, match=f"contract JobManager: no code at {address}"):
        Consortium(embedded.client, altered(embedded.deployment, "JobManager", address=address))


def test_changed_code_is_named_with_contract_and_address(embedded: Any, tmp_path: Path) -> None:
    wrong = altered(embedded.deployment, "UplinkLedger", code_hash="0x" + "00" * 32)
    address = embedded.deployment.contracts["UplinkLedger"].address
    with pytest.raises(ContractMissingError, match=f"contract UplinkLedger: the code at {address}.*not the recorded"):
        Consortium(embedded.client, wrong)
    wrong.save(tmp_path / "deployment.json")
    with pytest.raises(ContractMissingError, match="UplinkLedger"):
        deploy(embedded.client, embedded.accounts[0], wrong.stewards, tmp_path / "deployment.json")


def test_other_stewards_than_the_recorded_are_refused(embedded: Any) -> None:
    with pytest.raises(ConfigError, match="stewards"):
        deploy(embedded.client, embedded.accounts[0], [embedded.accounts[1].address], embedded.file)


@pytest.mark.parametrize("stewards", [[], ["nobody"], ["0x12"]])
def test_malformed_stewards_are_refused_before_anything_is_sent(
    embedded: Any, tmp_path: Path, stewards: list[str]
) -> None:
    head = embedded.client.head()
    with pytest.raises(ConfigError, match="stewards"):
        deploy(embedded.client, embedded.accounts[0], stewards, tmp_path / "deployment.json")
    assert embedded.client.head() == head
    assert not (tmp_path / "deployment.json").exists()


def test_progress_is_told_before_each_transaction(embedded: Any, tmp_path: Path) -> None:
    lines: list[str] = []
    account = embedded.accounts[5]
    nonce = embedded.client.nonce(account.address)
    deployment, created = deploy(
        embedded.client, account, [account.address], tmp_path / "other.json", progress=lines.append
    )
    assert created
    assert lines[0] == "deploying Stewards"
    assert len(lines) == len(deployment.transactions) == embedded.client.nonce(account.address) - nonce == STEPS
    assert deployment.deployer == account.address
