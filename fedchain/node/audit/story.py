"""A job's events, read back from the chain; payloads are checked while they pass by, and not kept."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fedchain.chain import (
    ChainEvent,
    Consortium,
    FaultOverturned,
    FaultRecorded,
    JobProposed,
    ParticipantBanned,
    StatisticChallenged,
    StatisticFlagged,
    UplinkJudged,
    VoteCommitted,
    VoteRevealed,
    VotesTallied,
)
from fedchain.chain.events import ParticipantReinstated, ParticipantSuspended
from fedchain.crypto.merkle import payload_digest
from fedchain.errors import ChainError, ChainUnreachableError, ConfigError
from fedchain.types import JobId, Kind

_FIRST_RANGE = 1000
_KEPT = (Kind.PUBLIC_KEY, Kind.SHARD_DIGEST, Kind.CONTRIBUTION, Kind.LEAF_WEIGHTS, Kind.AUDIT)
_STANDINGS = (ParticipantSuspended, ParticipantReinstated, ParticipantBanned)
_OF_FAULTS = (FaultOverturned, StatisticFlagged, StatisticChallenged, VoteCommitted, VoteRevealed, VotesTallied)
"""Events that name a fault, and not its job."""


@dataclass(frozen=True)
class Uplink:
    """A judged uplink.

    Attributes:
        event: as on the chain, without its payload.
        digest: of the payload that the chain holds, 32 bytes; None where it holds none.
        size: of that payload.
        payload: kept for keys, leaf weights, shard digests, contributions and their audit, else empty.
    """

    event: UplinkJudged
    digest: bytes | None
    size: int
    payload: bytes


@dataclass
class Story:
    """What the chain tells of one job.

    Attributes:
        job_id: the job.
        events: in chain order; suspensions of anybody are among them, and what became of the job's faults. Uplinks
            have no payloads.
        uplinks: the same uplinks with what is known of their payloads, in chain order.
        head: the last block read.
    """

    job_id: JobId
    events: list[ChainEvent] = field(default_factory=list)
    uplinks: list[Uplink] = field(default_factory=list)
    head: int = -1

    @property
    def proposal(self) -> JobProposed:
        """The event that began it."""
        first = self.events[0]
        assert isinstance(first, JobProposed)
        return first


def read_story(consortium: Consortium, job_id: JobId) -> Story:
    """Read a job's events, from the newest block back to its proposal.

    Raises:
        ConfigError: no block holds the proposal.
        ChainUnreachableError: the chain's node does not answer.
        ChainError: it refuses, or answers with something of another shape.
    """
    head = consortium.client.head()
    story = Story(job_id, head=head)
    end, size = head, _FIRST_RANGE
    while end >= 0:
        start = max(0, end - size + 1)
        try:
            found = consortium.events(start, end)
        except ChainUnreachableError:
            raise
        except ChainError:
            if size == 1:
                raise
            size = max(1, size // 2)
            continue
        events, uplinks = _of_job(found, job_id)
        proposed = next((i for i, event in enumerate(events) if isinstance(event, JobProposed)), None)
        story.events[:0] = events if proposed is None else events[proposed:]
        story.uplinks[:0] = uplinks
        if proposed is not None:
            _leave_others_faults(story)
            return story
        end = start - 1
    raise ConfigError(f"no block of the chain at {consortium.client.rpc_url} holds the proposal of job {job_id}")


def read_on(consortium: Consortium, story: Story) -> bool:
    """Read what has happened since; whether there was another block."""
    head = consortium.client.head()
    if head <= story.head:
        return False
    events, uplinks = _of_job(consortium.events(story.head + 1, head), story.job_id)
    story.events += events
    story.uplinks += uplinks
    story.head = head
    _leave_others_faults(story)
    return True


def _leave_others_faults(story: Story) -> None:
    """Only now is it known which faults are the job's: ranges of blocks are read from the newest back."""
    own = {event.fault_id for event in story.events if isinstance(event, FaultRecorded)}
    story.events[:] = [one for one in story.events if not isinstance(one, _OF_FAULTS) or one.fault_id in own]


def _of_job(found: list[ChainEvent], job_id: JobId) -> tuple[list[ChainEvent], list[Uplink]]:
    events: list[ChainEvent] = []
    uplinks = []
    for event in found:
        if getattr(event, "job_id", None) != job_id:
            if isinstance(event, (*_STANDINGS, *_OF_FAULTS)):
                events.append(event)
            continue
        if isinstance(event, UplinkJudged):
            payload = event.payload
            event = replace(event, payload=b"")
            digest = payload_digest(payload) if payload else None
            kept = payload if event.envelope.kind in _KEPT else b""
            uplinks.append(Uplink(event, digest, len(payload), kept))
        events.append(event)
    return events, uplinks
