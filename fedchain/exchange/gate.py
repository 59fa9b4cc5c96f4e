"""Who gets in at the server: each call is tied to an accredited party, counted, and watched until it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import grpc
import structlog

from fedchain.chain import Participant
from fedchain.errors import ChainError, MessageError, NotAccreditedError
from fedchain.exchange.members import Members
from fedchain.exchange.tls import der_of, fingerprint_of

log = structlog.get_logger(__name__)

BUSY = "busy: "
"""How the text begins with RESOURCE_EXHAUSTED where nothing was done, and another try later may succeed."""


@dataclass(frozen=True)
class Limits:
    """What one caller may take of a server.

    Attributes:
        calls_per_caller: calls of one party at once.
        idle_seconds: a call without any progress for so long is ended.
        slowest_bytes_per_second: a call that takes longer than its bytes at this speed, and `idle_seconds`, is ended.
        delivered_bytes: sizes of the deliveries under way, all callers' together.
        working_seconds: a call on which this node itself works for longer is ended; above the longest deadline of a
            batch's ask. The caller's own deadline ends it before.
    """

    calls_per_caller: int = 8
    idle_seconds: float = 20.0
    slowest_bytes_per_second: float = 64 * 1024
    delivered_bytes: int = 2**30
    working_seconds: float = 6 * 3600.0


class Admission:
    """One call that was let in.

    Attributes:
        caller: who calls, accredited.
    """

    def __init__(self, caller: Participant, context: grpc.ServicerContext, limits: Limits) -> None:
        self.caller = caller
        self._context = context
        self._limits = limits
        self._begun = self._seen = time.monotonic()
        self._bytes = 0
        self._working_since: float | None = None

    def expect(self, size: int) -> None:
        """So many bytes are to be moved: the call's time grows with them."""
        self._bytes = size

    def progress(self) -> None:
        """Something was moved."""
        self._seen = time.monotonic()

    @contextmanager
    def working(self) -> Iterator[None]:
        """This node works for the caller meanwhile: that is no idleness, and none of the time the bytes may take."""
        self._working_since = begun = time.monotonic()
        try:
            yield
        finally:
            self._seen = now = time.monotonic()
            self._begun += now - begun
            self._working_since = None

    def end_if_overdue(self, now: float) -> bool:
        """End the call if it stands still or takes too long; whether it was ended."""
        working_since = self._working_since
        if working_since is not None and now - working_since <= self._limits.working_seconds:
            return False
        longest = self._limits.idle_seconds + self._bytes / self._limits.slowest_bytes_per_second
        if now - self._seen <= self._limits.idle_seconds and now - self._begun <= longest:
            return False
        log.warning("call ended: its party is too slow", party=self.caller.name, seconds=round(now - self._begun, 1))
        self._context.cancel()
        return True


class Gate:
    """Authenticates calls by the certificate of their connection; nothing is read from a caller before that.

    Args:
        members: accredited participants.
        limits: for each caller.
    """

    def __init__(self, members: Members, limits: Limits) -> None:
        self._members = members
        self._limits = limits
        self._lock = threading.Lock()
        self._calls: set[Admission] = set()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="payload-watch", daemon=True)
        self._thread.start()

    def admit(self, context: grpc.ServicerContext) -> Admission:
        """Let a call in, or abort it: UNAUTHENTICATED, UNAVAILABLE (chain away), RESOURCE_EXHAUSTED (too many)."""
        try:
            caller = self._members.caller(_fingerprint(context))
        except (NotAccreditedError, MessageError) as error:
            log.warning("caller refused", error=str(error), peer=context.peer())
            context.abort(grpc.StatusCode.UNAUTHENTICATED, f"not an accredited party of this consortium: {error}")
        except ChainError as error:
            log.warning("caller not checked: registry cannot be read", error=str(error))
            context.abort(grpc.StatusCode.UNAVAILABLE, "this node cannot read the registry now")
        admission = Admission(caller, context, self._limits)
        with self._lock:
            mine = sum(call.caller.address == caller.address for call in self._calls)
            full = mine >= self._limits.calls_per_caller
            if not full:
                self._calls.add(admission)
        if full:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{BUSY}party '{caller.name}' has {mine} calls under way")
        if not context.add_callback(lambda: self._leave(admission)):
            self._leave(admission)
        return admission

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()
        self._thread.join(5.0)

    def _leave(self, admission: Admission) -> None:
        with self._lock:
            self._calls.discard(admission)

    def _watch(self) -> None:
        while not self._closed.wait(min(1.0, self._limits.idle_seconds / 4)):
            now = time.monotonic()
            with self._lock:
                calls = list(self._calls)
            for call in calls:
                if call.end_if_overdue(now):
                    self._leave(call)


def _fingerprint(context: grpc.ServicerContext) -> bytes:
    """Of the certificate with which the connection was made."""
    pems = context.auth_context().get("x509_pem_cert", ())
    if len(pems) != 1:
        raise MessageError("the connection has no certificate")
    return _fingerprint_of_pem(bytes(pems[0]))


@lru_cache(maxsize=256)
def _fingerprint_of_pem(pem: bytes) -> bytes:
    """A connection's certificate is asked for with each of its calls."""
    return fingerprint_of(der_of(pem))
