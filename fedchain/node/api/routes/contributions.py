"""Who contributed how much to a job's model."""

from __future__ import annotations

from fedchain.node.api.asked import Document, JobPath, TheBounds, TheNode
from fedchain.node.api.endpoint import ALL, Endpoint
from fedchain.types import JobId


class Contributions(Document):
    """A job's shares as the contract has them, as `fedchain contributions --json` shows them.

    Attributes:
        contributions: each party's part of the whole gain.
        contributions_e6: Shapley value by party, scale 1e6.
        utility_full_e6, utility_empty_e6: of all parties, and of nobody, scale 1e6.
        block: in which they were recorded.
    """

    job_id: str
    contributions: dict[str, float]
    contributions_e6: dict[str, int]
    utility_full_e6: int
    utility_empty_e6: int
    block: int


def contributions(node: TheNode, bounds: TheBounds, job_id: JobPath) -> Contributions:
    """Each party's contribution to a job's model, read back from the chain."""
    with bounds.reading.one():
        return Contributions.model_validate(node.contributions(JobId(job_id)))


ENDPOINTS = (Endpoint("GET", "/v1/jobs/{job_id}/contributions", contributions, ALL, "contributions"),)
