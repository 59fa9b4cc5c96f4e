"""The chain's time, from blocks as they arrive."""

from __future__ import annotations

from typing import Any

from fedchain.node.chainclock import PATIENCE_SECONDS, ChainClock


class Chain:
    number, seconds = 7, 1000

    def block_time(self) -> tuple[int, int]:
        return self.number, self.seconds


class Clocks:
    wall, steady = 5000.0, 10.0

    def made(self, chain: Any) -> ChainClock:
        return ChainClock(chain, wall=lambda: self.wall, steady=lambda: self.steady)


def test_between_blocks_the_time_goes_on() -> None:
    chain, clocks = Chain(), Clocks()
    clock = clocks.made(chain)
    clock.look()
    clocks.steady += 30
    chain.number, chain.seconds = 8, 1040
    assert clock.look() == 8
    clocks.steady += 7.5
    assert (clock.earliest, clock.latest) == (1047, 1047)
    assert clock.skew == 5000 - 1047


def test_until_a_block_arrives_there_are_two_times() -> None:
    chain, clocks = Chain(), Clocks()
    clock = clocks.made(chain)
    for _ in range(3):
        clock.look()
        clocks.steady += 10
    assert (clock.earliest, clock.latest) == (1030, 5000)
    assert clock.skew is None
    assert clock.is_patient
    clocks.steady += PATIENCE_SECONDS
    assert not clock.is_patient


def test_a_wall_clock_behind_the_chain_says_nothing() -> None:
    chain, clocks = Chain(), Clocks()
    clocks.wall = 3.0
    clock = clocks.made(chain)
    clock.look()
    assert (clock.earliest, clock.latest) == (1000, 1000)
