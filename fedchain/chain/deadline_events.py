"""The events of `JobManager` about deadlines, and what both it and `UplinkLedger` tell about reports."""

from __future__ import annotations

from dataclasses import dataclass

from fedchain.chain.events import ChainEvent
from fedchain.types import JobId


@dataclass(frozen=True, kw_only=True)
class PartyAttended(ChainEvent):
    """A party said that it is there and waits; `round` and `attempt` are those in force."""

    job_id: JobId
    party: str
    round: int
    attempt: int


@dataclass(frozen=True, kw_only=True)
class PartyMissing(ChainEvent):
    """A deadline is over, and a party neither did its part nor attended."""

    job_id: JobId
    party: str
    round: int
    attempt: int


@dataclass(frozen=True, kw_only=True)
class RoundClosed(ChainEvent):
    """An attempt of a round was closed. Bit i of a mask stands for the party at roster position i.

    Attributes:
        accepted_mask: who has an accepted uplink, or none at all but attended or declared its stop.
        rejected_mask: who has rejected uplinks only.
        missing_mask: all others.
    """

    job_id: JobId
    round: int
    attempt: int
    accepted_mask: int
    rejected_mask: int
    missing_mask: int


@dataclass(frozen=True, kw_only=True)
class JobExpired(ChainEvent):
    """A job ended because its time was over, or because of a suspension; `by` is whoever asked for it."""

    job_id: JobId
    by: str


@dataclass(frozen=True, kw_only=True)
class ReportRefused(ChainEvent):
    """The anomaly record did not take a report; `code` is a fault's reason, or a kind whose statistic was shown."""

    party: str
    job_id: JobId
    code: int
    refusal: bytes


DEADLINE_EVENTS: tuple[type[ChainEvent], ...] = (PartyAttended, PartyMissing, RoundClosed, JobExpired, ReportRefused)
