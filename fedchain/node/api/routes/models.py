"""The consortium's models: their versions, who approved them, and which is in use."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path
from pydantic import Field

from fedchain.node.api.asked import Document, TheBounds, TheNode
from fedchain.node.api.endpoint import ALL, ANALYST, SMALL_BODY, Endpoint
from fedchain.node.api.routes.requests import Question, Scores, scores_of
from fedchain.node.modelstate import MAX_VERSION
from fedchain.node.tokens import ApiRole
from fedchain.types import JobId

NamePath = Annotated[str, Path(pattern="^[a-z0-9_-]{1,64}$", description="A model's name.", examples=["arrears"])]
VersionPath = Annotated[int, Path(ge=1, le=MAX_VERSION, description="A version's number.")]


class Model(Document):
    """A name.

    Attributes:
        holder: the active party that the name belongs to; null until a version is frozen.
        versions: how many were proposed.
        in_use: number of the version in use, 0 if there is none.
        job_id: that version's job; null if there is none.
    """

    name: str
    holder: str | None
    versions: int
    in_use: int
    job_id: str | None


class Models(Document):
    """All names, in the order of their first proposals."""

    models: list[Model]


class PartyOfVersion(Document):
    """A party on the roster: the digest of its shard, hex, and whether it approved."""

    name: str
    address: str
    shard_digest: str
    approved: bool


class ModelVersion(Document):
    """A version.

    Attributes:
        state: `proposed`, `frozen`, `active` (in use) or `retired`.
        job_id: the completed job whose model it is.
        model_digest: of the whole model, hex.
        proposer: name.
        parties: the roster, the active party first.
        frozen_block: of the last approval; 0 before.
        activated_block: in which it last came into use; 0 if never.
    """

    name: str
    version: int
    state: str
    job_id: str
    model_digest: str
    proposer: str
    parties: list[PartyOfVersion]
    frozen_block: int
    activated_block: int


class ModelVersions(Document):
    """A model's versions, the oldest first."""

    name: str
    versions: list[ModelVersion]


class Candidate(Document):
    """A completed job of this node whose model is proposed."""

    job_id: Annotated[str, Field(pattern="^0x[0-9a-f]{64}$")]


def models(node: TheNode, bounds: TheBounds) -> Models:
    """The consortium's models, and which version of each is in use, from the chain."""
    with bounds.reading.one():
        return Models.model_validate({"models": node.models()})


def versions(node: TheNode, bounds: TheBounds, name: NamePath) -> ModelVersions:
    """A model's versions, and who approved them, from the chain."""
    with bounds.reading.one():
        return ModelVersions.model_validate({"name": name, "versions": node.model_versions(name)})


def propose(node: TheNode, bounds: TheBounds, name: NamePath, body: Candidate) -> ModelVersion:
    """Propose a finished job's model as the next version of a name, and approve it. Name and digests become public.

    Sent twice, it changes nothing the second time.
    """
    with bounds.proposing.one():
        return _version(node.propose_model(name, JobId(body.job_id)))


def approve(node: TheNode, bounds: TheBounds, name: NamePath, version: VersionPath) -> ModelVersion:
    """Approve a version of which this node keeps a shard; the last approval freezes it. It cannot be undone.

    Sent twice, it changes nothing the second time.
    """
    with bounds.proposing.one():
        return _version(node.approve_model(name, version))


def activate(node: TheNode, bounds: TheBounds, name: NamePath, version: VersionPath) -> ModelVersion:
    """Put a frozen or retired version into use, where this node is its active party's.

    Sent twice, it changes nothing the second time.
    """
    with bounds.proposing.one():
        return _version(node.activate_model(name, version))


def roll_back(node: TheNode, bounds: TheBounds, name: NamePath) -> ModelVersion:
    """Put the version into use again that was in use before, where this node is its active party's.

    Sent twice, it goes back two versions.
    """
    with bounds.proposing.one():
        return _version(node.roll_back_model(name))


def ask(node: TheNode, bounds: TheBounds, name: NamePath, body: Question) -> Scores:
    """Ask for scores of the version in use, and wait for them; positions are those of its job."""
    with bounds.reading.one():
        job_id = node.resolve(name)
    return scores_of(node, bounds, job_id, body)


def _version(found: dict[str, Any]) -> ModelVersion:
    return ModelVersion.model_validate(found)


_EITHER = frozenset({ApiRole.ADMIN, ApiRole.ANALYST})

ENDPOINTS = (
    Endpoint("GET", "/v1/models", models, ALL, "models"),
    Endpoint("GET", "/v1/models/{name}", versions, ALL, "models"),
    Endpoint("POST", "/v1/models/{name}/versions", propose, ANALYST, "models", max_body=SMALL_BODY),
    Endpoint("POST", "/v1/models/{name}/versions/{version}/approve", approve, ANALYST, "models"),
    Endpoint("POST", "/v1/models/{name}/versions/{version}/activate", activate, ANALYST, "models"),
    Endpoint("POST", "/v1/models/{name}/rollback", roll_back, _EITHER, "models"),
    Endpoint("POST", "/v1/models/{name}/requests", ask, ANALYST, "models", max_body=8 << 20),
)
