"""A chain and its contracts in a few lines, which take blocks back, refuse ranges, and reset when told to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from fedchain.chain import JobPolicy, JobProposed, PhaseChanged, UplinkJudged
from fedchain.chain.events import ChainEvent
from fedchain.crypto.merkle import payload_digest
from fedchain.errors import ChainError, ChainUnreachableError
from fedchain.messages import Envelope
from fedchain.types import JobId, Kind, Phase, Reason

JOB = JobId("0x" + "cd" * 32)
ALPHA, BETA = "0x" + "A1" * 20, "0x" + "b2" * 20
ROSTER = (ALPHA, BETA)
POLICY = JobPolicy(2**20, 10, 10**6)


@dataclass
class Ledger:
    """Stands in for `ChainClient` and `Consortium`.

    Attributes:
        blocks: events of each block.
        widest: most blocks that one query may span.
        asked: the ranges of all queries.
        earlier_keys: (party, key) of keys that were rotated.
    """

    blocks: list[list[ChainEvent]] = field(default_factory=lambda: [[]])
    salts: list[int] = field(default_factory=lambda: [0])
    widest: int = 10**9
    asked: list[tuple[int, int]] = field(default_factory=list)
    earlier_keys: set[tuple[str, str]] = field(default_factory=set)
    is_away: bool = False
    job_view: Any = None
    verdicts: dict[bytes, Reason] = field(default_factory=dict)
    submitted: list[tuple[Envelope, bytes]] = field(default_factory=list)
    answers: list[Reason] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.job_view = SimpleNamespace(phase=Phase.ALIGNING, round=0, attempt=0, roster=ROSTER, policy=POLICY)

    # -- what tests do ----------------------------------------------------------------------------------------------

    def mine(self, *events: ChainEvent, salt: int = 0) -> None:
        """A block with these events; the salt tells it from another in its place."""
        number = len(self.blocks)
        self.blocks.append([])
        self.salts.append(salt)
        for index, event in enumerate(events):
            placed = replace(event, block_number=number, block_hash=self._hash(number), log_index=index)
            self.blocks[number].append(placed)

    def take_back(self, number: int) -> None:
        """Forget the last blocks."""
        del self.blocks[-number:]
        del self.salts[-number:]

    def _hash(self, number: int) -> bytes:
        return hashlib.sha256(repr(self.salts[: number + 1]).encode()).digest()

    # -- what a client does -----------------------------------------------------------------------------------------

    def head(self) -> int:
        if self.is_away:
            raise ChainUnreachableError("nothing answers")
        return len(self.blocks) - 1

    def block_hash(self, number: int) -> bytes:
        if number > self.head():
            raise ChainError(f"no block {number}")
        return self._hash(number)

    def genesis_hash(self) -> bytes:
        return self._hash(0)

    def events(self, first: int, last: int) -> list[ChainEvent]:
        assert 0 <= first <= last, "an empty range was asked for"
        self.asked.append((first, last))
        if last > self.head():
            raise ChainError(f"block {last} is beyond the head")
        if last - first + 1 > self.widest:
            raise ChainError("too many blocks")
        return [event for block in self.blocks[first : last + 1] for event in block]

    # -- what a consortium does -------------------------------------------------------------------------------------

    @property
    def client(self) -> Ledger:
        return self

    def job(self, job_id: JobId) -> Any:
        self.head()
        return self.job_view

    def is_key_of(self, party: str, key: str) -> bool:
        """Whether a key acted for a party before it was rotated."""
        return (party, key) in self.earlier_keys

    def uplink_id(self, sender: str, envelope: Envelope) -> bytes:
        return hashlib.sha256(repr((sender, envelope)).encode()).digest()

    def verdict(self, party: str, envelope: Envelope) -> Any:
        self.head()
        reason = self.verdicts.get(self.uplink_id(party, envelope))
        return SimpleNamespace(known=reason is not None, reason=reason or Reason.ACCEPTED)

    def submit(self, envelope: Envelope, payload: bytes) -> tuple[Any, Any]:
        self.head()
        self.submitted.append((envelope, payload))
        reason = self.answers.pop(0) if self.answers else Reason.ACCEPTED
        self.verdicts[self.uplink_id(ALPHA, envelope)] = reason
        return SimpleNamespace(tx_hash=b"\x01" * 32), SimpleNamespace(reason=reason)


class Names:
    """Stands in for the registry."""

    def name_of(self, address: str) -> str:
        return {ALPHA: "alpha", BETA: "beta"}[address]

    def participant(self, address: str) -> Any:
        return SimpleNamespace(name=self.name_of(address), signer=address)

    def observe(self, event: ChainEvent) -> None:
        pass


def _nowhere() -> dict[str, Any]:
    return {"block_number": 0, "block_hash": bytes(32), "log_index": 0, "transaction_hash": bytes(32)}


def proposed() -> JobProposed:
    """The job that all is about."""
    return JobProposed(
        job_id=JOB, proposer=ALPHA, spec_digest=bytes(32), roster=ROSTER, policy=POLICY, spec=b"{}", **_nowhere()
    )


def phase(which: Phase) -> PhaseChanged:
    """The job has reached a phase."""
    return PhaseChanged(job_id=JOB, phase=which, **_nowhere())


def uplink(payload: bytes, step: int = 0, sender: str = BETA) -> UplinkJudged:
    """An accepted uplink of round 0."""
    digest = payload_digest(payload)
    envelope = Envelope(bytes.fromhex(JOB[2:]), 0, 0, step, Kind.BLINDED_IDS, bytes(20), digest, len(payload))
    return UplinkJudged(
        job_id=JOB,
        sender=sender,
        uplink_id=digest,
        reason=Reason.ACCEPTED,
        envelope=envelope,
        payload=payload,
        **_nowhere(),
    )
