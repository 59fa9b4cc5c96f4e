"""What a node records: its cursor, its uplinks, its jobs and requests."""

from __future__ import annotations

from dataclasses import dataclass

from fedchain.types import JobId, Kind


@dataclass(frozen=True)
class Cursor:
    """The last block whose events were all recorded.

    Attributes:
        number: block number.
        hash: its 32-byte hash.
    """

    number: int
    hash: bytes


@dataclass(frozen=True)
class OutgoingSlot:
    """Where an uplink of this node goes; attributes as in `OutgoingUplink`."""

    job_id: JobId
    round: int
    attempt: int
    step: int
    kind: Kind
    recipient: str

    def holding(self, digest: bytes, size: int, statistic_e6: int, payload: bytes | None) -> OutgoingUplink:
        """An uplink in this slot."""
        return OutgoingUplink(
            self.job_id,
            self.round,
            self.attempt,
            self.step,
            self.kind,
            self.recipient,
            digest,
            size,
            statistic_e6,
            payload,
        )


@dataclass(frozen=True)
class OutgoingUplink:
    """An uplink of this node, recorded before its first send.

    Attributes:
        job_id: the job.
        round: as in the envelope.
        attempt: as in the envelope.
        step: as in the envelope.
        kind: as in the envelope.
        recipient: checksummed address, or "" for the whole roster.
        digest: 32-byte Merkle root of the payload.
        size: the payload's length in bytes.
        statistic_e6: declared statistic.
        payload: the bytes if they travel inline, None if they lie in the outgoing store.
        status: `prepared`, `accepted`, or `rejected: <reason>`.
        tx: hash of the transaction that carried it, "" until then.
    """

    job_id: JobId
    round: int
    attempt: int
    step: int
    kind: Kind
    recipient: str
    digest: bytes
    size: int
    statistic_e6: int
    payload: bytes | None
    status: str = "prepared"
    tx: str = ""


@dataclass(frozen=True)
class Delivery:
    """An uplink that came directly from its sender, which serves its payload to whoever has lost it.

    Attributes:
        job_id: the job.
        round: as in the envelope.
        sender: checksummed address.
        envelope: its bytes.
        signature: 65 bytes, by the sender over the uplink's id.
    """

    job_id: JobId
    round: int
    sender: str
    envelope: bytes
    signature: bytes


@dataclass(frozen=True)
class JobRecord:
    """A job that has this node on its roster.

    Attributes:
        job_id: the job.
        block: number of the block that holds its proposal.
        proposer: address.
        spec: the spec's bytes as proposed.
        status: `proposed`, `declined`, `running`, `completed`, or `failed`.
        error: why it failed, one line, may hold local details; "" else.
    """

    job_id: JobId
    block: int
    proposer: str
    spec: bytes
    status: str = "proposed"
    error: str = ""


@dataclass(frozen=True)
class RequestRecord:
    """An inference request of a job that has this node on its roster.

    Attributes:
        job_id: the job.
        request_id: from `REQUEST_BASE` up.
        block: number of the block in which it was opened.
        requester: address.
        status: `open`, `served`, `closed` or `failed`; of a strict one also what
            `fedchain.node.strict.endings` names.
    """

    job_id: JobId
    request_id: int
    block: int
    requester: str
    status: str = "open"
