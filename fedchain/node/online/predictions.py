"""What a request by id gives to whoever made it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from fedchain.node.modelstate import ModelUse
from fedchain.types import JobId


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

    def flag_names(self, place: int) -> list[str]:
        """What is to be said of one score."""
        return [name for name, bit in FLAG_NAMES if self.flags[place] & bit]


FLAG_NAMES: tuple[tuple[str, int], ...] = (
    ("missing_party", Note.MISSING_PARTY),
    ("silent_party", Note.SILENT_PARTY),
    ("unknown_id", Note.UNKNOWN_ID),
)
