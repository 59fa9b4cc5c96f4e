"""Columns to small integers: what trees split on, and what a model shard needs to bin new rows the same way.

Numeric columns become one feature of up to `max_bins` value bins (`fedchain.data.cuts`). A categorical column becomes
one two-bin feature per category, 1 = the row has it; two categories need one feature only. Beyond 64 categories
the 63 most frequent (ties: first by name) keep theirs and the rest share an ``other`` feature.

Missing: a row without a value has bin ``n_bins``, in all features of its column, with or without ``has_missing`` (that
says whether the fitted table has missing cells in the column, so whether histograms have the bin). The model's missing
direction decides where the row goes.
Unseen categories: ``other`` where the column has it, else 0 in every feature of the column (so, of two categories,
like the one without a feature).
Features in which all fitted rows fall into one bin cannot split and would cost ciphertexts: they are dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchain.data.cuts import apply_cuts, quantile_cuts
from fedchain.data.feature import (
    MAX_BINS,
    MAX_CATEGORIES,
    MIN_BINS,
    BinnedFeature,
    feature_to_json,
    parse_features,
)
from fedchain.data.table import Column, Table
from fedchain.errors import ConfigError, DataError


def _fit_numeric(column: Column, rows: NDArray[np.int64], max_bins: int) -> list[BinnedFeature]:
    values = column.values[rows]
    present = values[~np.isnan(values)]
    cuts = quantile_cuts(present, max_bins) if len(present) else ()
    if not cuts and len(present) in (0, len(values)):
        return []
    return [BinnedFeature(column.name, "numeric", bool(column.missing.any()), cuts)]


def _fit_categorical(column: Column, rows: NDArray[np.int64]) -> list[BinnedFeature]:
    counts: Counter[str] = Counter(value for value in column.values[rows] if value is not None)
    has_missing = bool(column.missing.any())
    if len(counts) == 0 or (len(counts) == 1 and counts.total() == len(rows)):
        return []
    frequent = sorted(counts, key=lambda value: (-counts[value], value))
    kept = sorted(frequent if len(frequent) <= MAX_CATEGORIES else frequent[: MAX_CATEGORIES - 1])
    own = kept[1:] if len(counts) == 2 else kept
    features = [BinnedFeature(column.name, "category", has_missing, category=value) for value in own]
    if len(kept) < len(frequent):
        features.append(BinnedFeature(column.name, "other", has_missing))
    return features


def _bin_categorical(values: NDArray[Any], features: Sequence[BinnedFeature]) -> NDArray[np.uint8]:
    """(rows, features of one column) uint8."""
    place_of = {feature.category: place for place, feature in enumerate(features) if feature.kind == "category"}
    other = next((place for place, feature in enumerate(features) if feature.kind == "other"), -1)
    places = np.fromiter((place_of.get(value, other) for value in values), dtype=np.int64, count=len(values))
    missing = np.fromiter((value is None for value in values), dtype=np.bool_, count=len(values))
    bins: NDArray[np.uint8] = (places[:, None] == np.arange(len(features))[None, :]).astype(np.uint8)
    bins[missing] = 2
    return bins


@dataclass(frozen=True)
class BinMapper:
    """How one party's columns become bins: fitted once, kept in its model shard, applied to any later rows.

    It holds cuts and category names, which are derived from the party's own rows: it stays at that party.
    """

    features: tuple[BinnedFeature, ...]

    @classmethod
    def from_table(cls, table: Table, rows: NDArray[np.int64], max_bins: int) -> BinMapper:
        """Fit cuts and categories.

        Args:
            table: the party's own table.
            rows: (n,) int64 row numbers to fit on (the training rows), at least one. Their order does not matter.
            max_bins: value bins per numeric feature, 2..127.

        Returns:
            The mapper; features in the order of the table's columns, categories sorted. There may be none.

        Raises:
            ConfigError: `max_bins` out of range.
            DataError: no rows.
        """
        if not MIN_BINS <= max_bins <= MAX_BINS:
            raise ConfigError(f"max_bins is {max_bins}, expected {MIN_BINS} to {MAX_BINS}")
        if len(rows) == 0:
            raise DataError(f"{table.source}: no rows to fit bins on")
        features: list[BinnedFeature] = []
        for column in table.columns:
            if column.kind == "numeric":
                features += _fit_numeric(column, rows, max_bins)
            else:
                features += _fit_categorical(column, rows)
        return cls(tuple(features))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that the features come from, each once."""
        return tuple(dict.fromkeys(feature.column for feature in self.features))

    @property
    def categorical_columns(self) -> tuple[str, ...]:
        """Names of the categorical ones: what `read_table(categorical=…)` needs for a later file."""
        return tuple(dict.fromkeys(feature.column for feature in self.features if feature.kind != "numeric"))

    def transform(self, table: Table, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Bin rows of a table, the fitted one or a later one.

        Args:
            table: has all of `columns`, in any order, of the same kinds; a column without any value fits both kinds.
            rows: (n,) int64 row numbers.

        Returns:
            (n, features) uint8, Fortran order: 0..n_bins-1, or n_bins where the value is missing.

        Raises:
            DataError: a column is absent, or of the other kind.
        """
        bins = np.empty((len(rows), len(self.features)), dtype=np.uint8, order="F")
        for name in self.columns:
            places = [place for place, feature in enumerate(self.features) if feature.column == name]
            features = [self.features[place] for place in places]
            column = table.column(name)
            kind = "numeric" if features[0].kind == "numeric" else "categorical"
            if column.kind != kind:
                if column.missing.all():
                    bins[:, places] = np.array([feature.n_bins for feature in features], dtype=np.uint8)
                    continue
                remedy = "name it in 'categorical'" if kind == "categorical" else "mend the cells that are no numbers"
                raise DataError(
                    f"{table.source}: column '{name}' is {column.kind} but was {kind} when the model was trained; "
                    f"{remedy}"
                )
            if kind == "numeric":
                bins[:, places[0]] = apply_cuts(column.values[rows], features[0].cuts)
            else:
                bins[:, places] = _bin_categorical(column.values[rows], features)
        return bins

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, floats and strings; `json` keeps them exactly (floats by their shortest repr)."""
        return {"features": [feature_to_json(feature) for feature in self.features]}

    @classmethod
    def from_json(cls, document: Any) -> BinMapper:
        """The mapper that `to_json` wrote.

        Raises:
            ModelFormatError: not what `to_json` writes.
        """
        return cls(parse_features(document))


@dataclass(frozen=True, eq=False)
class BinnedTable:
    """Binned rows.

    Attributes:
        bins: (rows, features) uint8, Fortran order, as `BinMapper.transform` gives them.
        features: what the columns of `bins` are.
    """

    bins: NDArray[np.uint8]
    features: tuple[BinnedFeature, ...]


def bin_table(table: Table, rows: NDArray[np.int64], max_bins: int) -> BinnedTable:
    """Fit bins on rows and bin those rows; where other rows follow, use `BinMapper`.

    Raises:
        ConfigError, DataError: as `BinMapper.from_table`.
    """
    mapper = BinMapper.from_table(table, rows, max_bins)
    return BinnedTable(mapper.transform(table, rows), mapper.features)
