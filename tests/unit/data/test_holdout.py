"""The held-out rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from fedchain.data.holdout import stratified_holdout
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
