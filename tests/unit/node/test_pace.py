"""Rate and time left follow from the counts of a stage and the clock of whoever watches."""

from __future__ import annotations

from fedchain.node.pace import Pace
from fedchain.protocol import Stage


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rate_and_time_left_count_from_the_first_line_of_a_stage() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace.note(Stage("align", 1000, 5000)) == (None, None)  # a restarted party begins behind what it did
    clock.now += 10
    assert pace.note(Stage("align", 3000, 5000)) == (200.0, 10.0)
    clock.now += 10
    assert pace.note(Stage("align", 5000, 5000)) == (200.0, 0.0)


def test_another_stage_and_a_stage_that_starts_over_begin_anew() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.note(Stage("align", 5, 10))
    clock.now += 1
    assert pace.note(Stage("train", 6, 10)) == (None, None)
    clock.now += 1
    assert pace.note(Stage("train", 2, 10)) == (None, None)
    clock.now += 2
    assert pace.note(Stage("train", 4, 10)) == (1.0, 6.0)


def test_without_a_total_nobody_knows_what_is_left() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.note(Stage("align", 0))
    clock.now += 2
    assert pace.note(Stage("align", 4)) == (2.0, None)
