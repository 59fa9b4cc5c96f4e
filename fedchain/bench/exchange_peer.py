"""One of two parties that do nothing but exchange, in a process of its own: `python -m fedchain.bench.exchange_peer`.

With real certificates, stores, contracts and channels, and without any computation.
"""

from __future__ import annotations

import os
import queue
import secrets
import socket
import ssl
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedchain.bench.exchange_child import serve
from fedchain.chain import ChainClient, Consortium, Deployment, JobPolicy, Sender, dev_accounts
from fedchain.crypto.merkle import payload_digest
from fedchain.crypto.seal import SealingKey
from fedchain.exchange import Access, Exchange, Identity, Inbox, JobChannel
from fedchain.exchange.tls import der_of, server_name_of
from fedchain.messages import Envelope, Partition
from fedchain.node.membership import join
from fedchain.types import SCHEMA_VERSION, Kind, PartyId

ACCOUNTS = {"near": 8, "far": 9}
"""Development accounts; the ones of a job's parties are made anew."""

DEADLINE_SECONDS = 300.0
MAX_PAYLOAD_BYTES = 2**30
PIECE_BYTES = 256 * 1024
"""Of the floor, the raw TLS connection: as large as the messages of a fetch."""


class Peer:
    """The commands of the process; each returns what goes into its answer. Times are `time.monotonic()`."""

    def open(self, rpc: str, deployment: str, name: str, folder: str) -> dict[str, Any]:
        """Register."""
        account = dev_accounts(10)[ACCOUNTS[name]]
        client = ChainClient(rpc)
        self._consortium = Consortium(client, Deployment.load(Path(deployment)), Sender(client, account))
        self._identity = Identity.create(name)
        self._folder = Path(folder)
        self._jobs: queue.Queue[Inbox] = queue.Queue()
        self._address = account.address
        self._exchange = Exchange(
            client,
            self._consortium,
            address=account.address,
            name=PartyId(name),
            identity=self._identity,
            folder=self._folder,
            on_job=lambda event, inbox: self._jobs.put(inbox),
            on_request=lambda event, inbox: None,
        )
        join(
            self._consortium,
            address=account.address,
            name=PartyId(name),
            endpoint=self._exchange.endpoint,
            certificate=self._identity.certificate,
            encryption_key=SealingKey.generate().public,
        )
        return {"address": account.address, "certificate": self._identity.certificate_pem.decode()}

    def start(self) -> dict[str, Any]:
        """Begin to read the chain, once accredited."""
        self._exchange.start()
        return {}

    def propose(self, roster: list[str], pipelined: bool) -> dict[str, Any]:
        """Propose a job that never computes anything."""
        policy = JobPolicy(MAX_PAYLOAD_BYTES, 10, 0, pipelined)
        return {"job_id": self._consortium.propose(secrets.token_bytes(32), roster, policy)}

    def take_part(self, parties: Mapping[str, str], pipelined: bool) -> dict[str, Any]:
        """Go to round 1 of the next job."""
        inbox = self._jobs.get(timeout=DEADLINE_SECONDS)
        names = {PartyId(name): address for name, address in parties.items()}
        self._channel: JobChannel = self._exchange.channel(
            inbox, names, deadline_seconds=DEADLINE_SECONDS, pipelined=pipelined
        )
        self._channel.accept()
        self._channel.declare_aligned(bytes(32), 2)
        self._channel.begin_round(1)
        return {}

    def send(self, count: int, size: int) -> dict[str, Any]:
        """Uplinks of so many bytes, one after the other, and the round's end."""
        begun = time.monotonic()
        for step in range(count):
            self._channel.send(Partition((0,), os.urandom(size)), step, None, 0)
        self._channel.close_round(1, last=True)
        return {"begun": begun, "ended": time.monotonic()}

    def receive(self, count: int, sender: str) -> dict[str, Any]:
        """Take them."""
        for step in range(count):
            self._channel.receive(Partition, step, PartyId(sender), to_me=False)
        self._channel.close_round(1, last=True)
        return {"ended": time.monotonic()}

    def put(self, size: int, recipient: str) -> dict[str, Any]:
        """A payload for one recipient, into the store of what was sent."""
        digest = self._exchange.outgoing.put(os.urandom(size), Access(self._channel.job_id, (recipient,)))
        return {"digest": digest.hex()}

    def fetch(self, digest: str, size: int, sender: str, culprit: str) -> dict[str, Any]:
        """Fetch a payload by reference, as a node does for an accepted uplink."""
        begun = time.perf_counter()
        self._exchange.payloads.fetch(
            lambda: self._exchange.directory.peer(sender),
            bytes.fromhex(digest),
            size,
            job_id=self._channel.job_id,
            culprit=culprit,
            max_bytes=MAX_PAYLOAD_BYTES,
            deadline_seconds=DEADLINE_SECONDS,
        )
        return {"seconds": time.perf_counter() - begun}

    def deliver(self, size: int, step: int, recipient: str, culprit: str) -> dict[str, Any]:
        """Hand over a signed uplink of a pipelined round; digest and signature are made before the clock starts."""
        payload = os.urandom(size)
        envelope = Envelope(
            job_id=bytes.fromhex(self._channel.job_id[2:]),
            round=1,
            attempt=0,
            step=step,
            kind=Kind.PARTITION,
            recipient=bytes.fromhex(recipient[2:]),
            digest=payload_digest(payload),
            size=size,
            statistic_e6=0,
            schema=SCHEMA_VERSION,
        )
        signature = self._consortium.sign_uplink(self._consortium.uplink_id(self._address, envelope))
        begun = time.perf_counter()
        self._exchange.payloads.deliver(
            lambda: self._exchange.directory.peer(recipient),
            envelope.to_bytes(),
            signature,
            payload,
            culprit=culprit,
            deadline_seconds=DEADLINE_SECONDS,
        )
        return {"seconds": time.perf_counter() - begun}

    # -- the floor: a TLS connection that carries bytes and checks nothing of them ------------------------------------

    def listen(self) -> dict[str, Any]:
        """Be ready for one connection."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        return {"port": self._listener.getsockname()[1]}

    def stream(self, size: int, peer_certificate: str) -> dict[str, Any]:
        """Send so many bytes to whoever connects with the peer's certificate."""
        piece = memoryview(os.urandom(PIECE_BYTES))
        with self._listener:
            connection, _ = self._listener.accept()
        with self._tls(ssl.PROTOCOL_TLS_SERVER, peer_certificate).wrap_socket(connection, server_side=True) as tls:
            for start in range(0, size, PIECE_BYTES):
                tls.sendall(piece[: min(PIECE_BYTES, size - start)])
        return {}

    def drain(self, port: int, size: int, peer_certificate: str) -> dict[str, Any]:
        """Read them."""
        context = self._tls(ssl.PROTOCOL_TLS_CLIENT, peer_certificate)
        buffer = bytearray(PIECE_BYTES)
        begun = time.perf_counter()
        plain = socket.create_connection(("127.0.0.1", port))
        name = server_name_of(der_of(peer_certificate.encode()))
        with context.wrap_socket(plain, server_hostname=name) as tls:
            left = size
            while left:
                found = tls.recv_into(buffer)
                if not found:
                    raise ConnectionError(f"{left} bytes are missing")
                left -= found
        return {"seconds": time.perf_counter() - begun}

    def _tls(self, protocol: int, peer_certificate: str) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=peer_certificate)
        with tempfile.NamedTemporaryFile(dir=self._folder) as pair:  # the library reads files alone
            pair.write(self._identity.certificate_pem + self._identity.key_pem)
            pair.flush()
            context.load_cert_chain(pair.name)
        return context


COMMANDS = (
    "open", "start", "propose", "take_part", "send", "receive", "put", "fetch", "deliver", "listen", "stream", "drain",
)  # fmt: skip

if __name__ == "__main__":
    peer = Peer()
    serve({name: getattr(peer, name) for name in COMMANDS})
