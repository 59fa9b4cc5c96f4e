"""Questions of finished jobs that go straight from party to party: the server's side. What they say is the node's.

A question and its answer are bytes, each in pieces of at most 256 KiB; one piece in most cases. Nothing of a question
is read before its caller is known. A refusal is a code and one line, so that whoever asked can tell what to do.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator

import grpc
import structlog

from fedchain.chain import Participant
from fedchain.errors import AskRefusedError, BusyError, FedchainError
from fedchain.exchange.gate import BUSY, Gate, Limits
from fedchain.exchange.wire import RUN_BYTES

log = structlog.get_logger(__name__)

MAX_ASK_BYTES = 2**28 + 2**21
"""Of one question, or of one answer."""

ASK_LIMITS = Limits(calls_per_caller=24)
_BUDGET_BYTES = 2**29
_MAX_TEXT = 300

Answer = Callable[[Participant, bytes], bytes]


class AskService:
    """The handler of `Ask`.

    Args:
        gate: authenticates callers; counts their questions apart from their other calls.
        answer: (who asks, question) → answer, called in the server's threads; raises `AskRefusedError`. Or None.
        budget_bytes: of questions under way that have more than one piece, all callers' together: they are in memory.
    """

    def __init__(self, gate: Gate, answer: Answer | None, budget_bytes: int = _BUDGET_BYTES) -> None:
        self._gate = gate
        self._answer = answer
        self._budget_bytes = budget_bytes
        self._lock = threading.Lock()
        self._held = 0

    def ask(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        """Take one question and answer it."""
        call = self._gate.admit(context)
        if self._answer is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "this node answers no questions")
            raise AssertionError("abort raises")
        pieces, size, held = [], 0, 0
        try:
            for piece in requests:
                pieces.append(piece)
                size += len(piece)
                if len(pieces) > 1:
                    call.expect(size)
                    if size > MAX_ASK_BYTES:
                        context.abort(grpc.StatusCode.OUT_OF_RANGE, "the question is too large")
                    if not self._hold(size - held):
                        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{BUSY}too many large questions at once")
                    held = size
                    call.progress()
            with call.working():
                answer = self._answer(call.caller, pieces[0] if len(pieces) == 1 else b"".join(pieces))
        except BusyError as error:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, BUSY + _short(error))
            raise AssertionError("abort raises") from error
        except AskRefusedError as error:
            log.warning("question refused", party=call.caller.name, code=error.code, error=_short(error))
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, _packed(error))
            raise AssertionError("abort raises") from error
        except FedchainError as error:
            log.warning("question not answered", party=call.caller.name, kind=type(error).__name__, error=_short(error))
            context.abort(grpc.StatusCode.INTERNAL, f"could not be answered: {type(error).__name__}")
            raise AssertionError("abort raises") from error
        finally:
            self._hold(-held)
        call.expect(size + len(answer))
        view = memoryview(answer)
        for start in range(0, len(answer), RUN_BYTES):
            yield bytes(view[start : start + RUN_BYTES])
            call.progress()

    def _hold(self, size: int) -> bool:
        with self._lock:
            fits = size <= 0 or self._held + size <= self._budget_bytes
            self._held += size if fits else 0
            return fits


def _packed(error: AskRefusedError) -> str:
    return json.dumps({"code": error.code, "text": _short(error), "number": error.number})


def _short(error: FedchainError) -> str:
    """One line of bounded length: a part of it may come from whoever asks."""
    return " ".join(str(error)[: 4 * _MAX_TEXT].split())[:_MAX_TEXT]


def unpack_refusal(details: str | None) -> AskRefusedError | None:
    """The refusal that a peer sent, None if the text is something else; a peer may send any text."""
    try:
        packed = json.loads(details or "")
        code, text, number = packed["code"], packed["text"], packed["number"]
    except (ValueError, KeyError, TypeError):
        return None
    if not (isinstance(code, str) and isinstance(text, str) and isinstance(number, int)):
        return None
    printable = "".join(one if one.isprintable() else "?" for one in text[:_MAX_TEXT])
    return AskRefusedError(code[:40], printable, number if 0 <= number < 2**63 else 0)
