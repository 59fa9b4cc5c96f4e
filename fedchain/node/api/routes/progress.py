"""What the node is doing: a snapshot, and a stream of changes as server-sent events."""

from __future__ import annotations

from typing import Any

from starlette.responses import StreamingResponse

from fedchain.node.api.asked import Caller, Document, JobPath, TheBounds, TheNode, TheTokens, own_job
from fedchain.node.api.endpoint import ALL, Endpoint
from fedchain.node.api.stream import event_stream, shown
from fedchain.types import JobId


class Progress(Document):
    """The newest line of each subject, the oldest subject first.

    Attributes:
        lines: flat objects with the key `event`: `node`, `job`, `stage`, `request` or `wait`; docs/reference/api.md.
    """

    lines: list[dict[str, Any]]


def progress(node: TheNode, caller: Caller) -> Progress:
    """What the node is doing now."""
    return Progress(lines=[shown(line, caller.role) for line in node.board.watch(follow=False) if line is not None])


def progress_of_job(node: TheNode, caller: Caller, job_id: JobPath) -> Progress:
    """What the node is doing now for a job of it."""
    own_job(node, job_id)
    lines = node.board.watch(follow=False, job_id=JobId(job_id))
    return Progress(lines=[shown(line, caller.role) for line in lines if line is not None])


async def stream(node: TheNode, bounds: TheBounds, tokens: TheTokens, caller: Caller) -> StreamingResponse:
    """The same, and then every change, as server-sent events until the node stops or the token ends."""
    return event_stream(node.board, bounds, tokens, caller, None)


async def stream_of_job(
    node: TheNode, bounds: TheBounds, tokens: TheTokens, caller: Caller, job_id: JobPath
) -> StreamingResponse:
    """The same for a job of this node; the stream ends with the job."""
    own_job(node, job_id)
    return event_stream(node.board, bounds, tokens, caller, JobId(job_id))


_EVENTS: dict[str, Any] = {
    "response_class": StreamingResponse,
    "responses": {
        200: {
            "description": "Server-sent events; the data of each is one line of JSON.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
}

ENDPOINTS = (
    Endpoint("GET", "/v1/progress", progress, ALL, "progress"),
    Endpoint("GET", "/v1/progress/stream", stream, ALL, "progress", options=_EVENTS),
    Endpoint("GET", "/v1/jobs/{job_id}/progress", progress_of_job, ALL, "progress"),
    Endpoint("GET", "/v1/jobs/{job_id}/progress/stream", stream_of_job, ALL, "progress", options=_EVENTS),
)
