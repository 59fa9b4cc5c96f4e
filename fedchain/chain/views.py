"""What the contracts' state looks like in Python."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from fedchain.types import JobId, Kind, Phase, Reason, Status


class RequestStatus(IntEnum):
    """An inference request's standing; the same numbers as in `InferenceRouter`."""

    OPEN = 0
    DONE = 1
    REJECTED = 2
    EXPIRED = 3


@dataclass(frozen=True)
class JobPolicy:
    """Mirrors `JobManager.Policy`.

    Attributes:
        max_payload_bytes: an uplink's largest payload, uint32.
        max_rounds: uint32.
        max_statistic_e6: largest declared statistic, scale 1e6, uint64.
    """

    max_payload_bytes: int
    max_rounds: int
    max_statistic_e6: int


@dataclass(frozen=True)
class Participant:
    """A registry entry; `status` is `UNKNOWN` and the texts empty when the address is not registered.

    Attributes:
        endpoint: where the participant serves large payloads; bytes that are no UTF-8 are replaced.
        strikes: rejected uplinks since accreditation.
    """

    address: str
    name: str
    endpoint: str
    status: Status
    strikes: int


@dataclass(frozen=True)
class JobView:
    """A job's state; the phase is `NONE` for an unknown id.

    Attributes:
        round: boosting iteration in force.
        attempt: of that round, from 0.
        spec_digest: 32 bytes, SHA-256 of the job spec.
        aligned_digest: 32 bytes, zeros until the first party declared.
        aligned_rows: 0 until then.
        roster: addresses, the active party first.
    """

    job_id: JobId
    phase: Phase
    round: int
    attempt: int
    proposer: str
    spec_digest: bytes
    aligned_digest: bytes
    aligned_rows: int
    roster: tuple[str, ...]
    policy: JobPolicy


@dataclass(frozen=True)
class Verdict:
    """The contract's judgement of an uplink; `known` is False when there is none.

    Attributes:
        sender: address, the zero address when unknown.
        kind: a plain number above 10 when the sender named no known kind.
        block_number: when it was judged.
    """

    sender: str
    reason: Reason
    kind: Kind
    block_number: int
    known: bool


@dataclass(frozen=True)
class ContributionRecord:
    """A job's recorded contribution shares, scale 1e6, in roster order; they sum to `full - empty`."""

    roster: tuple[str, ...]
    shares_e6: tuple[int, ...]
    full: int
    empty: int
    block_number: int


@dataclass(frozen=True)
class RequestView:
    """An inference request; `closed_block` is 0 while it is open."""

    requester: str
    status: RequestStatus
    opened_block: int
    closed_block: int


def kind_of_number(number: int) -> Kind:
    """The kind of that number; an unknown one stays a plain number, because a stranger chose it and may not stop us."""
    try:
        return Kind(number)
    except ValueError:
        return number  # type: ignore[return-value]
