"""What the chain holds against anybody in a job, in order: what was judged, proven, flagged, voted on, overturned."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, get_args

from fedchain.chain import (
    AuditConcluded,
    AuditVoted,
    ChainClient,
    ChainEvent,
    Consortium,
    FaultOverturned,
    FaultRecorded,
    JobAborted,
    JobExpired,
    ParticipantBanned,
    ParticipantReinstated,
    ParticipantSuspended,
    PartyMissing,
    PhaseChanged,
    SettlementDisputed,
    SettlementResolved,
    StatisticChallenged,
    StatisticFlagged,
    StrikeRecorded,
    UplinkJudged,
    VoteCommitted,
    VoteRevealed,
    VotesTallied,
)
from fedchain.exchange.slot import describe
from fedchain.node.audit.names import Names
from fedchain.node.audit.story import Story, read_story
from fedchain.types import AuditOutcome, JobId, Reason

What = Literal[
    "rejected_uplink", "missing", "fault", "flag", "vote_committed", "vote_revealed", "votes_counted", "overturned",
    "audit_vote", "audit_outcome", "disputed", "resolved", "strike", "suspended", "banned", "reinstated",
    "aborted", "expired", "challenged",
]  # fmt: skip
Category = Literal["structural", "provable", "statistical", "vote", "audit", "overturned", "standing", "claim"]
CATEGORIES: tuple[Category, ...] = get_args(Category)
"""In the order in which they are shown."""
NOBODYS_MARK: tuple[Category, ...] = ("vote", "claim")
"""What somebody says: it counts against nobody."""

_E6 = 1_000_000
_FEW, _AT_A_TIME = 4, 8
_STANDINGS = (ParticipantSuspended, ParticipantBanned, ParticipantReinstated)
_PROVABLE = (Reason.EQUIVOCATION, Reason.PAYLOAD_MISMATCH, Reason.REPLAY)
_STATISTICAL = (Reason.STATISTIC_OUTLIER, Reason.STATISTIC_FALSE)
_OF_AUDITS = (Reason.CONTRIBUTION_FALSE, Reason.AUDIT_SILENT, Reason.AUDIT_REFUSED)


@dataclass(frozen=True)
class Anomaly:
    """One entry, as the chain has it; whether it was somebody's fault is the audit's to say.

    Attributes:
        what: kind of entry.
        category: which of the answers to misbehaviour it belongs to: `structural` (judged at uplink, or a deadline),
            `provable` (shown by its own signatures), `statistical` (a flag, or what receivers confirmed), `vote` (of
            receivers, auditors, stewards), `audit` (how that of contributions ended), `overturned` (by stewards),
            `standing` (strikes, suspensions), `claim` (what a party says that nobody has judged: why it ended the
            job, why it disputes a settlement, that a statistic be false).
        party: name of whom it is about, of a vote who voted, of counted votes whose flag it is, of an audit's outcome
            whose losses were audited, of a claim who makes it; the address where the registry has no name.
        reason: of an uplink, a fault, a strike or a missed deadline the reason code's name; of a vote, and of counted
            ones, what they say; of a suspension or ban, of a claim, and where stewards overturned a fault, its text.
        detail: of an uplink what it was; of a missed deadline which; of a fault its number on the record and what was
            done; of a flag also statistic and score; of a vote and an overturned fault the fault's number; of a strike
            how many there are; of a claim whose it is.
        block: number.
        time: of the block, seconds since 1970.
        transaction: hash, hex with 0x.
    """

    what: What
    category: Category
    party: str
    reason: str
    detail: str
    block: int
    time: int
    transaction: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dict(vars(self))


class BlockTimes:
    """Times of blocks in seconds since 1970, each asked for once."""

    def __init__(self, client: ChainClient) -> None:
        self._client = client
        self._known: dict[int, int] = {}

    def __call__(self, number: int) -> int:
        if number not in self._known:
            self._known[number] = self._client.block_time(number)[1]
        return self._known[number]

    def read(self, numbers: Iterable[int]) -> None:
        """Ask for those that are not known yet, some at a time: a long job has hundreds, and a node may be far away."""
        missing = sorted(set(numbers) - self._known.keys())
        if len(missing) < _FEW:
            return
        with ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="block-times") as pool:
            self._known.update(
                zip(missing, pool.map(lambda one: self._client.block_time(one)[1], missing), strict=True)
            )


def read_anomalies(consortium: Consortium, job_id: JobId) -> list[Anomaly]:
    """All of a job that exists, in the order of the chain.

    Raises:
        ConfigError: no block holds the proposal.
        ChainUnreachableError: the chain's node does not answer.
    """
    story, name_of, time_of = read_story(consortium, job_id), Names(consortium), BlockTimes(consortium.client)
    time_of.read(blocks_of_anomalies(story, name_of))
    return anomalies_of(story, name_of, time_of)


def anomalies_of(story: Story, name_of: Callable[[str], str], time_of: Callable[[int], int]) -> list[Anomaly]:
    """The same, of a story that was read already.

    Args:
        story: of the job.
        name_of: of an address.
        time_of: of a block's number.
    """
    return [
        Anomaly(
            what, category, name_of(party), reason, detail, event.block_number, time_of(event.block_number),
            "0x" + event.transaction_hash.hex(),
        )
        for event, (what, category, party, reason, detail) in _told(story, name_of)
    ]  # fmt: skip


def blocks_of_anomalies(story: Story, name_of: Callable[[str], str]) -> set[int]:
    """Blocks whose times `anomalies_of` asks for."""
    return {event.block_number for event, _ in _told(story, name_of)}


def _told(story: Story, name_of: Callable[[str], str]) -> Iterator[tuple[ChainEvent, _Entry]]:
    faults: dict[int, FaultRecorded] = {}
    over, of_faults = _end(story), {one.transaction_hash for one in story.events if isinstance(one, FaultRecorded)}
    for event in story.events:
        if isinstance(event, FaultRecorded):
            faults[event.fault_id] = event
        if isinstance(event, _STANDINGS) and event.block_number > over and event.transaction_hash not in of_faults:
            continue  # a matter of another job, or of no job at all
        told = _entry(event, story, faults, name_of)
        if told is not None:
            yield event, told


def _end(story: Story) -> float:
    """The block in which the job ended, without bound while it runs."""
    ends = [one.block_number for one in story.events if isinstance(one, PhaseChanged) and one.phase.is_over]
    return ends[0] if ends else math.inf


def counts_by_party(anomalies: Sequence[Anomaly], parties: Sequence[str]) -> dict[str, Counter[Category]]:
    """How many incidents of each category are about whom: the parties first, then others.

    An uplink that was rejected and the fault that was recorded for it, or a flag and its fault, are one incident: both
    stand in one transaction. What somebody says is nobody's mark.
    """
    found: dict[str, Counter[Category]] = {name: Counter() for name in parties}
    incidents: dict[tuple[str, Category, str, str], Counter[What]] = {}
    for one in anomalies:
        found.setdefault(one.party, Counter())
        if one.category not in NOBODYS_MARK and one.what != "reinstated":
            incidents.setdefault((one.party, one.category, one.transaction, one.reason), Counter())[one.what] += 1
    for (party, category, _, _), entries in incidents.items():
        found[party][category] += max(entries.values())
    return found


_Entry = tuple[What, Category, str, str, str]


def _entry(
    event: ChainEvent, story: Story, faults: dict[int, FaultRecorded], name_of: Callable[[str], str]
) -> _Entry | None:
    """Kind, category, address, reason and detail; None for what is no anomaly."""
    if isinstance(event, UplinkJudged) and event.reason != Reason.ACCEPTED:
        return "rejected_uplink", "structural", event.sender, Reason(event.reason).name, describe(event.envelope)
    if isinstance(event, PartyMissing):
        place = f"round {event.round}, attempt {event.attempt}" if event.round else "before the first round"
        return "missing", "structural", event.party, Reason.MISSING.name, place
    if isinstance(event, FaultRecorded):
        detail = f"fault {event.fault_id}: {event.answer.name.lower()}"
        return "fault", category_of(event.reason), event.party, event.reason.name, detail
    if isinstance(event, StrikeRecorded):
        return "strike", "standing", event.party, Reason(event.reason).name, f"{event.strikes} in all"
    if isinstance(event, JobAborted):
        return "aborted", "claim", event.by, event.reason, f"claimed by {name_of(event.by)}"
    if isinstance(event, JobExpired):
        return (
            "expired",
            "claim",
            event.by,
            "its deadline passed, or a party was suspended",
            f"ended by {name_of(event.by)}",
        )
    on_roster = getattr(event, "party", None) in story.proposal.roster
    if isinstance(event, ParticipantSuspended) and on_roster:
        return "suspended", "standing", event.party, event.reason, ""
    if isinstance(event, ParticipantBanned) and on_roster:
        return "banned", "standing", event.party, event.reason, ""
    if isinstance(event, ParticipantReinstated) and on_roster:
        return "reinstated", "standing", event.party, "", ""
    return _of_fault(event, faults) or _of_audit(event, story, name_of)


def _of_fault(event: ChainEvent, faults: dict[int, FaultRecorded]) -> _Entry | None:
    """What became of a fault of this job; its record always comes first."""
    fault = faults.get(getattr(event, "fault_id", 0))
    if fault is None:
        return None
    number = f"fault {fault.fault_id}"
    if isinstance(event, FaultOverturned):
        return "overturned", "overturned", fault.party, event.reason, number
    if isinstance(event, StatisticFlagged):
        values = f"{event.kind.name.lower()}, statistic {event.statistic_e6 / _E6:.6f}, score {_score(event.score_e6)}"
        return "flag", "statistical", fault.party, Reason.STATISTIC_OUTLIER.name, f"{number}: {values}"
    if isinstance(event, StatisticChallenged):
        return "challenged", "vote", event.challenger, "false", number
    if isinstance(event, VoteCommitted):
        return "vote_committed", "vote", event.party, "sealed", number
    if isinstance(event, VoteRevealed):
        return "vote_revealed", "vote", event.party, "false" if event.confirms else "sound", number
    if isinstance(event, VotesTallied):
        words = "confirmed" if event.confirmed else "not confirmed"
        return (
            "votes_counted",
            "vote",
            fault.party,
            words,
            f"{number}: {event.confirming} of {event.voting} find it false",
        )
    return None


def _of_audit(event: ChainEvent, story: Story, name_of: Callable[[str], str]) -> _Entry | None:
    """What in an audit, and in the settlement by it, is not as it should be; who votes or disputes gets no mark."""
    active = story.proposal.roster[0]
    if isinstance(event, AuditVoted) and not event.sound:
        return "audit_vote", "vote", event.party, event.audit_reason.name, "finds the contributions false"
    if isinstance(event, AuditConcluded) and event.audit_outcome is not AuditOutcome.VERIFIED:
        return "audit_outcome", "audit", active, event.audit_outcome.text, "audit of the contributions"
    if isinstance(event, SettlementDisputed):
        return "disputed", "claim", event.party, event.reason, f"settlement; claimed by {name_of(event.party)}"
    if isinstance(event, SettlementResolved):
        return "resolved", "vote", active, event.reason, "settlement stands" if event.stands else "settlement rejected"
    return None


def category_of(reason: Reason) -> Category:
    """Which of the answers to misbehaviour a fault's reason belongs to."""
    if reason in _PROVABLE:
        return "provable"
    if reason in _STATISTICAL:
        return "statistical"
    if reason in _OF_AUDITS:
        return "audit"
    if reason is Reason.STATISTIC_CHALLENGED:  # it is its receivers who judge it
        return "claim"
    return "structural"


def _score(score_e6: int) -> str:
    return "beyond measure" if score_e6 >= 2**64 - 1 else f"{score_e6 / _E6:.2f}"
