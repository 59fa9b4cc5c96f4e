"""A hostile member of a job: uplinks and deliveries that a real exchange would never send, properly signed or not."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from fedchain.chain import JobPolicy
from fedchain.chain.events import ChainEvent, StrikeRecorded, UplinkJudged
from fedchain.crypto.merkle import payload_digest
from fedchain.errors import PayloadUnavailableError
from fedchain.exchange import JobChannel
from fedchain.exchange.holding import Holding
from fedchain.messages import Envelope, Gradients, Histogram, LeafWeights, ShardDigest
from fedchain.node.driver import run_job
from fedchain.node.journal import Journal
from fedchain.protocol.actions import (
    BeginRound,
    Checkpoint,
    CloseRound,
    DeclareAligned,
    DeclareStop,
    Party,
    Send,
    gather,
    recall,
    receive,
)
from fedchain.types import JobId, Kind, PartyId, Reason
from tests.integration.node.conftest import Rig

ROUNDS = 2
_STATE = tuple[int, list[bytes], bytes]
PAYLOAD = b"a histogram that nobody asked for"
GROUPS = (((b"\x04", 1),),)
MAX_PAYLOAD_BYTES = 2**20


@dataclass
class ShortJob:
    """A job of two short rounds whose model is a digest of what the parties took; the second member is hostile.

    Attributes:
        attack: what the hostile member does in the second round, once it has sent its histogram.
    """

    rigs: list[Rig]
    folder: Path
    pipelined: bool
    attack: Callable[[ShortJob], None] = lambda job: None
    deadline: float = 20.0
    histogram_bytes: int = 40
    job_id: JobId = field(default=JobId(""))
    first_block: int = 0
    attacked: bool = False
    channels: dict[PartyId, JobChannel] = field(default_factory=dict)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8))

    @property
    def names(self) -> tuple[PartyId, ...]:
        """In roster order."""
        return tuple(rig.name for rig in self.rigs)

    @property
    def hostile(self) -> Rig:
        """The member that attacks."""
        return self.rigs[1]

    def expected(self) -> bytes:
        """The model."""
        sums = [self.sums(round, name) for round in range(1, ROUNDS + 1) for name in self.names[1:]]
        return hashlib.sha256(b"".join(sums)).digest()

    def sums(self, round: int, name: PartyId) -> bytes:
        """What a passive party's histogram holds."""
        return (f"sums of round {round} by {name} ".encode() * (self.histogram_bytes // 20))[: self.histogram_bytes]

    def start(self) -> list[Future[bytes]]:
        """Propose, and run each party in a thread."""
        parties = {rig.name: rig.account.address for rig in self.rigs}
        policy = JobPolicy(MAX_PAYLOAD_BYTES, ROUNDS, 10**9, self.pipelined)
        self.first_block = self.rigs[0].exchange.client.head()
        self.job_id = self.rigs[0].consortium.propose(b"a short job", list(parties.values()), policy)
        return [self.pool.submit(self._run, rig, parties) for rig in self.rigs]

    def _run(self, rig: Rig, parties: dict[PartyId, str]) -> bytes:
        _, inbox = rig.jobs.get(timeout=20.0)
        channel = rig.exchange.channel(inbox, parties, deadline_seconds=self.deadline, pipelined=self.pipelined)
        self.channels[rig.name] = channel
        channel.accept()
        journal = Journal(self.folder / rig.name / self.job_id / "journal")
        return run_job(lambda: self._party(rig), channel, None, lambda _: None, journal)

    def _party(self, rig: Rig) -> Party[bytes]:
        active, passive = self.names[0], self.names[1:]
        kept = yield from recall("short")
        rounds, taken, model = (0, list[bytes](), b"") if kept is None else msgspec.msgpack.decode(kept, type=_STATE)
        if kept is None:
            yield DeclareAligned(b"\x0a" * 32, 5)
        for round in range(rounds + 1, ROUNDS + 1):
            yield BeginRound(round)
            if rig.name == active:
                yield Send(Gradients(b"\x1f", b"\x1f", 5, b"ciphertexts of round %d" % round), 0)
                histograms = yield from gather(Histogram, 1, passive, to_me=True)
                taken += [histograms[name].sums for name in passive]
                model, last = hashlib.sha256(b"".join(taken)).digest(), round == ROUNDS
                yield Send(LeafWeights(model, b"sealed", last, ROUNDS if last else 0), 2)
            else:
                yield from receive(Gradients, 0, active)
                yield Send(Histogram((0,), GROUPS, self.sums(round, rig.name)), 1, active)
                if rig is self.hostile and round == ROUNDS and not self.attacked:
                    self.attacked = True  # a round that is rolled back is not attacked again
                    self.attack(self)
                weights = yield from receive(LeafWeights, 2, active)
                model = weights.commitment
            yield CloseRound(round, round == ROUNDS)
            yield Checkpoint("short", msgspec.msgpack.encode((round, taken, model)), round)
        yield DeclareStop(ROUNDS)
        yield Send(ShardDigest(model), 3)
        others = yield from gather(ShardDigest, 3, tuple(name for name in self.names if name != rig.name))
        assert all(one.digest == model for one in others.values())
        return model

    # -- what the hostile member sends --------------------------------------------------------------------------------

    def envelope(self, payload: bytes = PAYLOAD, **changes: Any) -> Envelope:
        """An envelope of the hostile member that is sound but for the changes, in a slot of its own."""
        recipient = bytes.fromhex(self.rigs[0].account.address[2:])
        sound = Envelope(
            bytes.fromhex(self.job_id[2:]),
            ROUNDS,
            0,
            9,
            Kind.HISTOGRAM,
            recipient,
            payload_digest(payload),
            len(payload),
        )
        return replace(sound, **changes)

    def signed(self, envelope: Envelope, by: Rig | None = None) -> bytes:
        """A signature under the hostile member's uplink; by its own key, or another's."""
        return (by or self.hostile).consortium.sign_uplink(
            self.hostile.consortium.uplink_id(self.hostile.account.address, envelope)
        )

    def deliver(self, raw: bytes, signature: bytes, payload: bytes, by: Rig | None = None) -> None:
        """Deliver to the active party over the sender's own TLS identity; raises what it is refused with."""
        exchange = (by or self.hostile).exchange
        peer = exchange.directory.peer(self.rigs[0].account.address)
        exchange.payloads.deliver(peer, raw, signature, payload, culprit=self.names[0], deadline_seconds=5.0)

    # -- what the chain recorded ------------------------------------------------------------------------------------

    def events(self) -> list[ChainEvent]:
        """Since the job was proposed."""
        rig = self.rigs[0]
        return rig.consortium.events(self.first_block, rig.exchange.client.head())

    def strikes(self) -> list[tuple[PartyId, Reason]]:
        """Of this job's members."""
        names = {rig.account.address: rig.name for rig in self.rigs}
        found = [event for event in self.events() if isinstance(event, StrikeRecorded) and event.party in names]
        return [(names[event.party], Reason(event.reason)) for event in found]

    def rejected(self) -> list[Reason]:
        """Verdicts on the hostile member's uplinks other than accepted."""
        judged = [event for event in self.events() if isinstance(event, UplinkJudged)]
        mine = [Reason(event.reason) for event in judged if event.sender == self.hostile.account.address]
        return [reason for reason in mine if reason != Reason.ACCEPTED]


@dataclass(frozen=True)
class Forged:
    """Stands in for a `StoredPayload`: other leaves or bytes are served."""

    holding: Holding
    leaves: bytes
    data: bytes

    def runs(self, first: int) -> Iterator[tuple[int, bytes]]:
        """One run."""
        yield first, self.data


def serves(rig: Rig, forge: Callable[[bytes], tuple[bytes, bytes]] | None) -> None:
    """Let a node serve other leaves and bytes than it has sent; None: nothing at all."""
    server = rig.exchange.server
    honest = server._find

    def find(digest: bytes) -> Forged:
        if forge is None:
            raise PayloadUnavailableError(rig.name, "serves nothing")
        stored = honest(digest)
        return Forged(stored.holding, *forge(b"".join(run for _, run in stored.runs(0))))

    server._find = find  # type: ignore[method-assign, assignment]


def until(look: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something."""
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end
        time.sleep(0.02)
