"""What the active party looks at in passive parties' histograms beside their totals, which it knows exactly."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from fedchain.anomaly.freshness import CAPACITY, Freshness
from fedchain.anomaly.remembered import Windows, pack, unpack
from fedchain.anomaly.robust import WINDOW, is_outlier, score_e6
from fedchain.protocol import Flag
from fedchain.types import PartyId

UNITS = 2048
"""Of the norm: a gradient of 1 counts so much, so that the logarithm stays well above 0 while a model still learns."""


class HistogramWatch:
    """One job's watch at the active party; not thread-safe.

    1. Every ciphertext must be fresh (`Freshness`).
    2. The log-norm of the gradient sums of each decrypted root histogram is compared with the last 32 of the same party
       and output. Hessian sums, which follow the number of rows per bin, are left out: they would drown the rest. An
       outlier is flagged: a sign that the party's columns say other things than before, nobody's fault as yet.

    What it remembers after a round goes into the checkpoint of training: a restart, or a round that is tried again,
    forgets the round in force alone.

    Args:
        capacity: see `Freshness`.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._freshness = Freshness(capacity)
        self._windows: Windows = {}

    @property
    def _kinds(self) -> dict[str, Windows]:
        return {"norm": self._windows}

    def state(self) -> bytes:
        """What is remembered once the round in force is over; at most about 2.5 MB."""
        return pack(self._kinds, self._freshness)

    def resume(self, state: bytes) -> None:
        """Go on after the round of which `state` is.

        Raises:
            TrainingError: it cannot be read.
        """
        unpack(state, self._kinds, self._freshness)

    def begin_round(self) -> None:
        """A round begins."""
        self._freshness.begin_round()

    def ciphertexts(self, sender: PartyId, words: NDArray[np.uint64]) -> None:
        """Look at a message's ciphertexts before they are decrypted.

        Args:
            sender: of the message.
            words: shape (ciphertexts,): 64 bits of each one's first component.

        Raises:
            StaleCiphertextError: see `Freshness.require_fresh`.
        """
        self._freshness.require_fresh(sender, words.tolist())

    def root(self, sender: PartyId, step: int, output: int, gradients: NDArray[np.float64]) -> Flag | None:
        """Look at a decrypted root histogram.

        Args:
            sender: of the histogram.
            step: in which it came.
            output: which of the round's trees it is for.
            gradients: shape (groups,): sums of gradients, in their own unit.

        Returns:
            What is to be flagged, None if nothing is.
        """
        statistic = log_norm_e6(gradients)
        window = self._windows.setdefault((sender, output), deque(maxlen=WINDOW))
        score = score_e6(window, statistic)
        window.append(statistic)
        return Flag(sender, step, statistic, score) if is_outlier(score) else None


def log_norm_e6(gradients: NDArray[np.float64]) -> int:
    """ln(1 + 2048·‖gradients‖₂), scale 1e6, rounded down."""
    return int(1e6 * math.log1p(UNITS * float(np.linalg.norm(gradients))))
