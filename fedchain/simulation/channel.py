"""An in-memory channel: drives all parties' generators in one process, without a chain.

Payloads are encoded and decoded as on the wire, slots hold one digest each, declarations are barriers, and audits of
contributions have their contract's rules, so the numerical core meets those of the chain. It is the honest no-chain
baseline.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fedchain.errors import (
    DeadlineError,
    JobAbortedError,
    MessageError,
    ProtocolViolationError,
    TrainingError,
    TransactionError,
    UplinkRejectedError,
)
from fedchain.messages import Message, decode, encode
from fedchain.protocol import (
    Action,
    AwaitAudit,
    BeginRound,
    Checkpoint,
    CommitLabels,
    DeclareAligned,
    DeclareStop,
    Flag,
    Gather,
    Party,
    ReadRecord,
    Recall,
    Receive,
    RecordContribution,
    Remember,
    Send,
    Stage,
)
from fedchain.simulation.audits import AUDIT_ACTIONS, AuditRecord
from fedchain.types import Kind, PartyId

T = TypeVar("T")


@dataclass(frozen=True)
class Slot:
    """Address of a message: holds one payload."""

    round: int
    step: int
    sender: PartyId
    recipient: PartyId | None
    kind: Kind


@dataclass
class Traffic:
    """What went through the channel."""

    uplinks: Counter[str] = field(default_factory=Counter)
    payload_bytes: Counter[str] = field(default_factory=Counter)


Tap = Callable[[Slot, bytes], "bytes | None"]
"""Sees every payload before it is accepted; returns what is accepted instead, or None to reject it.

The sender of a rejected payload goes on, unlike over a chain: so a test sees what the receivers do.
"""

StageListener = Callable[[PartyId, Stage], None]


@dataclass(frozen=True)
class Kills:
    """Parties that die and come back in the middle of a run: for tests and fault injection.

    Attributes:
        when: asked before each action of a party is carried out, with its number from 0: whether the party dies now.
        again: a new generator of the same party.
    """

    when: Callable[[PartyId, int, Action], bool]
    again: Callable[[PartyId], Party[Any]]


@dataclass
class _Running:
    name: PartyId
    generator: Generator[Action, Any, Any]
    waiting: Action | None = None
    round: int = 0
    done: bool = False
    result: Any = None
    actions: int = 0
    restarted: bool = False
    remembered: dict[str, bytes] = field(default_factory=dict)
    checkpoints: dict[str, bytes] = field(default_factory=dict)


class Channel:
    """Runs one generator per party until all have ended.

    Attributes:
        traffic: what went through.
        contribution: what was written to the contribution ledger, if anything.
        flags: statistics that the active party flagged, each with its round.
        remembered: by party, what it has to find again after a restart: its secrets, for whoever judges a run.

    Args of `run` are in roster order; the first party to be able to go on goes on, so a run is deterministic.
    """

    def __init__(
        self,
        *,
        on_stage: StageListener | None = None,
        tap: Tap | None = None,
        kills: Kills | None = None,
        audit: AuditRecord | None = None,
    ) -> None:
        """`tap` and `kills` are for tests and fault injection; `audit` is where audits are carried out if not here."""
        self.traffic = Traffic()
        self._on_stage, self._tap, self._kills = on_stage, tap, kills
        self._accepted: dict[Slot, bytes] = {}
        self._rejected: dict[Slot, str] = {}
        self._aligned: dict[PartyId, DeclareAligned] = {}
        self._stopped: dict[PartyId, DeclareStop] = {}
        self._opened = 0
        self.contribution: RecordContribution | None = None
        self.flags: list[tuple[int, Flag]] = []
        self.remembered: dict[PartyId, dict[str, bytes]] = {}
        self._audits_elsewhere = audit is not None
        self.audit = audit or AuditRecord(())

    def run(self, parties: Mapping[PartyId, Party[T]]) -> dict[PartyId, T]:
        """Drive all parties to their end; whatever ends the run, no party is left half-way (pools, threads).

        Raises:
            DeadlineError: nobody can go on; says who waits for what.
            JobAbortedError: parties declared different orders.
            FedchainError: whatever a party raised.
        """
        running = [_Running(name, generator) for name, generator in parties.items()]
        self._count, self._active = len(running), running[0].name
        self.remembered = {party.name: party.remembered for party in running}
        if not self._audits_elsewhere:
            self.audit = AuditRecord([party.name for party in running])
        try:
            self._drive(running)
        finally:
            for party in running:
                party.generator.close()
        return {party.name: party.result for party in running}

    def _drive(self, running: Sequence[_Running]) -> None:
        for party in running:
            self._advance(party, None)
        while not all(party.done for party in running):
            moved = False
            for party in running:
                while not party.done:
                    ready, answer = self._try(party)
                    if not ready:
                        break
                    self._advance(party, answer)
                    moved = True
            if not moved and not self._give_up_one(running) and not self.audit.let_time_pass():
                waits = "; ".join(f"'{p.name}' waits for {p.waiting}" for p in running if not p.done)
                raise DeadlineError(f"no party can go on: {waits}")

    def _give_up_one(self, running: Sequence[_Running]) -> bool:
        """A party that waits for what may fail to come goes on without; False where none does."""
        for party in running:
            if isinstance(party.waiting, Receive) and party.waiting.within_seconds is not None and not party.done:
                self._advance(party, None)
                return True
        return False

    def _advance(self, party: _Running, answer: Any) -> None:
        try:
            party.waiting = party.generator.send(answer)
        except StopIteration as stop:
            party.done, party.result = True, stop.value
            return
        if self._kills is not None and self._kills.when(party.name, party.actions, party.waiting):
            party.generator.close()
            party.generator, party.round, party.restarted = self._kills.again(party.name), 0, True
            party.actions += 1
            self._advance(party, None)
        party.actions += 1

    def _try(self, party: _Running) -> tuple[bool, Any]:
        """Carry out what the party waits for: (False, None) if it cannot be done yet."""
        action = party.waiting
        if isinstance(action, Stage):
            if self._on_stage is not None:
                self._on_stage(party.name, action)
        elif isinstance(action, BeginRound):
            if party.name == self._active:
                self._opened = max(self._opened, action.round)
            elif self._opened < action.round:
                return False, None
            party.round = action.round
        elif isinstance(action, Send):
            self._send(party, action)
        elif isinstance(action, Receive):
            slot = self._slot(party, action, action.sender)
            return (True, self._received(slot, action)) if self._settled(slot) else (False, None)
        elif isinstance(action, Gather):
            slots = {sender: self._slot(party, action, sender) for sender in action.senders}
            if not all(self._settled(slot) for slot in slots.values()):
                return False, None
            return True, {sender: self._open(slot, action.message_type) for sender, slot in slots.items()}
        elif isinstance(action, DeclareAligned):
            self._aligned[party.name] = action
            if len({(one.order_digest, one.rows) for one in self._aligned.values()}) > 1:
                raise JobAbortedError("alignment differs: the parties did not end with the same order")
            return len(self._aligned) == self._count, None
        elif isinstance(action, DeclareStop):
            self._stopped[party.name] = action
            if len(self._stopped) < self._count:
                return False, None
            party.round = action.round + 1
        elif isinstance(action, RecordContribution):
            self.contribution = action
        elif isinstance(action, ReadRecord):
            return True, self.contribution
        elif isinstance(action, Flag):
            if party.name != self._active:
                raise TrainingError(f"'{party.name}' flags a statistic: only the active party can")
            self.flags.append((party.round, action))
        elif isinstance(action, AUDIT_ACTIONS):
            if len(self._stopped) < self._count and not isinstance(action, (CommitLabels, AwaitAudit)):
                raise TransactionError("ContributionAudit", "WrongPhase")
            return self.audit.carry_out(party.name, action, has_begun=self._opened > 0, restarted=party.restarted)
        elif isinstance(action, Remember):
            if action.name not in party.remembered:
                party.remembered[action.name] = action.make()
            return True, party.remembered[action.name]
        elif isinstance(action, Checkpoint):
            party.checkpoints[action.name] = action.state
        elif isinstance(action, Recall):
            return True, party.checkpoints.get(action.name)
        return True, None

    def _send(self, party: _Running, action: Send) -> None:
        slot = Slot(party.round, action.step, party.name, action.recipient, action.message.kind)
        if party.restarted and self._settled(slot):
            return  # what it sent before it died stands
        payload: bytes | None = encode(action.message)
        assert payload is not None
        self.traffic.uplinks[slot.kind.name.lower()] += 1
        self.traffic.payload_bytes[slot.kind.name.lower()] += len(payload)
        if slot in self._accepted:
            raise UplinkRejectedError(party.name, _named(slot), "SLOT_TAKEN")
        if self._tap is not None:
            payload = self._tap(slot, payload)
        if payload is None:
            self._rejected[slot] = "rejected by the channel's tap"
        else:
            self._accepted[slot] = payload

    @staticmethod
    def _slot(party: _Running, action: Receive | Gather, sender: PartyId) -> Slot:
        return Slot(party.round, action.step, sender, party.name if action.to_me else None, action.message_type.kind)

    def _settled(self, slot: Slot) -> bool:
        return slot in self._accepted or slot in self._rejected

    def _received(self, slot: Slot, action: Receive) -> Message | None:
        try:
            return self._open(slot, action.message_type)
        except (UplinkRejectedError, ProtocolViolationError):
            if action.within_seconds is None:
                raise
            return None

    def _open(self, slot: Slot, message_type: type[Message]) -> Message:
        if slot in self._rejected:
            raise UplinkRejectedError(slot.sender, _named(slot), self._rejected[slot])
        try:
            return decode(self._accepted[slot], message_type)
        except MessageError as error:
            raise ProtocolViolationError(slot.sender, str(error)) from error


def _named(slot: Slot) -> str:
    return f"{slot.kind.name.lower()}, round {slot.round}, step {slot.step}"
