"""A node that takes direct deliveries: real files, inbox and signatures, without a network or a chain."""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedchain.chain import Participant, PhaseChanged, RoundBegan, UplinkJudged, dev_accounts
from fedchain.chain.events import ChainEvent
from fedchain.crypto.merkle import leaf_hashes, payload_digest
from fedchain.exchange import Inbox, NodeState
from fedchain.exchange.incoming import IncomingStore
from fedchain.exchange.receiving import Receiver
from fedchain.exchange.slot import slot_of
from fedchain.messages import Envelope
from fedchain.types import JobId, Kind, PartyId, Phase, Reason, Status
from tests.unit.exchange.ledger import JOB, Ledger

ACCOUNTS = dict(zip(("alpha", "beta", "gamma", "stranger"), dev_accounts(4), strict=True))
ALPHA, BETA, GAMMA, STRANGER = (account.address for account in ACCOUNTS.values())
NAMES = {account.address: PartyId(name) for name, account in ACCOUNTS.items()}
MAX_BYTES = 1000
PAYLOAD = b"payload"
OTHER_JOB = JobId("0x" + "ef" * 32)


class Names:
    """Stands in for the registry."""

    def name_of(self, address: str) -> PartyId:
        return NAMES[address]

    def participant(self, address: str) -> Participant:
        """Its key is the one under which it registered."""
        return Participant(address, NAMES[address], "", Status.ACCREDITED, 0, bytes(32), signer=address)

    def forget(self, address: str) -> None:
        """Nothing is remembered."""


class Fetches:
    """Stands in for the fetcher: the sender serves these bytes."""

    def __init__(self) -> None:
        self.served: dict[bytes, bytes] = {}
        self.asked: list[tuple[str, bytes]] = []

    def submit(self, sender: str, digest: bytes, *_: object, **__: object) -> Future[bytes]:
        self.asked.append((sender, digest))
        future = Future[bytes]()
        future.set_result(self.served[digest])
        return future


class Node:
    """A node's receiver over its files, with one job's inbox; may be started again."""

    def __init__(self, folder: Path, me: str = ALPHA, *, pipelined: bool = True, phase: Phase = Phase.TRAINING) -> None:
        self.me, self.pipelined, self.phase = me, pipelined, phase
        self.ledger, self.fetches = Ledger(), Fetches()
        self.state = NodeState(folder / "node.sqlite", chain_id=1337, genesis_hash=self.ledger.genesis_hash())
        self.folder = folder / "incoming"
        self.rounds: list[tuple[int, int]] = []
        self.start()

    def start(self) -> None:
        """As after a restart: what lies in the files is there, the inbox has read the chain again."""
        names: Any = Names()
        fetches: Any = self.fetches
        consortium: Any = self.ledger
        self.incoming = IncomingStore(self.folder)
        self.receiver = Receiver(
            consortium, self.state, names, self.incoming, me=self.me, inbox=lambda job: self.inboxes.get(job)
        )
        self.inbox = Inbox(
            job_id=JOB,
            me=self.me,
            roster=(ALPHA, BETA, GAMMA),
            max_payload_bytes=MAX_BYTES,
            directory=names,
            fetcher=fetches,
            on_wait=lambda: None,
            pipelined=self.pipelined,
            on_equivocation=lambda sender, second: self.receiver.keep_proof(JOB, sender, second),
        )
        self.inboxes = {JOB: self.inbox}
        self._heights = iter(range(1, 1000))
        self._tell(PhaseChanged(job_id=JOB, phase=self.phase, **self._place()))
        for round, attempt in self.rounds:
            self._tell(RoundBegan(job_id=JOB, round=round, attempt=attempt, **self._place()))

    def begins(self, round: int, attempt: int = 0) -> None:
        """The chain tells of a round."""
        self.rounds.append((round, attempt))
        self._tell(RoundBegan(job_id=JOB, round=round, attempt=attempt, **self._place()))

    def commits(self, sender: str, envelope: Envelope) -> None:
        """The contract accepts an uplink, of which it has no payload."""
        self._tell(
            UplinkJudged(
                job_id=JOB,
                sender=sender,
                uplink_id=bytes(32),
                reason=Reason.ACCEPTED,
                envelope=envelope,
                payload=b"",
                **self._place(),
            )
        )

    def _tell(self, event: ChainEvent) -> None:
        self.inbox.deliver([event], event.block_number)

    def _place(self) -> dict[str, Any]:
        number = next(self._heights)
        return {
            "block_number": number,
            "block_hash": number.to_bytes(32, "big"),
            "log_index": 0,
            "transaction_hash": bytes(32),
        }

    def sign(self, sender: str, envelope: Envelope) -> bytes:
        """The sender's signature."""
        account = next(one for one in ACCOUNTS.values() if one.address == sender)
        return account.sign_uplink(self.ledger.uplink_id(sender, envelope))

    def comes(self, sender: str, envelope: Envelope, payload: bytes = PAYLOAD, signature: bytes | None = None) -> None:
        """A sender delivers."""
        signature = self.sign(sender, envelope) if signature is None else signature
        self.receiver.on_delivery(
            sender, envelope.to_bytes(), signature, payload, leaf_hashes(payload) if payload else []
        )

    def take(self, sender: str, envelope: Envelope, seconds: float = 1.0) -> bytes:
        """What the job's thread gets."""
        return self.inbox.take([slot_of(sender, envelope)], time.monotonic() + seconds)[0]

    def held(self) -> list[Envelope]:
        """What is recorded as having come."""
        return [Envelope.from_bytes(one.envelope) for one in self.state.deliveries(JOB)]

    def proofs(self) -> list[bytes]:
        """The digests that are kept as proof."""
        return sorted(Envelope.from_bytes(one.envelope).digest for one in self.state.proofs(JOB))


def envelope(payload: bytes = PAYLOAD, **changes: Any) -> Envelope:
    """A passive party's histogram in round 1, for all."""
    plain = Envelope(bytes.fromhex(JOB[2:]), 1, 0, 2, Kind.HISTOGRAM, bytes(20), payload_digest(payload), len(payload))
    return replace(plain, **changes)


def to(address: str) -> bytes:
    return bytes.fromhex(address[2:])
