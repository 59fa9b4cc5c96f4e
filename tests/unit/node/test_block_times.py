"""Times of blocks: each asked for once, and many at a time."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest

from fedchain.errors import ChainUnreachableError
from fedchain.node.anomalies import BlockTimes


class Client:
    """A node that answers as soon as so many ask at once."""

    def __init__(self, at_once: int = 1) -> None:
        self.asked: Counter[int] = Counter()
        self._together = threading.Barrier(at_once)

    def block_time(self, number: int) -> tuple[int, int]:
        self.asked[number] += 1
        self._together.wait(60)
        return number, 1000 + number


def times(client: object) -> BlockTimes:
    made: Any = client
    return BlockTimes(made)


def test_many_are_asked_for_at_once_and_each_one_once() -> None:
    client = Client(at_once=8)
    time_of = times(client)
    time_of.read(range(16))
    time_of.read([3, 5, 7])
    assert [time_of(number) for number in range(16)] == list(range(1000, 1016))
    assert client.asked == Counter(range(16))


def test_few_are_asked_for_when_they_are_needed() -> None:
    client = Client()
    time_of = times(client)
    time_of.read([7, 8])
    assert not client.asked
    assert time_of(7) == 1007
    assert client.asked == Counter([7])


def test_a_node_that_is_away_is_an_error_and_not_a_hole() -> None:
    class Away(Client):
        def block_time(self, number: int) -> tuple[int, int]:
            raise ChainUnreachableError("nothing answers")

    with pytest.raises(ChainUnreachableError):
        times(Away()).read(range(20))
