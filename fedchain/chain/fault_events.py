"""The events of `AnomalyRecord` and `FaultProofs` as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass

from fedchain.chain.events import ChainEvent
from fedchain.types import Answer, JobId, Kind, Reason


@dataclass(frozen=True, kw_only=True)
class FaultRecorded(ChainEvent):
    """A fault was recorded and answered.

    Attributes:
        evidence: an uplink's id or a proof's hash, 32 bytes; zeros for a deadline.
    """

    fault_id: int
    party: str
    job_id: JobId
    round: int
    reason: Reason
    answer: Answer
    evidence: bytes


@dataclass(frozen=True, kw_only=True)
class FaultOverturned(ChainEvent):
    """Stewards overturned a fault; the reason is theirs."""

    fault_id: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class StatisticFlagged(ChainEvent):
    """Why a statistic was flagged, scale 1e6; votes are committed until then, in seconds of the chain's clock.

    For a histogram, which the active party alone can decrypt, that is 0: nobody votes.
    """

    fault_id: int
    kind: Kind
    statistic_e6: int
    score_e6: int
    commit_until: int


@dataclass(frozen=True, kw_only=True)
class StatisticChallenged(ChainEvent):
    """A receiver says that an uplink declared a false statistic; votes are committed until then, by the chain's clock.

    Attributes:
        uplink_id: of the contribution, 32 bytes.
        commit_until: seconds.
    """

    fault_id: int
    challenger: str
    uplink_id: bytes
    commit_until: int


@dataclass(frozen=True, kw_only=True)
class VoteCommitted(ChainEvent):
    """A party committed to a vote on a flag."""

    fault_id: int
    party: str


@dataclass(frozen=True, kw_only=True)
class VoteRevealed(ChainEvent):
    """A party's vote; `confirms`: it recomputed the statistic and found it false."""

    fault_id: int
    party: str
    confirms: bool


@dataclass(frozen=True, kw_only=True)
class VotesTallied(ChainEvent):
    """The votes on a flag were counted; where they confirm, a fault of its own follows."""

    fault_id: int
    confirming: int
    voting: int
    confirmed: bool


@dataclass(frozen=True, kw_only=True)
class ProofAccepted(ChainEvent):
    """Somebody proved a fault; `first` and `second` are uplink ids, 32 bytes each."""

    fault_id: int
    party: str
    prover: str
    evidence: bytes
    first: bytes
    second: bytes


FAULT_EVENTS: tuple[type[ChainEvent], ...] = (
    FaultRecorded, FaultOverturned, StatisticFlagged, StatisticChallenged, VoteCommitted, VoteRevealed, VotesTallied,
    ProofAccepted,
)  # fmt: skip
