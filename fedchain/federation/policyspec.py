"""`[policy]` of the job file: what the contract enforces, how messages travel, and how long parties wait."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

_LONGEST_SECONDS = 366 * 86_400
_WAITS_PER_PHASE = 4
_WAITS_PER_ROUND = 12
_SHORTEST_DEFAULT_SECONDS = 60


class PolicySpec(BaseModel):
    """`[policy]`: what the contract enforces, how messages travel, and how long parties wait for each other.

    Attributes:
        max_payload_bytes: of one uplink.
        max_statistic_e6: largest declared statistic.
        deadline_seconds: of each wait.
        consumption: `strict`: a party acts on an uplink once its verdict is accepted; `pipelined`: in training it acts
            on the signed uplink as it comes directly from its sender, and a round counts once all of it is accepted.
        at_soft_deadline: what a party does once another takes longer than it usually does: `warn` or `nothing`.
        at_hard_deadline: once it takes three times as long: `wait` until `deadline_seconds`, or `abort` the job.
        phase_seconds: how long each phase but training may take on the chain; None: four times `deadline_seconds`.
        round_seconds: how long an attempt of a round may take; None: twelve times `deadline_seconds`. Later uplinks are
            rejected.
        max_uplinks_per_round: of one party, in one round and attempt.
        ends_on_suspension: whether the job ends as soon as a party of it is suspended or banned.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_payload_bytes: Annotated[int, Field(strict=True, ge=1024, le=2**31 - 1)] = 256 * 1024 * 1024
    max_statistic_e6: Annotated[int, Field(strict=True, ge=0, lt=2**63)] = 50_000_000
    deadline_seconds: Annotated[float, Field(strict=True, gt=0, le=86_400 * 7)] = 600.0
    consumption: Literal["strict", "pipelined"] = "strict"
    at_soft_deadline: Literal["warn", "nothing"] = "warn"
    at_hard_deadline: Literal["wait", "abort"] = "wait"
    phase_seconds: Annotated[int | None, Field(strict=True, ge=1, le=_LONGEST_SECONDS)] = None
    round_seconds: Annotated[int | None, Field(strict=True, ge=1, le=_LONGEST_SECONDS)] = None
    max_uplinks_per_round: Annotated[int, Field(strict=True, ge=1, le=65_535)] = 10_000
    ends_on_suspension: Annotated[bool, Field(strict=True)] = False

    @property
    def phase_limit(self) -> int:
        """Seconds that the contract gives each phase but training."""
        return self.phase_seconds or self._waits(_WAITS_PER_PHASE)

    @property
    def round_limit(self) -> int:
        """Seconds that the contract gives an attempt of a round."""
        return self.round_seconds or self._waits(_WAITS_PER_ROUND)

    def _waits(self, count: int) -> int:
        return max(_SHORTEST_DEFAULT_SECONDS, math.ceil(count * self.deadline_seconds))

    @property
    def pipelined(self) -> bool:
        """Whether `consumption` is `pipelined`."""
        return self.consumption == "pipelined"
