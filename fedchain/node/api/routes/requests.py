"""Requests for scores of a finished job."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from fedchain.node.api.asked import Document, JobPath, TheBounds, TheNode, own_job
from fedchain.node.api.endpoint import ALL, ANALYST, Endpoint
from fedchain.types import JobId

MAX_ROWS = 500_000
"""Of one request over HTTP."""

_Position = Annotated[int, Field(strict=True, ge=0, lt=2**31)]


class Question(Document):
    """Which rows.

    Attributes:
        rows: `holdout`, the held-out rows, which the active party alone knows; or aligned positions in any order.
    """

    rows: Literal["holdout"] | Annotated[list[_Position], Field(min_length=1, max_length=MAX_ROWS)]


class Scores(Document):
    """An answer.

    Attributes:
        request_id: number of the request in the inference router.
        positions: aligned positions, as asked.
        scores: one per position; with several classes a list of one per class.
    """

    job_id: str
    request_id: int
    positions: list[int]
    scores: list[float] | list[list[float]]


class Request(Document):
    """A request that this node knows; `status` is `open`, `served`, `failed` or `closed`."""

    request_id: int
    requester: str
    status: str
    block: int


class Requests(Document):
    """Requests of a job, the oldest first."""

    job_id: str
    requests: list[Request]


def ask(node: TheNode, bounds: TheBounds, job_id: JobPath, body: Question) -> Scores:
    """Ask all parties of a completed job for scores, and wait for them.

    The job's roster learns which positions are asked for, this node alone the scores.
    """
    own_job(node, job_id)
    positions = None if isinstance(body.rows, str) else np.asarray(body.rows, dtype=np.int64)
    with bounds.scoring.one():
        request_id, asked, scores = node.predict(JobId(job_id), positions)
    return Scores(job_id=job_id, request_id=request_id, positions=asked.tolist(), scores=scores.tolist())


def requests(node: TheNode, job_id: JobPath) -> Requests:
    """Requests for scores of a job of this node, whoever asked; no scores."""
    own_job(node, job_id)
    found = [
        Request(request_id=one.request_id, requester=node.name_of(one.requester), status=one.status, block=one.block)
        for one in node.requests(JobId(job_id))
    ]
    return Requests(job_id=job_id, requests=found)


ENDPOINTS = (
    Endpoint("POST", "/v1/jobs/{job_id}/requests", ask, ANALYST, "requests", max_body=8 << 20),
    Endpoint("GET", "/v1/jobs/{job_id}/requests", requests, ALL, "requests"),
)
