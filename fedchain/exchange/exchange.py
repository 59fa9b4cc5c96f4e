"""A node's traffic with its consortium, in one piece: state, payload store and server, publisher, subscriber."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import structlog

from fedchain.chain import ChainClient, Consortium
from fedchain.chain.sender import unwatched
from fedchain.errors import ChainError, ConfigError, FedchainError, StoppingError
from fedchain.exchange.asks import Answer
from fedchain.exchange.channel import JobChannel
from fedchain.exchange.client import PayloadClient
from fedchain.exchange.deliverer import Deliverer
from fedchain.exchange.delivery import Deliveries
from fedchain.exchange.directory import Directory
from fedchain.exchange.endpoint import parse_endpoint
from fedchain.exchange.fetcher import Fetcher
from fedchain.exchange.identities import Identities
from fedchain.exchange.inbox import Inbox
from fedchain.exchange.incoming import IncomingStore
from fedchain.exchange.keeping import DeadlineKeeper
from fedchain.exchange.members import Members
from fedchain.exchange.nudging import Nudger
from fedchain.exchange.outbox import NodeOutbox
from fedchain.exchange.pipeline import PipelinedChannel
from fedchain.exchange.prover import Prover
from fedchain.exchange.publisher import Publisher
from fedchain.exchange.receiving import Receiver
from fedchain.exchange.recorded import RecordedPayloads
from fedchain.exchange.retention import Retention, Sweeper
from fedchain.exchange.server import PayloadServer
from fedchain.exchange.state import NodeState
from fedchain.exchange.store import PayloadStore
from fedchain.exchange.subscriber import JobHandler, RequestHandler, Subscriber
from fedchain.exchange.tls import Identity
from fedchain.exchange.waits import THE_CHAIN, Patience, Wait, Waits
from fedchain.types import JobId, PartyId

log = structlog.get_logger(__name__)

_PUT_BACK_SECONDS = 120.0
_PUT_BACK_PAUSE_SECONDS = 0.2
_PROVE_AT_CLOSE_SECONDS = 5.0


class Exchange:
    """Everything between a node's jobs and the chain. Reading begins with `start`.

    Args:
        client: the chain.
        consortium: its contracts, with this node's sender.
        address: this node's address.
        name: this node's name in the registry.
        identity: this node's certificate and key.
        folder: for state and payloads; created with mode 0700, used by one process at a time.
        on_job: see `Subscriber`.
        on_request: see `Subscriber`.
        answer: answers questions of finished jobs, see `AskService`; None to answer none.
        host: address to listen on.
        port: 0 for any free one.
        endpoint: where peers reach this node; None for the address it listens on.
        retention: what happens to payloads whose job has ended.
        poll_seconds: see `Subscriber`.
        confirmations: see `Subscriber`.

    Attributes:
        state: the node's memory.
        outgoing: payloads that this node has sent by reference.
        incoming: payloads that this node has received by reference.
        identities: this node's certificate and key; two pairs while one replaces the other.
        directory: names, endpoints and certificates.
        members: who may connect.
        payloads: fetches payloads, delivers uplinks.
        publisher: sends uplinks.
        subscriber: reads the chain.
        server: serves `outgoing` and small payloads of pipelined rounds, takes deliveries.
        waits: whom this node waits for.
        confirmations: blocks that must lie above one before it counts.

    Raises:
        WrongChainError: the folder belongs to another chain.
        ConfigError: another process uses the folder, the address cannot be listened on, or peers could not reach it.
    """

    def __init__(
        self,
        client: ChainClient,
        consortium: Consortium,
        *,
        address: str,
        name: PartyId,
        identity: Identity,
        folder: Path,
        on_job: JobHandler,
        on_request: RequestHandler,
        answer: Answer | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        endpoint: str | None = None,
        retention: Retention = Retention(),  # noqa: B008 - frozen
        poll_seconds: float = 0.02,
        confirmations: int = 0,
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.confirmations = confirmations
        self._lock = lock_folder(folder)
        self._closed = False
        self._repairs = ThreadPoolExecutor(1, thread_name_prefix="put-back")
        self._is_looking = False
        self.waits = Waits()
        self._reads = False  # jobs and inboxes of before a restart are there
        self.name = name
        self.client = client
        self.consortium = consortium
        self.identities = Identities(identity)
        opened: list[NodeState | PayloadServer | Members | Sweeper] = []
        try:
            genesis = client.genesis_hash()
            self.state = NodeState(folder / "node.sqlite", chain_id=client.chain_id, genesis_hash=genesis)
            opened.append(self.state)
            if consortium.sender is not None:
                consortium.sender.attach(NodeOutbox(self.state, consortium.sender.address))
                consortium.sender.on_wait = self._sending
            self.outgoing = PayloadStore(folder / "outgoing", owner=name, retention=retention)
            self.incoming = IncomingStore(folder / "incoming", owner=name, retention=retention)
            self.directory = Directory(consortium)
            self.members = Members(consortium, self.directory, self.identities)
            opened.append(self.members)
            self._prover = Prover(consortium, self.state, self.directory, self.waits)
            self._receiver = Receiver(
                consortium,
                self.state,
                self.directory,
                self.incoming,
                me=address,
                inbox=lambda job_id: self.subscriber.inbox(job_id) if self._reads else None,
                on_equivocation=self._prover.equivocation,
            )
            self._recorded = RecordedPayloads(self.state)
            deliveries = Deliveries(self._receiver.bound, self._receiver.on_delivery)
            self.server = PayloadServer(
                self.outgoing,
                self.identities,
                self.members,
                host,
                port,
                recorded=self._recorded,
                deliveries=deliveries,
                answer=answer,
                on_nudge=self._look_now,
                sign_served=self._sign_served,
            )
            opened.append(self.server)
            self._endpoint = _public_endpoint(endpoint, self.server)
            self._sweeper = Sweeper((self.outgoing, self.incoming))
            opened.append(self._sweeper)
            self.payloads = PayloadClient(self.identities, self.incoming)
            self._fetcher = Fetcher(self.directory, self.payloads, self._prover.other_payload)
            self._deliverer = Deliverer(self.directory, self.payloads)
            self._nudger = Nudger(self.directory, self.payloads)
            self.publisher = Publisher(
                consortium,
                address=address,
                name=name,
                state=self.state,
                outgoing=self.outgoing,
                sign=consortium.sign_uplink,
                waits=self.waits,
            )
            self._keeper = DeadlineKeeper(
                consortium, self.waits, lambda job_id: self.subscriber.inbox(job_id), me=address
            )
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
                confirmations=confirmations,
                waits=self.waits,
                on_reorganisation=self._put_back_later,
                on_look=self._look_later,
                on_equivocation=self._receiver.keep_proof,
                on_replay=self._prover.replay,
            )
        except BaseException:
            for one in reversed(opened):
                one.close()
            os.close(self._lock)
            raise

    @property
    def endpoint(self) -> str:
        """Where peers reach this node: what belongs into the registry."""
        return self._endpoint

    def resume(self) -> None:
        """Finish what an earlier process of this node was sending; before this node looks where its jobs stand.

        Raises:
            ChainUnreachableError: the chain does not answer.
            ChainError: a transaction was not mined in time.
        """
        sender = self.consortium.sender
        for what, outcome in sender.resume() if sender is not None else []:
            if isinstance(outcome, FedchainError):
                log.warning("a transaction of an earlier process was not done", doing=what, error=str(outcome))
            else:
                log.info("a transaction of an earlier process is done", doing=what, block=outcome.block_number)

    def start(self) -> None:
        """Begin to read the chain from the cursor, and to take direct deliveries."""
        self._reads = True
        self.subscriber.start()

    def channel(
        self,
        inbox: Inbox,
        parties: Mapping[PartyId, str],
        *,
        deadline_seconds: float,
        request_id: int | None = None,
        requester: PartyId | None = None,
        resumed: bool = False,
        pipelined: bool = False,
        patience: Patience | None = None,
    ) -> JobChannel:
        """This node's channel for a job, or for one inference request of it; see `JobChannel`, `PipelinedChannel`."""
        self.publisher.set_roster(inbox.job_id, inbox.roster)
        kind: Callable[..., JobChannel] = JobChannel
        if pipelined:
            kind = partial(PipelinedChannel, deliverer=self._deliverer, receiver=self._receiver, state=self.state)
            self._recorded.serve(inbox.job_id, inbox.roster)
        if pipelined and resumed:
            self._receiver.bring_back(inbox)
        return kind(
            consortium=self.consortium,
            publisher=self.publisher,
            inbox=inbox,
            me=self.name,
            parties=parties,
            deadline_seconds=deadline_seconds,
            request_id=request_id,
            requester=requester,
            resumed=resumed,
            patience=patience,
            nudge=self._nudger.nudge,
            finish_proofs=self._prover.finish,
        )

    def forget(self, job_id: JobId) -> None:
        """A job has ended: its payloads go as the node's retention says."""
        self._receiver.forget(job_id)
        self._recorded.forget(job_id)
        self.outgoing.forget(job_id)
        self.incoming.forget(job_id)
        self.waits.forget(job_id)
        self._keeper.forget(job_id)

    def _sending(self, about: str, what: str, limit_seconds: float) -> AbstractContextManager[Wait]:
        bound = structlog.contextvars.get_contextvars()
        deadline = time.monotonic() + limit_seconds
        return self.waits.on((THE_CHAIN,), about, what, deadline, job_id=str(bound.get("job", "")))

    def _sign_served(self, digest: bytes, served: bytes) -> bytes:
        if self.consortium.sender is None:
            return b""
        return self.consortium.sign_uplink(self.consortium.faults.served_statement(digest, served))

    def _look_now(self) -> None:
        if self._reads:
            self.subscriber.look()

    def _put_back_later(self, job_id: JobId) -> None:
        """After a reorganisation: give the chain again what it took back of this node's transactions, then uplinks."""

        def put_back() -> None:
            self._put_back()
            with contextlib.suppress(ChainError):  # what is missing shows at the next look
                self.publisher.reassert(job_id)

        with contextlib.suppress(RuntimeError):  # closing
            self._repairs.submit(put_back)

    def _look_later(self) -> None:
        """Look at deadlines; and whether the chain took back what this node had sent, perhaps in blocks never read."""
        self._keeper.look_later()
        if not self._is_looking:
            self._is_looking = True
            with contextlib.suppress(RuntimeError):  # closing
                self._repairs.submit(self._look)

    def _look(self) -> None:
        try:
            sender = self.consortium.sender
            if sender is not None and sender.has_lost_some():
                log.warning("the chain took back transactions of this node, sending them again")
                self._put_back()
        except ChainError:
            pass  # the subscriber tells of outages
        finally:
            self._is_looking = False

    def _put_back(self) -> None:
        sender, until = self.consortium.sender, time.monotonic() + _PUT_BACK_SECONDS
        while sender is not None and not self._closed and time.monotonic() < until:
            try:
                if sender.reconcile():
                    return
            except ChainError as error:
                log.warning("the chain does not take again what it had taken back", error=str(error))
            time.sleep(_PUT_BACK_PAUSE_SECONDS)

    def interrupt(self, reason: BaseException) -> None:
        """Stop reading; whoever waits at an inbox gets `reason`. State and payload server stay open."""
        self.subscriber.close(reason)

    def close(self, reason: BaseException | None = None) -> None:
        """End all traffic; what is recorded stays. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self._repairs.shutdown(wait=False, cancel_futures=True)
        self._keeper.close()
        self.subscriber.close(reason or StoppingError("this node is stopping"))
        self._prover.finish(_PROVE_AT_CLOSE_SECONDS)
        self._prover.close()
        self.payloads.close()
        self._fetcher.close()
        self._deliverer.close()
        self._nudger.close()
        self.server.close()
        self._sweeper.close()
        self.members.close()
        if self.consortium.sender is not None:
            self.consortium.sender.on_wait = unwatched
        self.state.close()
        os.close(self._lock)


def _public_endpoint(wanted: str | None, server: PayloadServer) -> str:
    if wanted is not None:
        return str(parse_endpoint(wanted))
    bound = parse_endpoint(server.endpoint)
    if not bound.reachable:
        raise ConfigError(
            f"[serve] host {bound.host}: peers cannot dial that address; set [serve] endpoint to what they reach, "
            f'for example endpoint = "node.example.org:{bound.port}"'
        )
    return str(bound)


def lock_folder(folder: Path) -> int:
    """Keep other processes of this node away from its state folder, until the descriptor returned is closed.

    Raises:
        ConfigError: another process has it.
    """
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ConfigError(f"{folder}: another running node uses this state folder; stop it first") from error
    return descriptor
