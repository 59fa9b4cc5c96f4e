"""The contracts' rules once more, in Python: what a job's events must have led to, one after the other.

An event that the rules do not allow shows that the chain's node did not tell the truth, or that the contracts are not
what they should be. Source: `contracts/src/JobManager.sol` and `UplinkLedger.sol`; the router's are in
`asking`, those of contribution audits and settlements in `contributing`. Deadlines are checked by the blocks' times: of
the uplinks that were accepted in time it is enough to look at the last of each attempt.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from fedchain.chain import (
    AlignmentDeclared,
    ContributionRecorded,
    FaultOverturned,
    FaultRecorded,
    JobAborted,
    JobAccepted,
    JobExpired,
    JobProposed,
    ModelProposed,
    ParticipantBanned,
    ParticipantReinstated,
    ParticipantSuspended,
    PartyAttended,
    PartyMissing,
    PhaseChanged,
    RoundBegan,
    RoundClosed,
    ShardRecorded,
    StopDeclared,
    UplinkJudged,
)
from fedchain.chain.events import ChainEvent
from fedchain.messages import Envelope
from fedchain.node.audit.asking import Asking, TimeOf
from fedchain.node.audit.checklist import Checklist
from fedchain.node.audit.contributing import Contributing
from fedchain.types import INLINE_LIMIT, SCHEMA_VERSION, Kind, Phase, Reason

RULES = "events follow the contracts' rules"

_KINDS = {
    Phase.ALIGNING: (Kind.PUBLIC_KEY, Kind.BLINDED_IDS),
    Phase.TRAINING: (Kind.GRADIENTS, Kind.HISTOGRAM, Kind.SPLIT, Kind.PARTITION, Kind.LEAF_WEIGHTS),
    Phase.EVALUATING: (
        Kind.SHARD_DIGEST,
        Kind.CONTRIBUTION,
        Kind.PREDICT_REQUEST,
        Kind.PREDICT_ANSWER,
        Kind.AUDIT,
    ),
    Phase.COMPLETED: (Kind.PREDICT_REQUEST, Kind.PREDICT_ANSWER),
}
_ACTIVE_ONLY = (Kind.GRADIENTS, Kind.SPLIT, Kind.LEAF_WEIGHTS, Kind.CONTRIBUTION, Kind.PREDICT_REQUEST)
_ACTORS = ("party", "by", "sender", "requester")
_UNSEEN = (Reason.SIZE_OUT_OF_BOUNDS, Reason.DIGEST_MISMATCH)
"""A rejected uplink's payload is not on the chain: these two cannot be judged again."""


@dataclass
class Replay:
    """A job's state as its events make it; the attributes mirror `JobManager.Job`.

    Attributes:
        time_of: a block's time.
        ended_in: the phase before it was aborted or expired.
        attended: who said to wait, in the phase or round in force.
        missing: how often each party was named as missing.
        asking: requests, reservations and receipts of inference.
        contributing: the contribution audit and the settlement.
        slots: digest of the accepted uplink in each.
        overtaken: ids of rejected uplinks that are nobody's fault.
        suspended: addresses, as far as events since the proposal tell.
    """

    checks: Checklist
    time_of: TimeOf
    phase: Phase = Phase.NONE
    round: int = 0
    attempt: int = 0
    accepted: set[str] = field(default_factory=set)
    aligned: set[str] = field(default_factory=set)
    stopped: set[str] = field(default_factory=set)
    shards: dict[str, bytes] = field(default_factory=dict)
    order: tuple[bytes, int] | None = None
    contribution: ContributionRecorded | None = None
    aborted: JobAborted | JobExpired | None = None
    ended_in: Phase = Phase.NONE
    asking: Asking = field(init=False)
    contributing: Contributing = field(default_factory=Contributing)
    slots: dict[tuple[object, ...], bytes] = field(default_factory=dict)
    overtaken: set[tuple[bytes, int]] = field(default_factory=set)
    suspended: set[str] = field(default_factory=set)
    attended: set[str] = field(default_factory=set)
    missing: Counter[str] = field(default_factory=Counter)
    _uplinks: Counter[str] = field(default_factory=Counter)
    _rejected: set[str] = field(default_factory=set)
    _closed: set[tuple[int, int]] = field(default_factory=set)
    _next: Phase | None = None
    _proposal: JobProposed | None = None
    _since: int = 0
    """Block since which the phase, or in training the attempt, is in force."""
    _accepted_last: UplinkJudged | None = None
    """In this attempt of training."""

    def __post_init__(self) -> None:
        self.asking = Asking(self.time_of)

    @property
    def proposal(self) -> JobProposed:
        """How it began."""
        assert self._proposal is not None
        return self._proposal

    def take(self, event: ChainEvent) -> None:
        """Go on by one event."""
        if isinstance(event, JobProposed):
            self._require(self._proposal is None, event, "a second proposal")
            self._proposal = self._proposal or event
            self._next = Phase.PROPOSED
        elif isinstance(event, PhaseChanged):
            self._require(event.phase == self._next, event, f"phase {event.phase.name} without its cause")
            self.finish()
            self._since = event.block_number
            self.phase, self._next = event.phase, None
            if event.phase is Phase.EVALUATING:
                self._go_to(self.round + 1, 0)
            self.attended = set(self.proposal.roster[1:]) if event.phase is Phase.TRAINING else set()
        elif isinstance(event, JobAccepted):
            self._declare(event, event.party, self.accepted, Phase.PROPOSED, Phase.ALIGNING)
        elif isinstance(event, AlignmentDeclared):
            self._align(event)
        elif isinstance(event, RoundBegan):
            self._begin(event)
        elif isinstance(event, StopDeclared):
            self._require(event.round == self.round >= 1, event, f"a stop after round {event.round}")
            self._declare(event, event.party, self.stopped, Phase.TRAINING, Phase.EVALUATING)
        elif isinstance(event, RoundClosed):
            self._close(event)
        elif isinstance(event, (PartyAttended, PartyMissing)):
            fits = Phase.PROPOSED <= self.phase <= Phase.EVALUATING and event.party in self.proposal.roster
            fits = fits and (event.round, event.attempt) == (self.round, self.attempt)
            self._require(fits, event, f"{type(event).__name__} of {event.party}, which is not due")
            if isinstance(event, PartyAttended):
                self._require(not self._is_late(event), event, f"{event.party} attended after the deadline")
                self.attended.add(event.party)
            else:
                self._require(event.party not in self.attended, event, f"{event.party} missing, though it attended")
                self._require(self._is_late(event), event, f"{event.party} missing before the deadline")
                self.missing[event.party] += 1
        elif isinstance(event, JobExpired):
            running = Phase.PROPOSED <= self.phase <= Phase.EVALUATING
            may = self.proposal.policy.ends_on_suspension or self._is_late(event, self._seconds)
            self._require(running and may, event, "the end of a job that was not running, or had time")
            self.aborted, self.ended_in, self._next = event, self.phase, Phase.EXPIRED
        elif isinstance(event, ShardRecorded):
            self._declare(event, event.party, set(self.shards), Phase.EVALUATING, Phase.COMPLETED)
            self.shards[event.party] = event.digest
        elif isinstance(event, ContributionRecorded):
            fits = self.phase is Phase.EVALUATING and self.contribution is None and event.by == self.proposal.roster[0]
            self._require(fits, event, "a contribution record that is not due")
            self.contribution = self.contribution or event
        elif isinstance(event, JobAborted):
            running = Phase.PROPOSED <= self.phase <= Phase.EVALUATING and event.by in self.proposal.roster
            self._require(running, event, "the end of a job that was not running, or by a stranger")
            self.aborted, self.ended_in, self._next = event, self.phase, Phase.ABORTED
        elif isinstance(event, UplinkJudged):
            self._judge(event)
        elif isinstance(event, ModelProposed):
            digests = tuple(self.shards.get(party) for party in self.proposal.roster)
            fits = self.phase is Phase.COMPLETED and event.shard_digests == digests
            self._require(fits, event, f"version {event.version} of model '{event.name}' with other shards")
        elif isinstance(event, (ParticipantSuspended, ParticipantBanned)):
            self.suspended.add(event.party)
        elif isinstance(event, ParticipantReinstated):
            self.suspended.discard(event.party)
        elif isinstance(event, FaultRecorded):
            self.contributing.note_fault(event, self._require, self.proposal.roster)
        elif isinstance(event, FaultOverturned):
            self.contributing.note_overturned(event.fault_id)
        else:
            roster = self.proposal.roster
            is_known = self.contributing.take(event, self._require, self.phase, self.round, roster, self.shards)
            if not is_known:
                self.asking.take(event, self._require, self.phase, roster, self.suspended)

    def finish(self) -> None:
        """The attempt in force is over, or there are no more events: what was accepted in it was in time."""
        last, self._accepted_last = self._accepted_last, None
        if last is not None:
            self._require(not self._is_late(last), last, f"an uplink of {last.sender} was accepted after the deadline")

    @property
    def _seconds(self) -> int:
        policy = self.proposal.policy
        return policy.round_seconds if self.phase is Phase.TRAINING else policy.phase_seconds

    def _is_late(self, event: ChainEvent, more: int = 0) -> bool:
        """Whether an event's block came after the deadline in force, and `more` seconds."""
        return self.time_of(event.block_number) > self.time_of(self._since) + self._seconds + more

    def _require(self, holds: bool, event: ChainEvent, what: str) -> None:
        party = next(
            (getattr(event, one) for one in ("party", "by", "sender", "requester") if hasattr(event, one)), None
        )
        self.checks.check(
            RULES,
            holds,
            f"{what} in phase {self.phase.name}, round {self.round}, attempt {self.attempt}",
            party=party,
            block=event.block_number,
        )

    def _declare(self, event: ChainEvent, party: str, done: set[str], phase: Phase, then: Phase) -> None:
        fits = self.phase is phase and party in self.proposal.roster and party not in done
        self._require(fits, event, f"{type(event).__name__} by {party}, which is not due")
        done.add(party)
        if done >= set(self.proposal.roster):
            self._next = then

    def _align(self, event: AlignmentDeclared) -> None:
        self._declare(event, event.party, self.aligned, Phase.ALIGNING, Phase.TRAINING)
        declared = (event.order_digest, event.rows)
        self.order = self.order or declared
        if declared != self.order:
            self._next = None  # the contract aborts the job

    def _begin(self, event: RoundBegan) -> None:
        pipelined = self.proposal.policy.pipelined
        forward = (self.round + 1, self.attempt if pipelined else 0)
        again = {(self.round, self.attempt + 1)} | ({(self.round - 1, self.attempt + 1)} if pipelined else set())
        allowed = {forward} | {one for one in again if one[0] >= 1}
        fits = self.phase is Phase.TRAINING and (event.round, event.attempt) in allowed
        fits = fits and event.round <= self.proposal.policy.max_rounds
        self._require(fits, event, f"round {event.round}, attempt {event.attempt} was begun")
        self.finish()
        self._since = event.block_number
        self._go_to(event.round, event.attempt)
        self.stopped, self.attended = set(), set()

    def _go_to(self, round: int, attempt: int) -> None:
        self.round, self.attempt = round, attempt
        self._uplinks, self._rejected = Counter(), set()

    def _close(self, event: RoundClosed) -> None:
        place = (event.round, event.attempt)
        fits = self.phase is Phase.TRAINING and place == (self.round, self.attempt) and place not in self._closed
        self._require(fits, event, f"round {event.round}, attempt {event.attempt} was closed")
        self._closed.add(place)
        roster = self.proposal.roster
        sent = set() if event.round == 0 else {one for one in roster if self._uplinks[one]}  # those were of Aligning
        rejected = set() if event.round == 0 else {one for one in roster if one in self._rejected} - sent
        accepted = sent | ((self.attended | self.stopped) & set(roster)) - rejected
        expected = [_mask(roster, who) for who in (accepted, rejected, set(roster) - accepted - rejected)]
        found = [event.accepted_mask, event.rejected_mask, event.missing_mask]
        self._require(found == expected, event, f"masks {found} of round {event.round}, the uplinks say {expected}")

    # -- uplinks ----------------------------------------------------------------------------------------------------

    def _judge(self, event: UplinkJudged) -> None:
        envelope, sender = event.envelope, event.sender
        found = Reason(event.reason)
        expected = self.judgement(sender, envelope)
        if found is Reason.SENDER_SUSPENDED:
            fits = sender in self.suspended or sender not in self.proposal.roster
        elif found in _UNSEEN:
            fits = expected is Reason.ACCEPTED or expected > Reason.SCHEMA_UNSUPPORTED
        elif found is Reason.DEADLINE_MISSED:
            fits = expected is Reason.ACCEPTED and self.phase is Phase.TRAINING and sender not in self.suspended
            fits = fits and self._is_late(event)
        else:
            fits = found is expected and sender not in self.suspended
        self._require(fits, event, f"an uplink of {sender} was judged {found.name}, the rules say {expected.name}")
        if found is Reason.ACCEPTED:
            self.slots.setdefault(slot_of(sender, envelope), envelope.digest)
            self._uplinks[sender] += 1
            if self.phase is Phase.TRAINING:
                self._accepted_last = event
            return
        if self._is_overtaken(sender, envelope, found):
            self.overtaken.add((event.block_hash, event.log_index))
        else:
            self._rejected.add(sender)

    def _is_overtaken(self, sender: str, envelope: Envelope, reason: Reason) -> bool:
        """Whether others may have made the uplink wrong; see `UplinkRules.sol`."""
        if self.phase in (Phase.ABORTED, Phase.EXPIRED):
            return reason is Reason.WRONG_PHASE
        if self.phase is Phase.COMPLETED:
            return (
                reason is Reason.WRONG_ROUND and envelope.kind in list(Kind) and envelope.round in self.asking.requests
            )
        if self.phase is not Phase.TRAINING:
            return False
        if reason is Reason.DEADLINE_MISSED:
            return sender in self.attended
        if reason not in (Reason.WRONG_ROUND, Reason.WRONG_ATTEMPT):
            return False
        if self._uplinks[sender] or slot_of(sender, envelope) in self.slots:
            return False
        return self._was_in_force(envelope) and self._form(sender, envelope) is Reason.ACCEPTED

    def _was_in_force(self, envelope: Envelope) -> bool:
        """Whether a round and attempt that are not may have been before."""
        round, attempt = envelope.round, envelope.attempt
        if not round:
            return False
        if not self.proposal.policy.pipelined:
            return (round, attempt) < (self.round, self.attempt)
        return attempt <= self.attempt and round + attempt <= self.round + self.attempt

    def judgement(self, sender: str, envelope: Envelope) -> Reason:
        """The first rule that an uplink breaks now, of those that can be judged without its payload."""
        policy = self.proposal.policy
        if sender not in self.proposal.roster:
            return Reason.NOT_ON_ROSTER
        if envelope.kind in list(Kind) and envelope.kind not in _KINDS.get(self.phase, ()):
            return Reason.WRONG_PHASE
        if not self._is_round(envelope):
            return Reason.WRONG_ROUND
        if envelope.attempt != self.attempt:
            return Reason.WRONG_ATTEMPT
        form = self._form(sender, envelope)
        if form is not Reason.ACCEPTED:
            return form
        if not 1 <= envelope.size <= policy.max_payload_bytes:
            return Reason.SIZE_OUT_OF_BOUNDS
        if envelope.kind is Kind.SHARD_DIGEST and not 32 <= envelope.size <= INLINE_LIMIT:
            return Reason.SIZE_OUT_OF_BOUNDS
        if not any(envelope.digest):
            return Reason.DIGEST_MISMATCH
        if slot_of(sender, envelope) in self.slots:
            return Reason.SLOT_TAKEN
        if envelope.kind is Kind.SHARD_DIGEST and sender in self.shards:
            return Reason.SLOT_TAKEN
        most = policy.max_statistic_e6 if envelope.kind is Kind.CONTRIBUTION else 0
        if envelope.statistic_e6 > most:
            return Reason.STATISTIC_OUT_OF_POLICY
        is_full = self.phase is not Phase.COMPLETED and self._uplinks[sender] >= policy.max_uplinks_per_round
        return Reason.RATE_EXCEEDED if is_full else Reason.ACCEPTED

    def _form(self, sender: str, envelope: Envelope) -> Reason:
        """The rules on kind, recipient and schema."""
        if not (envelope.kind in list(Kind) and self._may(sender, envelope)):
            return Reason.KIND_NOT_ALLOWED
        to = "0x" + envelope.recipient.hex()
        if any(envelope.recipient) and to not in {one.lower() for one in self.proposal.roster}:
            return Reason.RECIPIENT_NOT_ON_ROSTER
        return Reason.ACCEPTED if envelope.schema == SCHEMA_VERSION else Reason.SCHEMA_UNSUPPORTED

    def _is_round(self, envelope: Envelope) -> bool:
        if self.phase is Phase.COMPLETED:
            return self.asking.is_open(envelope.round)
        if self.phase is Phase.TRAINING:
            if not envelope.round or not self.round:
                return False
            if self.proposal.policy.pipelined and envelope.round + 1 == self.round:
                return True
        return envelope.round == self.round

    def _may(self, sender: str, envelope: Envelope) -> bool:
        is_active = sender == self.proposal.roster[0]
        if self.phase is Phase.COMPLETED:
            if envelope.kind is not Kind.PREDICT_REQUEST:
                return True
            return self.asking.requests[envelope.round][0] == sender
        if envelope.kind in _ACTIVE_ONLY:
            return is_active
        return envelope.kind is not Kind.HISTOGRAM or not is_active


def _mask(roster: tuple[str, ...], who: set[str]) -> int:
    return sum(1 << index for index, address in enumerate(roster) if address in who)


def slot_of(sender: str, envelope: Envelope) -> tuple[object, ...]:
    """What tells an uplink's slot from the job's others."""
    return (
        envelope.round,
        envelope.attempt,
        envelope.step,
        sender,
        envelope.recipient,
        int(envelope.kind),
    )
