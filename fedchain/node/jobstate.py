"""What the chain alone says about a job, for `fedchain job status` and `watch`, and for the HTTP API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedchain.model.shard import model_digest
from fedchain.types import JobId, Phase

if TYPE_CHECKING:
    from fedchain.chain import Consortium, JobView


@dataclass(frozen=True)
class PartyState:
    """One party of the roster.

    Attributes:
        accepted, aligned, stopped: what it has declared.
        attended: whether it said that it waits, in the phase or round in force.
        shard_digest: hex, None until it is on chain.
    """

    name: str
    address: str
    role: str
    standing: str
    accepted: bool
    aligned: bool
    stopped: bool
    attended: bool
    shard_digest: str | None


@dataclass(frozen=True)
class JobState:
    """A job at one block.

    Attributes:
        head: newest block when it was read.
        accepted, rejected: uplinks judged so far.
        model_digest: hex, once the job is completed.
        abort_reason: once it is aborted, or has expired.
        chain_time: of the newest block, seconds since 1970; deadlines are of that clock.
    """

    view: JobView
    head: int
    parties: tuple[PartyState, ...]
    accepted: int
    rejected: int
    model_digest: str | None
    abort_reason: str | None
    chain_time: int = 0

    @property
    def seconds_left(self) -> int | None:
        """Until the deadline of the phase or round in force; negative beyond it, None once the job has ended."""
        return self.view.deadline - self.chain_time if self.view.deadline else None

    @property
    def trees_done(self) -> int:
        """Finished trees: the round in force is not finished yet."""
        return max(0, self.view.round - 1)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        view = self.view
        return {
            "job_id": view.job_id,
            "phase": view.phase.name.lower(),
            "round": view.round,
            "attempt": view.attempt,
            "max_rounds": view.policy.max_rounds,
            "trees_done": self.trees_done,
            "deadline": self.view.deadline or None,
            "seconds_left": self.seconds_left,
            "closed": self.view.closed,
            "aligned_rows": view.aligned_rows,
            "uplinks": {"accepted": self.accepted, "rejected": self.rejected},
            "parties": [vars(party) for party in self.parties],
            "model_digest": self.model_digest,
            "abort_reason": self.abort_reason,
            "proposer": view.proposer,
            "spec_digest": view.spec_digest.hex(),
            "block": self.head,
        }


def read_state(consortium: Consortium, view: JobView) -> JobState:
    """All that the contracts hold about a job that exists."""
    head = consortium.client.head()
    parties = tuple(_party(consortium, view, address) for address in view.roster)
    accepted, rejected = consortium.counts(view.job_id)
    digest = None
    if view.phase is Phase.COMPLETED:
        digest = model_digest([bytes.fromhex(party.shard_digest or "") for party in parties])
    reason = abort_reason(consortium, view.job_id, head) if view.phase in (Phase.ABORTED, Phase.EXPIRED) else None
    return JobState(view, head, parties, accepted, rejected, digest, reason, consortium.chain_time())


def _party(consortium: Consortium, view: JobView, address: str) -> PartyState:
    entry = consortium.participant(address)
    shard = consortium.shard_digest(view.job_id, address)
    return PartyState(
        name=entry.name,
        address=address,
        role="active" if address == view.roster[0] else "passive",
        standing=entry.status.name.lower(),
        accepted=consortium.has_accepted(view.job_id, address),
        aligned=consortium.has_aligned(view.job_id, address),
        stopped=consortium.has_stopped(view.job_id, address),
        attended=consortium.has_attended(view.job_id, address),
        shard_digest=None if shard is None else shard.hex(),
    )


def abort_reason(consortium: Consortium, job_id: JobId, head: int) -> str:
    """Who ended a job and why, from its event; looked for from the newest block backwards."""
    from fedchain.chain import JobAborted, JobExpired, JobProposed
    from fedchain.chain.reads import BLOCKS_PER_QUERY

    end = head
    while end >= 0:
        start = max(0, end - BLOCKS_PER_QUERY + 1)
        for event in reversed(consortium.events(start, end)):
            if isinstance(event, JobAborted) and event.job_id == job_id:
                return f"{event.reason} (by {consortium.participant(event.by).name or event.by})"
            if isinstance(event, JobExpired) and event.job_id == job_id:
                name = consortium.participant(event.by).name or event.by
                return f"expired: its deadline passed, or a party of it was suspended (ended by {name})"
            if isinstance(event, JobProposed) and event.job_id == job_id:
                return "reason unknown"
        end = start - 1
    return "reason unknown"
