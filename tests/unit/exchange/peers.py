"""A consortium of parties without a chain: a registry in memory, certificates, and rogue TLS servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import grpc

from fedchain.chain import Consortium, Participant
from fedchain.errors import ChainUnreachableError
from fedchain.exchange import Access, Deliveries, Identity, PayloadClient, PayloadServer, PayloadStore
from fedchain.exchange.directory import Directory, Peer
from fedchain.exchange.gate import Limits
from fedchain.exchange.identities import Identities
from fedchain.exchange.incoming import IncomingStore
from fedchain.exchange.members import Members
from fedchain.exchange.recorded import RecordedPayloads
from fedchain.exchange.server import FETCH, SERVICE
from fedchain.exchange.tls import fingerprint_of, pem_of
from fedchain.exchange.wire import PayloadRequest, decode_wire
from fedchain.types import JobId, Status

JOB = JobId("0x" + "11" * 32)
OTHER_JOB = JobId("0x" + "22" * 32)


def address_of(name: str) -> str:
    """A made-up address."""
    return "0x" + fingerprint_of(name.encode()).hex()[:40]


class GaveUpError(Exception):
    """Raised where a client would try a second time."""


def once(peer: Peer) -> Callable[[], Peer]:
    """A peer for one try."""
    tries = iter([peer])

    def look_up() -> Peer:
        for one in tries:
            return one
        raise GaveUpError

    return look_up


class Registry:
    """What `Members` and `Directory` read of a consortium."""

    def __init__(self) -> None:
        self.entries: dict[str, Participant] = {}
        self.certificates: dict[str, bytes] = {}
        self.reads = 0
        self.away = False

    def enter(self, name: str, certificate: bytes, *, status: Status = Status.ACCREDITED, endpoint: str = "") -> str:
        """A participant registers."""
        address = address_of(name)
        self.entries[address] = Participant(
            address, name, endpoint, status, 0, fingerprint_of(certificate), signer=address
        )
        self.certificates[address] = certificate
        return address

    def set_status(self, name: str, status: Status) -> None:
        """A steward acts."""
        address = address_of(name)
        self.entries[address] = replace(self.entries[address], status=status)

    def participant(self, address: str) -> Participant:
        """See `Consortium.participant`."""
        self._read()
        return self.entries.get(address) or Participant(address, "", "", Status.UNKNOWN, 0, bytes(32))

    def participants(self) -> list[Participant]:
        """See `Consortium.participants`."""
        self._read()
        return list(self.entries.values())

    def certificate(self, address: str) -> bytes:
        """See `Consortium.certificate`."""
        self._read()
        return self.certificates.get(address, b"")

    def _read(self) -> None:
        self.reads += 1
        if self.away:
            raise ChainUnreachableError("nothing answers")


@dataclass
class World:
    """A consortium's parties and what they have opened."""

    folder: Path
    registry: Registry = field(default_factory=Registry)
    identities: dict[str, Identity] = field(default_factory=dict)
    opened: list[PayloadServer | PayloadClient | Members] = field(default_factory=list)

    def party(self, name: str, *, status: Status | None = Status.ACCREDITED) -> Identity:
        """A party; with status None it is not in the registry."""
        identity = self.identities.setdefault(name, Identity.create(name))
        if status is not None:
            self.registry.enter(name, identity.certificate, status=status)
        return identity

    def members(self, name: str) -> Members:
        """The party's view of who may connect."""
        consortium = cast(Consortium, self.registry)
        one = Members(consortium, Directory(consortium), Identities(self.identities[name]))
        one.refresh()
        self.opened.append(one)
        return one

    def server(
        self,
        name: str,
        store: PayloadStore,
        *,
        members: Members | None = None,
        recorded: RecordedPayloads | None = None,
        deliveries: Deliveries | None = None,
        limits: Limits | None = None,
        port: int = 0,
        identities: Identities | None = None,
        sign_served: Callable[[bytes, bytes], bytes] = lambda digest, served: b"",
    ) -> PayloadServer:
        """The party serves a store."""
        members = members or self.members(name)
        one = PayloadServer(
            store,
            identities or Identities(self.identities[name]),
            members,
            port=port,
            recorded=recorded,
            deliveries=deliveries,
            limits=limits or Limits(),
            sign_served=sign_served,
        )
        self.opened.append(one)
        return one

    def client(
        self, name: str, *, identity: Identity | None = None, identities: Identities | None = None
    ) -> PayloadClient:
        """The party's client, on its incoming store."""
        one = PayloadClient(identities or Identities(identity or self.identities[name]), self.incoming(name))
        self.opened.append(one)
        return one

    def incoming(self, name: str) -> IncomingStore:
        """The party's incoming store, opened anew."""
        return IncomingStore(self.folder / f"{name}-incoming", owner=name)

    def store(self, name: str) -> PayloadStore:
        """The party's outgoing store, opened anew."""
        return PayloadStore(self.folder / f"{name}-outgoing", owner=name)

    def access(self, *names: str, job: JobId = JOB) -> Access:
        """Who may fetch."""
        return Access(job, tuple(address_of(name) for name in names))

    def peer(self, name: str, endpoint: str) -> Peer:
        """How others reach the party."""
        return Peer(endpoint, self.identities[name].certificate)

    def close(self) -> None:
        """Close everything."""
        for one in reversed(self.opened):
            one.close()

    @contextmanager
    def rogue(
        self, name: str, answer: Callable[[PayloadRequest], Iterator[bytes]], *, identity: Identity | None = None
    ) -> Iterator[Peer]:
        """A server of a party that does not play by the rules; with `identity` it shows another certificate."""
        shown = identity or self.identities[name]

        def handle(raw: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            yield from answer(decode_wire(raw, PayloadRequest))

        with ThreadPoolExecutor(2) as pool:
            server = grpc.server(pool)
            handler = grpc.unary_stream_rpc_method_handler(handle)
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {FETCH: handler}),))
            roots = b"".join(pem_of(one.certificate) for one in self.identities.values())
            pair = (shown.key_pem, shown.certificate_pem)
            port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair], roots, True))
            server.start()
            try:
                yield self.peer(name, f"127.0.0.1:{port}")
            finally:
                server.stop(None).wait()
