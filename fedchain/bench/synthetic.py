"""Made-up tables: every party's columns say something about the label, and some only together with another's."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedchain.data.table import Column, Table
from fedchain.errors import ConfigError
from fedchain.federation.spec import JobSpec
from fedchain.types import PartyId

Floats = NDArray[np.float64]

SHARED = 0.4
"""Weight of the one factor that all columns share: so parties' columns correlate, as customers' do."""

SIGNAL = 2.5
"""Standard deviation of the score, in units of the logistic noise's scale."""

GAPS = 0.05
"""Share of missing cells in every fourth column."""


@dataclass(frozen=True)
class Synthetic:
    """Size of the tables; the same settings give the same tables, to the last bit.

    Attributes:
        rows: that all parties share.
        active_features: columns of the active party; may be 0.
        passive_features: columns of each passive party.
        seed: of the values.
        objective: what labels are for, as in a job file.
        classes: with ``multiclass``.
    """

    rows: int
    active_features: int
    passive_features: tuple[int, ...]
    seed: int = 42
    objective: str = "binary"
    classes: int = 3

    def __post_init__(self) -> None:
        """Check sizes.

        Raises:
            ConfigError: out of range.
        """
        if not 100 <= self.rows <= 10**8 or self.active_features < 0 or any(one < 1 for one in self.passive_features):
            raise ConfigError("made-up tables need 100 rows or more, and a column or more at each passive party")

    @property
    def passive_parties(self) -> int:
        """How many."""
        return len(self.passive_features)

    def with_seed(self, seed: int) -> Synthetic:
        """Other values of the same sizes."""
        return replace(self, seed=seed)

    def settings(self) -> dict[str, object]:
        """For the report."""
        return {
            "rows": self.rows,
            "active_features": self.active_features,
            "passive_features": list(self.passive_features),
            "data_seed": self.seed,
        }

    def tables(self, spec: JobSpec) -> dict[PartyId, Table]:
        """One table per party of the job, each in an order of its own."""
        random = np.random.Generator(np.random.PCG64(self.seed))
        widths = (self.active_features, *self.passive_features)
        shared = random.standard_normal(self.rows)
        columns = [
            [SHARED * shared + np.sqrt(1 - SHARED**2) * random.standard_normal(self.rows) for _ in range(width)]
            for width in widths
        ]
        label = self._labels([column for own in columns for column in own], random)
        tables = {}
        place = 0
        for name, own in zip(spec.names, columns, strict=True):
            order = random.permutation(self.rows)
            features = []
            for number, values in enumerate(own):
                if place % 4 == 3:  # after the label is drawn: what is missing says nothing
                    values = np.where(random.random(self.rows) < GAPS, np.nan, values)
                features.append(Column(f"x{number}", "numeric", values[order]))
                place += 1
            ids = tuple(map(str, (order + 1).tolist()))
            tables[name] = Table(ids, tuple(features), label[order] if name == spec.names[0] else None, source=name)
        return tables

    def _labels(self, columns: list[Floats], random: np.random.Generator) -> Floats:
        if self.objective == "multiclass":
            scores = np.stack([self._score(columns, random) for _ in range(self.classes)], axis=1)
            return np.asarray((scores + random.gumbel(size=scores.shape)).argmax(axis=1), dtype=np.float64)
        score = self._score(columns, random)
        if self.objective == "binary":
            return (score + random.logistic(size=self.rows) > 0.5 * SIGNAL).astype(np.float64)
        if self.objective == "squared_error":
            return score + random.standard_normal(self.rows)
        mean = np.exp(0.3 * score)
        if self.objective == "poisson":
            return random.poisson(mean).astype(np.float64)
        return random.poisson(mean) * random.gamma(2.0, 0.5, self.rows)  # a compound sum: zeros and a long tail

    def _score(self, columns: list[Floats], random: np.random.Generator) -> Floats:
        """Standardised and scaled: steps, bends and straight lines of single columns, and products of two."""
        shapes = (np.copy, np.tanh, np.abs, np.sign)
        score = np.zeros(self.rows)
        for number, column in enumerate(columns):
            score += random.uniform(0.5, 1.0) * random.choice((-1, 1)) * shapes[number % len(shapes)](column)
        for one, other in zip(columns, columns[::-1], strict=True):  # first with last: mostly two parties
            score += 0.3 * random.choice((-1, 1)) * one * other
        spread = float(score.std())
        return np.asarray(SIGNAL * (score - score.mean()) / (spread if spread > 0 else 1.0), dtype=np.float64)
