"""Who is logged in."""

from __future__ import annotations

from fedchain.node.api.asked import Caller, Document
from fedchain.node.api.endpoint import ALL, Endpoint
from fedchain.node.tokens import ApiRole, moment_text


class Session(Document):
    """The token that was sent, without its secret.

    Attributes:
        token_id: its id.
        name: whose it is, or what for.
        role: what it allows.
        expires: when, UTC, ISO 8601.
    """

    token_id: str
    name: str
    role: ApiRole
    expires: str


def session(caller: Caller) -> Session:
    """Who is logged in, as what, until when."""
    return Session(token_id=caller.id, name=caller.name, role=caller.role, expires=moment_text(caller.expires))


ENDPOINTS = (Endpoint("GET", "/v1/session", session, ALL, "session"),)
