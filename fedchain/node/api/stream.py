"""Lines of progress as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.background import BackgroundTask
from starlette.responses import StreamingResponse

from fedchain.node.api.bounds import Bounds
from fedchain.node.api.problems import job_error
from fedchain.node.progress import Line, ProgressBoard, to_json
from fedchain.node.tokens import ApiRole, Token, TokenFile
from fedchain.types import JobId

KEEP_ALIVE_SECONDS = 10.0
"""How often something is sent where nothing happens; so often, too, the token is looked at again."""

_QUEUE_LENGTH = 1024
_ENDED = ("completed", "failed", "declined")


def shown(line: Line, role: ApiRole) -> Line:
    """A line as this role may read it."""
    if line.get("event") == "job" and line.get("error"):
        return {**line, "error": job_error(str(line["error"]), role)}
    return line


def event_stream(
    board: ProgressBoard, bounds: Bounds, tokens: TokenFile, caller: Token, job_id: JobId | None
) -> StreamingResponse:
    """The snapshot and every later line, until the board is closed, the token ends, or, of one job, the job.

    Raises:
        Problem: there are as many streams as may be.
    """
    bounds.streaming.take()
    given_back = False

    def give_back() -> None:
        nonlocal given_back
        if not given_back:
            given_back = True
            bounds.streaming.give_back()

    async def events() -> AsyncIterator[bytes]:
        try:
            async for line in _lines(board, job_id):
                if line is None:
                    yield b": still here\n\n"
                    if not tokens.is_live(caller.id):
                        return
                    continue
                yield b"event: %s\ndata: %s\n\n" % (str(line["event"]).encode(), to_json(shown(line, caller.role)))
        finally:
            give_back()

    return StreamingResponse(events(), media_type="text/event-stream", background=BackgroundTask(give_back))


async def _lines(board: ProgressBoard, job_id: JobId | None) -> AsyncIterator[Line | None]:
    """Lines, None where nothing happens; a reader that does not keep up loses the oldest."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Line | None] = asyncio.Queue(_QUEUE_LENGTH)

    def put(line: Line | None) -> None:
        if queue.full():
            queue.get_nowait()
        queue.put_nowait(line)

    def offer(line: Line | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has stopped
            loop.call_soon_threadsafe(put, line)

    is_over = False
    snapshot = board.attach(offer)
    try:
        for line in snapshot:
            if job_id is None or line.get("job") in (None, job_id):
                is_over = is_over or _ends(line, job_id)
                yield line
        while not is_over:
            try:
                new = await asyncio.wait_for(queue.get(), KEEP_ALIVE_SECONDS)
            except (asyncio.TimeoutError, TimeoutError):
                yield None
                continue
            if new is None:
                return
            if job_id is None or new.get("job") in (None, job_id):
                is_over = _ends(new, job_id)
                yield new
    finally:
        board.detach(offer)


def _ends(line: Line, job_id: JobId | None) -> bool:
    return job_id is not None and line.get("event") == "job" and line.get("status") in _ENDED
