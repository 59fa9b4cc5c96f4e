"""Small value types that every layer shares."""

from __future__ import annotations

from enum import Enum, IntEnum, IntFlag
from typing import NewType

PartyId = NewType("PartyId", str)
"""An organisation's name in the registry, for example ``operator``."""

JobId = NewType("JobId", str)
"""0x-prefixed hex of 32 bytes, as given by `JobManager`."""

Digest = NewType("Digest", bytes)
"""32 bytes: SHA-256, or the root of a SHA-256 tree."""

INLINE_LIMIT = 96 * 1024
"""Bytes: payloads up to this size travel in the transaction, larger ones by reference."""

REQUEST_BASE = 2**31
"""Rounds from here up are inference requests."""

SCHEMA_VERSION = 1
"""Version of the wire schema that envelopes carry."""


class Kind(IntEnum):
    """What an uplink carries; the same numbers as in `UplinkLedger`."""

    PUBLIC_KEY = 0
    BLINDED_IDS = 1
    GRADIENTS = 2
    HISTOGRAM = 3
    SPLIT = 4
    PARTITION = 5
    LEAF_WEIGHTS = 6
    SHARD_DIGEST = 7
    CONTRIBUTION = 8
    PREDICT_REQUEST = 9
    PREDICT_ANSWER = 10
    AUDIT = 11


class Phase(IntEnum):
    """A job's phase; the same numbers as in `JobManager`."""

    NONE = 0
    PROPOSED = 1
    ALIGNING = 2
    TRAINING = 3
    EVALUATING = 4
    COMPLETED = 5
    ABORTED = 6
    EXPIRED = 7

    @property
    def is_over(self) -> bool:
        """Whether the job has ended, one way or the other."""
        return self >= Phase.COMPLETED


class Reason(IntEnum):
    """Why an uplink was rejected, as in `UplinkLedger`; from 32 on, other faults of a party, as in `AnomalyPolicy`."""

    ACCEPTED = 0
    SENDER_SUSPENDED = 1
    UNKNOWN_JOB = 2
    NOT_ON_ROSTER = 3
    WRONG_PHASE = 4
    WRONG_ROUND = 5
    WRONG_ATTEMPT = 6
    KIND_NOT_ALLOWED = 7
    RECIPIENT_NOT_ON_ROSTER = 8
    SCHEMA_UNSUPPORTED = 9
    SIZE_OUT_OF_BOUNDS = 10
    DIGEST_MISMATCH = 11
    SLOT_TAKEN = 12
    STATISTIC_OUT_OF_POLICY = 13
    RATE_EXCEEDED = 14
    DEADLINE_MISSED = 15
    EQUIVOCATION = 32
    PAYLOAD_MISMATCH = 33
    REPLAY = 34
    STATISTIC_OUTLIER = 48
    STATISTIC_FALSE = 49
    CONTRIBUTION_FALSE = 50
    AUDIT_SILENT = 51
    STATISTIC_CHALLENGED = 52
    AUDIT_REFUSED = 53
    MISSING = 64

    @classmethod
    def _missing_(cls, value: object) -> Reason | None:
        """One that a later contract has added: a number is its name."""
        if not isinstance(value, int) or not 0 <= value <= 255:
            return None
        unknown = int.__new__(cls, value)
        unknown._name_, unknown._value_ = f"REASON_{value}", value
        return unknown


PROVEN = (
    Reason.EQUIVOCATION,
    Reason.PAYLOAD_MISMATCH,
    Reason.REPLAY,
    Reason.STATISTIC_FALSE,
    Reason.CONTRIBUTION_FALSE,
)
"""Faults that somebody proved, or that receivers confirmed by their votes."""


class AuditReason(IntEnum):
    """What an auditor found in a contribution audit; the numbers of its vote in `ContributionAudit`."""

    SOUND = 0
    OPENING = 1
    """What was opened does not lead to the root that was committed to."""
    WEIGHTS = 2
    """The disclosed leaf weights are not those of the training."""
    SHAPES = 3
    """The open model's trees are not those that the auditor knows of."""
    BITS = 4
    """The auditor's own bits are others than those it sent."""
    LOSSES = 5
    """An opened row's losses, computed anew, are others."""
    SUMS = 6
    """The loss tree's sums are not the posted ones."""
    LABELS = 7
    """A label is none, or not the one committed to."""
    ABSENT = 8
    """No opening came."""

    @classmethod
    def _missing_(cls, value: object) -> AuditReason | None:
        """One that a stranger made up, or a later version added: a number is its name."""
        if not isinstance(value, int) or not 0 <= value <= 255:
            return None
        unknown = int.__new__(cls, value)
        unknown._name_, unknown._value_ = f"REASON_{value}", value
        return unknown


class AuditOutcome(IntEnum):
    """How a contribution audit ended; the same numbers as in `ContributionAudit`."""

    NONE = 0
    VERIFIED = 1
    DISPUTED = 2
    FALSE = 3
    FAILED = 4
    UNAUDITED = 5

    @property
    def text(self) -> str:
        """In lower case; empty while the audit is not concluded."""
        return self.name.lower() if self else ""


class Withheld(IntFlag):
    """Why a party's points of a settlement are withheld; the same bits as in `Settlement`."""

    NONE = 0
    FAULT = 1
    """A fault of the party in this job, answered by a strike or suspension, stands."""
    WEAK = 2
    """It failed the test for free riders."""
    SILENT = 4
    """It let a step of the audit pass."""
    OUTCOME = 8
    """The audit's outcome is not `verified`, or the active party recorded another shard than it froze."""
    SHARD = 16
    """It recorded another shard than it froze."""
    REJECTED = 32
    """Stewards resolved a dispute against the settlement."""


class Answer(IntEnum):
    """What was done about a fault; the same numbers as in `AnomalyPolicy`."""

    RECORDED = 0
    STRIKE = 1
    SUSPENSION = 2


class VotePhase(IntEnum):
    """Of the votes on a flagged statistic; the same numbers as in `AnomalyRecord`."""

    NONE = 0
    COMMITTING = 1
    REVEALING = 2
    TALLYING = 3
    TALLIED = 4


class Status(IntEnum):
    """A participant's standing; the same numbers as in `ParticipantRegistry`."""

    UNKNOWN = 0
    REGISTERED = 1
    ACCREDITED = 2
    SUSPENDED = 3
    BANNED = 4


class Role(str, Enum):
    """A party's role in a job."""

    ACTIVE = "active"
    PASSIVE = "passive"
