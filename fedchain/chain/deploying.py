"""Puts the consortium's contracts on a chain, once: a run that was killed is finished by the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from eth_utils.address import is_address

from fedchain.chain.abi import checksum, constructor_data, function
from fedchain.chain.account import Account
from fedchain.chain.artifacts import ANOMALIES, CONTRACT_NAMES, DIRECTORY, JOBS, LEDGER, PROOFS, REGISTRY, ROUTER
from fedchain.chain.client import ChainClient
from fedchain.chain.deploylog import DeployLog, progress_path
from fedchain.chain.deployment import DeployedContract, Deployment
from fedchain.chain.sender import Sender
from fedchain.chain.transaction import Call, Receipt
from fedchain.chain.verifying import constructor_arguments
from fedchain.errors import ConfigError, ContractMissingError, TransactionError

Progress = Callable[[str], None]

STEPS = len(CONTRACT_NAMES) + 5
"""Transactions of a deployment."""


def deploy(
    client: ChainClient,
    account: Account,
    stewards: Sequence[str] | None,
    out: Path,
    *,
    threshold: int | None = None,
    delay_seconds: int = 0,
    progress: Progress | None = None,
) -> tuple[Deployment, bool]:
    """Deploy and wire the contracts, and record them in a file; does nothing where that is done already.

    Each transaction is recorded in a file beside `out` before it is sent (`fedchain.chain.deploylog`). A run that was
    killed at any moment, or failed, is gone on with by the next: what was sent is waited for, or sent again byte for
    byte, so that nothing is deployed twice.

    Args:
        client: the chain.
        account: deploys; its address administers the registry's roles from then on.
        stewards: addresses that may accredit participants, at least one; None takes those of a deployment that stands
            or was begun, else the deployer alone.
        out: deployment file; when it exists and fits the chain, no transaction is sent.
        progress: called with one line before each transaction.

    Returns:
        The deployment, and whether it was made, or finished, by this call.

    Raises:
        ConfigError: `out` is no deployment, or records other stewards; an address is malformed; an unfinished
            deployment is another account's, has other stewards, or was begun by another version; another process is
            deploying.
        WrongChainError: `out`, or the unfinished deployment, is another chain's, or the chain was reset.
        ContractMissingError: a recorded contract is missing or changed.
        ChainError: a transaction failed.
    """
    wanted = None if stewards is None else _checked(stewards)
    if not out.exists():
        with DeployLog(progress_path(out), client, account.address, wanted, threshold, delay_seconds) as log:
            if not out.exists():  # else another process has finished it since
                return _deploy(client, Sender(client, account, outbox=log), log, out, progress or _quiet), True
            log.remove()
    recorded = Deployment.load(out)
    recorded.check(client)
    if wanted is not None and {checksum(address) for address in recorded.stewards} != set(wanted):
        raise ConfigError(
            f"deployment {out} has the stewards {', '.join(recorded.stewards)}, not {', '.join(wanted)}; "
            "give the recorded ones, or another file to deploy anew"
        )
    if progress_path(out).exists():  # of a run that was killed after its last step
        progress_path(out).unlink(missing_ok=True)
    return recorded, False


def _checked(stewards: Sequence[str]) -> list[str]:
    malformed = [address for address in stewards if not is_address(address)]
    if malformed or not stewards:
        raise ConfigError(f"stewards: {malformed[0] if malformed else 'none given'}; name at least one 0x address")
    return list(dict.fromkeys(checksum(address) for address in stewards))


def _quiet(line: str) -> None:
    """Nobody listens."""


def _deploy(client: ChainClient, sender: Sender, log: DeployLog, out: Path, progress: Progress) -> Deployment:
    if log.resumed:
        progress(f"going on with an unfinished deployment: {log.resumed} of {STEPS} transactions are recorded")
    addresses: dict[str, str] = {}
    transactions: dict[str, str] = {}
    contracts: dict[str, DeployedContract] = {}
    for name in CONTRACT_NAMES:
        progress(f"deploying {name}")
        data = constructor_data(name, *constructor_arguments(name, addresses, log.stewards, log.threshold, log.delay_seconds))
        receipt = _transact(sender, log, Call(f"deployment of {name}", None, data))
        if receipt.contract_address is None:
            raise ContractMissingError(f"contract {name}: the node's receipt names no address for it")
        addresses[name] = checksum(receipt.contract_address)
        code_hash = client.code_hash(addresses[name])
        if code_hash is None:
            raise ContractMissingError(f"contract {name}: no code at {addresses[name]} after its deployment")
        contracts[name] = DeployedContract(address=addresses[name], code_hash="0x" + code_hash.hex())
        transactions[name] = "0x" + receipt.tx_hash.hex()

    wiring: tuple[tuple[str, str, tuple[object, ...]], ...] = (
        (REGISTRY, "setGate", (addresses[ANOMALIES],)),
        (ANOMALIES, "setReporters", (addresses[JOBS], addresses[LEDGER], addresses[PROOFS])),
        (JOBS, "setLedger", (addresses[LEDGER],)),
        (LEDGER, "setRouter", (addresses[ROUTER],)),
        (DIRECTORY, "setFirst", ([name_bytes(name) for name in CONTRACT_NAMES], list(addresses.values()))),
    )
    for name, method, values in wiring:
        what = f"{name}.{method}"
        progress(f"calling {what}")
        call = Call(what, addresses[name], function(name, method).encode(*values))
        transactions[what] = "0x" + _transact(sender, log, call).tx_hash.hex()

    deployment = Deployment(
        chain_id=client.chain_id,
        genesis_hash="0x" + client.genesis_hash().hex(),
        deployer=sender.address,
        stewards=log.stewards,
        threshold=log.threshold,
        delay_seconds=log.delay_seconds,
        contracts=contracts,
        transactions=transactions,
    )
    deployment.save(out)
    log.remove()
    return deployment


def name_bytes(name: str) -> bytes:
    """A contract's name as the directory has it: 32 bytes, padded with zeros."""
    return name.encode().ljust(32, b"\0")


def _transact(sender: Sender, log: DeployLog, call: Call) -> Receipt:
    """Do a step, or take up what an earlier run has sent for it."""
    log.require_same(call)
    try:
        return sender.transact(call)
    except TransactionError:
        log.void(call.what)
        raise
