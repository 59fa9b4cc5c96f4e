"""Whether the node is alive, and whether it takes jobs. Open to everybody, and says nothing else."""

from __future__ import annotations

from fastapi import Response

from fedchain.node.api.asked import Document, TheNode
from fedchain.node.api.endpoint import OPEN, Endpoint


class Health(Document):
    """The node answers: it is alive.

    Attributes:
        ready: whether it is accredited, reads the chain and takes jobs.
    """

    ready: bool


def health(node: TheNode) -> Health:
    """Whether the node is alive, and ready; needs no login."""
    return Health(ready=node.is_ready())


def readiness(node: TheNode, response: Response) -> Health:
    """As health, with the status 503 while the node is not ready; needs no login."""
    ready = node.is_ready()
    response.status_code = 200 if ready else 503
    return Health(ready=ready)


ENDPOINTS = (
    Endpoint("GET", "/v1/health", health, OPEN, "health"),
    Endpoint(
        "GET",
        "/v1/health/ready",
        readiness,
        OPEN,
        "health",
        options={"responses": {503: {"description": "The node is alive, and not ready.", "model": Health}}},
    ),
)
