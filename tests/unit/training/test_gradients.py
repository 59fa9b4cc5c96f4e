"""Gradients of the logistic loss, and the integers that are encrypted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.training.boosting.gradients import base_margin, logistic_gradients, quantise


def loss(margin: float, label: float) -> float:
    return float(np.log1p(np.exp(-margin)) + (1 - label) * margin)


@given(st.floats(-6, 6), st.sampled_from([0.0, 1.0]))
def test_gradients_are_the_derivatives_of_the_loss(margin: float, label: float) -> None:
    step = 1e-4
    gradient, hessian = logistic_gradients(np.array([margin]), np.array([label]))[0]
    up, middle, down = (loss(margin + shift, label) for shift in (step, 0, -step))
    assert gradient == pytest.approx((up - down) / (2 * step), abs=1e-6)
    assert hessian == pytest.approx((up - 2 * middle + down) / step**2, abs=1e-5)


@pytest.mark.parametrize("margin", [-800.0, 800.0])
def test_extreme_margins_give_finite_gradients_and_positive_hessians(margin: float) -> None:
    values = logistic_gradients(np.array([margin, margin]), np.array([0.0, 1.0]))
    assert np.isfinite(values).all()
    assert (values[:, 1] > 0).all()


def test_the_base_margin_is_where_gradients_sum_to_zero() -> None:
    labels = np.array([1.0, 0.0, 0.0, 0.0])
    margin = base_margin(labels)
    assert margin == pytest.approx(np.log(1 / 3))
    assert logistic_gradients(np.full(4, margin), labels)[:, 0].sum() == pytest.approx(0.0, abs=1e-15)


def test_balanced_labels_give_integers_that_sum_to_exactly_zero() -> None:
    labels = np.array([0.0, 1.0] * 50)
    integers, _ = quantise(logistic_gradients(np.full(100, base_margin(labels)), labels))
    assert integers[:, 0].sum() == 0
    assert set(integers[:, 0].tolist()) == {-4096, 4096}


@given(st.lists(st.tuples(st.floats(-1, 1, allow_subnormal=False), st.floats(1e-16, 0.25)), min_size=1, max_size=50))
def test_integers_stay_in_range_and_near_their_values(pairs: list[tuple[float, float]]) -> None:
    values = np.array(pairs)
    integers, scales = quantise(values)
    assert integers.dtype == np.int64
    assert np.abs(integers).max() <= 4096
    for part in range(2):
        assert np.abs(integers[:, part] / scales[part] - values[:, part]).max() <= 0.5001 / scales[part]


def test_sums_of_many_rows_stay_within_the_decryptable_range() -> None:
    values = np.ones((600_000, 2))
    integers, _ = quantise(values)
    assert 0 < integers[:, 0].sum() <= 2**30
