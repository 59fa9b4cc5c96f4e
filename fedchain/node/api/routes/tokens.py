"""Tokens: which there are, and revoking one. They are made on the node's machine alone."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

from fedchain.errors import ConfigError
from fedchain.node.api.asked import Document, TheTokens
from fedchain.node.api.endpoint import ADMIN, Endpoint
from fedchain.node.api.problems import Problem
from fedchain.node.tokens import ApiRole, Token, moment_text


class TokenEntry(Document):
    """A token without its secret; times are UTC, ISO 8601."""

    token_id: str
    name: str
    role: ApiRole
    created: str
    expires: str
    expired: bool


class Tokens(Document):
    """All tokens of this node, the oldest first."""

    tokens: list[TokenEntry]


def tokens(file: TheTokens) -> Tokens:
    """Who may log in, as what, until when."""
    return Tokens(tokens=[_entry(one) for one in file.all()])


def revoke(file: TheTokens, token_id: Annotated[str, Path(pattern="^[0-9a-f]{12}$")]) -> TokenEntry:
    """Revoke a token; it is none from the next request on. Streams that it opened end within seconds."""
    try:
        return _entry(file.revoke(token_id))
    except ConfigError as error:
        if any(one.id == token_id for one in file.all()):
            raise
        raise Problem(404, "unknown-token", str(error)) from None


def _entry(token: Token) -> TokenEntry:
    return TokenEntry(
        token_id=token.id,
        name=token.name,
        role=token.role,
        created=moment_text(token.created),
        expires=moment_text(token.expires),
        expired=not token.is_valid(),
    )


ENDPOINTS = (
    Endpoint("GET", "/v1/tokens", tokens, ADMIN, "tokens"),
    Endpoint("DELETE", "/v1/tokens/{token_id}", revoke, ADMIN, "tokens"),
)
