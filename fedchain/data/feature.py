"""One binned feature, and its plain form for the model shard."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from fedchain.errors import ModelFormatError

MIN_BINS = 2
MAX_BINS = 127
"""Value bins of a feature: with the missing bin, 128 states."""

MAX_ONE_HOT = 16
"""Categories of a column that get a feature each; a column with more becomes one grouped feature."""

MAX_GROUPED = 4096
"""Categories that a grouped feature names; rarer ones share its last bin."""

MAX_FEATURES = 2**16
"""Features of a party."""

FeatureKind = Literal["numeric", "category", "other", "grouped"]


@dataclass(frozen=True)
class BinnedFeature:
    """One feature as trees see it.

    Attributes:
        column: the table's column it comes from.
        kind: ``numeric``, ``category`` (has this category), ``grouped`` (all categories of a column in one feature, by
            descending frequency) or ``other`` (has a category without a feature of its own; only shards of the first
            version have it).
        has_missing: whether the column had missing cells in the table it was fitted on.
        cuts: numeric: strictly ascending; bin = number of cuts <= value. Else empty.
        category: category: the text. Else None.
        groups: grouped: the categories of each bin but the last, which holds all others. Else empty.
    """

    column: str
    kind: FeatureKind
    has_missing: bool
    cuts: tuple[float, ...] = ()
    category: str | None = None
    groups: tuple[tuple[str, ...], ...] = ()

    @property
    def n_bins(self) -> int:
        """Number of value bins, 1..127; the missing bin, where there is one, has this index."""
        if self.kind == "numeric":
            return len(self.cuts) + 1
        return len(self.groups) + 1 if self.kind == "grouped" else 2

    @property
    def name(self) -> str:
        """For people: ``tenure``, ``Contract=One year``, ``City=(other)``."""
        if self.kind in ("numeric", "grouped"):
            return self.column
        return f"{self.column}={self.category if self.kind == 'category' else '(other)'}"


def feature_to_json(feature: BinnedFeature) -> dict[str, Any]:
    """Plain dict of lists, floats, strings and booleans; `json` keeps it exactly."""
    document: dict[str, Any] = {
        "column": feature.column,
        "kind": feature.kind,
        "has_missing": feature.has_missing,
    }
    if feature.kind == "numeric":
        document["cuts"] = list(feature.cuts)
    if feature.kind == "category":
        document["category"] = feature.category
    if feature.kind == "grouped":
        document["groups"] = [list(group) for group in feature.groups]
    return document


_KEYS = {
    "numeric": {"column", "kind", "has_missing", "cuts"},
    "category": {"column", "kind", "has_missing", "category"},
    "other": {"column", "kind", "has_missing"},
    "grouped": {"column", "kind", "has_missing", "groups"},
}


def _parse_feature(document: Any, place: int) -> BinnedFeature:
    if not isinstance(document, dict) or document.get("kind") not in tuple(_KEYS):
        raise ModelFormatError(f"binned feature {place}: expected a mapping with a kind of {', '.join(_KEYS)}")
    kind = document["kind"]
    if set(document) != _KEYS[kind]:
        raise ModelFormatError(f"binned feature {place}: expected keys {sorted(_KEYS[kind])}, found others")
    if not isinstance(document["column"], str) or not isinstance(document["has_missing"], bool):
        raise ModelFormatError(f"binned feature {place}: column must be text and has_missing true or false")
    cuts: tuple[float, ...] = ()
    if kind == "numeric":
        raw = document["cuts"]
        if not isinstance(raw, list) or len(raw) >= MAX_BINS or any(type(cut) not in (int, float) for cut in raw):
            raise ModelFormatError(f"binned feature {place}: cuts must be a list of up to {MAX_BINS - 1} numbers")
        try:
            cuts = tuple(float(cut) for cut in raw)
        except OverflowError as error:
            raise ModelFormatError(f"binned feature {place}: a cut is no float64") from error
        if not all(map(math.isfinite, cuts)) or any(a >= b for a, b in pairwise(cuts)):
            raise ModelFormatError(f"binned feature {place}: cuts must be finite and strictly ascending")
    if kind == "category" and not isinstance(document["category"], str):
        raise ModelFormatError(f"binned feature {place}: category must be text")
    groups = _parse_groups(document["groups"], place) if kind == "grouped" else ()
    return BinnedFeature(document["column"], kind, document["has_missing"], cuts, document.get("category"), groups)


def _parse_groups(raw: Any, place: int) -> tuple[tuple[str, ...], ...]:
    if not isinstance(raw, list) or not 1 <= len(raw) < MAX_BINS or not all(isinstance(group, list) for group in raw):
        raise ModelFormatError(f"binned feature {place}: groups must be a list of 1 to {MAX_BINS - 1} lists")
    named = [category for group in raw for category in group]
    if not all(raw) or len(named) > MAX_GROUPED or any(type(category) is not str for category in named):
        raise ModelFormatError(f"binned feature {place}: groups must hold texts, up to {MAX_GROUPED}, none empty")
    if len(set(named)) < len(named):
        raise ModelFormatError(f"binned feature {place}: a category lies in two groups")
    return tuple(tuple(group) for group in raw)


def _check_unique(features: Iterable[BinnedFeature]) -> None:
    """A column is one numeric or grouped feature, or categories that differ with at most one ``other``."""
    kinds: dict[str, str] = {}
    seen: set[tuple[str, str, str | None]] = set()
    for place, feature in enumerate(features):
        kind = "category" if feature.kind == "other" else feature.kind
        key = (feature.column, feature.kind, feature.category)
        if key in seen or kinds.setdefault(feature.column, kind) != kind:
            raise ModelFormatError(f"binned feature {place}: repeats or contradicts an earlier one of its column")
        seen.add(key)


def parse_features(document: Any) -> tuple[BinnedFeature, ...]:
    """Features from ``{"features": [...]}`` as `BinMapper.to_json` writes it.

    Raises:
        ModelFormatError: keys, types, bounds or order are not as written there; names the feature's position.
    """
    listed = document.get("features") if isinstance(document, dict) and set(document) == {"features"} else None
    if not isinstance(listed, list) or len(listed) > MAX_FEATURES:
        raise ModelFormatError(f"bin mapper: expected a mapping with a list 'features' of up to {MAX_FEATURES}")
    features = tuple(_parse_feature(each, place) for place, each in enumerate(listed))
    _check_unique(features)
    return features
