from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.crypto.fixed_point import choose_scale, decode, encode
from fedchain.errors import CryptoError

finite = st.floats(allow_nan=False, allow_infinity=False)
columns = st.lists(finite, max_size=60)


@given(columns)
def test_no_value_and_no_subset_sum_leaves_the_range(values: list[float]) -> None:
    column = np.array(values)
    encoded = encode(column, choose_scale(column))
    assert encoded.dtype == np.int64
    assert np.abs(encoded).max(initial=0) <= 2**12
    assert np.abs(encoded).sum() <= 2**30


def test_many_rows_are_limited_by_their_sum() -> None:
    column = np.ones(1 << 20)
    scale = choose_scale(column)
    assert 1 << 9 < scale < 1 << 10
    assert (1 << 30) - (1 << 21) < np.abs(encode(column, scale)).sum() <= 1 << 30


def test_few_rows_are_limited_by_the_largest_value() -> None:
    column = np.array([0.5, -2.0])
    assert choose_scale(column) == 2048
    assert encode(column, 2048).tolist() == [1024, -4096]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_decoding_is_within_half_a_step(values: list[float]) -> None:
    column = np.array(values)
    scale = choose_scale(column)
    assert (np.abs(decode(encode(column, scale), scale) - column) <= 0.5000001 / scale).all()


def test_halves_round_to_even() -> None:
    assert encode(np.array([0.5, 1.5, 2.5, -0.5, -1.5]), 1.0).tolist() == [0, 2, 2, 0, -2]


@pytest.mark.parametrize("column", [np.zeros(5), np.zeros(0)])
def test_a_column_of_zeros_has_scale_one(column: np.ndarray) -> None:
    assert choose_scale(column) == 1.0
    assert not encode(column, 1.0).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(CryptoError, match="not finite"):
        choose_scale(np.array([1.0, bad]))
    with pytest.raises(CryptoError, match="not finite"):
        encode(np.array([bad]), 1.0)


def test_a_scale_of_another_column_is_refused() -> None:
    with pytest.raises(CryptoError, match="not this column's"):
        encode(np.array([2.0**20]), 2.0**11)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan])
def test_a_scale_that_is_not_positive_is_refused(scale: float) -> None:
    with pytest.raises(CryptoError, match="scale must be positive"):
        encode(np.ones(1), scale)
    with pytest.raises(CryptoError, match="scale must be positive"):
        decode(np.ones(1, np.int64), scale)
