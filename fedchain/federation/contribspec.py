"""`[contribution]` of the job file: whether the shares of a job are audited, and what follows from them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fedchain.contribution.free_rider import DEFAULT_ALPHA, DEFAULT_PERMUTATIONS

MAX_BUDGET = 2**53
_LONGEST_WINDOW_SECONDS = 7 * 86_400
_LONGEST_DISPUTE_SECONDS = 90 * 86_400
WINDOWS = 3
"""Parts of an audit that each may take a window: posting losses, revealing seeds, votes."""


class ContributionSpec(BaseModel):
    """`[contribution]`: the terms on which the shares of a job are measured, audited and paid.

    Attributes:
        audit: whether the shares are audited. An audit shows every party of the job the open model (shapes of all
            trees with their owners, training covers, leaf weights, base margins; no columns, no cuts) and, of
            `opened_rows` held-out rows, labels and every party's leaf bits.
        opened_rows: held-out rows that an audit opens, drawn by a seed of all parties; at most all of them.
        window_seconds: of the losses, of revealing seeds, and of the votes, each.
        dispute_seconds: for how long a settlement may be disputed.
        budget: points that a settlement divides by shares, in whole; 0: none is made.
        permutations: of the free-rider test.
        alpha: a party whose p-value in that test lies above it counts as weak: its pay is withheld.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    audit: Annotated[bool, Field(strict=True)] = False
    opened_rows: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 299
    window_seconds: Annotated[int, Field(strict=True, ge=30, le=_LONGEST_WINDOW_SECONDS)] = 3600
    dispute_seconds: Annotated[int, Field(strict=True, ge=0, le=_LONGEST_DISPUTE_SECONDS)] = 259_200
    budget: Annotated[int, Field(strict=True, ge=0, le=MAX_BUDGET)] = 0
    permutations: Annotated[int, Field(strict=True, ge=50, le=10_000)] = DEFAULT_PERMUTATIONS
    alpha: Annotated[float, Field(strict=True, gt=0, lt=1)] = DEFAULT_ALPHA

    @model_validator(mode="after")
    def _budget_is_audited(self) -> ContributionSpec:
        if self.budget and not self.audit:
            raise ValueError("a budget is paid by audited shares alone; set audit = true, or leave the budget out")
        if self.alpha < 1 / (1 + self.permutations):
            raise ValueError(
                f"alpha {self.alpha} is below 1/{1 + self.permutations}, the least p-value that "
                f"{self.permutations} permutations can give: every party would count as weak"
            )
        return self

    @property
    def phase_seconds(self) -> int:
        """What an audit may add to the time that the job's last phase takes."""
        return WINDOWS * self.window_seconds if self.audit else 0
