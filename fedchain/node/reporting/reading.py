"""Reads what a report shows from the chain, and from nothing else: the same chain gives the same report to everybody.

Whatever the active party says in its contribution payload (running shares, split gain, free-rider test) is shown as
what it says, and so are the shares that it recorded where no audit has posted losses: the contract checks no more of
them than their sum. Where losses are posted, shares are those that the contract computed from them.
"""

from __future__ import annotations

from dataclasses import replace

from fedchain.chain import Consortium, JobView
from fedchain.chain.views import ContributionRecord
from fedchain.contribution.gain import gain_shares
from fedchain.contribution.leaf_mask import running_rounds
from fedchain.contribution.losses import utilities_e6
from fedchain.contribution.shapley import rounded_e6
from fedchain.errors import ConfigError, MessageError
from fedchain.federation.spec import JobSpec
from fedchain.messages import Contribution, decode
from fedchain.model.shard import model_digest
from fedchain.node.anomalies import BlockTimes, anomalies_of, blocks_of_anomalies
from fedchain.node.audit.names import Names
from fedchain.node.audit.story import Story, read_story
from fedchain.node.jobstate import abort_reason
from fedchain.node.reporting.facts import (
    E6,
    AuditFacts,
    AuditVote,
    ContributionFacts,
    JobReport,
    PartyLine,
    Running,
    ShareLine,
)
from fedchain.node.reporting.spans import blocks_of_spans, spans_of
from fedchain.node.settlements import read_audit, read_settlement
from fedchain.protocol.audits import AuditState
from fedchain.types import AuditReason, JobId, Kind, Phase, Reason

_TRIES = 3
_MOVING = (
    "Blocks came while this was read: standings, strikes, votes and points may be of a little later than the timeline."
)
_VOTES = ("none", "sound", "false")
_VOTE_REASONS = {
    AuditReason.OPENING: "what was opened does not lead to what was committed to",
    AuditReason.WEIGHTS: "the leaf weights are not those of the training",
    AuditReason.SHAPES: "the trees are not those of the training",
    AuditReason.BITS: "its own answers are shown otherwise than it sent them",
    AuditReason.LOSSES: "losses of opened rows, computed anew, are others",
    AuditReason.SUMS: "the losses do not add up to the posted sums",
    AuditReason.LABELS: "labels are not those that were committed to",
    AuditReason.ABSENT: "no opening came",
}


def read_report(consortium: Consortium, view: JobView) -> JobReport:
    """All that a report shows of a job that exists; a running one as far as it has come.

    Reads all events since the proposal, and asks for the time of each block in which a stage began or something stands
    against somebody: a request for each round, several at a time. It is read anew where a block came meanwhile, so that
    all of it is of one block; on a chain that is faster than that, a note says so.

    Raises:
        ConfigError: no block holds the proposal.
        ChainUnreachableError: the chain's node does not answer.
        ChainError: it refuses, or answers with something of another shape.
    """
    time_of = BlockTimes(consortium.client)
    report = _read(consortium, view.job_id, time_of)
    for _ in range(_TRIES - 1):
        if consortium.client.head() == report.block:
            return report
        report = _read(consortium, view.job_id, time_of)
    if consortium.client.head() == report.block:
        return report
    return replace(report, notes=(*report.notes, _MOVING))


def _read(consortium: Consortium, job_id: JobId, time_of: BlockTimes) -> JobReport:
    story = read_story(consortium, job_id)
    view = consortium.job(job_id)
    name_of = Names(consortium)
    time_of.read(
        {story.head, story.proposal.block_number} | blocks_of_spans(story) | blocks_of_anomalies(story, name_of)
    )
    spec, notes = _spec(story)
    over = view.phase in (Phase.ABORTED, Phase.EXPIRED)
    state = read_audit(consortium, view.job_id)
    contribution, unsaid = _contribution(consortium, view, story, name_of, state)
    if contribution is not None and spec is not None:
        contribution = replace(contribution, method=spec.contribution.method)
    settlement = None if state is None else read_settlement(consortium, view.job_id, name_of, story.events, state)
    model = ""
    if view.phase is Phase.COMPLETED:
        shards = [consortium.shard_digest(view.job_id, address) for address in view.roster]
        model = model_digest([shard for shard in shards if shard is not None])
    return JobReport(
        job_id=view.job_id,
        name="" if spec is None else spec.name,
        chain_id=consortium.client.chain_id,
        phase=view.phase.name.lower(),
        ended=abort_reason(consortium, view.job_id, story.head) if over else "",
        block=story.head,
        time=time_of(story.head),
        begun=time_of(story.proposal.block_number),
        rounds_done=max(0, view.round - 1),
        model_digest=model,
        parties=_parties(consortium, view),
        contribution=contribution,
        audit=None if state is None else audit_facts(state, [name_of(address) for address in view.roster]),
        settlement=settlement,
        spans=spans_of(story, time_of),
        anomalies=tuple(anomalies_of(story, name_of, time_of)),
        notes=(*notes, *unsaid),
    )


def audit_facts(state: AuditState, names: list[str]) -> AuditFacts:
    """An audit in words, names in roster order."""
    stage = "labels committed"
    for reached, words in (
        (state.all_frozen, "frozen"),
        (state.losses_root, "losses posted"),
        (state.seed, "seed known"),
        (state.outcome, "concluded"),
    ):
        stage = words if reached else stage
    votes = []
    for at, name in enumerate(names[1:], 1):
        vote = state.votes[at] if state.votes else 0
        reason = AuditReason(state.reasons[at]) if vote == _VOTES.index("false") else AuditReason.SOUND
        words = "" if reason is AuditReason.SOUND else _VOTE_REASONS.get(reason, reason.name)
        votes.append(AuditVote(name, _VOTES[vote], words))
    return AuditFacts(
        outcome=state.outcome or "under way",
        stage=stage,
        rows=state.terms.rows,
        opened_rows=state.terms.opened_rows,
        shares840=state.shares840,
        votes=tuple(votes),
        silent=tuple(name for name, let_pass in zip(names, state.silent, strict=False) if let_pass),
        weak=tuple(name for at, name in enumerate(names) if state.weak >> at & 1),
        seed=state.seed.hex(),
    )


def _spec(story: Story) -> tuple[JobSpec | None, tuple[str, ...]]:
    try:
        return JobSpec.from_bytes(story.proposal.spec), ()
    except ConfigError:
        return None, ("The proposal holds no valid job file, so the job has no name here.",)


def _parties(consortium: Consortium, view: JobView) -> tuple[PartyLine, ...]:
    lines = []
    for address in view.roster:
        entry = consortium.participant(address)
        role = "active" if address == view.roster[0] else "passive"
        lines.append(PartyLine(entry.name or address, address, role, entry.status.name.lower(), entry.strikes))
    return tuple(lines)


def _contribution(
    consortium: Consortium, view: JobView, story: Story, name_of: Names, state: AuditState | None
) -> tuple[ContributionFacts | None, tuple[str, ...]]:
    """The record, and what the accepted payload beside it says; what cannot be told, in sentences."""
    record = consortium.contribution(view.job_id)
    if record is None:
        return None, ()
    names = [name_of(address) for address in record.roster]
    facts = share_facts(record, names, state)
    lines = facts.shares
    message, why = _payload(story, record)
    if message is None:
        return facts, (f"Running shares, split gain and free-rider test: {why}.",)
    notes = []
    running = _running(message, len(names), view.round - 1)
    if running is None:
        notes.append("Shares after each round: the active party did not tell them.")
    extras: list[list[float | None]] = []
    for values, words in (
        (message.gains_e6, "Split gain"),
        (message.p_values_e6, "The free-rider test"),
        (message.powers_e6, "The power of the free-rider test"),
        (message.detectable_e6, "The smallest effect that the free-rider test finds"),
    ):
        is_told = len(values) == len(names)
        extras.append([value / E6 for value in values] if is_told else [None] * len(names))
        if not is_told:
            notes.append(f"{words}: the active party did not tell it.")
    told = []
    for at, (line, gain, p_value, power, detectable) in enumerate(zip(lines, *extras, strict=True)):
        line = replace(line, split_gain=gain)
        if at:  # the active party is not tested
            effect_e6 = None if detectable is None else round(detectable * E6)
            line = replace(line, p_value=p_value, power=power, detectable_e6=effect_e6)
        told.append(line)
    rows = message.rows if facts.rows is None else facts.rows
    return replace(facts, rows=rows, shares=tuple(told), running=running), tuple(notes)


def share_facts(record: ContributionRecord, names: list[str], state: AuditState | None) -> ContributionFacts:
    """Shares and utilities: the contract's where the audit has posted losses, else what the active party recorded."""
    full, empty, shares, rows = record.full, record.empty, record.shares_e6, None
    computed = state is not None and bool(state.shares840)
    if state is not None and computed:
        utilities = utilities_e6(state.loss_sums, state.terms.rows)
        full, empty, shares, rows = utilities[-1], utilities[0], rounded_e6(state.shares840), state.terms.rows
    parts = gain_shares(dict(zip(names, shares, strict=True)))
    lines = tuple(
        ShareLine(name, share, parts[name], recorded_e6=None if share == recorded else recorded)
        for name, share, recorded in zip(names, shares, record.shares_e6, strict=True)
    )
    return ContributionFacts(full, empty, rows, lines, None, record.block_number, computed)


def _payload(story: Story, record: ContributionRecord) -> tuple[Contribution | None, str]:
    """What the active party said with the record that counts, or why that is not known."""
    uplinks = [
        uplink
        for uplink in story.uplinks
        if uplink.event.envelope.kind is Kind.CONTRIBUTION
        and uplink.event.reason == Reason.ACCEPTED
        and uplink.event.sender == record.roster[0]
    ]
    for uplink in reversed(uplinks):  # as `read_contributions`: the last one before the record
        if not uplink.payload or uplink.event.block_number > record.block_number:
            continue
        try:
            message = decode(uplink.payload, Contribution)
        except MessageError:
            continue
        if message.shares_e6 == record.shares_e6:
            return message, ""
    if uplinks and not any(uplink.payload for uplink in uplinks):
        return None, "the payload that tells them is not on the chain"
    return None, "no payload on the chain fits the recorded shares"


def _running(message: Contribution, parties: int, trained: int) -> Running | None:
    points = message.rounds_e6
    if not points or any(len(one) != parties for one in points):
        return None
    # only of a long model the rounds are told in steps, and then the job's own number of rounds says which
    rounds = running_rounds(trained, parties)
    if len(rounds) != len(points):
        rounds = running_rounds(len(points), parties)
    return Running(tuple(rounds), points) if len(rounds) == len(points) else None
