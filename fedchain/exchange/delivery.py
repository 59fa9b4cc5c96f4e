"""Uplinks that come directly from their sender, ahead of the chain: the receiving side, for pipelined jobs.

What the sender reveals by it: that it has sent this uplink now, to this party.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import grpc
import structlog

from fedchain.crypto.merkle import CHUNK_BYTES, leaf_hashes
from fedchain.errors import FedchainError, MessageError
from fedchain.exchange.gate import Admission, Gate
from fedchain.exchange.wire import SIGNATURE_BYTES, DeliveryEnd, DeliveryHead, PayloadRun, decode_wire

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Deliveries:
    """What a node does with delivered uplinks; both functions are called in the server's threads.

    A sender that got no answer delivers again: the same uplink may come twice.

    Attributes:
        bound: (sender's address, envelope) → largest payload in bytes that is taken for it now; 0 refuses it. Called
            before any of the payload is read, where it does not come with the head.
        on_delivery: (sender's address, envelope, signature, payload, hashes of its chunks): checks that the signature
            is the sender's and that the payload is the envelope's, and keeps it; raises FedchainError to refuse it.
    """

    bound: Callable[[str, bytes], int]
    on_delivery: Callable[[str, bytes, bytes, bytes, Sequence[bytes]], None]


class DeliveryService:
    """The handler of `Deliver`.

    Args:
        gate: authenticates callers.
        deliveries: None to take none.
        budget_bytes: payloads under way, all callers' together: they are in memory.
    """

    def __init__(self, gate: Gate, deliveries: Deliveries | None, budget_bytes: int) -> None:
        self._gate = gate
        self._deliveries = deliveries
        self._budget_bytes = budget_bytes
        self._lock = threading.Lock()
        self._held = 0

    def deliver(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        """Take one uplink: a head with its payload, or followed by payload and end; no answer but that it is kept."""
        call = self._gate.admit(context)
        deliveries = self._deliveries
        if deliveries is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "this node takes no direct deliveries")
            raise AssertionError("abort raises")
        try:
            head = decode_wire(next(requests, b""), DeliveryHead)
            if len(head.signature) != (SIGNATURE_BYTES if head.payload else 0):
                raise MessageError("an uplink is signed where its payload ends, and nowhere else")
            if not head.payload:  # else it has come already, in one small message
                self._require_bound(deliveries, call, head)
        except (MessageError, _TooLarge) as error:
            log.warning("delivery refused", party=call.caller.name, error=str(error))
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except FedchainError as error:
            self._refuse(call, context, error)
        call.expect(head.size)
        if not self._reserve(head.size):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many deliveries are under way")
        try:
            payload, leaves = _payload(head, requests, call)
            if head.payload:  # it is whole, and whoever waits for it need not wait for the end of the call
                deliveries.on_delivery(call.caller.address, head.envelope, head.signature, payload, leaves)
                _require_end(requests)
            else:
                signature = decode_wire(next(requests, b""), DeliveryEnd).signature
                _require_end(requests)
                deliveries.on_delivery(call.caller.address, head.envelope, signature, payload, leaves)
        except MessageError as error:
            log.warning("delivery refused", party=call.caller.name, error=str(error))
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error)[:200])
        except FedchainError as error:
            self._refuse(call, context, error)
        finally:
            self._release(head.size)
        return b""

    @staticmethod
    def _require_bound(deliveries: Deliveries, call: Admission, head: DeliveryHead) -> None:
        bound = deliveries.bound(call.caller.address, head.envelope)
        if head.size > bound:
            raise _TooLarge(f"a payload of {head.size} bytes is announced, {bound} are taken for that uplink")

    @staticmethod
    def _refuse(call: Admission, context: grpc.ServicerContext, error: FedchainError) -> None:
        log.warning("delivery refused", party=call.caller.name, error=str(error), kind=type(error).__name__)
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"refused: {type(error).__name__}")

    def _reserve(self, size: int) -> bool:
        with self._lock:
            fits = self._held == 0 or self._held + size <= self._budget_bytes
            self._held += size if fits else 0
            return fits

    def _release(self, size: int) -> None:
        with self._lock:
            self._held -= size


class _TooLarge(Exception):
    pass


def _require_end(requests: Iterator[bytes]) -> None:
    if next(requests, None) is not None:
        raise MessageError("the delivery goes on after its end")


def _payload(head: DeliveryHead, requests: Iterator[bytes], call: Admission) -> tuple[bytes, list[bytes]]:
    """The payload and the hashes of its chunks, which are computed while the rest is on its way."""
    size = head.size
    runs, held = [head.payload], len(head.payload)
    leaves = leaf_hashes(head.payload) if held else []
    while held < size:
        run = decode_wire(next(requests, b""), PayloadRun)
        if run.first != len(leaves) or held % CHUNK_BYTES or held + len(run.data) > size:
            raise MessageError(f"runs of the payload out of order, or more than its {size} bytes")
        runs.append(run.data)
        leaves += leaf_hashes(run.data)
        held += len(run.data)
        call.progress()
    if held != size:
        raise MessageError(f"the head holds {held} bytes of a payload of {size}")
    return b"".join(runs), leaves
