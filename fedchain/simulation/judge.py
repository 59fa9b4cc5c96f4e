"""The contracts' verdicts for a simulated job: every envelope goes to the real contracts on a chain in this process.

The parties' messages go through the in-memory channel; this judge is its tap. In a strict job each uplink is submitted
at once. In the training of a pipelined job messages are taken on their senders' signatures, and the uplinks of a round
are committed when it closes, each party's in one batch; a round in which somebody is late is tried again, and a job
that is given up is aborted with its last round uncommitted. Declarations, rounds, contributions and audits are put on
chain as nodes do it; replays and equivocations that an honest party sees are proven, by signatures where nothing is
accepted yet. Time is the chain's, and passes as fast as it is told.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from fedchain.anomaly.pace import is_implausibly_fast
from fedchain.chain import MAX_LEAVES, BatchLeaf, Consortium, Fault, JobPolicy, UplinkJudged
from fedchain.chain.inprocess import InProcessConsortium
from fedchain.crypto.merkle import payload_digest
from fedchain.errors import DeadlineError, TransactionError, UplinkRejectedError
from fedchain.exchange.replays import Replays
from fedchain.exchange.waits import Waits
from fedchain.federation.spec import JobSpec
from fedchain.messages import Envelope
from fedchain.protocol import Action, BeginRound, DeclareAligned, DeclareStop, Flag, RecordContribution
from fedchain.simulation.adversaries.party import Adversary
from fedchain.simulation.channel import Slot
from fedchain.types import INLINE_LIMIT, JobId, Kind, PartyId, Phase, Reason, Status

MAX_ATTEMPTS = 3
"""Of a round; then the job is over."""

NO_RECIPIENT = bytes(20)

Delays = Callable[[PartyId, int], float]
"""How long after the beginning of a round a party's uplinks come: party and round to seconds."""


@dataclass(frozen=True)
class Recorded:
    """A fault on the chain's record.

    Attributes:
        party: whose.
        round: the job's.
        reason: which.
        fault: as the record has it.
    """

    party: PartyId
    round: int
    reason: Reason
    fault: Fault


@dataclass
class Timing:
    """What a node's register of waits (`fedchain.exchange.waits`) makes of the parties' times.

    Attributes:
        retried: attempts of rounds after the first.
        answers: times that were compared with learned deadlines.
        soft, hard, fast: parties that passed them, or came implausibly fast; one entry for each time.
    """

    retried: int = 0
    answers: int = 0
    soft: list[PartyId] = field(default_factory=list)
    hard: list[PartyId] = field(default_factory=list)
    fast: list[PartyId] = field(default_factory=list)
    _waits: Waits = field(default_factory=Waits)
    _samples: dict[PartyId, list[float]] = field(default_factory=dict)

    def note(self, party: PartyId, seconds: float, limit: int) -> None:
        """A party took so long."""
        soft, hard = self._waits.deadlines("trial", (party,), "round", limit)
        samples = self._samples.setdefault(party, [])
        is_fast = is_implausibly_fast(seconds, samples)
        if soft is not None and hard is not None:
            self.answers += 1
            if seconds > soft:
                self.soft.append(party)
            if seconds > hard:
                self.hard.append(party)
            if is_fast:
                self.fast.append(party)
        if not is_fast and seconds <= limit:
            self._waits.learn("trial", party, "round", seconds)
            samples.append(seconds)


class ChainJudge:
    """One job before the contracts.

    Args:
        chain: with the contracts.
        spec: of the job.
        members: each party's view of the chain, roster order.
        adversaries: parties that do not declare what they should.
        delays: the honest parties'.
    """

    def __init__(
        self,
        chain: InProcessConsortium,
        spec: JobSpec,
        members: Mapping[PartyId, Consortium],
        adversaries: Mapping[PartyId, Adversary] | None = None,
        delays: Delays = lambda party, round: 0.0,
    ) -> None:
        self._chain = chain
        self._members = dict(members)
        self._adversaries = dict(adversaries or {})
        self._delays = delays
        self._names = {_address(member): name for name, member in members.items()}
        self._active = next(iter(members))
        self._limit = spec.policy.round_limit
        self._pipelined = spec.policy.pipelined
        self._first_fault = chain.steward.faults.count()
        self._replays = Replays(self._prove_replay)
        self._proofs: list[Callable[[], object]] = []
        self._pending: list[tuple[PartyId, Envelope]] = []
        self._round = self._attempt = 0
        self._begun = chain.now()
        self.timing = Timing()
        self._contribution: bytes | None = None
        policy = JobPolicy(
            spec.policy.max_payload_bytes,
            spec.max_rounds,
            spec.policy.max_statistic_e6,
            pipelined=spec.policy.pipelined,
            phase_seconds=spec.phase_limit,
            round_seconds=spec.policy.round_limit,
            max_uplinks_per_round=spec.policy.max_uplinks_per_round,
        )
        roster = [_address(member) for member in members.values()]
        self.job_id: JobId = members[self._active].propose(spec.to_bytes(), roster, policy)
        for member in members.values():
            member.accept(self.job_id)
        self._phase = Phase.ALIGNING

    @property
    def rounds(self) -> int:
        """Rounds begun."""
        return self._round

    # -- what the channel tells ---------------------------------------------------------------------------------------

    def tap(self, slot: Slot, payload: bytes) -> bytes | None:
        """A payload is sent: have it judged, now or when its round is committed.

        Raises:
            UplinkRejectedError: the ledger rejects it; names the sender.
        """
        for name, adversary in self._adversaries.items():
            if name != slot.sender:
                adversary.sees(slot, payload)
        envelope = Envelope(
            job_id=bytes.fromhex(self.job_id.removeprefix("0x")),
            round=slot.round,
            attempt=self._attempt if self._phase is Phase.TRAINING else 0,
            step=slot.step,
            kind=slot.kind,
            recipient=NO_RECIPIENT if slot.recipient is None else self._bytes_of(slot.recipient),
            digest=payload_digest(payload),
            size=len(payload),
        )
        if self._phase is not Phase.TRAINING:
            self._submit(slot.sender, envelope, payload)
        elif self._pipelined:
            self._pending.append((slot.sender, envelope))
            self._replays.seen(_address(self._members[slot.sender]), envelope)  # on its sender's signature
        else:
            self._send(slot.sender, [envelope], payload)
            self._prove()
            self._require_standing()
        return payload

    def hear(self, party: PartyId, action: Action) -> None:
        """A party is about to do something: put it on chain, where it belongs there.

        Raises:
            UplinkRejectedError: an uplink of the round that closes is rejected.
            DeadlineError: a round failed for the last time.
        """
        member = self._members[party]
        if isinstance(action, BeginRound) and party == self._active:
            self.commit()
            member.begin_round(self.job_id, action.round)
            self._round, self._begun = action.round, self._chain.now()
            self._attempt = self._attempt if self._pipelined else 0
        elif isinstance(action, DeclareAligned):
            member.declare_aligned(self.job_id, action.order_digest, action.rows)
            self._phase = self._chain.steward.job(self.job_id).phase
        elif isinstance(action, DeclareStop):
            self.commit()
            member.declare_stop(self.job_id, action.round)
            self._phase = self._chain.steward.job(self.job_id).phase
        elif isinstance(action, Flag):
            self._flag(member, action)
        elif isinstance(action, RecordContribution) and self._contribution is not None:
            member.record_contribution(
                self.job_id,
                self._contribution,
                action.shares_e6,
                action.utility_full_e6,
                action.utility_empty_e6,
            )

    # -- the record ---------------------------------------------------------------------------------------------------

    def faults(self) -> list[Recorded]:
        """What the record has of the roster's parties since the job began, in order."""
        faults = self._chain.steward.faults
        found = []
        for number in range(self._first_fault + 1, faults.count() + 1):
            one = faults.fault(number)
            if one.party in self._names:
                found.append(Recorded(self._names[one.party], one.round, one.reason, one))
        return found

    def abandon(self, reason: str) -> None:
        """A party gives the job up: what can be proven is proven, and the job is aborted with its round uncommitted."""
        self._prove()
        if not self._chain.steward.job(self.job_id).phase.is_over:
            self._members[self._active].abort(self.job_id, reason[:200])

    def commit(self) -> None:
        """Have the uplinks of the round in force judged; a round in which a party is late is tried again.

        Raises:
            UplinkRejectedError: one is rejected; names the sender.
            DeadlineError: too late too often; names who was.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return
        try:
            self._try(pending)
        finally:
            self._prove()
        self._require_standing()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _require_standing(self) -> None:
        for name in self._adversaries:
            if self._chain.steward.participant(_address(self._members[name])).status is not Status.ACCREDITED:
                raise UplinkRejectedError(name, f"all after round {self._round}", Reason.SENDER_SUSPENDED.name)

    def _try(self, pending: list[tuple[PartyId, Envelope]]) -> None:
        late: tuple[str, ...] = ()
        for tried in range(MAX_ATTEMPTS):
            if tried:
                self.timing.retried += 1
                self._members[self._active].retry_round(self.job_id, self._round)
                self._attempt, self._begun = self._attempt + 1, self._chain.now()
            late = self._commit(pending)
            if not late:
                return
        raise DeadlineError(f"round {self._round} was too late {MAX_ATTEMPTS} times", who=late)

    def _commit(self, pending: list[tuple[PartyId, Envelope]]) -> tuple[str, ...]:
        """One attempt; returns who was late. Who has nothing to send attends when it would have."""
        senders = {sender for sender, _ in pending}
        seconds = {name: self._seconds(name) for name in self._members}
        for name in senders:
            self.timing.note(name, seconds[name], self._limit)
        for name in sorted(self._members, key=lambda one: seconds[one]):
            if seconds[name] > self._limit:
                self._wait_until(self._begun + self._limit + 1)
                self._members[self._active].close_round(self.job_id)
                return tuple(one for one in self._members if seconds[one] > self._limit)
            self._wait_until(self._begun + int(seconds[name]))
            if name in senders:
                own = [envelope for sender, envelope in pending if sender == name]
                self._send(name, [replace(envelope, attempt=self._attempt) for envelope in own])
            elif max(seconds.values()) > self._limit:
                self._members[name].attend(self.job_id)
        return ()

    def _seconds(self, name: PartyId) -> float:
        adversary, usual = self._adversaries.get(name), self._delays(name, self._round)
        other = None if adversary is None else adversary.takes_seconds(self._round, usual, self._limit)
        return usual if other is None else other

    def _send(self, name: PartyId, envelopes: list[Envelope], payload: bytes | None = None) -> None:
        """A party's uplinks of a round: in batches, but for those that no batch can hold; with a payload: one alone."""
        adversary = self._adversaries.get(name)
        told = [(one, one if adversary is None else adversary.declares(one)) for one in envelopes]
        sound = [one for one, declared in told if one == declared]
        if payload is not None:
            for one in sound:
                self._submit(name, one, payload)
        for start in range(0, len(sound) if payload is None else 0, MAX_LEAVES):
            chunk = sound[start : start + MAX_LEAVES]
            leaves = [BatchLeaf(one.step, one.kind, one.recipient, one.digest, one.size) for one in chunk]
            _, verdicts = self._members[name].submit_batch(self.job_id, self._round, self._attempt, leaves)
            self._judged(name, verdicts)
        for one, declared in told:
            if one != declared:
                self._judged(name, [self._members[name].submit(declared, b"")[1]])
        again = getattr(adversary, "again", None)
        if again is not None:
            other = b"" if payload is None else payload + b"\0"  # a strict job's uplink comes with its payload
            if other:
                again = replace(again, digest=payload_digest(other), size=len(other))
            self._judged(name, [self._members[name].submit(again, other)[1]])
        if adversary is not None:
            for one in sound:
                second = adversary.shows(one)
                if second is not None:
                    self._prove_equivocation(name, one, second)

    def _submit(self, name: PartyId, envelope: Envelope, payload: bytes) -> None:
        _, verdict = self._members[name].submit(envelope, payload if len(payload) <= INLINE_LIMIT else b"")
        self._judged(name, [verdict])
        if envelope.kind is Kind.CONTRIBUTION and verdict is not None:
            self._contribution = verdict.uplink_id

    def _judged(self, name: PartyId, verdicts: list[UplinkJudged] | list[UplinkJudged | None]) -> None:
        rejected = []
        for verdict in verdicts:
            if verdict is None:
                continue
            if verdict.reason != Reason.ACCEPTED:
                rejected.append(verdict)
            elif not self._pipelined:
                self._replays.seen(_address(self._members[name]), verdict.envelope)
        for verdict in rejected:
            what = f"kind {int(verdict.envelope.kind)}, round {verdict.envelope.round}, step {verdict.envelope.step}"
            raise UplinkRejectedError(name, what, Reason(verdict.reason).name)

    def _prove_replay(self, sender: str, first: Envelope, second: Envelope) -> None:
        prover = self._other_than(sender)
        signatures = [
            b"" if prover.verdict(sender, one).known else self._signed(sender, one) for one in (first, second)
        ]
        self._proofs.append(lambda: prover.faults.prove_replay(sender, first, signatures[0], second, signatures[1]))

    def _prove_equivocation(self, name: PartyId, first: Envelope, second: Envelope) -> None:
        address = _address(self._members[name])
        signature, prover = self._signed(address, second), self._other_than(address)
        self._proofs.append(lambda: prover.faults.prove_equivocation(address, first, b"", second, signature))

    def _signed(self, sender: str, envelope: Envelope) -> bytes:
        """The signature that came with a message in a pipelined job."""
        member = self._members[self._names[sender]]
        return member.sign_uplink(member.uplink_id(sender, envelope))

    def _prove(self) -> None:
        proofs, self._proofs = self._proofs, []
        for prove in proofs:
            with contextlib.suppress(TransactionError):  # proven before: several uplinks of a round come again together
                prove()

    def _flag(self, member: Consortium, flag: Flag) -> None:
        party = _address(self._members[flag.party])
        slot = Envelope(
            job_id=bytes.fromhex(self.job_id.removeprefix("0x")),
            round=self._round,
            attempt=self._attempt,
            step=flag.step,
            kind=Kind.HISTOGRAM,
            recipient=self._bytes_of(self._active),
            digest=bytes(32),
            size=0,
        )
        evidence = member.slot(party, slot)
        with contextlib.suppress(TransactionError):  # flagged in this round before
            member.faults.flag(party, self.job_id, self._round, evidence, flag.statistic_e6, flag.score_e6)

    def _other_than(self, address: str) -> Consortium:
        return next(one for one in self._members.values() if _address(one) != address)

    def _wait_until(self, second: int) -> None:
        ahead = second - self._chain.now()
        if ahead > 0:
            self._chain.advance(ahead)

    def _bytes_of(self, party: PartyId) -> bytes:
        return bytes.fromhex(_address(self._members[party])[2:])


def _address(member: Consortium) -> str:
    assert member.sender is not None
    return member.sender.address
