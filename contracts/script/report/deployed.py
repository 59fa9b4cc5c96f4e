"""All contracts on a chain, wired, and whoever calls them: the plain ABI, with nothing in between.

What a constructor takes is read from its ABI: a parameter of an interface's type gets that contract's address, any
other its value by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from eth_utils.crypto import keccak

from fedchain.chain import Account, Call, ChainClient, Sender
from fedchain.chain.abi import Values, checksum, constructor_data, function, type_strings
from fedchain.chain.artifacts import load_artifact

NAMES = (
    "Stewards",
    "ParticipantRegistry",
    "Directory",
    "AnomalyPolicy",
    "AnomalyRecord",
    "JobManager",
    "UplinkLedger",
    "InferenceRouter",
    "ContributionLedger",
    "FaultProofs",
    "ModelRegistry",
    "ContributionAudit",
    "Settlement",
)
"""In the order of deployment."""

REPORTERS = ("JobManager", "UplinkLedger", "FaultProofs", "ContributionAudit")
"""Who tells the anomaly record of faults, in the order of `setReporters`."""

DELAY_SECONDS = 3600
"""What a change of the directory waits."""

_DAY = 86_400
POLICY: dict[str, object] = {
    "maxPayloadBytes": 1 << 20,
    "maxRounds": 100,
    "maxStatisticE6": 10_000_000,
    "pipelined": False,
    "phaseSeconds": _DAY,
    "roundSeconds": _DAY,
    "maxUplinksPerRound": 1000,
    "endsOnSuspension": False,
}
"""Of a job, without the version of the anomaly policy."""


@dataclass(frozen=True)
class Event:
    """One decoded log."""

    contract: str
    name: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Done:
    """A transaction that went through."""

    gas: int
    events: tuple[Event, ...]
    tx_hash: bytes

    def only(self, name: str) -> dict[str, Any]:
        """The values of the one event of this name."""
        (values,) = self.all(name)
        return values

    def all(self, name: str) -> list[dict[str, Any]]:
        """The values of all events of this name, in order."""
        return [event.values for event in self.events if event.name == name]


class Deployed:
    """Deploys and wires on construction.

    Args:
        client: the chain.
        accounts: who may call; the first deploys.
        stewards: which of the accounts vote on members.
        threshold: how many of them carry a motion.
        gas: limit of a call; None lets the node estimate it, which refuses what would revert.
    """

    def __init__(
        self,
        client: ChainClient,
        accounts: Sequence[Account],
        stewards: Sequence[Account],
        threshold: int,
        *,
        gas: int | None = None,
    ) -> None:
        self.client = client
        self._gas = gas
        self._senders = {account.address: Sender(client, account) for account in accounts}
        self.stewards = tuple(stewards)
        self.threshold = threshold
        self.addresses: dict[str, str] = {}
        self.deployer = accounts[0]
        self.deployment_gas = 0
        given = {"stewards": [one.address for one in stewards], "threshold": threshold, "delaySeconds": DELAY_SECONDS}
        for name in NAMES:
            data = constructor_data(name, *self._arguments(name, given))
            receipt = self._senders[self.deployer.address].transact(Call(f"deployment of {name}", None, data))
            assert receipt.contract_address is not None
            self.addresses[name] = checksum(receipt.contract_address)
            self.deployment_gas += receipt.gas_used
        of = self.addresses
        labels = [name.encode().ljust(32, b"\0") for name in NAMES]
        for name, method, arguments in (
            ("ParticipantRegistry", "setGate", (of["AnomalyRecord"],)),
            ("AnomalyRecord", "setReporters", tuple(of[one] for one in REPORTERS)),
            ("JobManager", "setLedger", (of["UplinkLedger"],)),
            ("UplinkLedger", "setRouter", (of["InferenceRouter"],)),
            ("Directory", "setFirst", (labels, list(of.values()))),
        ):
            self.deployment_gas += self.send(self.deployer, name, method, *arguments).gas

    def _arguments(self, contract: str, given: Mapping[str, object]) -> Iterator[object]:
        for entry in load_artifact(contract).abi:
            if entry["type"] == "constructor":
                for parameter in entry["inputs"]:
                    interface = parameter.get("internalType", "").removeprefix("contract I")
                    yield self.addresses.get(interface) or given[parameter["name"].strip("_")]

    def enter(self, account: Account) -> None:
        """Another account is to call."""
        self._senders[account.address] = Sender(self.client, account)

    def send(self, account: Account, contract: str, method: str, *arguments: object) -> Done:
        """Send a transaction and wait for it.

        Args:
            account: one of those given.
            contract: its name.
            method: function's name.
            arguments: its arguments; a struct as a tuple in order, or a mapping by field.

        Raises:
            TransactionError: it reverted, or would have; `reason` is the typed error.
        """
        call = Call(f"{contract}.{method}", self.addresses[contract], encode(contract, method, *arguments))
        receipt = self._senders[account.address].transact(call, self._gas)
        raw = self.client.receipt(receipt.tx_hash)
        assert raw is not None
        names = {address: name for name, address in self.addresses.items()}
        events = tuple(_event(names[checksum(log["address"])], log) for log in raw["logs"])
        return Done(receipt.gas_used, events, receipt.tx_hash)

    def read(self, contract: str, method: str, *arguments: object, sender: Account | None = None) -> Any:
        """Call a view: its value, or a tuple when it has several."""
        fields: dict[str, object] = {
            "to": self.addresses[contract],
            "data": "0x" + encode(contract, method, *arguments).hex(),
        }
        if sender is not None:
            fields["from"] = sender.address
        values = function(contract, method).decode(self.client.call(fields))
        return values[0] if len(values) == 1 else values

    def carry(self, contract: str, method: str, *arguments: object) -> list[Done]:
        """As many stewards as it takes vote for the same call."""
        return [self.send(one, contract, method, *arguments) for one in self.stewards[: self.threshold]]


def encode(contract: str, method: str, *arguments: object) -> bytes:
    """Calldata; structs may be given as mappings by field name."""
    inputs = _inputs(contract, method)
    ordered = [_ordered(part, value) for part, value in zip(inputs, arguments, strict=True)]
    return function(contract, method).encode(*ordered)


def _ordered(component: dict[str, Any], value: Any) -> Any:
    if component["type"].endswith("[]") and component["type"].startswith("tuple"):
        inner = {**component, "type": component["type"][:-2]}
        return [_ordered(inner, one) for one in value]
    if component["type"] == "tuple" and isinstance(value, Mapping):
        return tuple(_ordered(part, value[part["name"]]) for part in component["components"])
    return value


@cache
def _inputs(contract: str, method: str) -> list[dict[str, Any]]:
    (entry,) = (e for e in load_artifact(contract).abi if e["type"] == "function" and e["name"] == method)
    inputs: list[dict[str, Any]] = entry["inputs"]
    return inputs


@cache
def _events(contract: str) -> dict[str, dict[str, Any]]:
    found = {}
    for entry in load_artifact(contract).abi:
        if entry["type"] == "event":
            signature = f"{entry['name']}({','.join(type_strings(entry['inputs']))})"
            found["0x" + keccak(text=signature).hex()] = entry
    return found


def _event(contract: str, log: dict[str, Any]) -> Event:
    entry = _events(contract)[log["topics"][0]]
    indexed = [part for part in entry["inputs"] if part["indexed"]]
    plain = [part for part in entry["inputs"] if not part["indexed"]]
    values: dict[str, Any] = {}
    for part, topic in zip(indexed, log["topics"][1:], strict=True):
        (values[part["name"]],) = Values([part]).decode(bytes.fromhex(topic[2:]), entry["name"])
    data = Values(plain).decode(bytes.fromhex(log["data"][2:]), entry["name"])
    values.update(zip((part["name"] for part in plain), data, strict=True))
    return Event(contract, entry["name"], values)
