"""The five contracts deployed from the committed artifacts, with three parties, on any chain that web3 reaches."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from web3 import Web3
from web3.contract import Contract
from web3.logs import DISCARD

from tests.certificates import stand_in_certificate

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = ROOT / "fedchain" / "chain" / "artifacts"
CONTRACTS = ("ContributionLedger", "InferenceRouter", "JobManager", "ParticipantRegistry", "UplinkLedger")

PHASES = ("None", "Proposed", "Aligning", "Training", "Evaluating", "Completed", "Aborted")
REASONS = (
    "Accepted",
    "SenderSuspended",
    "UnknownJob",
    "NotOnRoster",
    "WrongPhase",
    "WrongRound",
    "WrongAttempt",
    "KindNotAllowed",
    "RecipientNotOnRoster",
    "SchemaUnsupported",
    "SizeOutOfBounds",
    "DigestMismatch",
    "SlotTaken",
    "StatisticOutOfPolicy",
)
KINDS = (
    "public_key",
    "blinded_ids",
    "gradients",
    "histogram",
    "split",
    "partition",
    "leaf_weights",
    "shard_digest",
    "contribution",
    "predict_request",
    "predict_answer",
)
NOBODY = "0x" + "00" * 20
PAYLOAD = b"a payload of more than thirty-two bytes"
GAS = 6_000_000
MAX_STATISTIC_E6 = 5_000_000


def artifact(name: str) -> dict[str, Any]:
    """The committed artifact of contract `name`."""
    loaded: dict[str, Any] = json.loads((ARTIFACTS / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def merkle_root(payload: bytes) -> bytes:
    """Payload digest by its definition: SHA-256 Merkle tree over 64 KiB chunks, an odd last node carried up."""
    level = [hashlib.sha256(b"\0" + payload[i : i + 65_536]).digest() for i in range(0, len(payload), 65_536)]
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [hashlib.sha256(b"\1" + b"".join(pair)).digest() if len(pair) == 2 else pair[0] for pair in pairs]
    return level[0]


@dataclass(frozen=True)
class Envelope:
    """An uplink's envelope; field names and order are the contract's."""

    jobId: bytes
    round: int
    attempt: int
    step: int
    kind: int
    recipient: str
    schema: int
    digest: bytes
    size: int
    statisticE6: int


def envelope(job_id: bytes, round_: int, kind: str, payload: bytes = PAYLOAD, **changes: Any) -> Envelope:
    """A sound envelope for `payload`, with fields replaced by `changes`."""
    sound = Envelope(job_id, round_, 0, 0, KINDS.index(kind), NOBODY, 1, merkle_root(payload), len(payload), 0)
    return replace(sound, **changes)


class Consortium:
    """Deploys and wires on construction. Accounts: 0 deployer, 1 steward, 2 active, 3 and 4 passive, 5 an outsider."""

    def __init__(self, w3: Web3) -> None:
        self.w3 = w3
        accounts: list[Any] = list(w3.eth.accounts)
        self.deployer: str = accounts[0]
        self.steward: str = accounts[1]
        self.active: str = accounts[2]
        self.passive: str = accounts[3]
        self.other: str = accounts[4]
        self.outsider: str = accounts[5]
        self.roster = [self.active, self.passive, self.other]
        self.registry = self._deploy("ParticipantRegistry", [self.steward])
        self.jobs = self._deploy("JobManager", self.registry.address)
        self.ledger = self._deploy("UplinkLedger", self.registry.address, self.jobs.address)
        self.router = self._deploy("InferenceRouter", self.registry.address, self.jobs.address)
        self.contributions = self._deploy("ContributionLedger", self.jobs.address, self.ledger.address)
        role = self.registry.functions.LEDGER_ROLE().call()
        self.send(self.deployer, self.registry.functions.grantRole(role, self.ledger.address))
        self.send(self.deployer, self.jobs.functions.setLedger(self.ledger.address))
        self.send(self.deployer, self.ledger.functions.setRouter(self.router.address))
        for name, party in (("active", self.active), ("passive", self.passive), ("other", self.other)):
            self.join(name, party)
        self.join("outsider", self.outsider)

    def _deploy(self, name: str, *args: Any) -> Contract:
        built = artifact(name)
        factory = self.w3.eth.contract(abi=built["abi"], bytecode=built["bytecode"])
        receipt = self.send(self.deployer, factory.constructor(*args))
        code = self.w3.eth.get_code(receipt["contractAddress"])
        assert len(code) * 2 + 2 == len(built["deployedBytecode"])
        contract: Contract = self.w3.eth.contract(address=receipt["contractAddress"], abi=built["abi"])
        return contract

    def send(self, sender: str, call: Any, gas: int = GAS) -> Any:
        """Send a call from an unlocked account; its receipt, checked to be successful."""
        sent = call.transact({"from": sender, "gas": gas})
        receipt = self.w3.eth.wait_for_transaction_receipt(sent, poll_latency=0.01)
        assert receipt["status"] == 1
        return receipt

    def join(self, name: str, party: str) -> None:
        """Register and accredit."""
        self.send(party, self.registry.functions.register(name, "localhost:1", stand_in_certificate(name)))
        self.send(self.steward, self.registry.functions.accredit(party))

    def submit(self, sender: str, sent: Envelope, payload: bytes = PAYLOAD, gas: int = GAS) -> tuple[bytes, str, Any]:
        """Submit; the uplink's id, the reason's name and the receipt, all read from the event."""
        receipt = self.send(sender, self.ledger.functions.submit(tuple(asdict(sent).values()), payload), gas)
        (event,) = self.ledger.events.UplinkJudged().process_receipt(receipt, DISCARD)
        reason = REASONS[event["args"]["reason"]]
        assert event["args"]["payload"] == (payload if reason == "Accepted" else b"")
        return event["args"]["uplinkId"], reason, receipt

    def propose(self, *, pipelined: bool = False) -> bytes:
        """A proposed job."""
        policy = (1_000_000, 3, MAX_STATISTIC_E6, pipelined)
        receipt = self.send(self.active, self.jobs.functions.propose(b"spec", self.roster, policy))
        (event,) = self.jobs.events.JobProposed().process_receipt(receipt, DISCARD)
        job_id: bytes = event["args"]["jobId"]
        return job_id

    def every(self, call: Any) -> None:
        """Send the same call from every party of the roster."""
        for party in self.roster:
            self.send(party, call)

    def phase(self, job_id: bytes) -> str:
        """The job's phase by name."""
        return PHASES[self.jobs.functions.jobOf(job_id).call()[0]]

    def in_round_one(self, *, pipelined: bool = False) -> bytes:
        """A job in phase Training with round 1 begun."""
        job_id = self.propose(pipelined=pipelined)
        self.every(self.jobs.functions.accept(job_id))
        self.every(self.jobs.functions.declareAligned(job_id, b"o" * 32, 100))
        self.send(self.active, self.jobs.functions.beginRound(job_id, 1))
        return job_id

    def strikes(self, party: str) -> int:
        """How many strikes `party` has."""
        count: int = self.registry.functions.participantOf(party).call()[3]
        return count
