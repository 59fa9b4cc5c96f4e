"""Quantile cuts."""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.data.cuts import apply_cuts, quantile_cuts

VALUES = st.lists(
    st.one_of(st.integers(-5, 5).map(float), st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=80
)


@given(VALUES, st.integers(2, 127))
def test_bins_are_few_ascending_none_empty_and_ordered_like_the_values(values: list[float], max_bins: int) -> None:
    array = np.array(values)
    cuts = quantile_cuts(array, max_bins)
    assert len(cuts) == min(max_bins, len(set(values))) - 1
    assert all(a < b for a, b in pairwise(cuts))
    bins = apply_cuts(array, cuts).astype(int)
    assert set(bins) == set(range(len(cuts) + 1))
    order = np.argsort(array, kind="stable")
    assert (np.diff(bins[order]) >= 0).all()
    assert all(bins[array == value].min() == bins[array == value].max() for value in values)


@given(VALUES, st.integers(2, 40), st.randoms())
def test_cuts_do_not_depend_on_the_order_of_rows(values: list[float], max_bins: int, shuffler: object) -> None:
    mixed = list(values)
    shuffler.shuffle(mixed)  # type: ignore[attr-defined]
    assert quantile_cuts(np.array(mixed), max_bins) == quantile_cuts(np.array(values), max_bins)


def test_few_distinct_values_get_a_bin_each_cut_at_midpoints() -> None:
    assert quantile_cuts(np.array([4.0, 1.0, 2.0, 1.0]), 3) == (1.5, 3.0)


def test_distinct_quantiles_hold_equally_many_rows() -> None:
    values = np.arange(1000.0)
    bins = apply_cuts(values, quantile_cuts(values, 32))
    counts = np.bincount(bins)
    assert len(counts) == 32
    assert counts.max() - counts.min() <= 1


def test_one_frequent_value_does_not_cost_the_others_their_bins() -> None:
    values = np.concatenate([np.zeros(9000), np.arange(1.0, 1001.0)])
    counts = np.bincount(apply_cuts(values, quantile_cuts(values, 11)))
    assert counts[0] == 9000
    assert list(counts[1:]) == [100] * 10


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (1.0, float(np.nextafter(1.0, 2.0))),
        (0.0, 5e-324),
        (-5e-324, 0.0),
        (-sys.float_info.max, sys.float_info.max),
        (sys.float_info.max / 2, sys.float_info.max),
    ],
)
def test_neighbouring_and_extreme_floats_are_still_told_apart(low: float, high: float) -> None:
    values = np.array([low, high])
    cuts = quantile_cuts(values, 2)
    assert np.isfinite(cuts).all()
    assert list(apply_cuts(values, cuts)) == [0, 1]


def test_new_values_fall_into_the_outer_bins_and_nan_into_the_missing_one() -> None:
    cuts = (1.5, 3.0)
    bins = apply_cuts(np.array([-1e300, -np.inf, 1.5, 2.99, 3.0, np.inf, np.nan]), cuts)
    assert bins.dtype == np.uint8
    assert list(bins) == [0, 0, 1, 1, 2, 2, 3]


def test_a_frequent_highest_value_leaves_the_lower_ones_all_bins_there_are() -> None:
    values = np.array([0.0, 1.0, 2.0] + [3.0] * 97)
    assert quantile_cuts(values, 3) == (1.5, 2.5)


@given(st.lists(st.tuples(st.integers(-8, 8), st.integers(0, 6)), min_size=1, max_size=60), st.integers(2, 12))
def test_a_value_of_weight_k_counts_as_k_rows(rows: list[tuple[int, int]], max_bins: int) -> None:
    values, times = np.array([float(v) for v, _ in rows]), np.array([k for _, k in rows])
    repeated = np.repeat(values, times)
    weighted = quantile_cuts(values, max_bins, times.astype(np.float64))
    assert weighted == (quantile_cuts(repeated, max_bins) if len(repeated) else ())


WEIGHTED = st.lists(
    st.tuples(VALUES.map(lambda values: values[0]), st.one_of(st.just(0.0), st.floats(1e-6, 1e12))),
    min_size=1,
    max_size=60,
)


@given(WEIGHTED, st.integers(2, 40), st.randoms())
def test_weighted_cuts_hang_on_neither_order_nor_unit_and_leave_no_bin_empty(
    rows: list[tuple[float, float]], max_bins: int, shuffler: object
) -> None:
    values, weights = (np.array(column) for column in zip(*rows, strict=True))
    cuts = quantile_cuts(values, max_bins, weights)
    mixed = list(rows)
    shuffler.shuffle(mixed)  # type: ignore[attr-defined]
    mixed_values, mixed_weights = (np.array(column) for column in zip(*mixed, strict=True))
    assert quantile_cuts(mixed_values, max_bins, mixed_weights) == cuts
    assert quantile_cuts(values, max_bins, weights * 4) == cuts
    counted = values[weights > 0]
    assert len(cuts) == max(0, min(max_bins, len(np.unique(counted))) - 1)
    assert set(apply_cuts(counted, cuts)) == set(range(len(cuts) + 1) if len(counted) else ())


def test_weighted_bins_hold_about_equal_weight() -> None:
    random = np.random.default_rng(1)
    values, weights = random.normal(size=5000), random.exponential(size=5000)
    bins = apply_cuts(values, quantile_cuts(values, 10, weights))
    shares = np.bincount(bins, weights=weights) / weights.sum()
    assert len(shares) == 10
    assert np.abs(shares - 0.1).max() < 0.002
