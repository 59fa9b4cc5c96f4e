"""What happened in a job, and whether all of it fits together."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query

from fedchain.node.api.asked import Document, JobPath, TheBounds, TheNode
from fedchain.node.api.endpoint import ALL, Endpoint
from fedchain.types import JobId


class Verdict(Document):
    """The record of one party; `verdict` is `sound`, `missing`, `faults` or `mismatch`."""

    name: str
    address: str
    role: str
    verdict: str
    uplinks: dict[str, Any]
    strikes: int
    missing: list[str]
    faults: list[str]
    mismatches: int


class Round(Document):
    """One attempt at a round."""

    round: int
    attempt: int
    first_block: int
    last_block: int
    accepted: int
    rejected: int
    bytes: int


class Moment(Document):
    """Something that happened, in words."""

    block: int
    transaction: str
    who: str
    what: str


class Audit(Document):
    """An audit, as `fedchain audit --json` shows it; docs/how-to/audit.md explains it."""

    job_id: str
    job_name: str
    phase: str
    aborted: str | None
    block: int
    model_digest: str | None
    verdict: str
    parties: list[Verdict]
    rounds: list[Round]
    story: list[Moment]
    checks: dict[str, dict[str, int]]
    mismatches: list[dict[str, Any]]


def audit(
    node: TheNode,
    bounds: TheBounds,
    job_id: JobPath,
    own_files: Annotated[
        bool, Query(description="Check this node's own payload files and saved outcome of the job, too.")
    ] = False,
) -> Audit:
    """The story of a job from the chain alone, every digest in reach checked, and a verdict on each party.

    Reads all blocks since the job's proposal: it takes seconds, for long jobs more.
    """
    with bounds.auditing.one():
        return Audit.model_validate(node.audit(JobId(job_id), with_own_files=own_files))


ENDPOINTS = (Endpoint("GET", "/v1/jobs/{job_id}/audit", audit, ALL, "audit"),)
