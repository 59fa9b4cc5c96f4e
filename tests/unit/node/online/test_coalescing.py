"""Whoever comes while others are under way goes with the next batch, and gets its own result."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from fedchain.node.online.coalescing import Coalescer


class Work:
    """Doubles numbers; waits to be let go on where told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun, self.go_on = threading.Semaphore(0), threading.Semaphore(0)
        self.waits = False
        self.lock = threading.Lock()
        self.now, self.most_at_a_time = 0, 0

    def __call__(self, items: Sequence[int]) -> list[int | BaseException]:
        with self.lock:
            self.batches.append(list(items))
            self.now += 1
            self.most_at_a_time = max(self.now, self.most_at_a_time)
        self.begun.release()
        if self.waits:
            assert self.go_on.acquire(timeout=20)
        with self.lock:
            self.now -= 1
        if -1 in items:
            raise ValueError("minus one")
        return [KeyError("zero") if one == 0 else 2 * one for one in items]


def test_alone_an_item_goes_at_once() -> None:
    work = Work()
    assert Coalescer(work, most=10).do(21) == 42
    assert work.batches == [[21]]


def test_what_waits_goes_together_within_the_bound() -> None:
    work = Work()
    work.waits = True
    coalescer = Coalescer(work, most=10, under_way=1)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(coalescer.do, 1)
        assert work.begun.acquire(timeout=20)
        others = []
        for count, (item, weight) in enumerate([(2, 4), (3, 4), (4, 4), (5, 99)], start=1):
            others.append(pool.submit(coalescer.do, item, weight))
            while len(coalescer._waiting) < count:
                pass
        for _ in range(4):
            work.go_on.release()
        assert first.result(20) == 2
        assert [one.result(20) for one in others] == [4, 6, 8, 10]
    assert work.batches == [[1], [2, 3], [4], [5]]
    assert work.most_at_a_time == 1


def test_an_error_is_everybody_s_of_its_batch_and_ends_there() -> None:
    coalescer = Coalescer(Work(), most=10)
    with pytest.raises(ValueError, match="minus one"):
        coalescer.do(-1)
    with pytest.raises(KeyError):
        coalescer.do(0)
    assert coalescer.do(4) == 8


def test_many_threads_each_get_their_own_result() -> None:
    work = Work()
    coalescer = Coalescer(work, most=16, under_way=2)
    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(coalescer.do, range(1, 2001))) == [2 * one for one in range(1, 2001)]
    assert work.most_at_a_time <= 2
    assert sum(len(batch) for batch in work.batches) == 2000
    assert coalescer._running == 0
