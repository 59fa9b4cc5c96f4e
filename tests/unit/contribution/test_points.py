"""Whole Shapley values and whole points, as the contract computes them."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.contribution.points import divide
from fedchain.contribution.shapley import SCALE, shapley_840

utilities = st.integers(1, 5).flatmap(
    lambda parties: st.lists(st.integers(-(10**15), 0), min_size=2**parties, max_size=2**parties)
)


@given(utilities)
def test_shares_are_the_mean_marginal_gain_over_all_orders(values: list[int]) -> None:
    parties = len(values).bit_length() - 1
    orders = list(permutations(range(parties)))
    expected = [Fraction(0)] * parties
    for order in orders:
        coalition = 0
        for party in order:
            expected[party] += Fraction(values[coalition | 1 << party] - values[coalition], len(orders))
            coalition |= 1 << party
    found = shapley_840(values)
    assert [Fraction(one, SCALE) for one in found] == expected
    assert sum(found) == SCALE * (values[-1] - values[0])


@given(st.lists(st.integers(-(10**9), 0), min_size=256, max_size=256))
def test_shares_of_eight_parties_sum_to_the_whole_gain(values: list[int]) -> None:
    assert sum(shapley_840(values)) == SCALE * (values[-1] - values[0])


@pytest.mark.parametrize("count", [0, 1, 3, 512])
def test_other_numbers_of_utilities_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="not those of all coalitions"):
        shapley_840([0] * count)


@given(st.lists(st.integers(-(10**15), 10**15), min_size=1, max_size=8), st.integers(0, 2**53))
def test_points_sum_to_the_budget_and_lie_within_one_of_their_quota(shares: list[int], budget: int) -> None:
    points = divide(shares, budget)
    total = sum(one for one in shares if one > 0)
    assert sum(points) == (budget if total else 0)
    for share, got in zip(shares, points, strict=True):
        quota = Fraction(budget * max(0, share), total) if total else Fraction(0)
        assert quota - 1 < got < quota + 1


def test_points_that_are_left_go_to_the_largest_fractions_and_the_earlier_party() -> None:
    assert divide((1, 1, 1), 100) == (34, 33, 33)
    assert divide((0, 1, -5, 1), 3) == (0, 2, 0, 1)
    assert divide((2, 3, 5), 9) == (2, 3, 4), "1.8, 2.7, 4.5"
    assert divide((-1, 0), 9) == (0, 0)
