"""A job's report: one page that needs nothing else."""

from __future__ import annotations

from fastapi import Response

from fedchain.node.api.asked import JobPath, TheBounds, TheNode
from fedchain.node.api.endpoint import ALL, Endpoint
from fedchain.node.api.problems import Problem
from fedchain.node.reporting.page import MISSING, can_draw
from fedchain.types import JobId


def report(node: TheNode, bounds: TheBounds, job_id: JobPath) -> Response:
    """Contributions, their audit and settlement, anomalies and durations of a job, as an HTML file to be saved.

    It is what `fedchain report --html` writes: read from the chain alone, without scripts, and nothing in it is loaded
    from elsewhere. Reads all blocks since the job's proposal: it takes seconds, for long jobs more.
    """
    if not can_draw():
        raise Problem(501, "not-installed", MISSING)
    with bounds.auditing.one():
        page = node.report(JobId(job_id))
    name = f"report-{job_id[2:14]}.html"
    return Response(page, media_type="text/html", headers={"Content-Disposition": f'attachment; filename="{name}"'})


_PAGE = {200: {"description": "The report.", "content": {"text/html": {"schema": {"type": "string"}}}}}

ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/jobs/{job_id}/report",
        report,
        ALL,
        "report",
        options={"response_class": Response, "responses": _PAGE},
    ),
)
