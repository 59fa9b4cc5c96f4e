"""Times and units in words."""

from __future__ import annotations

from typing import get_args

import pytest

from fedchain.federation.contribspec import Method
from fedchain.node.reporting.words import METHODS, duration, elapsed_unit, utc


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3_661, "1 h 1 min"), (90_061, "1 d 1 h"), (86_401, "1 d 1 s")],
)
def test_a_duration_has_its_two_largest_units(seconds: int, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "unit"), [(0, "seconds"), (179, "seconds"), (180, "minutes"), (10_800, "hours"), (259_200, "days")]
)
def test_an_axis_has_a_unit_of_which_there_are_some(seconds: int, unit: str) -> None:
    assert elapsed_unit(seconds)[0] == unit


def test_every_method_of_a_job_has_words() -> None:
    assert set(METHODS) == set(get_args(Method))


def test_times_are_in_utc() -> None:
    assert utc(0) == "1970-01-01 00:00:00"
    assert utc(1_790_000_000) == "2026-09-21 14:13:20"
