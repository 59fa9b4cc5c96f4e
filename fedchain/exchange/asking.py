"""Questions of finished jobs that go straight from party to party: the client's side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc

from fedchain.errors import DeadlineError, DeliveryError, MessageError, StoppingError
from fedchain.exchange.asks import unpack_refusal
from fedchain.exchange.wire import RUN_BYTES


def send_question(
    unary: Any, stream: Any, question: bytes, answer_bytes: int, culprit: str, deadline_seconds: float
) -> Callable[[], bytes]:
    """Begin a call, which goes on while nobody waits; see `PayloadClient.ask`.

    Args:
        unary, stream: gRPC's callables of the same method: for one piece, and for several.
        question, answer_bytes, culprit, deadline_seconds: see `PayloadClient.ask`.

    Returns:
        Waits for the answer.
    """
    if max(len(question), answer_bytes) <= RUN_BYTES:  # without the threads that streams take
        one = unary.future(question, timeout=deadline_seconds, wait_for_ready=True)
        return lambda: _answered(one.result, culprit)
    pieces = (question[start : start + RUN_BYTES] for start in range(0, len(question), RUN_BYTES))
    several = stream(pieces, timeout=deadline_seconds, wait_for_ready=True)
    return lambda: _answered(lambda: _joined(several, answer_bytes + RUN_BYTES), culprit)


def _joined(pieces: Iterator[bytes], most: int) -> bytes:
    found, size = [], 0
    for piece in pieces:
        found.append(piece)
        size += len(piece)
        if size > most:
            raise MessageError(f"its answer goes on beyond {most} bytes")
    return b"".join(found)


def _answered(wait: Callable[[], bytes], culprit: str) -> bytes:
    try:
        return wait()
    except MessageError as error:
        raise DeliveryError(culprit, str(error)) from error
    except grpc.FutureCancelledError as error:
        raise StoppingError("this node is stopping") from error
    except grpc.RpcError as error:
        code, details = error.code(), str(error.details())
        refusal = unpack_refusal(details) if code == grpc.StatusCode.FAILED_PRECONDITION else None
        if refusal is not None:
            raise refusal from error
        if code == grpc.StatusCode.CANCELLED:
            raise StoppingError("this node is stopping") from error
        if code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE):
            raise DeadlineError(f"party '{culprit}' did not answer in time ({code.name})", (culprit,)) from error
        raise DeliveryError(culprit, f"does not answer: {code.name}, {details[:200]}") from error
