"""Compares the contracts on a chain with those that ship with the package, and how they are wired.

The code that a deployment leaves on the chain is not the artifact's: the constructor writes its arguments and its
caller into it (immutables). So the packaged creation code is executed again as a call that changes nothing, with the
recorded arguments and the recorded deployer; what it returns is, byte for byte, the code that must be there.
Source: https://docs.soliditylang.org/en/latest/contracts.html#immutable (written into the code at construction).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eth_utils.crypto import keccak

from fedchain.chain.abi import constructor_data, function
from fedchain.chain.artifacts import (
    ANOMALIES,
    ANOMALY_POLICY,
    AUDITS,
    CONTRIBUTIONS,
    DIRECTORY,
    JOBS,
    LEDGER,
    MODELS,
    PROOFS,
    REGISTRY,
    ROUTER,
    SETTLEMENTS,
    STEWARDS,
)
from fedchain.chain.client import ChainClient
from fedchain.chain.deployment import Deployment
from fedchain.chain.rpc import RpcError
from fedchain.chain.versions import name_bytes
from fedchain.errors import ContractMissingError


@dataclass(frozen=True)
class ContractCheck:
    """What was found of one contract.

    Attributes:
        name: the contract's.
        address: as recorded.
        expected: Keccak-256 of the code that this package's artifact gives there, 0x hex; None where the node
            cannot execute a creation, or the recorded arguments do not serve.
        found: Keccak-256 of the code on the chain; None where there is none.
        problem: what differs, in one line; empty where nothing does.
    """

    name: str
    address: str
    expected: str | None
    found: str | None
    problem: str = ""


_TAKES: dict[str, tuple[str, ...]] = {
    REGISTRY: (STEWARDS,),
    ANOMALY_POLICY: (),
    ANOMALIES: (STEWARDS, REGISTRY, ANOMALY_POLICY),
    JOBS: (REGISTRY, ANOMALIES),
    LEDGER: (REGISTRY, JOBS, ANOMALIES),
    ROUTER: (REGISTRY, JOBS),
    CONTRIBUTIONS: (REGISTRY, JOBS, LEDGER),
    PROOFS: (REGISTRY, JOBS, LEDGER, ANOMALIES),
    MODELS: (REGISTRY, JOBS),
    AUDITS: (REGISTRY, JOBS, ANOMALIES, ANOMALY_POLICY),
    SETTLEMENTS: (STEWARDS, REGISTRY, JOBS, AUDITS, ANOMALIES),
}
_WIRED: dict[str, tuple[tuple[str, str], ...]] = {
    ANOMALIES: (("jobs", JOBS), ("ledger", LEDGER), ("proofs", PROOFS), ("audits", AUDITS)),
    JOBS: (("ledger", LEDGER),),
    LEDGER: (("router", ROUTER),),
}
"""What the deployer wired afterwards: by contract, the views that name others."""


def constructor_arguments(
    name: str, addresses: Mapping[str, str], stewards: Sequence[str], threshold: int, delay_seconds: int
) -> tuple[object, ...]:
    """What a contract's constructor is given.

    Args:
        name: one of `CONTRACT_NAMES`.
        addresses: of the contracts before it, in the order of deployment.
        stewards: addresses that vote on members and changes.
        threshold: how many of them carry a motion.
        delay_seconds: between a change of the directory and its effect.
    """
    if name == STEWARDS:
        return list(stewards), threshold
    if name == DIRECTORY:
        return addresses[STEWARDS], delay_seconds
    return tuple(addresses[other] for other in _TAKES[name])


def check_contracts(client: ChainClient, deployment: Deployment) -> list[ContractCheck]:
    """Look at every contract of a deployment; sends no transaction, changes nothing.

    Compared are the code on the chain, the hash in the deployment file and this package's artifact, and what the
    deployer wired afterwards: the registry's gate, the anomaly record's reporters, the job manager's ledger, the
    ledger's router, the directory's version. Who the stewards are today is not judged: that may change.

    Args:
        client: the chain.
        deployment: what is recorded.

    Returns:
        One check per contract, in the order of deployment; all of them, also after a difference.

    Raises:
        WrongChainError: chain id or genesis block are not the recorded ones.
        ChainUnreachableError: the node does not answer.
    """
    deployment.check_chain(client)
    return [_check(client, deployment, name) for name in deployment.addresses]


def require_sound(checks: list[ContractCheck]) -> None:
    """Raise for the worst of the checks that found a difference: no code, then other code, then wiring.

    Raises:
        ContractMissingError: names contract, address and difference, and how many more there are.
    """
    bad = [one for one in checks if one.problem]
    bad.sort(key=lambda one: (one.found is not None, one.found == one.expected))
    if bad:
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise ContractMissingError(f"contract {bad[0].name} at {bad[0].address}: {bad[0].problem}{more}")


def _check(client: ChainClient, deployment: Deployment, name: str) -> ContractCheck:
    recorded = deployment.contracts[name]
    code = client.code_hash(recorded.address)
    found = None if code is None else "0x" + code.hex()
    expected, why = _expected(client, deployment, name)
    if found is None:
        problem = "there is no code; the chain was reset, or the deployment file is another chain's"
    elif found != recorded.code_hash:
        problem = (
            f"its code (hash {found}) is not the recorded one ({recorded.code_hash}); "
            "get the deployment file of the consortium's steward"
        )
    elif expected is None:
        problem = f"the code that must be there cannot be computed ({why})"
    elif found != expected:
        problem = (
            f"its code (hash {found}) is not what this version of fedchain deploys ({expected}); "
            "use the version that deployed it, or do not trust it"
        )
    else:
        problem = _wiring(client, deployment, name)
    return ContractCheck(name, recorded.address, expected, found, problem)


def _expected(client: ChainClient, deployment: Deployment, name: str) -> tuple[str | None, str]:
    """Hash of the code that the packaged creation code returns, or None and why not."""
    terms = deployment.stewards, deployment.threshold, deployment.delay_seconds
    data = constructor_data(name, *constructor_arguments(name, deployment.addresses, *terms))
    try:
        code = client.call({"from": deployment.deployer_of(name), "data": "0x" + data.hex()})
    except RpcError as error:
        return None, str(error)
    return ("0x" + keccak(code).hex(), "") if code else (None, "the node returned nothing")


def _wiring(client: ChainClient, deployment: Deployment, name: str) -> str:
    """What is wired wrongly at a contract whose code is right; empty when nothing is."""
    addresses = deployment.addresses

    def read(method: str, *values: object) -> object:
        reader = function(name, method)
        (value,) = reader.decode(client.call({"to": addresses[name], "data": "0x" + reader.encode(*values).hex()}))
        return value

    if name == REGISTRY and _is_in_force(client, deployment) and not read("isGate", addresses[ANOMALIES]):
        return f"the recorded {ANOMALIES} {addresses[ANOMALIES]} is no gate there: strikes cannot be recorded"
    if name == DIRECTORY and _is_in_force(client, deployment):
        for other in addresses:
            value = str(read("addressAt", name_bytes(other), deployment.version))
            if value.lower() != addresses[other].lower():
                return f"its version {deployment.version} has the {other} {value}, not the recorded {addresses[other]}"
    for method, other in _WIRED.get(name, ()):
        if other not in addresses:  # a deployment of an earlier version
            continue
        value = str(read(method))
        if value.lower() != addresses[other].lower():
            return f"it works with the {other} {value}, not with the recorded one {addresses[other]}"
    return ""


def _is_in_force(client: ChainClient, deployment: Deployment) -> bool:
    """Whether the deployment's version is, or was; not yet while stewards vote on it."""
    reader = function(DIRECTORY, "version")
    query: dict[str, object] = {"to": deployment.addresses[DIRECTORY], "data": "0x" + reader.encode().hex()}
    (version,) = reader.decode(client.call(query))
    return bool(version >= deployment.version)
