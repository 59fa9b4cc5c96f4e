"""Whoever looks at histograms beside the checks that training itself makes."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedchain.protocol import Flag
from fedchain.types import PartyId


class Watch(Protocol):
    """`fedchain.anomaly.histograms.HistogramWatch`, as training calls it."""

    def state(self) -> bytes:
        """What it remembers once the round in force is over, for the checkpoint."""

    def resume(self, state: bytes) -> None:
        """Go on after the round of which `state` is."""

    def begin_round(self) -> None:
        """A round begins."""

    def ciphertexts(self, sender: PartyId, words: NDArray[np.uint64]) -> None:
        """Before decryption: 64 bits of each ciphertext. Raises a `PeerError` that names the sender."""

    def root(self, sender: PartyId, step: int, output: int, gradients: NDArray[np.float64], cuts: int) -> Flag | None:
        """After decryption: gradient sums of a root histogram, and its number of cuts; what to flag, if anything."""
