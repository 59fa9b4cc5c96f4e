"""What a round of asking gives, and what it sends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchain.messages.online import Ask, Receipt
from fedchain.types import PartyId


@dataclass(frozen=True)
class RowScores:
    """Scores of some rows.

    Attributes:
        first_serial: serial of the first row; the others follow.
        scores: (rows,), or (rows, classes) with several classes; not-a-number where there is none.
        flags: (rows,) uint8 of `Flag`.
        base: (outputs,) the margin with nobody's decisions; None where nothing was to be explained.
        contributions: (rows, parties, outputs), roster order: what each adds to the margin; None as above.
        receipts: of the parties that were asked for bits; none at a passive requester.
    """

    first_serial: int
    scores: NDArray[np.float64]
    flags: NDArray[np.uint8]
    base: NDArray[np.float64] | None = None
    contributions: NDArray[np.float64] | None = None
    receipts: tuple[Receipt, ...] = ()

    def part(self, first: int, last: int) -> RowScores:
        """Those of the rows from `first` below `last`."""
        few = slice(first, last)
        contributions = None if self.contributions is None else self.contributions[few]
        return RowScores(
            self.first_serial + first, self.scores[few], self.flags[few], self.base, contributions, self.receipts
        )


@dataclass(frozen=True)
class Asked:
    """An ask that was sent; `wait` gives the answer as it came."""

    party: PartyId
    ask: Ask
    digest: bytes
    wait: Callable[[], bytes]
