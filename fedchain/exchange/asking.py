"""Questions of finished jobs that go straight from party to party: the client's side."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc

from fedchain.errors import ChainError, DeadlineError, DeliveryError, MessageError, StoppingError
from fedchain.exchange.asks import unpack_refusal
from fedchain.exchange.gate import BUSY
from fedchain.exchange.wire import RUN_BYTES

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 0.4

Calls = Callable[[], tuple[Any, Any]]
"""gRPC's callables of the method, for one piece and for several, on a connection to where the peer answers now."""


class Question:
    """One question on its way, from construction on; it goes on while nobody waits.

    A peer that cannot be reached is looked up anew and asked again until the deadline: it may be starting. So is one
    that has too many questions of this party under way. Once it may
    have read the question, it may be that it refuses to read it twice.

    Args:
        calls: looks up the peer.
        question, answer_bytes, culprit, deadline_seconds: see `PayloadClient.ask`.

    Raises:
        DeliveryError, StoppingError: what `calls` raises.
    """

    def __init__(self, calls: Calls, question: bytes, answer_bytes: int, culprit: str, deadline_seconds: float) -> None:
        self._calls, self._question, self._answer_bytes = calls, question, answer_bytes
        self._culprit = culprit
        self._deadline = time.monotonic() + deadline_seconds
        self._wait = self._begin()

    def answer(self) -> bytes:
        """Wait for the answer; see `PayloadClient.ask`."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return self._wait()
            except MessageError as error:
                raise DeliveryError(self._culprit, str(error)) from error
            except grpc.FutureCancelledError as error:
                raise StoppingError("this node is stopping") from error
            except grpc.RpcError as error:
                self._raise_unless_unreachable(error, pause)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            try:
                self._wait = self._begin()
            except ChainError as error:
                raise self._late("its registry entry cannot be read") from error

    def _begin(self) -> Callable[[], bytes]:
        unary, stream = self._calls()
        seconds = max(0.001, self._deadline - time.monotonic())
        if max(len(self._question), self._answer_bytes) <= RUN_BYTES:  # without the threads that streams take
            one = unary.future(self._question, timeout=seconds)
            return one.result  # type: ignore[no-any-return]
        starts = range(0, len(self._question), RUN_BYTES)
        several = stream((self._question[start : start + RUN_BYTES] for start in starts), timeout=seconds)
        return lambda: _joined(several, self._answer_bytes + RUN_BYTES)

    def _raise_unless_unreachable(self, error: Any, pause: float) -> None:
        code, details = error.code(), str(error.details())
        is_busy = code == grpc.StatusCode.RESOURCE_EXHAUSTED and details.startswith(BUSY)
        if (code == grpc.StatusCode.UNAVAILABLE or is_busy) and time.monotonic() + pause < self._deadline:
            return
        refusal = unpack_refusal(details) if code == grpc.StatusCode.FAILED_PRECONDITION else None
        if refusal is not None:
            raise refusal from error
        if code == grpc.StatusCode.CANCELLED and "Channel closed" in details:  # by this side
            raise StoppingError("this node is stopping") from error
        if code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE):
            raise self._late(code.name) from error
        raise DeliveryError(self._culprit, f"does not answer: {code.name}, {details[:200]}") from error

    def _late(self, why: str) -> DeadlineError:
        return DeadlineError(f"party '{self._culprit}' did not answer in time ({why})", (self._culprit,))


def _joined(call: Any, most: int) -> bytes:
    found, size = [], 0
    for piece in call:
        found.append(piece)
        size += len(piece)
        if size > most:
            call.cancel()
            raise MessageError(f"its answer goes on beyond {most} bytes")
    return b"".join(found)
