"""The vectorised best split against loops, on every kind of small histogram."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedchain.training.boosting.histogram import plain_histogram
from fedchain.training.boosting.splitting import (
    Candidate,
    Layout,
    Regularisation,
    best_split,
    best_weight,
    leaf_weight,
    score,
)
from tests.strategies import binned_rows

Rows = tuple[Layout, NDArray[np.uint8], NDArray[np.int64]]
NO_RULES = Regularisation(1.0, 0.0, 0.0)


def naive_histogram(layout: Layout, bins: NDArray[np.uint8], values: NDArray[np.int64]) -> list[list[tuple[int, int]]]:
    """Per feature, per bin, missing last: sums by counting rows one by one."""
    return [
        [
            (
                sum(int(v[0]) for v, b in zip(values, bins[:, feature], strict=True) if b == bin_),
                sum(int(v[1]) for v, b in zip(values, bins[:, feature], strict=True) if b == bin_),
            )
            for bin_ in range(int(layout.widths[feature]))
        ]
        for feature in range(len(layout.n_bins))
    ]


def naive_best(
    layout: Layout,
    bins: NDArray[np.uint8],
    values: NDArray[np.int64],
    scales: tuple[float, float],
    rules: Regularisation,
) -> Candidate | None:
    total = values.sum(axis=0)
    best: Candidate | None = None
    for feature in range(len(layout.n_bins)):
        n_bins, missing = layout.n_bins[feature], layout.has_missing[feature]
        for split_bin in range(n_bins):
            for missing_left in (False, True) if missing else (False,):
                column = bins[:, feature]
                goes = (column <= split_bin) | ((column == n_bins) & missing_left)
                left, right = values[goes].sum(axis=0), values[~goes].sum(axis=0)
                if split_bin == n_bins - 1 and (missing_left or not missing):
                    continue  # nothing goes right
                gl, hl = left[0] / scales[0], left[1] / scales[1]
                gr, hr = right[0] / scales[0], right[1] / scales[1]
                g, h = total[0] / scales[0], total[1] / scales[1]
                if hl <= 0 or hr <= 0 or min(hl, hr) < rules.min_child_weight:
                    continue
                gain = gl * gl / (hl + rules.l2) + gr * gr / (hr + rules.l2) - g * g / (h + rules.l2)
                if gain > max(1e-6, rules.gamma) and (best is None or gain > best.gain):
                    best = Candidate(float(gain), feature, split_bin, missing_left, (int(left[0]), int(left[1])))
    return best


def sums_of(rows: Rows) -> NDArray[np.int64]:
    layout, bins, values = rows
    return plain_histogram(bins, np.arange(len(bins)), values, layout)[0]


@settings(max_examples=300, deadline=None)
@given(
    binned_rows(),
    st.sampled_from([(1.0, 1.0), (8.0, 4.0), (1000.0, 3.0)]),
    st.sampled_from([0.0, 0.5, 1.0, 10.0]),
    st.sampled_from([0.0, 0.3, 5.0]),
    st.sampled_from([0.0, 1.0, 3.0]),
)
def test_best_split_is_that_of_a_loop_over_all_splits(
    rows: Rows, scales: tuple[float, float], l2: float, gamma: float, min_child_weight: float
) -> None:
    rules = Regularisation(l2, gamma, min_child_weight)
    layout, bins, values = rows
    assert best_split(sums_of(rows), layout, scales, rules) == naive_best(layout, bins, values, scales, rules)


@given(binned_rows())
def test_left_sums_are_those_of_the_rows_that_go_left(rows: Rows) -> None:
    """What the active party holds a passive party to."""
    layout, bins, values = rows
    best = best_split(sums_of(rows), layout, (1.0, 1.0), NO_RULES)
    if best is not None:
        column = bins[:, best.feature]
        goes = (column <= best.bin) | ((column == layout.n_bins[best.feature]) & best.missing_left)
        assert tuple(values[goes].sum(axis=0)) == best.left
        assert 0 < values[goes, 1].sum() < values[:, 1].sum(), "no child without hessian"


@given(binned_rows())
def test_plain_histogram_is_that_of_a_loop(rows: Rows) -> None:
    layout, bins, values = rows
    flat = [one for feature in naive_histogram(layout, bins, values) for one in feature]
    np.testing.assert_array_equal(sums_of(rows), np.array(flat))


@given(binned_rows(), st.data())
def test_a_sibling_is_the_parent_minus_the_other_child(rows: Rows, data: st.DataObject) -> None:
    layout, bins, values = rows
    goes = np.array(data.draw(st.lists(st.booleans(), min_size=len(bins), max_size=len(bins))))
    left, right = (plain_histogram(bins, np.flatnonzero(one), values, layout)[0] for one in (goes, ~goes))
    np.testing.assert_array_equal(sums_of(rows) - left, right)


def test_a_histogram_of_large_sums_is_exact() -> None:
    values = np.full((1000, 2), 2**30 - 1, dtype=np.int64)
    sums, counts = plain_histogram(np.zeros((1000, 1), dtype=np.uint8), np.arange(1000), values, Layout((1,), (False,)))
    assert sums.tolist() == [[1000 * (2**30 - 1)] * 2]
    assert counts.tolist() == [1000]


def sums(*bins: tuple[int, int]) -> NDArray[np.int64]:
    return np.array(bins, dtype=np.int64)


def test_no_feature_gives_no_split() -> None:
    assert best_split(np.zeros((0, 2), dtype=np.int64), Layout((), ()), (1.0, 1.0), NO_RULES) is None


def test_a_feature_of_one_bin_cannot_split() -> None:
    assert best_split(sums((5, 5)), Layout((1,), (False,)), (1.0, 1.0), NO_RULES) is None


def test_one_value_bin_and_a_missing_bin_split_present_from_missing() -> None:
    best = best_split(sums((5, 5), (-5, 5)), Layout((1,), (True,)), (1.0, 1.0), NO_RULES)
    assert best is not None
    assert (best.bin, best.missing_left, best.left) == (0, False, (5, 5))


def test_ties_go_to_the_first_feature_then_the_lowest_bin_then_missing_right() -> None:
    mirrored = sums((4, 2), (0, 0), (-4, 2), (4, 2), (-4, 2))
    best = best_split(mirrored, Layout((3, 2), (False, False)), (1.0, 1.0), NO_RULES)
    assert best is not None
    assert (best.feature, best.bin, best.missing_left) == (0, 0, False)
    empty_missing = best_split(sums((4, 2), (-4, 2), (0, 0)), Layout((2,), (True,)), (1.0, 1.0), NO_RULES)
    assert empty_missing is not None
    assert not empty_missing.missing_left


def test_missing_values_go_where_they_gain_more() -> None:
    layout = Layout((2,), (True,))
    with_left = best_split(sums((6, 3), (-6, 3), (6, 3)), layout, (1.0, 1.0), NO_RULES)
    with_right = best_split(sums((6, 3), (-6, 3), (-6, 3)), layout, (1.0, 1.0), NO_RULES)
    assert with_left is not None
    assert with_right is not None
    assert (with_left.missing_left, with_left.left) == (True, (12, 6))
    assert (with_right.missing_left, with_right.left) == (False, (6, 3))


def test_gain_is_that_of_the_paper_by_hand() -> None:
    best = best_split(sums((6, 2), (-4, 3)), Layout((2,), (False,)), (2.0, 1.0), Regularisation(1.0, 0.0, 0.0))
    assert best is not None
    assert best.gain == pytest.approx(3**2 / 3 + 2**2 / 4 - 1**2 / 6, rel=1e-15)


def test_a_gain_not_above_gamma_is_no_split() -> None:
    layout, histogram = Layout((2,), (False,)), sums((4, 3), (-4, 3))
    gain = 2 * 16 / 4
    assert best_split(histogram, layout, (1.0, 1.0), Regularisation(1.0, gain - 1e-9, 0.0)) is not None
    assert best_split(histogram, layout, (1.0, 1.0), Regularisation(1.0, gain, 0.0)) is None


def test_a_child_below_the_least_weight_is_no_split() -> None:
    layout, histogram = Layout((2,), (False,)), sums((4, 3), (-4, 5))
    assert best_split(histogram, layout, (1.0, 1.0), Regularisation(1.0, 0.0, 3.0)) is not None
    assert best_split(histogram, layout, (1.0, 1.0), Regularisation(1.0, 0.0, 3.001)) is None


def test_a_child_without_hessian_is_no_split_even_without_rules() -> None:
    layout = Layout((2,), (False,))
    assert best_split(sums((4, 0), (-4, 5)), layout, (1.0, 1.0), Regularisation(0.0, 0.0, 0.0)) is None


def test_leaf_weight_is_the_shrunk_newton_step() -> None:
    assert leaf_weight((6, 8), (2.0, 4.0), NO_RULES, 0.5) == pytest.approx(-0.5 * 3 / 3)
    free = Regularisation(0.0, 0.0, 0.0)
    assert leaf_weight((5, 0), (1.0, 1.0), free, 0.5) == 0.0
    assert leaf_weight((0, 5), (1.0, 1.0), free, 0.5) == 0.0


def test_l1_shrinks_a_weight_towards_zero_and_a_step_bound_caps_it() -> None:
    assert leaf_weight((6, 2), (1.0, 1.0), Regularisation(1.0, 0.0, 0.0, l1=1.5), 1.0) == pytest.approx(-4.5 / 3)
    assert leaf_weight((-6, 2), (1.0, 1.0), Regularisation(1.0, 0.0, 0.0, l1=1.5), 1.0) == pytest.approx(4.5 / 3)
    assert leaf_weight((1, 2), (1.0, 1.0), Regularisation(1.0, 0.0, 0.0, l1=1.5), 1.0) == 0.0
    bounded = Regularisation(1.0, 0.0, 0.0, max_delta_step=0.7)
    assert leaf_weight((6, 2), (1.0, 1.0), bounded, 0.5) == pytest.approx(-0.35)
    assert leaf_weight((-6, 2), (1.0, 1.0), bounded, 0.5) == pytest.approx(0.35)
    assert leaf_weight((1, 9), (1.0, 1.0), bounded, 0.5) == pytest.approx(-0.05)


def loss(gradient: float, hessian: float, weight: float, rules: Regularisation) -> float:
    """What a leaf adds to the objective, doubled (arXiv:1603.02754, equation 4, with an L1 term)."""
    return 2 * gradient * weight + (hessian + rules.l2) * weight**2 + 2 * rules.l1 * abs(weight)


@settings(max_examples=100, deadline=None)
@given(
    st.floats(-20, 20),
    st.floats(0.1, 20),
    st.sampled_from([0.0, 0.5, 3.0]),
    st.sampled_from([0.0, 1.0, 4.0]),
    st.sampled_from([0.0, 0.2, 0.7]),
)
def test_the_best_weight_minimises_the_loss_and_the_score_is_what_it_saves(
    gradient: float, hessian: float, l1: float, l2: float, step: float
) -> None:
    rules = Regularisation(l2, 0.0, 0.0, l1, 0, step)
    g, h = np.array([gradient]), np.array([hessian])
    weight = float(best_weight(g, h, rules)[0])
    least = loss(gradient, hessian, weight, rules)
    assert float(score(g, h, rules)[0]) == pytest.approx(-least, rel=1e-9, abs=1e-9)
    reach = step or 2 * abs(weight) + 1
    tries = np.linspace(-reach, reach, 401)
    assert least <= min(loss(gradient, hessian, float(one), rules) for one in tries) + 1e-9


@settings(max_examples=100, deadline=None)
@given(binned_rows(), st.integers(0, 6))
def test_no_child_of_the_best_split_has_fewer_rows_than_asked(rows: Rows, least: int) -> None:
    layout, bins, values = rows
    histogram, counts = plain_histogram(bins, np.arange(len(bins)), values, layout)
    assert counts.tolist() == [
        int((bins[:, feature] == one).sum())
        for feature in range(len(layout.n_bins))
        for one in range(int(layout.widths[feature]))
    ]
    found = best_split(histogram, layout, (1.0, 1.0), Regularisation(1.0, 0.0, 0.0, min_leaf_rows=least), counts)
    allowed = []
    for feature in range(len(layout.n_bins)):
        for split_bin in range(layout.n_bins[feature]):
            for missing_left in (False, True) if layout.has_missing[feature] else (False,):
                column = bins[:, feature]
                goes = (column <= split_bin) | ((column == layout.n_bins[feature]) & missing_left)
                if min(goes.sum(), (~goes).sum()) >= least:
                    alone = np.where(goes[:, None], values, 0).sum(axis=0)
                    allowed.append((feature, split_bin, missing_left, tuple(int(one) for one in alone)))
    free = naive_best(layout, bins, values, (1.0, 1.0), NO_RULES)
    if found is not None:
        assert (found.feature, found.bin, found.missing_left, found.left) in allowed
    if free is not None and (free.feature, free.bin, free.missing_left, free.left) in allowed:
        assert found == free
