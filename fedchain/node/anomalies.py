"""What the chain holds against anybody in a job: rejected uplinks, missed deadlines, faults, strikes, suspensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from fedchain.chain import (
    Consortium,
    FaultOverturned,
    FaultRecorded,
    ParticipantBanned,
    ParticipantReinstated,
    ParticipantSuspended,
    PartyMissing,
    StrikeRecorded,
    UplinkJudged,
)
from fedchain.exchange.slot import describe
from fedchain.node.audit.story import read_story
from fedchain.types import JobId, Reason

What = Literal["rejected_uplink", "missing", "fault", "overturned", "strike", "suspended", "banned", "reinstated"]


@dataclass(frozen=True)
class Anomaly:
    """One entry, as the chain has it; whether it was somebody's fault is the audit's to say.

    Attributes:
        what: kind of entry.
        party: name of whom it is about; the address where the registry has no name.
        reason: of an uplink, a fault, a strike or a missed deadline the reason code's name; of a suspension or ban, and
            where stewards overturned a fault, its text.
        detail: of an uplink what it was; of a missed deadline which; of a fault its number on the record and what was
            done, of an overturned one its number; of a strike how many there are.
        block: number.
        transaction: hash, hex with 0x.
    """

    what: What
    party: str
    reason: str
    detail: str
    block: int
    transaction: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dict(vars(self))


def read_anomalies(consortium: Consortium, job_id: JobId) -> list[Anomaly]:
    """All of a job that exists, in the order of the chain.

    Raises:
        ConfigError: no block holds the proposal.
        ChainUnreachableError: the chain's node does not answer.
    """
    story = read_story(consortium, job_id)
    names: dict[str, str] = {}

    def name_of(address: str) -> str:
        if address not in names:
            names[address] = consortium.participant(address).name or address
        return names[address]

    found = []
    at_fault: dict[int, str] = {}
    for event in story.events:
        what: tuple[What, str, str, str]
        if isinstance(event, UplinkJudged) and event.reason != Reason.ACCEPTED:
            what = "rejected_uplink", event.sender, Reason(event.reason).name, describe(event.envelope)
        elif isinstance(event, PartyMissing):
            place = f"round {event.round}, attempt {event.attempt}" if event.round else "before the first round"
            what = "missing", event.party, Reason.MISSING.name, place
        elif isinstance(event, FaultRecorded):
            at_fault[event.fault_id] = event.party
            what = "fault", event.party, event.reason.name, f"fault {event.fault_id}: {event.answer.name.lower()}"
        elif isinstance(event, FaultOverturned) and event.fault_id in at_fault:
            what = "overturned", at_fault[event.fault_id], event.reason, f"fault {event.fault_id}"
        elif isinstance(event, StrikeRecorded):
            what = "strike", event.party, Reason(event.reason).name, f"{event.strikes} in all"
        elif isinstance(event, ParticipantSuspended) and event.party in story.proposal.roster:
            what = "suspended", event.party, event.reason, ""
        elif isinstance(event, ParticipantBanned) and event.party in story.proposal.roster:
            what = "banned", event.party, event.reason, ""
        elif isinstance(event, ParticipantReinstated) and event.party in story.proposal.roster:
            what = "reinstated", event.party, "", ""
        else:
            continue
        kind, party, reason, detail = what
        transaction = "0x" + event.transaction_hash.hex()
        found.append(Anomaly(kind, name_of(party), reason, detail, event.block_number, transaction))
    return found
