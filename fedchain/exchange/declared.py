"""Which parties have done their part for a job to enter its next phase: so that a wait can name the others."""

from __future__ import annotations

from collections.abc import Sequence

from fedchain.chain.events import (
    AlignmentDeclared,
    ChainEvent,
    JobAccepted,
    RoundBegan,
    ShardRecorded,
    StopDeclared,
)
from fedchain.types import Phase

_ENTERED_BY: dict[type[ChainEvent], Phase] = {
    JobAccepted: Phase.ALIGNING,
    AlignmentDeclared: Phase.TRAINING,
    StopDeclared: Phase.EVALUATING,
    ShardRecorded: Phase.COMPLETED,
}


class Declared:
    """Addresses by the phase that their declaration leads to. Not thread-safe: the inbox's lock is held."""

    def __init__(self) -> None:
        self._by_phase: dict[Phase, set[str]] = {}

    def take_note(self, event: ChainEvent) -> None:
        """Look at an event of the job."""
        phase = _ENTERED_BY.get(type(event))
        if phase is not None:
            self._by_phase.setdefault(phase, set()).add(getattr(event, "party"))  # noqa: B009 - each of the four has it
        elif isinstance(event, RoundBegan):
            self._by_phase.pop(Phase.EVALUATING, None)  # the contract forgets stops of an earlier round

    def missing(self, phase: Phase, roster: Sequence[str]) -> tuple[str, ...]:
        """Who has not declared yet what leads to a phase; the whole roster where that cannot be told."""
        done = self._by_phase.get(phase, set())
        return tuple(address for address in roster if address not in done) or tuple(roster)
