"""What routes are given: the node, its bounds, who asks, and for which job."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Request
from pydantic import BaseModel, ConfigDict

from fedchain.errors import UnknownJobError
from fedchain.exchange.records import JobRecord
from fedchain.node.api.backend import Backend
from fedchain.node.api.bounds import Bounds
from fedchain.node.tokens import Token, TokenFile
from fedchain.types import JobId


class Document(BaseModel):
    """A JSON object with these members and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _backend(request: Request) -> Any:
    return request.app.state.backend


def _bounds(request: Request) -> Any:
    return request.app.state.bounds


def _tokens(request: Request) -> Any:
    return request.app.state.tokens


def _caller(request: Request) -> Any:
    return request.state.token


TheNode = Annotated[Backend, Depends(_backend)]
TheBounds = Annotated[Bounds, Depends(_bounds)]
TheTokens = Annotated[TokenFile, Depends(_tokens)]
Caller = Annotated[Token, Depends(_caller)]
JobPath = Annotated[
    str,
    Path(pattern="^0x[0-9a-f]{64}$", description="A job's id.", examples=["0x" + "5c" * 32]),
]


def own_job(node: Backend, job_id: str) -> JobRecord:
    """A job of this node.

    Raises:
        UnknownJobError: it is not.
    """
    record = node.job(JobId(job_id))
    if record is None:
        raise UnknownJobError(f"job {job_id} is unknown to this node")
    return record
