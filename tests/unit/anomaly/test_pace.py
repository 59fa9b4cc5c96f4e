"""Answers that are too fast: what honest times look like is left alone, whatever their unit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.anomaly.pace import FLOOR_SECONDS, LEARN_FROM, is_implausibly_fast

times = st.lists(st.floats(1.0, 1e3), min_size=LEARN_FROM, max_size=50)


@given(times)
def test_a_tenth_of_the_shortest_time_before_is_implausibly_fast(before: list[float]) -> None:
    assert is_implausibly_fast(0.0999 * min(before), before)
    assert is_implausibly_fast(0.0, before)
    assert not is_implausibly_fast(0.0, before[: LEARN_FROM - 1])


@given(times, st.integers(0, 50))
def test_an_answer_no_shorter_than_one_before_is_not(before: list[float], place: int) -> None:
    again = before[place % len(before)]
    assert not is_implausibly_fast(max(again, min(before)), sorted(before))


@given(st.lists(st.floats(0.001, FLOOR_SECONDS / 1.01), min_size=LEARN_FROM, max_size=50))
def test_what_is_always_quick_is_never_too_fast(before: list[float]) -> None:
    assert not is_implausibly_fast(0.0, before)


@pytest.mark.parametrize(("share", "expected"), [(0.15, True), (0.2, False)])
def test_three_in_a_row_below_a_sixth_of_the_median_are(share: float, expected: bool) -> None:
    before = [8.0, 10.0, 12.0, 9.0, 11.0, 10.0]
    fast = 10.0 * share
    assert not is_implausibly_fast(fast, before)  # the shortest was 8 seconds
    assert not is_implausibly_fast(fast, [*before, fast])
    assert is_implausibly_fast(fast, [*before, fast, fast]) is expected


def test_three_in_a_row_of_a_party_whose_times_vary_as_much_are_not() -> None:
    before = [1.0, 100.0, 10.0, 3.0, 30.0, 10.0, 2.0, 50.0]
    assert not is_implausibly_fast(1.5, [*before, 1.5, 1.5])
    assert is_implausibly_fast(0.06, [*before, 0.06, 0.06])


def test_honest_times_are_called_too_fast_a_few_times_in_a_thousand() -> None:
    random = np.random.default_rng(11)
    called = answers = 0
    for sigma in (0.5, 0.8, 1.2):
        for _ in range(60):
            samples: list[float] = []
            for seconds in 20 * np.exp(sigma * random.standard_normal(24)):
                fast = is_implausibly_fast(float(seconds), samples)
                called, answers = called + fast, answers + 1
                if not fast:
                    samples.append(float(seconds))
    assert called / answers < 0.005
