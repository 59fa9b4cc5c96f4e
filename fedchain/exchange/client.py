"""Talks to other nodes' servers: fetches payloads from their senders, delivers uplinks to their recipients.

Mutual TLS only: whoever answers must have exactly the certificate that the peer has in the registry.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FuturesTimeoutError
from functools import lru_cache
from typing import TypeVar

import grpc
import structlog

from fedchain.compute.tally import Tally
from fedchain.crypto.merkle import CHUNK_BYTES
from fedchain.errors import (
    ChainUnreachableError,
    ConfigError,
    DeliveryError,
    DigestMismatchError,
    FedchainError,
    MessageError,
    OtherLeavesError,
    PayloadUnavailableError,
    ProtocolViolationError,
    StoppingError,
)
from fedchain.exchange.asking import Question
from fedchain.exchange.directory import Peer
from fedchain.exchange.endpoint import parse_endpoint
from fedchain.exchange.identities import Identities
from fedchain.exchange.incoming import IncomingStore
from fedchain.exchange.partial import PartialPayload
from fedchain.exchange.server import ASK, DELIVER, FETCH, NUDGE, SERVICE
from fedchain.exchange.tls import Identity, fingerprint_of, pem_of, server_name_of
from fedchain.exchange.wire import (
    MAX_WIRE_BYTES,
    RUN_BYTES,
    DeliveryEnd,
    DeliveryHead,
    PayloadLeaves,
    PayloadRequest,
    PayloadRun,
    decode_wire,
    encode_wire,
)
from fedchain.types import JobId

log = structlog.get_logger(__name__)

T = TypeVar("T")
OnOther = Callable[[bytes, bytes], None]

_FATAL = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
)
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
_MAX_CHANNELS = 64
_NUDGE_SECONDS = 1.0
_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", MAX_WIRE_BYTES),
    ("grpc.max_metadata_size", 8192),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


class PayloadClient:
    """Fetches and delivers; hands out verified bytes only. Safe to use from several threads.

    Args:
        identities: this node's certificate and key; while they are being replaced, both pairs.
        incoming: where fetched payloads are kept, and transfers that broke off.

    Attributes:
        fetched: bytes that came.
        delivered: bytes that recipients took.
    """

    def __init__(self, identities: Identities, incoming: IncomingStore) -> None:
        self._identities = identities
        self._incoming = incoming
        self._lock = threading.Lock()
        self._channels: OrderedDict[tuple[str, bytes, bytes], grpc.Channel] = OrderedDict()
        self._closed = threading.Event()
        self.fetched, self.delivered = Tally(), Tally()

    def fetch(
        self,
        peer: Peer | Callable[[], Peer],
        digest: bytes,
        size: int,
        *,
        job_id: JobId,
        culprit: str,
        max_bytes: int,
        deadline_seconds: float,
        on_other: OnOther = lambda served, signature: None,
    ) -> bytes:
        """Fetch the payload of a digest, going on with growing pauses until the deadline.

        A payload that was fetched before, perhaps before a restart, is not fetched again; one that was fetched in part
        is gone on with at the first chunk that is missing.

        Args:
            peer: the sender's node, or a function that looks it up anew for each try.
            digest: 32-byte Merkle root committed on chain.
            size: length in bytes committed on chain.
            job_id: of the uplink; the payload is kept until the job is forgotten.
            culprit: the sender's name, for errors.
            max_bytes: the job's bound.
            deadline_seconds: how long to keep trying.
            on_other: called when the hashes of another payload come: with its digest, and the sender's signature under
                it as it came; nobody has checked that. Must return at once.

        Raises:
            ProtocolViolationError: the committed size is above the job's bound; nothing is fetched.
            DigestMismatchError: the sender served other bytes; names it.
            PayloadUnavailableError: it did not serve them in time, or refuses to.
            ConfigError: the incoming store is full.
        """
        if not 1 <= size <= max_bytes:
            raise ProtocolViolationError(culprit, f"committed to a payload of {size} bytes, the job allows {max_bytes}")
        payload = self._incoming.received(digest)
        if payload is not None and len(payload) == size:
            return payload
        what = f"does not serve payload {digest.hex()}"
        deadline = time.monotonic() + deadline_seconds

        def receive(there: Peer, mine: Identity) -> bytes:
            sender = fingerprint_of(there.certificate)
            with self._incoming.transfer(job_id, digest, size, sender) as partial:
                earlier = self._incoming.received(digest)  # by another thread, while this one waited for its turn
                if earlier is not None and len(earlier) == size:
                    return earlier
                self._receive(there, mine, partial, digest, size, culprit, deadline, on_other)
                return partial.payload()

        return self._until(deadline, peer, receive, lambda text: PayloadUnavailableError(culprit, f"{what} {text}"))

    def deliver(
        self,
        peer: Peer | Callable[[], Peer],
        envelope: bytes,
        signature: bytes | Future[bytes],
        payload: bytes,
        *,
        culprit: str,
        deadline_seconds: float,
    ) -> None:
        """Hand a signed uplink to a recipient's node, trying again until the deadline; it may arrive twice.

        A large payload goes before its signature, which may still be awaited.

        Args:
            peer: the recipient's node, or a function that looks it up anew for each try.
            envelope: encoded, 1 to 1024 bytes.
            signature: 65 bytes, by this node's account; or who brings them, where the payload is above 4 chunks.
            payload: its bytes; the recipient sees them.
            culprit: the recipient's name, for errors.
            deadline_seconds: how long to keep trying.

        Raises:
            DeliveryError: it refused the uplink, or did not take it in time; names the recipient.
            StoppingError: this node is stopping, or the uplink could not be recorded: there is no signature.
        """
        view, is_small = memoryview(payload), len(payload) <= RUN_BYTES
        deadline = time.monotonic() + deadline_seconds

        def signed() -> bytes:
            if isinstance(signature, bytes):
                return signature
            try:
                return signature.result(max(0.0, deadline - time.monotonic()))
            except FuturesTimeoutError as error:
                raise DeliveryError(culprit, "was not sent an uplink: it was not recorded in time") from error
            except Exception as error:
                raise StoppingError("the uplink could not be recorded, so it is not sent") from error

        if is_small:
            head = encode_wire(DeliveryHead(envelope, signed(), len(payload), view))
        else:
            head = encode_wire(DeliveryHead(envelope, b"", len(payload)))

        def messages() -> Iterator[bytes]:
            yield head
            for start in range(0, len(payload), RUN_BYTES):
                yield encode_wire(PayloadRun(start // CHUNK_BYTES, view[start : start + RUN_BYTES]))
            with contextlib.suppress(DeliveryError, StoppingError):  # without its end it is refused
                yield encode_wire(DeliveryEnd(signed()))

        def send(there: Peer, mine: Identity) -> None:
            if isinstance(signature, Future) and signature.done():
                signed()  # there may be none
            method, timeout = f"/{SERVICE}/{DELIVER}", max(0.1, deadline - time.monotonic())
            channel = self._channel(there, mine)
            if is_small:  # a stream of one message, without the thread that a stream takes
                channel.unary_unary(method)(head, timeout=timeout)
            else:
                channel.stream_unary(method)(messages(), timeout=timeout)
            self.delivered.add(len(payload))

        self._until(deadline, peer, send, lambda text: DeliveryError(culprit, f"did not take an uplink {text}"))

    def ask(
        self, peer: Callable[[], Peer], question: bytes, *, answer_bytes: int, culprit: str, deadline_seconds: float
    ) -> Callable[[], bytes]:
        """Send a question of a finished job, again while the peer cannot be reached, until the deadline.

        Args:
            peer: looks up whose node is asked; anew for each try.
            question: 1 byte to `MAX_ASK_BYTES`.
            answer_bytes: how long the answer is about to be: above a piece it comes in several.
            culprit: the peer's name, for errors.
            deadline_seconds: for the answer, from now on.

        Returns:
            Waits for the answer, and gives it. It raises
            AskRefusedError: the peer refuses, and says why.
            DeadlineError: there is no answer in time; names the peer.
            DeliveryError: whatever else goes wrong on the way; names the peer.

        Raises:
            DeliveryError, PayloadUnavailableError: the peer has registered no endpoint, or no certificate.
            StoppingError: this node is stopping.
        """

        def calls() -> tuple[object, object]:
            try:
                channel, method = self._channel(peer()), f"/{SERVICE}/{ASK}"
            except _BadEndpointError as error:
                raise DeliveryError(culprit, f"cannot be asked at its registered endpoint: {error}") from error
            return channel.unary_unary(method), channel.stream_stream(method)

        return Question(calls, question, answer_bytes, culprit, deadline_seconds).answer

    def nudge(self, peer: Peer, *, culprit: str) -> None:
        """Tell a node to look at the chain now; one try.

        Raises:
            DeliveryError: it did not take it within a second; names it.
        """
        try:
            self._channel(peer).unary_unary(f"/{SERVICE}/{NUDGE}")(b"", timeout=_NUDGE_SECONDS)
        except _BadEndpointError as error:
            raise DeliveryError(culprit, f"cannot be nudged at its registered endpoint: {error}") from error
        except grpc.RpcError as error:
            raise DeliveryError(culprit, f"was not nudged at {peer.endpoint}: {error.code().name}") from error

    def retire(self) -> None:
        """Let go of connections with a certificate that this node holds no more; calls under way go on to their end."""
        held = {one.fingerprint for one in self._identities.held}
        with self._lock:
            for key in [key for key in self._channels if key[2] not in held]:
                del self._channels[key]  # not closed, which would break off calls: it ends with the last of them

    def close(self) -> None:
        """Close the connections; calls under way end with an error."""
        with self._lock:
            self._closed.set()
            channels, self._channels = list(self._channels.values()), OrderedDict()
        for channel in channels:
            channel.close()

    # -- inside -----------------------------------------------------------------------------------------------------

    def _until(
        self,
        deadline: float,
        peer: Peer | Callable[[], Peer],
        act: Callable[[Peer, Identity], T],
        failure: Callable[[str], FedchainError],
    ) -> T:
        """Do `act` with the peer, again after each failure of the transport that may pass, until the deadline."""
        pause = _FIRST_PAUSE_SECONDS
        for tries in itertools.count():
            last = self._closed.is_set() or time.monotonic() + pause >= deadline
            try:
                there = peer() if callable(peer) else peer
                return act(there, self._identities.to_present(tries))
            except ChainUnreachableError as error:
                if last:
                    raise
                log.warning("registry cannot be read, trying again", error=str(error))
            except _BadEndpointError as error:
                raise failure(f"at its registered endpoint: {error}") from error
            except grpc.RpcError as error:
                code, details = error.code(), str(error.details())[:200]
                if code in _FATAL or self._closed.is_set() or time.monotonic() + pause >= deadline:
                    raise failure(f"at {there.endpoint}: {code.name}, {details}") from error
                log.warning("peer does not answer yet, trying again", endpoint=there.endpoint, code=code.name)
            self._closed.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        raise AssertionError("unreachable: the count has no end")

    def _receive(
        self,
        there: Peer,
        mine: Identity,
        partial: PartialPayload,
        digest: bytes,
        size: int,
        culprit: str,
        deadline: float,
        on_other: OnOther,
    ) -> None:
        if partial.complete:
            return
        partial.restart()
        request = PayloadRequest(digest, size, partial.chunks)
        call = self._channel(there, mine).unary_stream(f"/{SERVICE}/{FETCH}")(
            encode_wire(request), timeout=max(0.1, deadline - time.monotonic())
        )
        signature = b""
        try:
            for raw in call:
                if partial.needs_leaves:
                    leaves = decode_wire(raw, PayloadLeaves)
                    signature = signature or leaves.signature
                    partial.add_leaves(leaves.first, leaves.hashes)
                else:
                    run = decode_wire(raw, PayloadRun)
                    partial.add(run.first, run.data)
                    self.fetched.add(len(run.data))
            if not partial.complete:
                raise DigestMismatchError(f"the stream ended after {partial.chunks} chunks of {size} bytes")
        except (MessageError, DigestMismatchError) as error:
            if isinstance(error, OtherLeavesError) and signature:
                on_other(error.root, signature)
            raise DigestMismatchError(
                f"party '{culprit}' served other bytes than it committed to on chain ({digest.hex()}): {error}"
            ) from error
        finally:
            call.cancel()

    def _channel(self, there: Peer, mine: Identity | None = None) -> grpc.Channel:
        """A connection that shows `mine`; None for the current one."""
        mine = mine or self._identities.current
        try:
            target = _target_of(there.endpoint)
        except ConfigError as error:
            raise _BadEndpointError(str(error)) from error
        key = (target, there.certificate, mine.fingerprint)
        with self._lock:
            if self._closed.is_set():
                raise StoppingError("this node is stopping")
            channel = self._channels.get(key)
            if channel is None:
                credentials = grpc.ssl_channel_credentials(
                    pem_of(there.certificate), mine.key_pem, mine.certificate_pem
                )
                name = ("grpc.ssl_target_name_override", server_name_of(there.certificate))
                channel = grpc.secure_channel(target, credentials, options=[name, *_OPTIONS])
                self._channels[key] = channel
                if len(self._channels) > _MAX_CHANNELS:
                    self._channels.popitem(last=False)[1].close()
            self._channels.move_to_end(key)
        return channel


@lru_cache(maxsize=256)
def _target_of(endpoint: str) -> str:
    """A peer's address is asked for with each call to it."""
    return parse_endpoint(endpoint).target


class _BadEndpointError(Exception):
    """A peer has registered something that is no endpoint."""
