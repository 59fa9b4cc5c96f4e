"""`[inference]` of the job file: who may ask for how much, and what becomes of a request that is not answered whole."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

_LONGEST_SECONDS = 366 * 86_400


class InferenceSpec(BaseModel):
    """`[inference]`: the terms on which a finished model answers.

    Attributes:
        quota: rows that one requester may ask for in a window; counted on the chain.
        window_seconds: length of a window; windows begin at multiples of it since 1970, by the chain's clock.
        deadline_ms: how long one online answer is waited for.
        on_silence: what follows when a party does not answer in time: `refuse` the request and name it, or score with
            its `default` bits and flag the row.
        partial: whether rows are scored, too, that the requester and the active party hold and others do not: those
            parties' default bits count, and the row is flagged.
        explanations: whether the contribution of each party to a score is given to who asks for it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    quota: Annotated[int, Field(strict=True, ge=1, le=2**40)] = 100_000
    window_seconds: Annotated[int, Field(strict=True, ge=60, le=_LONGEST_SECONDS)] = 86_400
    deadline_ms: Annotated[int, Field(strict=True, ge=1, le=600_000)] = 2_000
    on_silence: Literal["refuse", "default"] = "refuse"
    partial: Annotated[bool, Field(strict=True)] = False
    explanations: Annotated[bool, Field(strict=True)] = False
