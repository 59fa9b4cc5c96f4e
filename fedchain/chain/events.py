"""The contracts' events as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass

from fedchain.chain.views import JobPolicy, RequestStatus
from fedchain.messages.envelope import Envelope
from fedchain.types import JobId, Phase, Reason


@dataclass(frozen=True, kw_only=True)
class ChainEvent:
    """Where an event stands on the chain; (block_hash, log_index) identifies it across reorganisations."""

    block_number: int
    block_hash: bytes
    log_index: int
    transaction_hash: bytes


@dataclass(frozen=True, kw_only=True)
class ParticipantRegistered(ChainEvent):
    """A participant entered itself.

    Attributes:
        fingerprint: SHA-256 of its certificate, 32 bytes.
        encryption_key: its X25519 public key, 32 bytes.
    """

    party: str
    name: str
    endpoint: str
    fingerprint: bytes
    encryption_key: bytes


@dataclass(frozen=True, kw_only=True)
class ServiceChanged(ChainEvent):
    """A participant's node answers at another endpoint, or with another certificate (SHA-256: `fingerprint`)."""

    party: str
    endpoint: str
    fingerprint: bytes


@dataclass(frozen=True, kw_only=True)
class ParticipantAccredited(ChainEvent):
    """A participant was accredited; the steward's vote carried it."""

    party: str
    steward: str


@dataclass(frozen=True, kw_only=True)
class ParticipantSuspended(ChainEvent):
    """A participant was suspended: a steward's vote carried it, or the anomaly record did it."""

    party: str
    by: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ParticipantReinstated(ChainEvent):
    """A participant was reinstated, its strikes are gone; the steward's vote carried it."""

    party: str
    steward: str


@dataclass(frozen=True, kw_only=True)
class StrikeRecorded(ChainEvent):
    """A fault counted against a participant; `strikes` count now."""

    party: str
    job_id: JobId
    round: int
    reason: Reason
    strikes: int


@dataclass(frozen=True, kw_only=True)
class JobProposed(ChainEvent):
    """A job and its whole spec; `spec_digest` is the spec's SHA-256."""

    job_id: JobId
    proposer: str
    spec_digest: bytes
    roster: tuple[str, ...]
    policy: JobPolicy
    spec: bytes


@dataclass(frozen=True, kw_only=True)
class JobAccepted(ChainEvent):
    """A roster party agreed."""

    job_id: JobId
    party: str


@dataclass(frozen=True, kw_only=True)
class PhaseChanged(ChainEvent):
    """A job entered a phase."""

    job_id: JobId
    phase: Phase


@dataclass(frozen=True, kw_only=True)
class RoundBegan(ChainEvent):
    """The active party began a round, or tries it again."""

    job_id: JobId
    round: int
    attempt: int


@dataclass(frozen=True, kw_only=True)
class AlignmentDeclared(ChainEvent):
    """A party declared the aligned order of samples."""

    job_id: JobId
    party: str
    order_digest: bytes
    rows: int


@dataclass(frozen=True, kw_only=True)
class StopDeclared(ChainEvent):
    """A party declared the stopping condition met after a round."""

    job_id: JobId
    party: str
    round: int


@dataclass(frozen=True, kw_only=True)
class ShardRecorded(ChainEvent):
    """A party committed to its model shard."""

    job_id: JobId
    party: str
    digest: bytes


@dataclass(frozen=True, kw_only=True)
class JobAborted(ChainEvent):
    """A roster party, or the contract, ended a job."""

    job_id: JobId
    by: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class UplinkJudged(ChainEvent):
    """An uplink and its verdict; `payload` is empty when rejected, or above the inline limit."""

    job_id: JobId
    sender: str
    uplink_id: bytes
    reason: Reason
    envelope: Envelope
    payload: bytes


@dataclass(frozen=True, kw_only=True)
class ContributionRecorded(ChainEvent):
    """The active party recorded contribution shares, scale 1e6."""

    job_id: JobId
    by: str
    roster: tuple[str, ...]
    shares_e6: tuple[int, ...]
    full: int
    empty: int


@dataclass(frozen=True, kw_only=True)
class RequestOpened(ChainEvent):
    """A roster party opened an inference request."""

    job_id: JobId
    request_id: int
    requester: str


@dataclass(frozen=True, kw_only=True)
class RequestClosed(ChainEvent):
    """An inference request ended."""

    job_id: JobId
    request_id: int
    by: str
    outcome: RequestStatus


@dataclass(frozen=True, kw_only=True)
class ModelProposed(ChainEvent):
    """A roster party proposed a completed job's model as a version of a name; digests in the roster's order."""

    name_hash: bytes
    version: int
    job_id: JobId
    name: str
    proposer: str
    roster: tuple[str, ...]
    shard_digests: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True)
class ModelApproved(ChainEvent):
    """A party approved a version; `approvals` of `needed` are there."""

    name_hash: bytes
    version: int
    job_id: JobId
    name: str
    party: str
    approvals: int
    needed: int


@dataclass(frozen=True, kw_only=True)
class ModelFrozen(ChainEvent):
    """All on the roster approved a version."""

    name_hash: bytes
    version: int
    job_id: JobId
    name: str


@dataclass(frozen=True, kw_only=True)
class ModelActivated(ChainEvent):
    """The active party put a version into use, in place of `replaced` (0: of none)."""

    name_hash: bytes
    version: int
    job_id: JobId
    name: str
    by: str
    replaced: int


@dataclass(frozen=True, kw_only=True)
class ModelRolledBack(ChainEvent):
    """The active party took version `withdrawn` out of use; `version` is in use again."""

    name_hash: bytes
    version: int
    job_id: JobId
    name: str
    by: str
    withdrawn: int
