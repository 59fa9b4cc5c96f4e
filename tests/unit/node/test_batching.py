"""What comes while a call is under way goes together in the next."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from fedchain.errors import ChainError, StoppingError
from fedchain.node.batching import Batcher


class Slow:
    """Takes batches one after the other, each when the test says so."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_end = threading.Semaphore(0)
        self.began = threading.Semaphore(0)

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.began.release()
        assert self.may_end.acquire(timeout=30)
        if -1 in items:
            raise ChainError("refused")
        return [10 * item for item in items]


def test_items_wait_for_the_call_under_way_and_go_together() -> None:
    slow = Slow()
    batcher: Batcher[int, int] = Batcher(slow, most=3, name="test")
    first = batcher.submit(1)
    assert slow.began.acquire(timeout=30)
    others = [batcher.submit(number) for number in range(2, 7)]
    slow.may_end.release(3)
    assert [one.result(30) for one in (first, *others)] == [10, 20, 30, 40, 50, 60]
    assert slow.batches == [[1], [2, 3, 4], [5, 6]]
    batcher.close(30)


def test_a_failed_call_fails_its_own_items_alone() -> None:
    slow = Slow()
    batcher: Batcher[int, int] = Batcher(slow, most=2, name="test")
    slow.may_end.release(2)
    failed = batcher.submit_all([-1, 1])
    for future in failed:
        with pytest.raises(ChainError, match="refused"):
            future.result(30)
    assert batcher.submit(5).result(30) == 50
    batcher.close(30)


def test_closing_fails_what_still_waits_and_takes_no_more() -> None:
    slow = Slow()
    batcher: Batcher[int, int] = Batcher(slow, most=1, name="test")
    under_way, waits = batcher.submit_all([1, 2])
    assert slow.began.acquire(timeout=30)
    batcher.close()
    with pytest.raises(StoppingError):
        waits.result(30)
    with pytest.raises(StoppingError):
        batcher.submit(3)
    slow.may_end.release()
    assert under_way.result(30) == 10


def test_an_act_that_returns_too_few_results_leaves_nobody_waiting() -> None:
    batcher: Batcher[int, int] = Batcher(lambda items: [1], most=2, name="test")
    good, bad = batcher.submit_all([1, 2])
    assert good.result(30) == 1
    with pytest.raises(ValueError, match="zip"):
        bad.result(30)
    batcher.close(30)
