"""Puts the consortium's contracts on a chain, once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from eth_utils.address import is_address

from fedchain.chain.abi import checksum, constructor_data, function
from fedchain.chain.account import Account
from fedchain.chain.artifacts import CONTRACT_NAMES, JOBS, LEDGER, REGISTRY, ROUTER
from fedchain.chain.client import ChainClient
from fedchain.chain.deployment import DeployedContract, Deployment
from fedchain.chain.sender import Sender
from fedchain.chain.transaction import Call
from fedchain.chain.verifying import constructor_arguments
from fedchain.errors import ConfigError, ContractMissingError

Progress = Callable[[str], None]


def deploy(
    client: ChainClient,
    account: Account,
    stewards: Sequence[str],
    out: Path,
    *,
    progress: Progress | None = None,
) -> tuple[Deployment, bool]:
    """Deploy and wire the five contracts, and record them in a file; does nothing where that is done already.

    Args:
        client: the chain.
        account: deploys; its address administers the registry's roles from then on.
        stewards: addresses that may accredit participants, at least one.
        out: deployment file; when it exists and fits the chain, no transaction is sent.
        progress: called with one line before each transaction.

    Returns:
        The deployment, and whether it was made by this call.

    Raises:
        ConfigError: `out` is no deployment, or records other stewards; an address is malformed.
        WrongChainError: `out` is another chain's, or the chain was reset.
        ContractMissingError: a recorded contract is missing or changed.
        ChainError: a transaction failed.
    """
    malformed = [address for address in stewards if not is_address(address)]
    if malformed or not stewards:
        raise ConfigError(f"stewards: {malformed[0] if malformed else 'none given'}; name at least one 0x address")
    wanted = list(dict.fromkeys(checksum(address) for address in stewards))
    if out.exists():
        recorded = Deployment.load(out)
        recorded.check(client)
        if {checksum(address) for address in recorded.stewards} != set(wanted):
            raise ConfigError(
                f"deployment {out} has the stewards {', '.join(recorded.stewards)}, not {', '.join(wanted)}; "
                "give the recorded ones, or another file to deploy anew"
            )
        return recorded, False
    return _deploy_anew(client, Sender(client, account), wanted, out, progress or (lambda line: None)), True


def _deploy_anew(client: ChainClient, sender: Sender, stewards: list[str], out: Path, progress: Progress) -> Deployment:
    addresses: dict[str, str] = {}
    transactions: dict[str, str] = {}
    contracts: dict[str, DeployedContract] = {}
    for name in CONTRACT_NAMES:
        progress(f"deploying {name}")
        data = constructor_data(name, *constructor_arguments(name, addresses, stewards))
        receipt = sender.transact(Call(f"deployment of {name}", None, data))
        if receipt.contract_address is None:
            raise ContractMissingError(f"contract {name}: the node's receipt names no address for it")
        addresses[name] = checksum(receipt.contract_address)
        code_hash = client.code_hash(addresses[name])
        if code_hash is None:
            raise ContractMissingError(f"contract {name}: no code at {addresses[name]} after its deployment")
        contracts[name] = DeployedContract(address=addresses[name], code_hash="0x" + code_hash.hex())
        transactions[name] = "0x" + receipt.tx_hash.hex()

    role_reader = function(REGISTRY, "LEDGER_ROLE")
    role = client.call({"to": addresses[REGISTRY], "data": "0x" + role_reader.encode().hex()})
    wiring = (
        (REGISTRY, "grantRole", (*role_reader.decode(role), addresses[LEDGER])),
        (JOBS, "setLedger", (addresses[LEDGER],)),
        (LEDGER, "setRouter", (addresses[ROUTER],)),
    )
    for name, method, values in wiring:
        what = f"{name}.{method}"
        progress(f"calling {what}")
        call = Call(what, addresses[name], function(name, method).encode(*values))
        transactions[what] = "0x" + sender.transact(call).tx_hash.hex()

    deployment = Deployment(
        chain_id=client.chain_id,
        genesis_hash="0x" + client.genesis_hash().hex(),
        deployer=sender.address,
        stewards=stewards,
        contracts=contracts,
        transactions=transactions,
    )
    deployment.save(out)
    return deployment
