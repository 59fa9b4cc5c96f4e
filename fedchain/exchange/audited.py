"""How far an audit of contributions has come, by the chain's events: so that a wait ends, and can name the others."""

from __future__ import annotations

from collections.abc import Sequence

from fedchain.chain.audit_events import (
    AuditConcluded,
    AuditVoted,
    LabelsCommitted,
    LossesPosted,
    OutputsFrozen,
    SeedRevealed,
)
from fedchain.chain.events import ChainEvent
from fedchain.protocol.actions import AuditStage

_STEPS: dict[type[ChainEvent], AuditStage] = {
    LabelsCommitted: "labels",
    OutputsFrozen: "frozen",
    LossesPosted: "posted",
    SeedRevealed: "seeded",
    AuditVoted: "voted",
}
_OF_ALL: tuple[AuditStage, ...] = ("frozen", "seeded")


class Audited:
    """Addresses by what they have done in the audit. Not thread-safe: the inbox's lock is held.

    Attributes:
        is_concluded: whether the audit has ended.
    """

    def __init__(self) -> None:
        self._done: dict[AuditStage, set[str]] = {}
        self.is_concluded = False

    def take_note(self, event: ChainEvent) -> None:
        """Look at an event of the job."""
        stage = _STEPS.get(type(event))
        if stage is not None:
            self._done.setdefault(stage, set()).add(getattr(event, "party", ""))
        elif isinstance(event, AuditConcluded):
            self.is_concluded = True

    def missing(self, stage: AuditStage, roster: Sequence[str]) -> tuple[str, ...]:
        """Who has still to do what a stage needs; the active party is first on the roster."""
        done = self._done.get(stage, set())
        if stage in ("labels", "posted"):
            return () if done else tuple(roster[:1])
        return tuple(one for one in (roster if stage in _OF_ALL else roster[1:]) if one not in done)
