"""Puts the consortium's contracts on a chain, once: a run that was killed is finished by the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eth_utils.address import is_address

from fedchain.chain.abi import checksum, constructor_data, function
from fedchain.chain.account import Account
from fedchain.chain.artifacts import (
    ANOMALIES,
    AUDITS,
    CONTRACT_NAMES,
    DIRECTORY,
    JOBS,
    LEDGER,
    PROOFS,
    REGISTRY,
    ROUTER,
)
from fedchain.chain.client import ChainClient
from fedchain.chain.deploylog import DeployLog, checked_threshold, progress_path
from fedchain.chain.deployment import DeployedContract, Deployment
from fedchain.chain.sender import Sender
from fedchain.chain.stewarding import MAX_STEWARDS
from fedchain.chain.transaction import Call, Receipt
from fedchain.chain.verifying import constructor_arguments
from fedchain.chain.versions import name_bytes
from fedchain.errors import ConfigError, ContractMissingError, TransactionError

Progress = Callable[[str], None]

MAX_DELAY_SECONDS = 365 * 86_400
"""As in `Directory`."""

STEPS = len(CONTRACT_NAMES) + 5
"""Transactions of a deployment."""


def deploy(
    client: ChainClient,
    account: Account,
    stewards: Sequence[str] | None,
    out: Path,
    *,
    threshold: int | None = None,
    delay_seconds: int | None = None,
    progress: Progress | None = None,
) -> tuple[Deployment, bool]:
    """Deploy and wire the contracts, and record them in a file; does nothing where that is done already.

    Each transaction is recorded in a file beside `out` before it is sent (`fedchain.chain.deploylog`). A run that was
    killed at any moment, or failed, is gone on with by the next: what was sent is waited for, or sent again byte for
    byte, so that nothing is deployed twice.

    Args:
        client: the chain.
        account: deploys; once all is wired it may do nothing that others may not.
        stewards: addresses that vote on members and versions, 1..32; None takes those of a deployment that stands or
            was begun, else the deployer alone.
        out: deployment file; when it exists and fits the chain, no transaction is sent.
        threshold: how many stewards carry a motion; None takes the recorded one, else more than half.
        delay_seconds: between a change of the directory and its effect, at most a year; None takes the recorded one,
            else two days.
        progress: called with one line before each transaction.

    Returns:
        The deployment, and whether it was made, or finished, by this call.

    Raises:
        ConfigError: `out` is no deployment, or records other stewards, another threshold or delay; an address is
            malformed, a number out of range; an unfinished deployment is another account's, has other terms, or was
            begun by another version; another process is deploying.
        WrongChainError: `out`, or the unfinished deployment, is another chain's, or the chain was reset.
        ContractMissingError: a recorded contract is missing or changed.
        ChainError: a transaction failed.
    """
    wanted = None if stewards is None else checked_stewards(stewards)
    if wanted is not None:
        checked_threshold(threshold, wanted)
    if delay_seconds is not None and not 0 <= delay_seconds <= MAX_DELAY_SECONDS:
        raise ConfigError(f"delay: {delay_seconds} seconds; give 0 to {MAX_DELAY_SECONDS} (a year)")
    if not out.exists():
        with DeployLog(progress_path(out), client, account.address, wanted, threshold, delay_seconds) as log:
            if not out.exists():  # else another process has finished it since
                return _deploy(client, Sender(client, account, outbox=log), log, out, progress or quiet), True
            log.remove()
    recorded = Deployment.load(out)
    recorded.check(client)
    if wanted is not None and {checksum(address) for address in recorded.stewards} != set(wanted):
        raise ConfigError(
            f"deployment {out} has the stewards {', '.join(recorded.stewards)}, not {', '.join(wanted)}; "
            "give the recorded ones, or another file to deploy anew; `fedchain steward change` votes for others"
        )
    for what, asked, found in (
        ("threshold", threshold, recorded.threshold),
        ("delay", delay_seconds, recorded.delay_seconds),
    ):
        if asked is not None and asked != found:
            raise ConfigError(f"deployment {out} has the {what} {found}, not {asked}; give that, or another file")
    if progress_path(out).exists():  # of a run that was killed after its last step
        progress_path(out).unlink(missing_ok=True)
    return recorded, False


def quiet(line: str) -> None:
    """Nobody listens."""


@dataclass
class Steps:
    """The transactions of a deployment, one after the other; what an earlier run has sent is taken up.

    Args:
        client: the chain.
        sender: with the log as its outbox.
        log: what was sent so far.
        progress: called with one line before each transaction.
        addresses: of the contracts that are there, by name; those deployed are added.

    Attributes:
        contracts: those deployed.
        transactions: what was done, in order, to transaction hash.
    """

    client: ChainClient
    sender: Sender
    log: DeployLog
    progress: Progress
    addresses: dict[str, str] = field(default_factory=dict)
    contracts: dict[str, DeployedContract] = field(default_factory=dict)
    transactions: dict[str, str] = field(default_factory=dict)

    def deploy(self, names: Sequence[str]) -> None:
        """Put contracts on the chain, in this order.

        Raises:
            ContractMissingError: the node says that one went through, and has no code of it.
            ChainError: a transaction failed.
        """
        log = self.log
        for name in names:
            self.progress(f"deploying {name}")
            given = constructor_arguments(name, self.addresses, log.stewards, log.threshold, log.delay_seconds)
            receipt = self._transact(Call(f"deployment of {name}", None, constructor_data(name, *given)))
            if receipt.contract_address is None:
                raise ContractMissingError(f"contract {name}: the node's receipt names no address for it")
            self.addresses[name] = checksum(receipt.contract_address)
            code_hash = self.client.code_hash(self.addresses[name])
            if code_hash is None:
                raise ContractMissingError(f"contract {name}: no code at {self.addresses[name]} after its deployment")
            self.contracts[name] = DeployedContract(address=self.addresses[name], code_hash="0x" + code_hash.hex())
            self.transactions[name] = "0x" + receipt.tx_hash.hex()

    def call(self, name: str, method: str, *values: object) -> None:
        """Call a contract.

        Raises:
            ChainError: the transaction failed.
        """
        what = f"{name}.{method}"
        self.progress(f"calling {what}")
        call = Call(what, self.addresses[name], function(name, method).encode(*values))
        self.transactions[what] = "0x" + self._transact(call).tx_hash.hex()

    def wire(self) -> None:
        """What every version's contracts need of each other."""
        to = self.addresses
        self.call(ANOMALIES, "setReporters", to[JOBS], to[LEDGER], to[PROOFS], to[AUDITS])
        self.call(JOBS, "setLedger", to[LEDGER])
        self.call(LEDGER, "setRouter", to[ROUTER])

    def _transact(self, call: Call) -> Receipt:
        """Do a step, or take up what an earlier run has sent for it."""
        self.log.require_same(call)
        try:
            return self.sender.transact(call)
        except TransactionError:
            self.log.void(call.what)
            raise


def _deploy(client: ChainClient, sender: Sender, log: DeployLog, out: Path, progress: Progress) -> Deployment:
    if log.resumed:
        progress(f"going on with an unfinished deployment: {log.resumed} of {STEPS} transactions are recorded")
    steps = Steps(client, sender, log, progress)
    steps.deploy(CONTRACT_NAMES)
    steps.call(REGISTRY, "setGate", steps.addresses[ANOMALIES])
    steps.wire()
    steps.call(DIRECTORY, "setFirst", *directory_values(steps.addresses))
    deployment = Deployment(
        chain_id=client.chain_id,
        genesis_hash="0x" + client.genesis_hash().hex(),
        deployer=sender.address,
        stewards=log.stewards,
        threshold=log.threshold,
        delay_seconds=log.delay_seconds,
        contracts=steps.contracts,
        transactions=steps.transactions,
    )
    deployment.save(out)
    log.remove()
    return deployment


def directory_values(addresses: Mapping[str, str]) -> tuple[list[bytes], list[str]]:
    """Names and addresses as the directory takes them."""
    return [name_bytes(name) for name in addresses], list(addresses.values())


def checked_stewards(stewards: Sequence[str]) -> list[str]:
    """The distinct addresses, checksummed, in the order given.

    Raises:
        ConfigError: malformed, zero, none, or more than `MAX_STEWARDS`.
    """
    malformed = [address for address in stewards if not is_address(address)]
    if malformed or not stewards:
        raise ConfigError(f"stewards: {malformed[0] if malformed else 'none given'}; name at least one 0x address")
    distinct = list(dict.fromkeys(checksum(address) for address in stewards))
    if len(distinct) > MAX_STEWARDS or "0x" + "00" * 20 in distinct:
        raise ConfigError(f"stewards: {len(distinct)} given; there may be 1 to {MAX_STEWARDS}, none of them zero")
    return distinct
