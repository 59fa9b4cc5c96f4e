"""Payloads by reference: a gRPC server for what this node sent, and a client that verifies what it fetches.

Generic handlers over bytes, one server-streaming method; the wire types are in `fedchain.exchange.wire`. Plain text on
the loopback interface only: other addresses are refused until mutual TLS is there.
Source: https://grpc.github.io/grpc/python/grpc.html#generic-handlers
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import structlog

from fedchain.crypto.merkle import payload_digest
from fedchain.errors import (
    ConfigError,
    DigestMismatchError,
    FedchainError,
    MessageError,
    PayloadUnavailableError,
    ProtocolViolationError,
)
from fedchain.exchange.endpoint import Endpoint, loopback_host, parse_endpoint
from fedchain.exchange.store import PayloadStore
from fedchain.exchange.wire import (
    CHUNK_BYTES,
    MAX_WIRE_BYTES,
    PayloadChunk,
    PayloadRequest,
    decode_wire,
    encode_wire,
)

log = structlog.get_logger(__name__)

SERVICE = "fedchain.Payloads"
METHOD = "Fetch"
_FATAL = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.DATA_LOSS)
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0


class PayloadServer:
    """Serves the payloads of one outgoing store, and nothing else, to whoever knows their digests.

    Args:
        store: what this node itself has sent.
        host: a loopback address.
        port: 0 for any free one.

    Raises:
        ConfigError: not a loopback address, or the port is taken.
    """

    def __init__(self, store: PayloadStore, host: str = "127.0.0.1", port: int = 0) -> None:
        wanted = Endpoint(loopback_host(host), port)
        self._store = store
        self._server = grpc.server(
            ThreadPoolExecutor(max_workers=8, thread_name_prefix="payload-server"),
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", MAX_WIRE_BYTES)],
            maximum_concurrent_rpcs=64,
        )
        handler = grpc.unary_stream_rpc_method_handler(self._fetch)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
        try:
            bound = self._server.add_insecure_port(str(wanted))
        except RuntimeError as error:
            raise ConfigError(f"[serve] {wanted}: cannot listen there; choose another port, or 0 for any") from error
        if bound == 0:
            raise ConfigError(f"[serve] {wanted}: cannot listen there; choose another port, or 0 for any")
        self._bound = Endpoint(wanted.host, bound)
        self._server.start()

    @property
    def endpoint(self) -> str:
        """Where it listens, `host:port`: what goes into the registry."""
        return str(self._bound)

    def close(self) -> None:
        """Stop serving; transfers under way get a second to end."""
        self._server.stop(grace=1.0).wait(2.0)

    def _fetch(self, raw: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        try:
            request = decode_wire(raw, PayloadRequest)
            payload = self._store.get(request.digest)
        except MessageError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except PayloadUnavailableError:
            context.abort(grpc.StatusCode.NOT_FOUND, "this node has not sent a payload of that digest")
        except DigestMismatchError as error:
            log.error("payload file was changed on disk", error=str(error))
            context.abort(grpc.StatusCode.DATA_LOSS, "the payload's file is damaged at its sender")
        for index, start in enumerate(range(0, len(payload), CHUNK_BYTES)):
            yield encode_wire(PayloadChunk(index, payload[start : start + CHUNK_BYTES]))


class PayloadClient:
    """Fetches payloads from their senders; hands out verified bytes only. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channels: dict[str, grpc.Channel] = {}
        self._closed = threading.Event()

    def fetch(
        self,
        endpoint: str | Callable[[], str],
        digest: bytes,
        size: int,
        *,
        culprit: str,
        max_bytes: int,
        deadline_seconds: float,
    ) -> bytes:
        """Fetch the payload of a digest, trying again with growing pauses until the deadline.

        Args:
            endpoint: the sender's `host:port`, or a function that looks it up anew for each try.
            digest: 32-byte Merkle root committed on chain.
            size: length in bytes committed on chain.
            culprit: the sender's name, for errors.
            max_bytes: the job's bound.
            deadline_seconds: how long to keep trying.

        Raises:
            ProtocolViolationError: the committed size is above the job's bound; nothing is fetched.
            DigestMismatchError: the sender served other bytes; names it.
            PayloadUnavailableError: it did not serve them in time.
            ConfigError: its endpoint is not on the loopback interface.
        """
        if not 1 <= size <= max_bytes:
            raise ProtocolViolationError(culprit, f"committed to a payload of {size} bytes, the job allows {max_bytes}")
        deadline = time.monotonic() + deadline_seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            where = endpoint() if callable(endpoint) else endpoint
            try:
                payload = self._try(where, digest, size, culprit, deadline)
            except grpc.RpcError as error:
                code, details = error.code(), error.details()
                problem = f"does not serve payload {digest.hex()} at {where}: {code.name}, {str(details)[:200]}"
                if code in _FATAL or self._closed.is_set() or time.monotonic() + pause >= deadline:
                    raise PayloadUnavailableError(culprit, problem) from error
                log.warning("payload not served yet, trying again", sender=culprit, endpoint=where, code=code.name)
                self._closed.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                continue
            if len(payload) != size or payload_digest(payload) != digest:
                raise DigestMismatchError(
                    f"party '{culprit}' served {len(payload)} bytes that do not match the digest {digest.hex()} "
                    f"({size} bytes) that it committed to on chain"
                )
            return payload

    def _try(self, where: str, digest: bytes, size: int, culprit: str, deadline: float) -> bytes:
        chunks: list[bytes] = []
        received = 0
        call = self._method(where)(
            encode_wire(PayloadRequest(digest, size)), timeout=max(0.1, deadline - time.monotonic())
        )
        try:
            for raw in call:
                try:
                    chunk = decode_wire(raw, PayloadChunk)
                except MessageError as error:
                    raise DigestMismatchError(f"party '{culprit}' served no payload: {error}") from error
                received += len(chunk.data)
                if chunk.index != len(chunks) or received > size:
                    raise DigestMismatchError(
                        f"party '{culprit}' served more than, or other than, the {size} bytes that it committed to"
                    )
                chunks.append(chunk.data)
        finally:
            call.cancel()
        return b"".join(chunks)

    def _method(self, where: str) -> grpc.UnaryStreamMultiCallable:
        target = str(parse_endpoint(where))
        with self._lock:
            if self._closed.is_set():
                raise FedchainError("this node is stopping")
            channel = self._channels.get(target)
            if channel is None:
                channel = grpc.insecure_channel(
                    target,
                    options=[
                        ("grpc.enable_http_proxy", 0),
                        ("grpc.max_receive_message_length", MAX_WIRE_BYTES),
                        ("grpc.initial_reconnect_backoff_ms", 50),
                        ("grpc.min_reconnect_backoff_ms", 50),
                        ("grpc.max_reconnect_backoff_ms", 1000),
                    ],
                )
                self._channels[target] = channel
        return channel.unary_stream(f"/{SERVICE}/{METHOD}")

    def close(self) -> None:
        """Close the connections; fetches under way end with an error."""
        with self._lock:
            self._closed.set()
            channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            channel.close()
