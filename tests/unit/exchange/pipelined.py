"""A party of a pipelined job without a network: real files, inbox and publisher, over a chain in a few lines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fedchain.crypto.merkle import payload_digest
from fedchain.errors import RoundRolledBackError
from fedchain.exchange import Access, Inbox, NodeState, PayloadStore, Publisher
from fedchain.exchange.incoming import IncomingStore
from fedchain.exchange.pipeline import PipelinedChannel
from fedchain.exchange.receiving import Receiver
from fedchain.exchange.records import Delivery
from fedchain.messages import Envelope, Gradients, Histogram, LeafWeights, Message, PublicKey, Split, encode
from fedchain.types import PartyId
from tests.unit.exchange.contract import ACTIVE, GAMMA, MAX_BYTES, PARTIES, ROSTER, SECOND, THIRD, Chain
from tests.unit.exchange.ledger import JOB, Names

KEY = PublicKey(b"\x01" * 32, b"\x02" * 32, b"", True, b"", bytes(32))
GRADIENTS = Gradients(b"\x01", b"\x01", 1, b"ciphertexts")
GRADIENTS_AGAIN = Gradients(b"\x01", b"\x01", 1, b"the same, encrypted anew")
HISTOGRAM = Histogram((0,), (), b"sums")
SPLIT = Split(())
LEAVES = LeafWeights(b"\x03" * 32, b"sealed", False, 0)
FIRST_COMMIT = "commit 1.0 GRADIENTS LEAF_WEIGHTS"


class Trio(Names):
    """Stands in for the registry."""

    def name_of(self, address: str) -> str:
        return "gamma" if address == GAMMA else super().name_of(address)


@dataclass(frozen=True)
class Handed:
    """What was handed to the deliverer."""

    recipient: str
    envelope: Envelope
    signature: bytes | Future[bytes]
    payload: bytes
    wanted: Callable[[], bool]


class Deliverer:
    """Stands in for the deliverer."""

    def __init__(self) -> None:
        self.handed: list[Handed] = []

    def submit(
        self,
        recipient: str,
        envelope: bytes,
        signature: bytes | Future[bytes],
        payload: bytes,
        *,
        deadline: float,
        wanted: Callable[[], bool],
    ) -> None:
        assert deadline > time.monotonic()
        self.handed.append(Handed(recipient, Envelope.from_bytes(envelope), signature, payload, wanted))


class Peers:
    """Stands in for the fetcher: the peers serve what they have committed, and it is kept as it comes."""

    def __init__(self) -> None:
        self.served: dict[bytes, bytes] = {}
        self.incoming: IncomingStore | None = None

    def submit(self, sender: str, digest: bytes, *_: object, **__: object) -> Future[bytes]:
        assert self.incoming is not None
        self.incoming.put(self.served[digest], Access(JOB, ()), synced=False)
        future = Future[bytes]()
        future.set_result(self.served[digest])
        return future


class Party:
    """One party's node without a network: real files, a real inbox; started again by `restart`."""

    def __init__(self, folder: Path, name: PartyId) -> None:
        self.folder, self.name = folder, name
        self.chain, self.peers = Chain(PARTIES[name]), Peers()
        self._meanwhile: list[threading.Thread] = []
        self.open(resumed=False)

    def open(self, *, resumed: bool) -> None:
        names: Any = Trio()
        fetcher: Any = self.peers
        chain: Any = self.chain
        me = PARTIES[self.name]
        self.deliverer = Deliverer()
        deliverer: Any = self.deliverer
        self.state = NodeState(self.folder / "node.sqlite", chain_id=1337, genesis_hash=bytes(32))
        self.publisher = Publisher(
            chain,
            address=me,
            name=self.name,
            state=self.state,
            outgoing=PayloadStore(self.folder / "outgoing"),
            sign=lambda uplink_id: b"signed: " + uplink_id,
        )
        self.incoming = self.peers.incoming = IncomingStore(self.folder / "incoming")
        receiver = Receiver(chain, self.state, names, self.incoming, me=me, inbox=lambda _: self.inbox)
        self.inbox = Inbox(JOB, me, ROSTER, MAX_BYTES, names, fetcher, lambda: None, pipelined=True)
        self.chain.inbox = self.inbox
        self.chain.tell()
        if resumed:
            receiver.bring_back(self.inbox)
        self.channel = PipelinedChannel(
            deliverer=deliverer,
            receiver=receiver,
            state=self.state,
            consortium=chain,
            publisher=self.publisher,
            inbox=self.inbox,
            me=self.name,
            parties=PARTIES,
            deadline_seconds=10.0,
            resumed=resumed,
        )

    def restart(self) -> None:
        """The process is killed and started again."""
        self.state.close()
        self.open(resumed=True)

    def close(self) -> None:
        """All that was to happen meanwhile has happened."""
        for one in self._meanwhile:
            one.join()
        self.state.close()

    def meanwhile(self, about: str, act: Callable[[], object]) -> None:
        """Let something happen once this party waits for that kind of thing (see `Wait.about`)."""

        def look() -> None:
            until = time.monotonic() + 5.0
            while not any(one.about == about for one in self.inbox.waits.current()):
                assert time.monotonic() < until, f"nobody waited: {about}"
                time.sleep(0.001)
            act()

        self._meanwhile.append(threading.Thread(target=look))
        self._meanwhile[-1].start()

    def hurry(self, seconds: float = 0.02) -> None:
        """What does not come soon is late."""
        self.channel._deadline_seconds = seconds

    def send(self, message: Message, step: int = 0, recipient: PartyId | None = None) -> None:
        self.channel.send(message, step, recipient, 0)

    def comes(self, sender: PartyId, message: Message, step: int, *, to_me: bool = False) -> Envelope:
        """A peer's signed uplink of the round in work; recorded as `Receiver` does it."""
        envelope = self.peers_uplink(message, step, to_me=to_me)
        payload = self.peers.served[envelope.digest]
        self.incoming.put(payload, Access(JOB, ()), synced=False)
        delivery = Delivery(JOB, envelope.round, PARTIES[sender], envelope.to_bytes(), bytes(65))
        self.state.remember_delivery(delivery)
        self.inbox.deliver_directly(PARTIES[sender], envelope, payload)
        return envelope

    def peers_uplink(self, message: Message, step: int, *, to_me: bool = False) -> Envelope:
        """What a peer signs in the round in work, and serves."""
        payload = encode(message)
        recipient = bytes.fromhex(PARTIES[self.name][2:]) if to_me else bytes(20)
        envelope = Envelope(
            bytes.fromhex(JOB[2:]),
            self.channel.round,
            self.channel.attempt,
            step,
            message.kind,
            recipient,
            payload_digest(payload),
            len(payload),
        )
        self.peers.served[envelope.digest] = payload
        return envelope

    def works(self, round: int) -> list[tuple[str, Envelope]]:
        """A round up to its end, at the active party; returns what its peers have to commit."""
        self.channel.begin_round(round)
        self.send(GRADIENTS)
        theirs = [(PARTIES[peer], self.comes(peer, HISTOGRAM, 1, to_me=True)) for peer in (SECOND, THIRD)]
        assert self.channel.gather(Histogram, 1, (SECOND, THIRD), to_me=True) == {SECOND: HISTOGRAM, THIRD: HISTOGRAM}
        self.send(LEAVES, 2)
        return theirs

    def whole_round(self, round: int, *, last: bool = False) -> None:
        """A round in which all goes well, at the active party."""
        for sender, envelope in self.works(round):
            self.chain.judges(sender, envelope)
        self.closes(round, last=last)

    def closes(self, round: int, *, last: bool = False) -> None:
        """Close a round, and wait until it is closed, as the next message does."""
        self.channel.close_round(round, last=last)
        self.channel._go_on()

    def answers(self, round: int) -> Envelope:
        """A round up to its end, at a passive party; returns what the active party has to commit."""
        self.channel.begin_round(round)
        taken = self.comes(ACTIVE, GRADIENTS, 0)
        assert self.channel.receive(Gradients, 0, ACTIVE, to_me=False) == GRADIENTS
        self.send(HISTOGRAM, 1, ACTIVE)
        return taken

    def rolled_back(self, act: Callable[[], object]) -> tuple[int, int]:
        """Round and attempt with which the party has to start over."""
        with pytest.raises(RoundRolledBackError) as caught:
            act()
        return caught.value.round, caught.value.attempt


def everybody_else_stops(party: Party) -> None:
    """All but this party, as far as they have not yet, declare the stop after round 1."""
    for address in ROSTER:
        if address not in (party.chain.me, *party.chain.stopped):
            party.chain.stops(address, 1)
