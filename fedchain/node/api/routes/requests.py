"""Requests for scores of a finished job."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from fedchain.node.api.asked import Document, JobPath, TheBounds, TheNode, own_job
from fedchain.node.api.backend import Backend
from fedchain.node.api.bounds import Bounds
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


class Registered(Document):
    """As what the job's model is registered; `in_use` is the version in use, 0 if there is none."""

    name: str
    version: int
    in_use: int


class Scores(Document):
    """An answer.

    Attributes:
        request_id: number of the request in the inference router.
        positions: aligned positions, as asked.
        scores: one per position; with several classes a list of one per class.
        model: as what the job's model is registered; null if it is not.
        note: one line where another version of the model is in use; null otherwise.
    """

    job_id: str
    request_id: int
    positions: list[int]
    scores: list[float] | list[list[float]]
    model: Registered | None
    note: str | None


class Request(Document):
    """A request that this node knows; `status` is `open`, `served`, `failed` or `closed`; a strict one is `asked`, then
    `scored` at its requester, before it is over."""

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
    return scores_of(node, bounds, JobId(job_id), body)


def scores_of(node: Backend, bounds: Bounds, job_id: JobId, body: Question) -> Scores:
    """Ask, and wait."""
    own_job(node, job_id)
    positions = None if isinstance(body.rows, str) else np.asarray(body.rows, dtype=np.int64)
    with bounds.scoring.one():
        use = node.model_use(job_id)
        request_id, asked, scores = node.predict(job_id, positions)
    return Scores(
        job_id=job_id,
        request_id=request_id,
        positions=asked.tolist(),
        scores=scores.tolist(),
        model=None if use is None else Registered.model_validate(use.as_dict()),
        note=None if use is None else use.note,
    )


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
