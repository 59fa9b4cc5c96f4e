"""Columns to small integers: what trees split on, and what a model shard needs to bin new rows the same way.

Numeric columns become one feature of up to `max_bins` value bins (`fedchain.data.cuts`), of about equal weight where
rows have weights.
A categorical column of up to 16 categories becomes one two-bin feature per category, 1 = the row has it; two categories
need one feature only.
A column of more categories becomes one *grouped* feature of up to `max_bins` bins, so that it costs no more than a
number: categories by descending frequency (ties: first by name), cut into bins like a number of that rank. Frequent
categories so have bins of their own, and rare ones share theirs with those about as frequent. A split then parts
frequent from rare categories. No label is looked at: a passive party has none. Of more than 4096 categories the rarer
ones all lie in the last bin.

Missing: a row without a value has bin ``n_bins``, in all features of its column, with or without ``has_missing`` (that
says whether the fitted table has missing cells in the column, so whether histograms have the bin). The model's missing
direction decides where the row goes.
Unseen categories: 0 in every feature of the column (so, of two categories, like the one without a feature); the last
bin of a grouped feature, with the rarest.
Rows of weight 0 do not count when bins are fitted.
Features in which all fitted rows fall into one bin cannot split and would cost ciphertexts: they are dropped.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchain.data.cuts import apply_cuts, quantile_cuts
from fedchain.data.feature import (
    MAX_BINS,
    MAX_GROUPED,
    MAX_ONE_HOT,
    MIN_BINS,
    BinnedFeature,
    feature_to_json,
    parse_features,
)
from fedchain.data.label import MAX_WEIGHT
from fedchain.data.table import Column, Table
from fedchain.errors import ConfigError, DataError

Weights = NDArray[np.float64]


def _fit_numeric(
    column: Column, rows: NDArray[np.int64], max_bins: int, weights: Weights | None
) -> list[BinnedFeature]:
    values = column.values[rows]
    there = ~np.isnan(values)
    present = values[there]
    cuts = quantile_cuts(present, max_bins, None if weights is None else weights[there]) if len(present) else ()
    if not cuts and len(present) in (0, len(values)):
        return []
    return [BinnedFeature(column.name, "numeric", bool(column.missing.any()), cuts)]


def _fit_categorical(
    column: Column, rows: NDArray[np.int64], max_bins: int, weights: Weights | None
) -> list[BinnedFeature]:
    values = column.values[rows]
    counts: Counter[str] = Counter(value for value in values if value is not None)
    has_missing = bool(column.missing.any())
    if len(counts) == 0 or (len(counts) == 1 and counts.total() == len(rows)):
        return []
    if len(counts) > MAX_ONE_HOT:
        groups = _group(dict(counts) if weights is None else _weigh(values, weights), max_bins)
        return [BinnedFeature(column.name, "grouped", has_missing, groups=groups)]
    kept = sorted(counts)
    own = kept[1:] if len(counts) == 2 else kept
    return [BinnedFeature(column.name, "category", has_missing, category=value) for value in own]


def _weigh(values: NDArray[Any], weights: Weights) -> dict[str, float]:
    """Weight of each category; the same in any order of rows."""
    parts: dict[str, list[float]] = {}
    for value, weight in zip(values, weights, strict=True):
        if value is not None:
            parts.setdefault(value, []).append(float(weight))
    return {value: math.fsum(each) for value, each in parts.items()}


def _group(frequency: Mapping[str, float], max_bins: int) -> tuple[tuple[str, ...], ...]:
    """Categories of each bin but the last, most frequent first."""
    ranked = sorted(frequency, key=lambda value: (-frequency[value], value))
    mass = [frequency[value] for value in ranked[:MAX_GROUPED]]
    if len(ranked) > MAX_GROUPED:  # the rest counts as one category
        mass.append(math.fsum(frequency[value] for value in ranked[MAX_GROUPED:]))
    ranks = np.arange(len(mass), dtype=np.float64)
    bins = apply_cuts(ranks, quantile_cuts(ranks, max_bins, np.asarray(mass, dtype=np.float64)))
    groups: list[list[str]] = [[] for _ in range(int(bins[-1]))]
    for value, place in zip(ranked, bins, strict=False):
        if place < len(groups):
            groups[place].append(value)
    return tuple(tuple(group) for group in groups)


def _bin_categorical(values: NDArray[Any], features: Sequence[BinnedFeature]) -> NDArray[np.uint8]:
    """(rows, features of one column) uint8."""
    if features[0].kind == "grouped":
        bin_of: dict[str | None, int] = {
            category: place for place, group in enumerate(features[0].groups) for category in group
        }
        bin_of[None] = features[0].n_bins
        last = features[0].n_bins - 1
        found = np.fromiter((bin_of.get(value, last) for value in values), dtype=np.uint8, count=len(values))
        return found[:, None]
    place_of = {feature.category: place for place, feature in enumerate(features) if feature.kind == "category"}
    other = next((place for place, feature in enumerate(features) if feature.kind == "other"), -1)
    places = np.fromiter((place_of.get(value, other) for value in values), dtype=np.int64, count=len(values))
    missing = np.fromiter((value is None for value in values), dtype=np.bool_, count=len(values))
    bins: NDArray[np.uint8] = (places[:, None] == np.arange(len(features))[None, :]).astype(np.uint8)
    bins[missing] = 2
    return bins


def _weighted_rows(table: Table, rows: NDArray[np.int64], weights: Weights) -> tuple[NDArray[np.int64], Weights]:
    """The rows with a weight above 0, and their weights."""
    if weights.shape != rows.shape:
        raise DataError(f"{table.source}: weights have shape {weights.shape}, expected {rows.shape}, one per row")
    if not ((weights >= 0) & (weights <= MAX_WEIGHT)).all():
        raise DataError(f"{table.source}: weights must be numbers from 0 to {MAX_WEIGHT:g}")
    counted = weights > 0
    if not counted.any():
        raise DataError(f"{table.source}: the weights of all rows are 0, so there are no rows to fit bins on")
    return rows[counted], weights[counted]


@dataclass(frozen=True)
class BinMapper:
    """How one party's columns become bins: fitted once, kept in its model shard, applied to any later rows.

    It holds cuts and category names, which are derived from the party's own rows: it stays at that party.
    """

    features: tuple[BinnedFeature, ...]

    @classmethod
    def from_table(
        cls, table: Table, rows: NDArray[np.int64], max_bins: int, weights: Weights | None = None
    ) -> BinMapper:
        """Fit cuts and categories.

        Args:
            table: the party's own table.
            rows: (n,) int64 row numbers to fit on (the training rows), at least one. Their order does not matter.
            max_bins: value bins per numeric or grouped feature, 2..127.
            weights: (n,) float64, the weight of each of `rows`, 0 .. 1e12; None for all 1. A passive party may be given
                weights only if the job makes them public.

        Returns:
            The mapper; features in the order of the table's columns, categories sorted. There may be none.

        Raises:
            ConfigError: `max_bins` out of range.
            DataError: no rows, weights of another shape or out of range, or no row with a weight above 0.
        """
        if not MIN_BINS <= max_bins <= MAX_BINS:
            raise ConfigError(f"max_bins is {max_bins}, expected {MIN_BINS} to {MAX_BINS}")
        if len(rows) == 0:
            raise DataError(f"{table.source}: no rows to fit bins on")
        if weights is not None:
            rows, weights = _weighted_rows(table, rows, weights)
        features: list[BinnedFeature] = []
        for column in table.columns:
            if column.kind == "numeric":
                features += _fit_numeric(column, rows, max_bins, weights)
            else:
                features += _fit_categorical(column, rows, max_bins, weights)
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


def bin_table(table: Table, rows: NDArray[np.int64], max_bins: int, weights: Weights | None = None) -> BinnedTable:
    """Fit bins on rows and bin those rows; where other rows follow, use `BinMapper`.

    Raises:
        ConfigError, DataError: as `BinMapper.from_table`.
    """
    mapper = BinMapper.from_table(table, rows, max_bins, weights)
    return BinnedTable(mapper.transform(table, rows), mapper.features)
