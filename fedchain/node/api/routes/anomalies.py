"""What the chain holds against anybody in a job."""

from __future__ import annotations

from fedchain.node.anomalies import Category, What
from fedchain.node.api.asked import Document, JobPath, TheBounds, TheNode
from fedchain.node.api.endpoint import ALL, Endpoint
from fedchain.types import JobId


class Anomaly(Document):
    """One entry.

    Attributes:
        what: kind of entry.
        category: which of the answers to misbehaviour it belongs to.
        party: name of whom it is about, of a vote who voted; the address where the registry has no name.
        reason: of an uplink, a fault or a strike the reason code; of votes what they say; of a suspension, or of
            stewards that overturned a fault, their text.
        detail: of an uplink what it was; of a fault its number and what was done, of a flag also statistic and score;
            of a strike how many there are.
        time: of the block, seconds since 1970.
    """

    what: What
    category: Category
    party: str
    reason: str
    detail: str
    block: int
    time: int
    transaction: str


class Anomalies(Document):
    """All of a job, in the order of the chain. Whose fault an entry is, the audit says."""

    job_id: str
    anomalies: list[Anomaly]


def anomalies(node: TheNode, bounds: TheBounds, job_id: JobPath) -> Anomalies:
    """Rejected uplinks, faults, flags and votes on them, strikes and suspensions of a job's parties, from the chain."""
    with bounds.auditing.one():
        found = [one.as_dict() for one in node.anomalies(JobId(job_id))]
    return Anomalies.model_validate({"job_id": job_id, "anomalies": found})


ENDPOINTS = (Endpoint("GET", "/v1/jobs/{job_id}/anomalies", anomalies, ALL, "anomalies"),)
