"""`[contribution]` of the job file: how shares are measured, whether they are audited, and what they pay."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from fedchain.contribution.free_rider import DEFAULT_ALPHA, DEFAULT_PERMUTATIONS

MAX_BUDGET = 2**53
_LONGEST_WINDOW_SECONDS = 7 * 86_400
_LONGEST_DISPUTE_SECONDS = 90 * 86_400
Method = Literal["leaf-mask", "block-permutation", "conditional"]
DEFAULT_REPEATS = 10
WINDOWS = 3
"""Parts of an audit that each may take a window: posting losses, revealing seeds, votes."""


class ContributionSpec(BaseModel):
    """`[contribution]`: the terms on which the shares of a job are measured, audited and paid.

    Attributes:
        method: by which utilities of coalitions are measured. `leaf-mask`: an absent party's decisions count with the
            share of training rows that went each way. `block-permutation`: the absent parties' decisions are those of
            another held-out row; any model could be measured so. `conditional`: the best guess of the model's output by
            who knows the members' decisions alone, which comes nearest to training without the absent parties. Nobody
            but the label holder, who has all rows, can recompute the last two, so they go without an audit.
        repeats: of block permutation: permutations that each coalition's utility is the mean of.
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

    method: Method = "leaf-mask"
    repeats: Annotated[int, Field(strict=True, ge=1, le=100)] = DEFAULT_REPEATS
    audit: Annotated[bool, Field(strict=True)] = False
    opened_rows: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 299
    window_seconds: Annotated[int, Field(strict=True, ge=30, le=_LONGEST_WINDOW_SECONDS)] = 3600
    dispute_seconds: Annotated[int, Field(strict=True, ge=0, le=_LONGEST_DISPUTE_SECONDS)] = 259_200
    budget: Annotated[int, Field(strict=True, ge=0, le=MAX_BUDGET)] = 0
    permutations: Annotated[int, Field(strict=True, ge=50, le=10_000)] = DEFAULT_PERMUTATIONS
    alpha: Annotated[float, Field(strict=True, gt=0, lt=1)] = DEFAULT_ALPHA

    @model_validator(mode="after")
    def _method_is_audited(self) -> ContributionSpec:
        if self.method != "block-permutation" and self.repeats != DEFAULT_REPEATS:
            raise ValueError("repeats goes with method 'block-permutation' alone")
        if self.method != "leaf-mask" and self.audit:
            raise ValueError(
                f"an audit recomputes losses of opened rows, and by method '{self.method}' these follow from decisions "
                'about other rows, which are not opened; set method = "leaf-mask", or leave the audit out'
            )
        return self

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

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A job by leaf masks has the bytes that it had before there was another method."""
        dumped: dict[str, Any] = handler(self)
        if self.method == "leaf-mask":
            for name in ("method", "repeats"):
                dumped.pop(name, None)
        return dumped

    @property
    def phase_seconds(self) -> int:
        """What an audit may add to the time that the job's last phase takes."""
        return WINDOWS * self.window_seconds if self.audit else 0
