"""The events of `Stewards` and `Directory`, and of `ParticipantRegistry` those about votes and keys."""

from __future__ import annotations

from dataclasses import dataclass

from fedchain.chain.events import ChainEvent
from fedchain.types import JobId, Reason, Status


@dataclass(frozen=True, kw_only=True)
class EncryptionKeyChanged(ChainEvent):
    """What is sealed to a participant is sealed with this X25519 key from now on, 32 bytes."""

    party: str
    encryption_key: bytes


@dataclass(frozen=True, kw_only=True)
class KeyRotated(ChainEvent):
    """Another key acts for a participant; the old one acts for nobody, for ever."""

    party: str
    old_signer: str
    new_signer: str


@dataclass(frozen=True, kw_only=True)
class StandingVoted(ChainEvent):
    """A steward voted that a participant get a status; the reason is the steward's, empty where none is asked."""

    party: str
    steward: str
    proposed: Status
    reason: str


@dataclass(frozen=True, kw_only=True)
class ParticipantBanned(ChainEvent):
    """A participant was banned for ever; the steward's vote carried it."""

    party: str
    steward: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class GateAdmitted(ChainEvent):
    """A contract may write strikes from now on: the anomaly record of another version."""

    gate: str


@dataclass(frozen=True, kw_only=True)
class FaultProven(ChainEvent):
    """A fault was proven that suspends at once."""

    party: str
    job_id: JobId
    reason: Reason


@dataclass(frozen=True, kw_only=True)
class StrikeForgiven(ChainEvent):
    """A strike was overturned; so many are left."""

    party: str
    strikes: int


@dataclass(frozen=True, kw_only=True)
class VoteCast(ChainEvent):
    """A steward's vote for a motion of a contract; of domains that one does not know, anybody may make one up.

    Attributes:
        domain: address of the contract that asked for the vote.
        motion: what is voted on, 32 bytes, in that contract's own terms.
        votes: cast, this one among them.
        threshold: how many carry it.
    """

    domain: str
    motion: bytes
    steward: str
    votes: int
    threshold: int


@dataclass(frozen=True, kw_only=True)
class MotionCarried(ChainEvent):
    """A motion has its votes."""

    domain: str
    motion: bytes


@dataclass(frozen=True, kw_only=True)
class StewardsChanged(ChainEvent):
    """The stewards from now on, and how many of them carry a motion."""

    stewards: tuple[str, ...]
    threshold: int
    epoch: int


@dataclass(frozen=True, kw_only=True)
class ChangeProposed(ChainEvent):
    """The directory will give these names these addresses, not before a second of the chain's clock."""

    version: int
    names: tuple[str, ...]
    addresses: tuple[str, ...]
    not_before: int


@dataclass(frozen=True, kw_only=True)
class ChangeCancelled(ChainEvent):
    """A change of the directory will not happen."""

    version: int


@dataclass(frozen=True, kw_only=True)
class ChangeApplied(ChainEvent):
    """A version of the directory is in force."""

    version: int
    names: tuple[str, ...]
    addresses: tuple[str, ...]


STANDING_EVENTS: tuple[type[ChainEvent], ...] = (
    EncryptionKeyChanged, KeyRotated, StandingVoted, ParticipantBanned, GateAdmitted, FaultProven, StrikeForgiven,
    VoteCast, MotionCarried, StewardsChanged, ChangeProposed, ChangeCancelled, ChangeApplied,
)  # fmt: skip
