"""The node itself."""

from __future__ import annotations

from fedchain.node.api.asked import Document, TheBounds, TheNode
from fedchain.node.api.endpoint import ALL, Endpoint


class ChainStatus(Document):
    """The chain as this node has read it; nothing is asked of it here.

    Attributes:
        chain_id: of the chain.
        head: newest block when it was last asked for.
        height: last block read.
    """

    chain_id: int
    head: int
    height: int


class NodeStatus(Document):
    """The node.

    Attributes:
        name, address, endpoint: as in the registry.
        fingerprint: SHA-256 of its certificate, hex with 0x.
        version: of fedchain.
        status: of its start: `registered`, `accredited`, `stopping`.
        ready: whether it takes jobs.
        chain: its chain.
        jobs: how many of its jobs stand how.
    """

    name: str
    address: str
    endpoint: str
    fingerprint: str
    version: str
    status: str
    ready: bool
    chain: ChainStatus
    jobs: dict[str, int]


def status(node: TheNode, bounds: TheBounds) -> NodeStatus:
    """Name, address, version, chain, and how the node stands."""
    with bounds.reading.one():
        return NodeStatus.model_validate(node.status())


ENDPOINTS = (Endpoint("GET", "/v1/node", status, ALL, "node"),)
