"""Audits one job.

1. Reads the job's events from the newest block back to its proposal (`story`).
2. Goes through them with the contracts' rules, written once more here (`rules`).
3. Computes every digest again that the chain shows: spec, inline payloads, uplink ids, shards, contributions, model
   (`digests`), and compares the contracts' state with what the events make of it (`state`).
4. Compares payload files and saved outcomes of nodes, where their state folders are given (`stores`).

It trusts nobody but the chain's node behind the RPC address to be on the right chain: whatever of its answers
contradicts other answers is found. It needs no key, sends nothing, and reveals nothing to anybody.
"""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable, Sequence

from fedchain.chain import (
    Consortium,
    FaultOverturned,
    FaultRecorded,
    JobAborted,
    JobExpired,
    RequestStatus,
    StrikeRecorded,
)
from fedchain.errors import ConfigError
from fedchain.federation.spec import JobSpec
from fedchain.node.audit.asking import TimeOf
from fedchain.node.audit.checklist import Checklist
from fedchain.node.audit.digests import check_digests
from fedchain.node.audit.names import Names
from fedchain.node.audit.report import AuditReport, PartyVerdict
from fedchain.node.audit.rules import Replay
from fedchain.node.audit.state import STATE, check_state
from fedchain.node.audit.stores import StateFolder, check_stores
from fedchain.node.audit.story import Story, read_on, read_story
from fedchain.node.audit.telling import rounds_of, tell
from fedchain.node.jobpolicy import policy_of
from fedchain.types import PROVEN, JobId, Kind, Phase, Reason

_QUIET_TRIES = 20
_QUIET_PAUSE_SECONDS = 0.1


def audit_job(consortium: Consortium, job_id: JobId, folders: Sequence[StateFolder] = ()) -> AuditReport:
    """Audit a job; a running one as far as it has come.

    Args:
        consortium: to read from.
        job_id: the job.
        folders: state folders of nodes, for payloads that are not on the chain.

    Raises:
        ConfigError: no such job.
        ChainUnreachableError: the chain's node does not answer.
        ChainError: it refuses, or answers with something of another shape.
    """
    story = read_story(consortium, job_id)
    time_of = functools.cache(lambda number: consortium.client.block_time(number)[1])
    checks, replay = _replayed(story, time_of)
    for tried in range(_QUIET_TRIES):
        state = Checklist()
        check_state(consortium, story, replay, state)
        if not read_on(consortium, story):  # the job stood still while its state was read
            _merge(checks, state)
            break
        checks, replay = _replayed(story, time_of)
        time.sleep(_QUIET_PAUSE_SECONDS * (tried > 0))
    else:
        checks.unreachable(STATE)  # it never did
    names = Names(consortium)
    model = check_digests(consortium, story, replay, checks)
    check_stores(list(folders), story, replay, {one: names(one) for one in replay.shards}, model, checks)
    spec, complaint = _spec_of(story, names)
    aborted = replay.aborted
    return AuditReport(
        job_id=job_id,
        job_name="" if spec is None else spec.name,
        phase=replay.phase.name.lower(),
        aborted="" if aborted is None else f"{_why(aborted)} (by {names(aborted.by)})",
        head=story.head,
        model_digest=model,
        moments=tell(story, names),
        rounds=rounds_of(story),
        parties=_verdicts(story, replay, checks, names, complaint),
        checks=checks.tallies,
        mismatches=tuple(checks.mismatches),
    )


def _why(ended: JobAborted | JobExpired) -> str:
    return ended.reason if isinstance(ended, JobAborted) else "expired"


def _replayed(story: Story, time_of: TimeOf) -> tuple[Checklist, Replay]:
    checks = Checklist()
    replay = Replay(checks, time_of)
    for event in story.events:
        replay.take(event)
    replay.finish()
    return checks, replay


def _merge(into: Checklist, other: Checklist) -> None:
    into.tallies.update(other.tallies)
    into.mismatches += other.mismatches


def _spec_of(story: Story, name_of: Callable[[str], str]) -> tuple[JobSpec | None, str]:
    """The spec, and what its proposer did wrong with it: the contract takes any bytes."""
    proposal = story.proposal
    try:
        spec = JobSpec.from_bytes(proposal.spec)
    except ConfigError as error:
        return None, f"proposed no valid job spec ({error})"
    roster = tuple(name_of(address) for address in proposal.roster)
    if roster != spec.names:
        return spec, f"proposed the roster {', '.join(roster)}, the spec names {', '.join(spec.names)}"
    if policy_of(spec) != proposal.policy:
        return spec, f"proposed the policy {proposal.policy}, the spec's is {policy_of(spec)}"
    return spec, ""


def _verdicts(
    story: Story, replay: Replay, checks: Checklist, name_of: Callable[[str], str], complaint: str
) -> tuple[PartyVerdict, ...]:
    proposal = story.proposal
    senders = {uplink.event.sender for uplink in story.uplinks}
    strangers = sorted(senders - set(proposal.roster))
    strikes = Counter(event.party for event in story.events if isinstance(event, StrikeRecorded))
    found = []
    for address in (*proposal.roster, *strangers):
        mine = [uplink.event for uplink in story.uplinks if uplink.event.sender == address]
        rejected = [event for event in mine if event.reason != Reason.ACCEPTED]
        faulty = [event for event in rejected if (event.block_hash, event.log_index) not in replay.overtaken]
        role = "stranger"
        if address in proposal.roster:
            role = "active" if address == proposal.roster[0] else "passive"
        found.append(
            PartyVerdict(
                name=name_of(address),
                address=address,
                role=role,
                accepted=len(mine) - len(rejected),
                rejected=Counter(Reason(event.reason).name for event in faulty),
                overtaken=len(rejected) - len(faulty),
                strikes=strikes[address],
                missing=() if role == "stranger" else _missing(story, replay, address),
                faults=(
                    *((complaint,) if complaint and address == proposal.proposer else ()),
                    *_proven(story, address),
                ),
                mismatches=sum(one.party == address for one in checks.mismatches),
            )
        )
    return tuple(found)


def _proven(story: Story, address: str) -> tuple[str, ...]:
    """Faults of a party that somebody proved, or receivers confirmed, and no steward overturned."""
    overturned = {event.fault_id for event in story.events if isinstance(event, FaultOverturned)}
    return tuple(
        f"{event.reason.name} (fault {event.fault_id})"
        for event in story.events
        if isinstance(event, FaultRecorded)
        and event.party == address
        and event.reason in PROVEN
        and event.fault_id not in overturned
    )


def _missing(story: Story, replay: Replay, address: str) -> tuple[str, ...]:
    """What is due from a party in the phase that the job is in, or was in when it was aborted or expired."""
    phase = replay.ended_in if replay.phase in (Phase.ABORTED, Phase.EXPIRED) else replay.phase
    is_active = address == story.proposal.roster[0]
    missing = []
    if replay.missing[address]:
        missing.append(f"deadline, {replay.missing[address]} times" if replay.missing[address] > 1 else "deadline")
    if phase is Phase.PROPOSED and address not in replay.accepted:
        missing.append("acceptance")
    if phase is Phase.ALIGNING and address not in replay.aligned:
        missing.append("alignment")
    if phase is Phase.TRAINING and replay.stopped and address not in replay.stopped:
        missing.append("stop")
    if phase is Phase.EVALUATING and address not in replay.shards:
        missing.append("shard digest")
    if phase in (Phase.EVALUATING, Phase.COMPLETED) and is_active and replay.contribution is None:
        missing.append("contribution")
    answered = {
        uplink.event.envelope.round
        for uplink in story.uplinks
        if uplink.event.sender == address
        and uplink.event.envelope.kind is Kind.PREDICT_ANSWER
        and uplink.event.reason == Reason.ACCEPTED
    }
    for number, (requester, status) in replay.asking.requests.items():
        unserved = status in (RequestStatus.REJECTED, RequestStatus.EXPIRED) and number not in replay.asking.refused
        if unserved and address != requester and number not in answered:
            missing.append(f"answer to request {number}")
    return tuple(missing)
