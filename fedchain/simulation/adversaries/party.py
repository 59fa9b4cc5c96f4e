"""An adversary: a party that runs the real party's code, and changes what goes into it and what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from fedchain.crypto.ciphertexts import CipherRows, CipherSums
from fedchain.data.table import Table
from fedchain.federation.spec import JobSpec
from fedchain.messages import Envelope, Message
from fedchain.protocol import Action, BeginRound, Gather, Party, Receive, Send
from fedchain.simulation.channel import Slot
from fedchain.types import PartyId

T = TypeVar("T")

Ciphertexts = CipherRows | CipherSums

Random = np.random.Generator


class Adversary:
    """An honest party, as far as a subclass does not say otherwise.

    Attributes:
        random: its own, seeded by the run.
        rounds: of the job.
        begins: the first round in which it is at fault, drawn from all rounds.
        acted: whether it had an occasion to be at fault, and took it.
        evidence: the ciphertexts of which it took away, or multiplied, what they held; if all of them are of zero,
            nothing changed.
        amplitude: what was drawn, for reports.
    """

    def __init__(self, random: Random, spec: JobSpec) -> None:
        self.random = random
        self.rounds = spec.max_rounds
        self.round = 0
        self.begins = int(random.integers(1, spec.max_rounds + 1))
        self.acted = False
        self.evidence: list[Ciphertexts] = []
        self.amplitude: dict[str, float | str] = {"begins": self.begins}

    @property
    def is_due(self) -> bool:
        """Whether it is at fault in the round in force: training, from the first such round on."""
        return self.begins <= self.round <= self.rounds

    def place(self, passive: int) -> int:
        """Which of so many passive parties it is."""
        return int(self.random.integers(passive))

    def had_effect(self, is_zero: Callable[[Ciphertexts], bool]) -> bool:
        """Whether anything that it did changed what its messages say.

        Args:
            is_zero: whether all of some ciphertexts are encryptions of zero; it takes the active party's key.
        """
        return self.acted and not (self.evidence and all(is_zero(one) for one in self.evidence))

    # -- what it may do -----------------------------------------------------------------------------------------------

    def table(self, table: Table) -> Table:
        """The table that it brings in place of its own."""
        return table

    def sends(self, action: Send) -> Send:
        """What it sends instead."""
        return action

    def acts(self, action: Action) -> Action:
        """What it does instead of anything else than sending."""
        return action

    def takes(self, action: Receive | Gather, message: Message) -> Message:
        """What its own code is told that it received."""
        return message

    def sees(self, slot: Slot, payload: bytes) -> None:
        """A payload on the chain, of anybody."""

    def declares(self, envelope: Envelope) -> Envelope:
        """The envelope that it has judged."""
        return envelope

    def shows(self, envelope: Envelope) -> Envelope | None:
        """A second envelope that it signs and shows to another party beside the one that is judged."""
        return None

    def takes_seconds(self, round: int, usual: float, limit: int) -> float | None:
        """How long after the beginning of an attempt of a round its uplinks come; None: as an honest party's.

        Args:
            round: which.
            usual: what it would take.
            limit: seconds that the job gives a round.
        """
        return None

    # -- the wrapper --------------------------------------------------------------------------------------------------

    def playing(self, party: Party[T]) -> Party[T]:
        """The party with this adversary around it."""
        answer: Any = None
        while True:
            try:
                action = party.send(answer)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            if isinstance(action, BeginRound):
                self.round = action.round
            answer = yield self.sends(action) if isinstance(action, Send) else self.acts(action)
            if isinstance(action, Receive):
                answer = self.takes(action, answer)
            elif isinstance(action, Gather):
                answer = {sender: self.takes(action, message) for sender, message in answer.items()}

    # -- for subclasses -----------------------------------------------------------------------------------------------

    def log_uniform(self, low: float, high: float) -> float:
        """A number whose logarithm is uniform: small amplitudes are as likely as large ones."""
        return float(np.exp(self.random.uniform(np.log(low), np.log(high))))


def observed(party: Party[T], name: PartyId, listener: Callable[[PartyId, Action], None]) -> Party[T]:
    """The party, with each action told before it is carried out."""
    answer: Any = None
    while True:
        try:
            action = party.send(answer)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        listener(name, action)
        answer = yield action


def with_message(action: Send, message: Message) -> Send:
    """The same, of another message."""
    return replace(action, message=message)
