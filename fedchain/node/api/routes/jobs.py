"""Jobs: those of this node, how one stands, proposing one, and ending one."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import Query, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from fedchain.errors import ConfigError
from fedchain.exchange.records import JobRecord
from fedchain.federation.spec import JobSpec
from fedchain.node.api.asked import Caller, Document, JobPath, TheBounds, TheNode, own_job
from fedchain.node.api.backend import Backend
from fedchain.node.api.bounds import Bounds
from fedchain.node.api.endpoint import ALL, ANALYST, SMALL_BODY, Endpoint
from fedchain.node.api.problems import Problem, job_error
from fedchain.node.tokens import ApiRole
from fedchain.types import JobId

_WHERE = "job file"
_JSON, _TOML = "application/json", "application/toml"


class Job(Document):
    """A job as this node has it.

    Attributes:
        job_id: its id.
        name: of its spec; null where the spec is no job spec.
        status: `proposed`, `running`, `completed`, `failed` or `declined`.
        error: why it failed here, else empty; what may name values of the table is shown to the data owner alone.
        proposer: the party that proposed it.
        parties: of its spec, the active party first.
        block: of its proposal.
    """

    job_id: str
    name: str | None
    status: str
    error: str
    proposer: str
    parties: list[str]
    block: int


class JobList(Document):
    """Jobs of this node, the newest first.

    Attributes:
        total: how many there are in all.
    """

    jobs: list[Job]
    total: int


class PartyState(Document):
    """One party of a job's roster, as the contracts have it."""

    name: str
    address: str
    role: str
    standing: str
    accepted: bool
    aligned: bool
    stopped: bool
    attended: bool
    shard_digest: str | None


class UplinkCounts(Document):
    """Uplinks judged so far."""

    accepted: int
    rejected: int


class JobState(Document):
    """A job at the newest block, as `fedchain job status --json` shows it, and what this node has of it.

    Attributes:
        deadline: of the phase, in training of the round, seconds since 1970; null once the job has ended.
        seconds_left: until then by the newest block's clock; negative beyond it.
        closed: whether it is over, and who was missing has been named.
        local: as this node has it; null where this node has no part in the job.
        spec: the job file's content; null where this node has no part in the job.
    """

    job_id: str
    phase: str
    round: int
    attempt: int
    max_rounds: int
    trees_done: int
    deadline: int | None
    seconds_left: int | None
    closed: bool
    aligned_rows: int
    uplinks: UplinkCounts
    parties: list[PartyState]
    model_digest: str | None
    abort_reason: str | None
    proposer: str
    spec_digest: str
    block: int
    local: Job | None
    spec: dict[str, Any] | None


class Proposed(Document):
    """A job that was proposed; it begins once all parties have accepted."""

    job_id: str
    name: str
    parties: list[str]


class Abort(Document):
    """Why a job is to end.

    Attributes:
        reason: for all to read on the chain.
    """

    reason: Annotated[str, Field(min_length=1, max_length=1024)]


class Aborted(Document):
    """A job that was aborted."""

    job_id: str
    reason: str


def jobs(
    node: TheNode,
    caller: Caller,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most jobs of one answer.")] = 100,
    offset: Annotated[int, Query(ge=0, le=2**31, description="So many of the newest are left out.")] = 0,
) -> JobList:
    """Jobs of this node, the newest first. Nothing is asked of the chain."""
    records = node.jobs()[::-1]
    shown = [_job(node, one, caller.role) for one in records[offset : offset + limit]]
    return JobList(jobs=shown, total=len(records))


def job(node: TheNode, bounds: TheBounds, caller: Caller, job_id: JobPath) -> JobState:
    """How a job of the consortium stands on the chain, and at this node."""
    with bounds.reading.one():
        state = node.job_state(JobId(job_id))
    record = node.job(JobId(job_id))
    local = None if record is None else _job(node, record, caller.role)
    spec = None if record is None else _spec(record)
    document = None if spec is None else json.loads(spec.to_bytes())
    return JobState.model_validate(state | {"local": local, "spec": document})


async def submit(request: Request, response: Response, node: TheNode, bounds: TheBounds) -> Proposed:
    """Propose a job. The body is a job file: TOML, or the same as JSON. Spec and roster become public on the chain.

    Sent twice, it proposes two jobs.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (_JSON, _TOML):
        raise Problem(415, "unsupported-media-type", f"a job file is {_TOML} or {_JSON}; say so in Content-Type")
    raw = await request.body()
    done = await run_in_threadpool(_submit, node, bounds, raw, kind)
    response.headers["Location"] = f"/v1/jobs/{done.job_id}"
    return done


def _submit(node: Backend, bounds: Bounds, raw: bytes, kind: str) -> Proposed:
    with bounds.proposing.one():
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise ConfigError(f"{_WHERE}: not UTF-8 text") from None
        spec = JobSpec.from_toml_text(text, _WHERE) if kind == _TOML else JobSpec.from_json_text(text, _WHERE)
        return Proposed(job_id=node.submit(spec), name=spec.name, parties=list(spec.names))


def abort(node: TheNode, bounds: TheBounds, job_id: JobPath, body: Abort) -> Aborted:
    """End a job of this node for all its parties. The reason becomes public on the chain."""
    own_job(node, job_id)
    with bounds.proposing.one():
        node.abort(JobId(job_id), body.reason)
    return Aborted(job_id=job_id, reason=body.reason)


def _spec(record: JobRecord) -> JobSpec | None:
    try:
        return JobSpec.from_bytes(record.spec)
    except ConfigError:
        return None


def _job(node: Backend, record: JobRecord, role: ApiRole) -> Job:
    spec = _spec(record)
    return Job(
        job_id=record.job_id,
        name=None if spec is None else spec.name,
        status=record.status,
        error=job_error(record.error, role),
        proposer=node.name_of(record.proposer),
        parties=[] if spec is None else list(spec.names),
        block=record.block,
    )


_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            _JSON: {"schema": {"$ref": "#/components/schemas/JobSpec"}},
            _TOML: {"schema": {"type": "string", "description": "A job file; docs/reference/job.md has its keys."}},
        },
    }
}

ENDPOINTS = (
    Endpoint("GET", "/v1/jobs", jobs, ALL, "jobs"),
    Endpoint(
        "POST",
        "/v1/jobs",
        submit,
        ANALYST,
        "jobs",
        max_body=SMALL_BODY,
        status=201,
        options={"openapi_extra": _BODY},
    ),
    Endpoint("GET", "/v1/jobs/{job_id}", job, ALL, "jobs"),
    Endpoint(
        "POST",
        "/v1/jobs/{job_id}/abort",
        abort,
        frozenset({ApiRole.ADMIN, ApiRole.ANALYST}),
        "jobs",
        max_body=SMALL_BODY,
    ),
)
