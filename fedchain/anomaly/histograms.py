"""What the active party looks at in passive parties' histograms beside their totals, which it knows exactly."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedchain.anomaly.freshness import CAPACITY, Freshness
from fedchain.anomaly.remembered import Windows, pack, unpack
from fedchain.anomaly.robust import WINDOW, is_outlier, score_e6
from fedchain.protocol import Flag
from fedchain.types import PartyId

E6 = 1_000_000
MIN_OFFERED = 3
"""Root histograms before, from which on one without a cut is flagged."""

UNITS = 2048
"""Of the norm: a gradient of 1 counts so much, so that the logarithm stays well above 0 while a model still learns."""


class HistogramWatch:
    """One job's watch at the active party; not thread-safe.

    1. Every ciphertext must be fresh (`Freshness`).
    2. The log-norm of the gradient sums of each decrypted root histogram is compared with the last 32 of the same party
       and output. Hessian sums, which follow the number of rows per bin, are left out: they would drown the rest. An
       outlier is flagged: a sign that the party's columns say other things than before, nobody's fault as yet.
    3. A root histogram that offers no cut is flagged where those before it offered some (`no_cut_score_e6`): a sign
       that the party spares itself the sums.

    What it remembers after a round goes into the checkpoint of training, of ciphertexts up to 2^15: within that a
    restart, or a round that is tried again, forgets the round in force alone.

    Args:
        capacity: see `Freshness`.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._freshness = Freshness(capacity)
        self._windows: Windows = {}
        self._cuts: Windows = {}

    @property
    def _kinds(self) -> dict[str, Windows]:
        return {"norm": self._windows, "cuts": self._cuts}

    def state(self) -> bytes:
        """What is remembered once the round in force is over; at most about 0.3 MB."""
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

    def root(self, sender: PartyId, step: int, output: int, gradients: NDArray[np.float64], cuts: int) -> Flag | None:
        """Look at a decrypted root histogram.

        Args:
            sender: of the histogram.
            step: in which it came.
            output: which of the round's trees it is for.
            gradients: shape (groups,): sums of gradients, in their own unit.
            cuts: how many it offers: groups less one of each feature.

        Returns:
            What is to be flagged, None if nothing is; of both kinds, that of the norm.
        """
        key = sender, output
        statistic, cuts_e6 = log_norm_e6(gradients), E6 * cuts
        window = self._windows.setdefault(key, deque(maxlen=WINDOW))
        offered = self._cuts.setdefault(key, deque(maxlen=WINDOW))
        score, no_cut_score = score_e6(window, statistic), no_cut_score_e6(offered, cuts_e6)
        window.append(statistic)
        offered.append(cuts_e6)
        if is_outlier(score):
            return Flag(sender, step, statistic, score)
        return Flag(sender, step, 0, no_cut_score) if is_outlier(no_cut_score) else None


def no_cut_score_e6(offered: Sequence[int], cuts_e6: int) -> int:
    """The score of a root histogram that offers no cut; 0 where it offers one, or one of those before offered none.

    With three histograms before it there is a score already, for it is not a matter of degree. It is above the
    threshold where the number of cuts before varied little (MAD below 0.13 of the median): a party that column sampling
    leaves now and then with columns of one value is left alone.

    Args:
        offered: numbers of cuts of the histograms before, scale 1e6, at most `WINDOW`.
        cuts_e6: of the histogram, scale 1e6.
    """
    return 0 if cuts_e6 or 0 in offered else score_e6(offered, 0, least=MIN_OFFERED)


def log_norm_e6(gradients: NDArray[np.float64]) -> int:
    """ln(1 + 2048·‖gradients‖₂), scale 1e6, rounded down."""
    return int(1e6 * math.log1p(UNITS * float(np.linalg.norm(gradients))))
