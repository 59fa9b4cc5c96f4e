"""Gradients as the integers that are encrypted."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedchain.training.boosting.gradients import quantise
from fedchain.training.boosting.objectives import BinaryLogistic


def test_balanced_labels_give_integers_that_sum_to_exactly_zero() -> None:
    labels = np.array([0.0, 1.0] * 50)
    objective = BinaryLogistic()
    margin = np.tile(objective.base_margin(labels), (100, 1))
    gradient, hessian = objective.gradients(margin, labels)
    integers, _ = quantise(np.concatenate([gradient, hessian], axis=1))
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
