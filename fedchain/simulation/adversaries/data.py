"""Free riders: parties whose data say nothing about the labels, and that do all else as the protocol asks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedchain.data.table import Column, Table
from fedchain.federation.spec import JobSpec
from fedchain.simulation.adversaries.party import Adversary, Random

NOISES = ("normal", "t3", "lognormal", "levels")


class NoiseFeatures(Adversary):
    """All columns are noise, of a kind that is drawn; there are as many as it had, up to five times as many.

    Many columns are how a party with nothing gets a share of the split gain.
    """

    def __init__(self, random: Random, spec: JobSpec) -> None:
        super().__init__(random, spec)
        self.noise = str(random.choice(NOISES))
        self.times = int(random.integers(1, 6))
        self.begins = 1
        self.amplitude = {"noise": self.noise, "columns_times": self.times}

    def table(self, table: Table) -> Table:
        """Noise in place of each column."""
        self.acted = True
        count = len(table.columns) * self.times
        columns = tuple(Column(f"x{number}", "numeric", self._noise(len(table.ids))) for number in range(count))
        return replace(table, columns=columns)

    def _noise(self, rows: int) -> NDArray[np.float64]:
        if self.noise == "normal":
            return self.random.standard_normal(rows)
        if self.noise == "t3":
            return self.random.standard_t(3, rows)
        if self.noise == "lognormal":
            return self.random.lognormal(0, 1.5, rows)
        return self.random.integers(0, 12, rows).astype(np.float64)


class ShuffledRows(Adversary):
    """Its rows belong to other ids than it says: all of them."""

    share = (1.0, 1.0)

    def __init__(self, random: Random, spec: JobSpec) -> None:
        super().__init__(random, spec)
        self.shuffled = float(random.uniform(*self.share))
        self.begins = 1
        self.amplitude = {"share": self.shuffled}

    def table(self, table: Table) -> Table:
        """The same ids, with the rows of some of them permuted."""
        self.acted = True
        rows = np.arange(len(table.ids))
        moved = self.random.permutation(rows)[: max(2, round(self.shuffled * len(rows)))]
        rows[np.sort(moved)] = moved
        columns = tuple(column.take(rows) for column in table.columns)
        return replace(table, columns=columns)


class PartlyShuffledRows(ShuffledRows):
    """The same with 10 to 90 % of its rows: it does contribute, the less the more it shuffles."""

    share = (0.1, 0.9)
