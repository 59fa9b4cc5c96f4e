"""What one part of the report found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Part:
    """The result of one part.

    Attributes:
        figures: named figures, in the order in which they are printed.
        table: lines with details, for people.
        details: the same for machines.
        notes: what a reader of the figures must know.
        faults: what is wrong, not only less than aimed at.
    """

    figures: dict[str, float] = field(default_factory=dict)
    table: tuple[str, ...] = ()
    details: Any = None
    notes: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
