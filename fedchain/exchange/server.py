"""A node's gRPC server: serves payloads it has sent, takes uplinks delivered directly, answers questions.

Generic handlers over bytes; the wire types are in `fedchain.exchange.wire`. Mutual TLS only: the roots are the
certificates that the registry holds of accredited participants, looked up anew for each connection, and each call's
certificate is tied to its participant again. A whole payload is never in memory here.
Source: https://grpc.github.io/grpc/python/grpc.html#generic-handlers
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import structlog

from fedchain.compute.tally import Tally
from fedchain.crypto.merkle import DIGEST_BYTES, root_of
from fedchain.errors import ConfigError, DigestMismatchError, MessageError, PayloadUnavailableError
from fedchain.exchange.asks import ASK_LIMITS, Answer, AskService
from fedchain.exchange.delivery import Deliveries, DeliveryService
from fedchain.exchange.endpoint import Endpoint, checked_host
from fedchain.exchange.gate import Admission, Gate, Limits
from fedchain.exchange.holding import StoredPayload
from fedchain.exchange.identities import Identities
from fedchain.exchange.members import Members
from fedchain.exchange.recorded import RecordedPayload, RecordedPayloads
from fedchain.exchange.store import PayloadStore
from fedchain.exchange.wire import (
    MAX_WIRE_BYTES,
    RUN_BYTES,
    PayloadLeaves,
    PayloadRequest,
    PayloadRun,
    decode_wire,
    encode_wire,
)

log = structlog.get_logger(__name__)

SERVICE = "fedchain.Payloads"
FETCH = "Fetch"
DELIVER = "Deliver"
NUDGE = "Nudge"
ASK = "Ask"

_WORKERS = 64
_CONCURRENT_CALLS = 96
_OPTIONS = [
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_WIRE_BYTES),
    ("grpc.max_metadata_size", 8192),
    ("grpc.max_concurrent_streams", 32),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]


class PayloadServer:
    """Serves what this node has sent, each payload to the recipients that it is known to have, and to nobody else.

    Args:
        store: what this node itself has sent.
        recorded: small payloads that it has sent; None where there are none.
        identities: this node's certificate and key; while they are being replaced, both pairs.
        members: who may connect.
        host: address or name to listen on; `0.0.0.0` for every address.
        port: 0 for any free one.
        deliveries: takes uplinks that come directly; None to take none.
        answer: answers questions of finished jobs; None to answer none.
        limits: for each caller.
        sign_served: signs, with each transfer, which payload is served for a digest: (digest asked for, digest of what
            is served) → 65 bytes, or none.
        on_nudge: called when an accredited party says that the chain has something; must return quickly.

    Attributes:
        served: payload bytes that went out.

    Raises:
        ConfigError: not a host, or the port is taken.
    """

    def __init__(
        self,
        store: PayloadStore,
        identities: Identities,
        members: Members,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        recorded: RecordedPayloads | None = None,
        deliveries: Deliveries | None = None,
        answer: Answer | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        on_nudge: Callable[[], None] = lambda: None,
        sign_served: Callable[[bytes, bytes], bytes] = lambda digest, served: b"",
    ) -> None:
        wanted = Endpoint(checked_host(host), port)
        self._store, self._recorded = store, recorded
        self._on_nudge = on_nudge
        self._sign_served = sign_served
        self._server = grpc.server(
            ThreadPoolExecutor(max_workers=_WORKERS, thread_name_prefix="payload-server"),
            options=_OPTIONS,
            maximum_concurrent_rpcs=_CONCURRENT_CALLS,
        )
        self._gate, self._ask_gate = Gate(members, limits), Gate(members, ASK_LIMITS)
        self.served = Tally()
        delivering = DeliveryService(self._gate, deliveries, limits.delivered_bytes)
        # a stream of requests, though there is one: so the caller is checked before a worker waits for its request
        handlers = {
            FETCH: grpc.stream_stream_rpc_method_handler(self._fetch),
            DELIVER: grpc.stream_unary_rpc_method_handler(delivering.deliver),
            NUDGE: grpc.stream_unary_rpc_method_handler(self._nudge),
            ASK: grpc.stream_stream_rpc_method_handler(AskService(self._ask_gate, answer).ask),
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        try:
            bound = self._server.add_secure_port(str(wanted), _credentials(identities, members))
        except RuntimeError:
            bound = 0
        if bound == 0:
            self._close_gates()
            raise ConfigError(f"[serve] {wanted}: cannot listen there; choose another port, or 0 for any")
        self._bound = Endpoint(wanted.host, bound)
        self._server.start()

    @property
    def endpoint(self) -> str:
        """Where it listens, `host:port`."""
        return str(self._bound)

    def close(self) -> None:
        """Stop serving; calls under way get a second to end."""
        self._server.stop(grace=1.0).wait(2.0)
        self._close_gates()

    def _close_gates(self) -> None:
        self._gate.close()
        self._ask_gate.close()

    def _fetch(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        call = self._gate.admit(context)
        request = _request(requests, context)
        stored = self._open(request, call, context)
        call.expect(stored.holding.size)
        if request.first == 0:
            leaves = stored.leaves
            served = root_of([leaves[at : at + DIGEST_BYTES] for at in range(0, len(leaves), DIGEST_BYTES)])
            # once: it tells of what is sent, not of what should be
            signature = self._sign_served(request.digest, served)
            for start in range(0, len(leaves), RUN_BYTES):
                yield encode_wire(PayloadLeaves(start // DIGEST_BYTES, leaves[start : start + RUN_BYTES], signature))
                signature = b""
                call.progress()
        try:
            for first, data in stored.runs(request.first):
                yield encode_wire(PayloadRun(first, memoryview(data)))
                self.served.add(len(data))
                call.progress()
        except (DigestMismatchError, OSError) as error:
            log.error("payload file was changed on disk", error=str(error))
            context.abort(grpc.StatusCode.DATA_LOSS, "the payload's file is damaged at its sender")

    def _nudge(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        self._gate.admit(context)
        if next(requests, b""):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a nudge says nothing")
        self._on_nudge()
        return b""

    def _open(
        self, request: PayloadRequest, call: Admission, context: grpc.ServicerContext
    ) -> StoredPayload | RecordedPayload:
        try:
            stored = self._find(request.digest)
        except PayloadUnavailableError:
            context.abort(grpc.StatusCode.NOT_FOUND, "this node has not sent a payload of that digest")
        except DigestMismatchError as error:
            log.error("access file was changed on disk", error=str(error))
            context.abort(grpc.StatusCode.DATA_LOSS, "the payload's file is damaged at its sender")
        if not stored.holding.allows(call.caller.address):
            log.warning("payload refused: not a recipient", party=call.caller.name, digest=request.digest.hex())
            context.abort(grpc.StatusCode.PERMISSION_DENIED, f"party '{call.caller.name}' is not a recipient of it")
        if stored.holding.size != request.size:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"the payload has {stored.holding.size} bytes")
        return stored

    def _find(self, digest: bytes) -> StoredPayload | RecordedPayload:
        found = None if self._recorded is None or self._store.has(digest) else self._recorded.open(digest)
        return self._store.open(digest) if found is None else found


def _request(requests: Iterator[bytes], context: grpc.ServicerContext) -> PayloadRequest:
    try:
        return decode_wire(next(requests), PayloadRequest)
    except StopIteration:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no request")
    except MessageError as error:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
    raise AssertionError("abort raises")


def _credentials(identities: Identities, members: Members) -> grpc.ServerCredentials:
    def current() -> grpc.ServerCertificateConfiguration:
        # of several the TLS library takes the one whose server name the caller asks for
        pairs = [(one.key_pem, one.certificate_pem) for one in identities.held]
        return grpc.ssl_server_certificate_configuration(pairs, members.roots())

    return grpc.dynamic_ssl_server_credentials(current(), current, True)
