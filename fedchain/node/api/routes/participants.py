"""The consortium's registry."""

from __future__ import annotations

from fedchain.node.api.asked import Document, TheBounds, TheNode
from fedchain.node.api.endpoint import ALL, Endpoint


class Participant(Document):
    """An entry of the registry.

    Attributes:
        status: `registered`, `accredited` or `suspended`.
        strikes: rejected uplinks since it was accredited; the third suspends.
        fingerprint: SHA-256 of its certificate, hex with 0x.
    """

    name: str
    address: str
    endpoint: str
    status: str
    strikes: int
    fingerprint: str


class Participants(Document):
    """The registry in the order of registration."""

    participants: list[Participant]


def participants(node: TheNode, bounds: TheBounds) -> Participants:
    """Everybody who is registered, with their standing and strikes, from the chain."""
    with bounds.reading.one():
        return Participants.model_validate({"participants": node.participants()})


ENDPOINTS = (Endpoint("GET", "/v1/participants", participants, ALL, "participants"),)
