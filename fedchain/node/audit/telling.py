"""A job's events in words, and its rounds in numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fedchain.chain import (
    AlignmentDeclared,
    ChainEvent,
    ContributionRecorded,
    FaultOverturned,
    FaultRecorded,
    JobAborted,
    JobAccepted,
    JobExpired,
    JobProposed,
    ModelActivated,
    ModelApproved,
    ModelFrozen,
    ModelProposed,
    ModelRolledBack,
    ParticipantBanned,
    ParticipantReinstated,
    ParticipantSuspended,
    PartyAttended,
    PartyMissing,
    PhaseChanged,
    ReceiptsAnchored,
    RequestAsked,
    RequestClosed,
    RequestOpened,
    RequestRefused,
    Reserved,
    RoundBegan,
    ShardRecorded,
    StopDeclared,
    StrikeRecorded,
    TermsSet,
    UplinkJudged,
)
from fedchain.exchange.slot import describe
from fedchain.node.audit.contributing_words import tell_contributing
from fedchain.node.audit.report import Moment, RoundSummary
from fedchain.node.audit.story import Story
from fedchain.types import Answer, Reason

_E6 = 1_000_000
_LAST_TOLD_AS_UPLINK = 31


def tell(story: Story, name_of: Callable[[str], str]) -> tuple[Moment, ...]:
    """The story without accepted uplinks, which are many; see `rounds_of`."""
    moments = []
    for event in story.events:
        told = _words(event, story, name_of)
        if told is not None:
            who, what = told
            moments.append(Moment(event.block_number, "0x" + event.transaction_hash.hex(), who, what))
    return tuple(moments)


def _words(event: ChainEvent, story: Story, name_of: Callable[[str], str]) -> tuple[str, str] | None:
    if isinstance(event, JobProposed):
        names = ", ".join(name_of(address) for address in event.roster)
        return name_of(event.proposer), f"proposed the job to {names}; spec digest 0x{event.spec_digest.hex()}"
    if isinstance(event, JobAccepted):
        return name_of(event.party), "accepted the job"
    if isinstance(event, PhaseChanged):
        return "", f"phase {event.phase.name.lower()}"
    if isinstance(event, AlignmentDeclared):
        return name_of(event.party), f"declared {event.rows} aligned rows; order digest 0x{event.order_digest.hex()}"
    if isinstance(event, RoundBegan):
        again = f", attempt {event.attempt}" if event.attempt else ""
        return name_of(story.proposal.roster[0]), f"began round {event.round}{again}"
    if isinstance(event, StopDeclared):
        return name_of(event.party), f"declared the stop after round {event.round}"
    if isinstance(event, ShardRecorded):
        return name_of(event.party), f"committed to its shard 0x{event.digest.hex()}"
    if isinstance(event, ContributionRecorded):
        pairs = zip(event.roster, event.shares_e6, strict=False)
        shares = ", ".join(f"{name_of(address)} {share / _E6:+.6f}" for address, share in pairs)
        return name_of(event.by), f"recorded the contributions: {shares}"
    if isinstance(event, JobAborted):
        return name_of(event.by), f"aborted the job: {event.reason}"
    if isinstance(event, PartyAttended):
        return name_of(event.party), "waits, and said so"
    if isinstance(event, PartyMissing):
        return name_of(event.party), f"was missing at the deadline{f' of round {event.round}' if event.round else ''}"
    if isinstance(event, JobExpired):
        return name_of(event.by), "ended the job, which had expired"
    if isinstance(event, StrikeRecorded):
        return name_of(event.party), f"got a strike for {Reason(event.reason).name}: {event.strikes} in all"
    if isinstance(event, FaultRecorded) and event.reason > _LAST_TOLD_AS_UPLINK and event.reason != Reason.MISSING:
        done = {Answer.RECORDED: "recorded", Answer.STRIKE: "a strike", Answer.SUSPENSION: "suspended"}[event.answer]
        return name_of(event.party), f"fault {event.fault_id}, {event.reason.name}: {done}"
    if isinstance(event, FaultOverturned):
        party = _party_of(event.fault_id, story)
        return None if party is None else (name_of(party), f"fault {event.fault_id} was overturned: {event.reason}")
    if isinstance(event, UplinkJudged) and event.reason != Reason.ACCEPTED:
        return name_of(event.sender), f"uplink rejected, {Reason(event.reason).name}: {describe(event.envelope)}"
    if isinstance(event, ParticipantSuspended) and event.party in story.proposal.roster:
        return name_of(event.party), f"was suspended: {event.reason}"
    if isinstance(event, ParticipantBanned) and event.party in story.proposal.roster:
        return name_of(event.party), f"was banned: {event.reason}"
    if isinstance(event, ParticipantReinstated) and event.party in story.proposal.roster:
        return name_of(event.party), "was reinstated"
    return (
        _of_model(event, name_of)
        or tell_contributing(event, story.proposal.roster, name_of)
        or _of_inference(event, name_of)
    )


def _party_of(fault_id: int, story: Story) -> str | None:
    """Whose fault it is, None if it is none of this job."""
    faults = (event for event in story.events if isinstance(event, FaultRecorded))
    return next((fault.party for fault in faults if fault.fault_id == fault_id), None)


def _of_model(event: ChainEvent, name_of: Callable[[str], str]) -> tuple[str, str] | None:
    if isinstance(event, ModelProposed):
        return name_of(event.proposer), f"proposed its model as version {event.version} of '{event.name}'"
    if isinstance(event, ModelApproved):
        return name_of(event.party), f"approved version {event.version} of model '{event.name}'"
    if isinstance(event, ModelFrozen):
        return "", f"version {event.version} of model '{event.name}' is frozen"
    if isinstance(event, ModelActivated):
        return name_of(event.by), f"put version {event.version} of model '{event.name}' into use"
    if isinstance(event, ModelRolledBack):
        return name_of(event.by), f"went back from version {event.withdrawn} of model '{event.name}' to {event.version}"
    return None


def _of_inference(event: ChainEvent, name_of: Callable[[str], str]) -> tuple[str, str] | None:
    if isinstance(event, TermsSet):
        span = f"{event.quota} rows in {event.window_seconds} s"
        return name_of(event.by), f"set the terms for inference: each party may ask for {span}"
    if isinstance(event, Reserved):
        last = event.first + event.count - 1
        rows = f"{event.count} row{'s' if event.count > 1 else ''}"
        return name_of(event.requester), f"reserved {rows} of its quota: serials {event.first} to {last}"
    if isinstance(event, ReceiptsAnchored):
        about = f"{event.count} serial{'s' if event.count > 1 else ''}; root 0x{event.root.hex()}"
        return name_of(event.requester), f"anchored receipts, number {event.index}, about {about}"
    if isinstance(event, RequestOpened):
        return name_of(event.requester), f"opened request {event.request_id}"
    if isinstance(event, RequestAsked):
        size = f"{len(event.sealed)} sealed bytes, digest 0x{event.digest.hex()}"
        return name_of(event.requester), f"asked strictly, request {event.request_id}: {size}"
    if isinstance(event, RequestRefused):
        return name_of(event.requester), f"asked strictly, request {event.request_id} rejected, {event.reason.name}"
    if isinstance(event, RequestClosed):
        return name_of(event.by), f"closed request {event.request_id}: {event.outcome.name.lower()}"
    return None


def rounds_of(story: Story) -> tuple[RoundSummary, ...]:
    """Attempts at rounds, in the order in which they began."""
    blocks: dict[tuple[int, int], list[int]] = {}
    judged: dict[tuple[int, int], list[UplinkJudged]] = {}
    for event in _placed(story.events):
        envelope = event.envelope if isinstance(event, UplinkJudged) else event
        key = (envelope.round, envelope.attempt)
        blocks.setdefault(key, []).append(event.block_number)
        if isinstance(event, UplinkJudged):
            judged.setdefault(key, []).append(event)
    found = []
    for (round_, attempt), numbers in blocks.items():
        events = judged.get((round_, attempt), [])
        accepted = [event for event in events if event.reason == Reason.ACCEPTED]
        found.append(
            RoundSummary(
                round_,
                attempt,
                min(numbers),
                max(numbers),
                len(accepted),
                len(events) - len(accepted),
                sum(event.envelope.size for event in accepted),
            )
        )
    return tuple(found)


def _placed(events: Iterable[ChainEvent]) -> Iterable[UplinkJudged | RoundBegan]:
    return (event for event in events if isinstance(event, (UplinkJudged, RoundBegan)))
