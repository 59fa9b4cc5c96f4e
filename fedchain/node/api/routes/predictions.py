"""Scores of customers by their ids, within milliseconds."""

from __future__ import annotations

import time
from typing import Annotated

from pydantic import Field

from fedchain.errors import QuotaExceededError
from fedchain.node.api.asked import Document, TheBounds, TheNode
from fedchain.node.api.endpoint import ANALYST, SMALL_BODY, Endpoint
from fedchain.node.api.problems import Problem
from fedchain.node.api.routes.requests import Registered

MAX_IDS = 1000
"""Of one request over HTTP; larger ones are files."""

_MAX_TEXT = 1024
_LONGEST_WAIT = 366 * 86_400
_Text = Annotated[str, Field(max_length=_MAX_TEXT)]
_Parts = Annotated[list[_Text], Field(min_length=1, max_length=8)]


class AskedIds(Document):
    """Whom to score.

    Attributes:
        target: a completed job of this node, or a model's name, which stands for its version in use.
        ids: as this party's table writes them; where an id has several parts, a list of their texts.
        explain: whether to tell what each party adds to each score's margin; the job must allow it.
    """

    target: Annotated[str, Field(pattern="^(0x[0-9a-f]{64}|[a-z0-9_-]{1,64})$", examples=["who-leaves"])]
    ids: Annotated[list[_Text | _Parts], Field(min_length=1, max_length=MAX_IDS)]
    explain: Annotated[bool, Field(strict=True)] = False


class Scored(Document):
    """An answer, a member of each list for each id, in the order asked for.

    Attributes:
        job_id: the job that was asked.
        model: as what its model is registered; null if it is not.
        note: one line where another version of the model is in use; null otherwise.
        scores: with several classes a list of one per class; null for an unknown id.
        serials: the row's serial in the quota's count; null for an id that nobody was asked for.
        flags: `missing_party`, `silent_party`, `unknown_id`: what the score does not rest on.
        base: where explained, the margin with nobody's decisions.
        contributions: where explained, what each party adds to the margin, by name; null where there is no score.
    """

    job_id: str
    model: Registered | None
    note: str | None
    scores: list[float | list[float] | None]
    serials: list[int | None]
    flags: list[list[str]]
    base: float | list[float] | None
    contributions: list[dict[str, float | list[float]] | None] | None


def predict(node: TheNode, bounds: TheBounds, body: AskedIds) -> Scored:
    """Score customers by id: each counts against the job's quota.

    The parties that hold a customer learn that it is asked for, nobody else does.
    """
    try:
        with bounds.asking.one():
            found = node.predict_ids(body.target, body.ids, explain=body.explain)
    except QuotaExceededError as error:
        raise _over_quota(error) from error
    use = found.model
    return Scored(
        job_id=found.job_id,
        model=None if use is None else Registered.model_validate(use.as_dict()),
        note=None if use is None else use.note,
        **found.columns(),
    )


def _over_quota(error: QuotaExceededError) -> Problem:
    """With the seconds until the next window, by this machine's clock."""
    wait = min(max(1, int(error.window_ends - time.time()) + 1), _LONGEST_WAIT)
    return Problem(
        429, "quota-exceeded", error.reason, headers={"Retry-After": str(wait)}, left=error.left,
        window_ends=error.window_ends,
    )  # fmt: skip


ENDPOINTS = (Endpoint("POST", "/v1/predictions", predict, ANALYST, "predictions", max_body=SMALL_BODY),)
