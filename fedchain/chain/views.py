"""What the contracts' state looks like in Python."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from fedchain.messages.envelope import Envelope
from fedchain.types import JobId, Kind, Phase, Reason, Status

ANOMALY_POLICY_VERSION = 2
"""Of the anomaly policy that this software knows; a job manager takes jobs of its own version alone."""


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
        pipelined: in training, payloads of any size may stay with their sender.
        phase_seconds: how long each phase but training may take, uint32, at least 1.
        round_seconds: how long an attempt of a round may take, uint32, at least 1.
        max_uplinks_per_round: of one party, accepted in one round and attempt, uint16, at least 1.
        ends_on_suspension: anyone may expire the job once a party of its roster is suspended or banned.
        version: of the anomaly policy that the consortium's contracts follow.
    """

    max_payload_bytes: int
    max_rounds: int
    max_statistic_e6: int
    pipelined: bool = False
    phase_seconds: int = 86_400
    round_seconds: int = 86_400
    max_uplinks_per_round: int = 65_535
    ends_on_suspension: bool = False
    version: int = ANOMALY_POLICY_VERSION


@dataclass(frozen=True)
class Participant:
    """A registry entry; `status` is `UNKNOWN` and the texts empty when the address is not registered.

    Attributes:
        address: under which it registered; it stays the same when its key is rotated.
        endpoint: where the participant's node answers; bytes that are no UTF-8 are replaced.
        strikes: faults that counted when the last one was recorded; the third suspends.
        fingerprint: SHA-256 of its certificate, 32 bytes; zeros when not registered.
        encryption_key: X25519 public key, 32 bytes; what is sealed to the participant is sealed with it.
        signer: address of the key that acts for it now; its own until that is rotated, empty when not registered.
        changes: how often its status, service or keys changed.
    """

    address: str
    name: str
    endpoint: str
    status: Status
    strikes: int
    fingerprint: bytes
    encryption_key: bytes = bytes(32)
    signer: str = ""
    changes: int = 0


@dataclass(frozen=True)
class BatchLeaf:
    """One uplink of a batch: what its envelope has of its own. The payload stays with the sender.

    Attributes:
        step: number within the round, uint32.
        kind: what the payload is.
        recipient: 20 bytes; zeros for the whole roster.
        digest: of the payload, 32 bytes.
        size: the payload's bytes.
    """

    step: int
    kind: Kind
    recipient: bytes
    digest: bytes
    size: int

    def packed(self) -> tuple[int, bytes]:
        """The two words of `UplinkLedger.Leaf`."""
        place = int.from_bytes(self.recipient, "big") << 96 | self.step << 64 | self.size << 8 | int(self.kind)
        return place, self.digest

    def envelope(self, job_id: JobId, round: int, attempt: int) -> Envelope:
        """The envelope that the ledger judges for this leaf."""
        return Envelope(
            job_id=bytes.fromhex(job_id.removeprefix("0x")),
            round=round,
            attempt=attempt,
            step=self.step,
            kind=self.kind,
            recipient=self.recipient,
            digest=self.digest,
            size=self.size,
        )


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
        deadline: until when the phase in force, in training the attempt of the round, is to be over; seconds of the
            chain's clock, 0 once the job has ended.
        closed: whether that was over, and who was missing has been named.
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
    deadline: int = 0
    closed: bool = False

    @property
    def expires_after(self) -> int:
        """The last second of the chain's clock before anyone may end the job because its time is over; 0 once ended."""
        if not self.deadline:
            return 0
        training = self.phase is Phase.TRAINING
        return self.deadline + (self.policy.round_seconds if training else self.policy.phase_seconds)


@dataclass(frozen=True)
class Verdict:
    """The contract's judgement of an uplink; `known` is False when there is none.

    Attributes:
        block_number: when it was judged.
    """

    reason: Reason
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
