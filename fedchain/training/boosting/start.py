"""Where training starts that continues a finished model: so many rounds are behind it, and rows have margins.

Rounds on the wire count from 1 in every job. Plans, draws and orders go by the number of the tree in the whole model,
so that a model trained in parts is the model trained in one go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchain.protocol import Party


@dataclass(frozen=True)
class ActiveStart:
    """At the active party.

    Attributes:
        rounds: of the model that is continued.
        base_margins: of that model, one per output.
        margins: margins of all aligned rows under it, shape (aligned rows, outputs); run once, in the first round.
    """

    rounds: int
    base_margins: tuple[float, ...]
    margins: Callable[[], Party[NDArray[np.float64]]]


@dataclass(frozen=True)
class PassiveStart:
    """At a passive party.

    Attributes:
        rounds: of the model that is continued.
        answer: this party's side of `ActiveStart.margins`.
    """

    rounds: int
    answer: Callable[[], Party[None]]
