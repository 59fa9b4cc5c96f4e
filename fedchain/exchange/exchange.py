"""A node's traffic with its consortium, in one piece: state, payload store and server, publisher, subscriber."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path

from fedchain.chain import ChainClient, Consortium
from fedchain.errors import ConfigError, FedchainError
from fedchain.exchange.channel import JobChannel
from fedchain.exchange.directory import Directory
from fedchain.exchange.fetcher import Fetcher
from fedchain.exchange.inbox import Inbox
from fedchain.exchange.payloads import PayloadClient, PayloadServer
from fedchain.exchange.publisher import Publisher
from fedchain.exchange.state import NodeState
from fedchain.exchange.store import PayloadStore
from fedchain.exchange.subscriber import JobHandler, RequestHandler, Subscriber
from fedchain.types import PartyId


class Exchange:
    """Everything between a node's jobs and the chain. Reading begins with `start`.

    Args:
        client: the chain.
        consortium: its contracts, with this node's sender.
        address: this node's address.
        name: this node's name in the registry.
        folder: for state and payloads; created with mode 0700, used by one process at a time.
        on_job: see `Subscriber`.
        on_request: see `Subscriber`.
        host: loopback address to serve payloads on.
        port: 0 for any free one.
        poll_seconds: see `Subscriber`.

    Attributes:
        state: the node's memory.
        outgoing: payloads that this node has sent by reference.
        directory: names and endpoints.
        publisher: sends uplinks.
        subscriber: reads the chain.
        server: serves `outgoing`.

    Raises:
        WrongChainError: the folder belongs to another chain.
        ConfigError: another process uses the folder, or the address cannot be listened on.
    """

    def __init__(
        self,
        client: ChainClient,
        consortium: Consortium,
        *,
        address: str,
        name: PartyId,
        folder: Path,
        on_job: JobHandler,
        on_request: RequestHandler,
        host: str = "127.0.0.1",
        port: int = 0,
        poll_seconds: float = 0.02,
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _lock_folder(folder)
        self._closed = False
        self.name = name
        self.client = client
        self.consortium = consortium
        opened: list[NodeState | PayloadServer] = []
        try:
            genesis = client.genesis_hash()
            self.state = NodeState(folder / "node.sqlite", chain_id=client.chain_id, genesis_hash=genesis)
            opened.append(self.state)
            self.outgoing = PayloadStore(folder / "outgoing", owner=name)
            self.server = PayloadServer(self.outgoing, host, port)
            opened.append(self.server)
            self.directory = Directory(consortium)
            self._payload_client = PayloadClient()
            self._fetcher = Fetcher(self.directory, self._payload_client)
            self.publisher = Publisher(consortium, address=address, name=name, state=self.state, outgoing=self.outgoing)
            self.subscriber = Subscriber(
                client,
                consortium,
                self.state,
                self.directory,
                self._fetcher,
                me=address,
                on_job=on_job,
                on_request=on_request,
                poll_seconds=poll_seconds,
            )
        except BaseException:
            for one in reversed(opened):
                one.close()
            os.close(self._lock)
            raise

    @property
    def endpoint(self) -> str:
        """Where this node serves payloads: what belongs into the registry."""
        return self.server.endpoint

    def start(self) -> None:
        """Begin to read the chain from the cursor."""
        self.subscriber.start()

    def channel(
        self,
        inbox: Inbox,
        parties: Mapping[PartyId, str],
        *,
        deadline_seconds: float,
        request_id: int | None = None,
        requester: PartyId | None = None,
    ) -> JobChannel:
        """This node's channel for a job, or for one inference request of it; see `JobChannel`."""
        return JobChannel(
            consortium=self.consortium,
            publisher=self.publisher,
            inbox=inbox,
            me=self.name,
            parties=parties,
            deadline_seconds=deadline_seconds,
            request_id=request_id,
            requester=requester,
        )

    def interrupt(self, reason: BaseException) -> None:
        """Stop reading; whoever waits at an inbox gets `reason`. State and payload server stay open."""
        self.subscriber.close(reason)

    def close(self, reason: BaseException | None = None) -> None:
        """End all traffic; what is recorded stays. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self.subscriber.close(reason or FedchainError("this node is stopping"))
        self._payload_client.close()
        self._fetcher.close()
        self.server.close()
        self.state.close()
        os.close(self._lock)


def _lock_folder(folder: Path) -> int:
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ConfigError(f"{folder}: another running node uses this state folder; stop it first") from error
    return descriptor
