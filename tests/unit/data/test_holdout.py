"""The held-out rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from fedchain.data.holdout import holdout, stratified_holdout, three_way
from fedchain.errors import ConfigError, DataError


@settings(deadline=None, max_examples=25)
@given(st.integers(10, 200), st.integers(10, 200), st.floats(0.15, 0.85), st.integers(0, 2**32 - 1))
def test_it_holds_out_what_scikit_learn_would(zeros: int, ones: int, fraction: float, seed: int) -> None:
    labels = np.random.RandomState(seed).permutation(np.repeat([0.0, 1.0], [zeros, ones]))
    mask = stratified_holdout(labels, fraction, seed)
    _, expected = train_test_split(np.arange(len(labels)), test_size=fraction, stratify=labels, random_state=seed)
    assert mask.dtype == np.bool_
    assert set(np.flatnonzero(mask)) == set(expected)
    assert abs(labels[mask].sum() - labels.mean() * mask.sum()) <= 1.0


def test_another_seed_holds_out_other_rows() -> None:
    labels = np.arange(200) % 2
    assert (stratified_holdout(labels, 0.2, 1) != stratified_holdout(labels, 0.2, 2)).any()


@pytest.mark.parametrize(
    ("fraction", "seed"), [(0.0, 1), (1.0, 1), (-0.1, 1), (float("nan"), 1), (0.2, -1), (0.2, 2**32)]
)
def test_settings_out_of_range_are_errors(fraction: float, seed: int) -> None:
    with pytest.raises(ConfigError, match="expected"):
        stratified_holdout(np.arange(20) % 2, fraction, seed)


@pytest.mark.parametrize(
    ("labels", "fraction", "said"),
    [
        ([1.0] * 10, 0.2, "have 1 classes, need two"),
        ([], 0.2, "have 0 classes"),
        ([0.0] * 9 + [1.0], 0.2, "smaller class has 1 of 10"),
        ([0.0, 0.0, 1.0, 1.0], 0.1, "cannot hold out 0.1 of 4"),
        ([0.0] * 98 + [1.0] * 2, 0.1, "lack a class"),
    ],
)
def test_too_few_rows_of_a_class_are_an_error(labels: list[float], fraction: float, said: str) -> None:
    with pytest.raises(DataError, match=said):
        stratified_holdout(labels, fraction, 42)


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 300), st.floats(0.05, 0.95), st.integers(0, 2**32 - 1))
def test_unstratified_it_holds_out_what_scikit_learn_would(rows: int, fraction: float, seed: int) -> None:
    labels = np.random.RandomState(seed).normal(size=rows)
    try:
        _, expected = train_test_split(np.arange(rows), test_size=fraction, random_state=seed)
    except ValueError:
        with pytest.raises(DataError, match="cannot hold out"):
            holdout(labels, fraction, seed, stratified=False)
        return
    mask = holdout(labels, fraction, seed, stratified=False)
    assert set(np.flatnonzero(mask)) == set(expected)
    np.testing.assert_array_equal(mask, holdout(np.zeros(rows), fraction, seed, stratified=False))


@settings(deadline=None, max_examples=40)
@given(st.integers(20, 300), st.floats(0.1, 0.4), st.floats(0.1, 0.4), st.integers(0, 2**32 - 1), st.booleans())
def test_three_parts_are_disjoint_complete_and_in_proportion(
    each: int, held: float, validation: float, seed: int, stratified: bool
) -> None:
    labels = np.random.RandomState(seed).permutation(np.repeat([0.0, 1.0, 2.0], [each, each, 2 * each]))
    parts = three_way(labels, held, validation, seed, stratified)
    together = parts.train.astype(int) + parts.validation + parts.holdout
    assert (together == 1).all()
    np.testing.assert_array_equal(parts.holdout, holdout(labels, held, seed, stratified))
    assert abs(int(parts.validation.sum()) - validation * len(labels)) <= 0.5
    assert parts.train.any()
    if stratified:
        for label in (0.0, 1.0, 2.0):
            share = (labels[parts.validation] == label).mean()
            assert share == pytest.approx((labels == label).mean(), abs=2 / parts.validation.sum())


def test_the_held_out_rows_do_not_move_when_some_rows_validate() -> None:
    labels = np.arange(100) % 2
    without, with_some = three_way(labels, 0.2, 0.0, 7, True), three_way(labels, 0.2, 0.1, 7, True)
    assert not without.validation.any()
    np.testing.assert_array_equal(without.holdout, with_some.holdout)
    assert int(with_some.validation.sum()) == 10
    other = three_way(labels, 0.2, 0.1, 8, True)
    assert (other.validation != with_some.validation).any()


@pytest.mark.parametrize(("held", "validation"), [(0.5, 0.5), (0.2, -0.1), (0.2, float("nan")), (0.0, 0.2), (0.9, 0.2)])
def test_fractions_that_leave_no_room_are_errors(held: float, validation: float) -> None:
    with pytest.raises(ConfigError, match=r"fraction is .* expected"):
        three_way(np.arange(100) % 2, held, validation, 1, True)


def test_too_few_rows_to_validate_on_are_an_error_that_says_so() -> None:
    labels = np.array([0.0] * 96 + [1.0] * 4)
    with pytest.raises(DataError, match=r"cannot validate on 0.02 of all rows.* lack a class"):
        three_way(labels, 0.25, 0.02, 1, True)
    with pytest.raises(DataError, match=r"cannot hold out 0\.5 of 1 aligned rows"):
        holdout(np.zeros(1), 0.5, 1, stratified=False)
