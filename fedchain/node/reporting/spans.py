"""A job's stages and how long each took, from its events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fedchain.chain import JobProposed, PhaseChanged, RoundBegan
from fedchain.node.audit.story import Story
from fedchain.node.audit.telling import rounds_of
from fedchain.node.reporting.facts import Span, SpanKind
from fedchain.types import Phase

_STAGES: dict[Phase, SpanKind] = {
    Phase.ALIGNING: "alignment",
    Phase.TRAINING: "preparation",
    Phase.EVALUATING: "evaluation",
}
_TURNS = (JobProposed, PhaseChanged, RoundBegan)
_NO_UPLINKS = ("acceptance", "preparation")


def blocks_of_spans(story: Story) -> set[int]:
    """Blocks whose times `spans_of` asks for."""
    return {event.block_number for event in story.events if isinstance(event, _TURNS)}


def spans_of(story: Story, time_of: Callable[[int], int]) -> tuple[Span, ...]:
    """The stages in their order; at most the last one still lasts.

    Args:
        story: of the job.
        time_of: a block's time, seconds since 1970.
    """
    judged = {(one.round, one.attempt): one for one in rounds_of(story)}
    spans: list[Span] = []
    last_round = 0

    def begin(what: SpanKind, round: int, attempt: int, at: int) -> None:
        of = None if what in _NO_UPLINKS else judged.get((round, attempt))
        counts = (0, 0, 0) if of is None else (of.accepted, of.rejected, of.bytes)
        number = round if what == "round" else 0
        spans.append(Span(what, number, attempt, at, None, *counts))

    def end(at: int) -> None:
        if spans and spans[-1].end is None:
            spans[-1] = replace(spans[-1], end=at)

    for event in story.events:
        if isinstance(event, JobProposed):
            begin("acceptance", 0, 0, time_of(event.block_number))
        elif isinstance(event, RoundBegan):
            end(time_of(event.block_number))
            last_round = max(last_round, event.round)
            begin("round", event.round, event.attempt, time_of(event.block_number))
        elif isinstance(event, PhaseChanged) and event.phase > Phase.PROPOSED:
            at = time_of(event.block_number)
            end(at)
            if event.phase in _STAGES:
                begin(_STAGES[event.phase], last_round + 1 if event.phase is Phase.EVALUATING else 0, 0, at)
    return tuple(spans)
