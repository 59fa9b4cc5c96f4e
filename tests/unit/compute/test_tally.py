"""A tally counts what several threads add, and never goes down."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from fedchain.compute.tally import Tally


def test_what_several_threads_add_is_all_there() -> None:
    tally = Tally()

    def add(_: int) -> None:
        for _ in range(500):
            tally.add(3)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    assert tally.value == 6000
    tally.add()
    assert tally.value == 6001


def test_a_tally_does_not_go_down() -> None:
    with pytest.raises(ValueError, match="down by 1"):
        Tally().add(-1)
