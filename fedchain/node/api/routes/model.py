"""This node's own part of a finished model."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query

from fedchain.node.api.asked import Document, JobPath, TheNode, own_job
from fedchain.node.api.endpoint import ANALYST, Endpoint
from fedchain.types import JobId


class Shard(Document):
    """This party's own shard, as `fedchain model show --json` shows it.

    Attributes:
        splits: by party; null where this party does not know.
        features_used: own features that trees split on, the most important first.
        base_margins: at the active party alone.
        tree: the one that was asked for, with own thresholds.
    """

    party: str
    role: str
    roster: list[str]
    mode: str
    objective: str
    trees: int
    outputs: int
    splits: dict[str, int | None]
    features_held: int
    features_used: list[dict[str, Any]]
    shard_digest: str
    base_margins: list[float] | None = None
    tree: dict[str, Any] | None = None


def model(
    node: TheNode,
    job_id: JobPath,
    tree: Annotated[int | None, Query(ge=1, le=2**31, description="Show this tree too, counted from 1.")] = None,
) -> Shard:
    """This node's own shard of a job that it has finished: its features' use, and trees with its own thresholds."""
    own_job(node, job_id)
    return Shard.model_validate(node.model(JobId(job_id), tree))


ENDPOINTS = (Endpoint("GET", "/v1/jobs/{job_id}/model", model, ANALYST, "model"),)
