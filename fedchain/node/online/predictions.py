"""What a request by id gives to whoever made it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchain.node.control_wire import PredictIdsReply
from fedchain.node.modelstate import ModelUse
from fedchain.types import JobId

Id = str | Sequence[str]
"""An id as its holder writes it: one text, or its parts in the order of the job's rules."""


class Note(IntFlag):
    """As `fedchain.inference.asking.Flag`, whose numbers these are; here for commands, which load no model."""

    MISSING_PARTY = 1
    SILENT_PARTY = 2
    UNKNOWN_ID = 4


@dataclass(frozen=True)
class Predictions:
    """Scores of ids, in the order asked for.

    Attributes:
        job_id: the job that was asked.
        model: as what it is registered, None if it is not.
        serials: (ids,) int64: each row's serial, -1 for an id that this party does not know: nobody was asked for it.
        scores: (ids,) float64, or (ids, classes) with several classes; not-a-number for unknown ids.
        flags: (ids,) uint8: what the score does not rest on.
        parties: names, roster order.
        base: (outputs,) the margin with nobody's decisions; None where nothing is explained.
        contributions: (ids, parties, outputs): what each party adds to the margin; None as above.
    """

    job_id: JobId
    model: ModelUse | None
    serials: NDArray[np.int64]
    scores: NDArray[np.float64]
    flags: NDArray[np.uint8]
    parties: tuple[str, ...]
    base: NDArray[np.float64] | None = None
    contributions: NDArray[np.float64] | None = None

    def columns(self) -> dict[str, Any]:
        """For JSON: a list per column, in the order asked for; null for what is not there."""
        several = self.scores.ndim > 1
        known = (self.flags & Note.UNKNOWN_ID) == 0
        contributions = None
        if self.contributions is not None:
            found = [
                {party: one[place].tolist() for place, party in enumerate(self.parties)} for one in self.contributions
            ]
            rows = found if several else [{name: one[0] for name, one in row.items()} for row in found]
            contributions = [row if there else None for row, there in zip(rows, known, strict=True)]
        base = None if self.base is None else self.base.tolist()
        return {
            "scores": [one.tolist() if there else None for one, there in zip(self.scores, known, strict=True)],
            "serials": [None if one < 0 else one for one in self.serials.tolist()],
            "flags": [self.flag_names(place) for place in range(len(self.flags))],
            "base": base if base is None or several else base[0],
            "contributions": contributions,
        }

    def flag_names(self, place: int) -> list[str]:
        """What is to be said of one score."""
        return [name for name, bit in FLAG_NAMES if self.flags[place] & bit]


def to_reply(found: Predictions) -> PredictIdsReply:
    """As it crosses the control socket."""
    use = found.model
    return PredictIdsReply(
        found.job_id,
        None if use is None else (use.name, use.version, use.in_use),
        found.parties,
        found.serials.astype("<i8").tobytes(),
        found.scores.astype("<f8").tobytes(),
        found.flags.tobytes(),
        b"" if found.base is None else found.base.astype("<f8").tobytes(),
        b"" if found.contributions is None else found.contributions.astype("<f8").tobytes(),
    )


def from_reply(reply: PredictIdsReply) -> Predictions:
    """As it came over the control socket."""
    flags = np.frombuffer(reply.flags, np.uint8)
    rows = len(flags)
    scores = np.frombuffer(reply.scores, "<f8").astype(np.float64)
    base = np.frombuffer(reply.base, "<f8").astype(np.float64)
    contributions = np.frombuffer(reply.contributions, "<f8").astype(np.float64)
    return Predictions(
        JobId(reply.job_id),
        None if reply.model is None else ModelUse(*reply.model),
        np.frombuffer(reply.serials, "<i8").astype(np.int64),
        scores if len(scores) == rows else scores.reshape(rows, -1),
        flags,
        reply.parties,
        base if len(base) else None,
        contributions.reshape(rows, len(reply.parties), -1) if len(base) else None,
    )


FLAG_NAMES: tuple[tuple[str, int], ...] = (
    ("missing_party", Note.MISSING_PARTY),
    ("silent_party", Note.SILENT_PARTY),
    ("unknown_id", Note.UNKNOWN_ID),
)
