"""Requests that come while others are under way go together: nobody waits for company, but whoever waits has some."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class _Waiter(Generic[T, R]):
    __slots__ = ("error", "event", "item", "result", "weight")

    def __init__(self, item: T, weight: int) -> None:
        self.item, self.weight = item, weight
        self.event = threading.Event()
        self.result: R | None = None
        self.error: BaseException | None = None


class Coalescer(Generic[T, R]):
    """Does items one batch after the other in the threads of those who bring them. There is no thread of its own.

    Args:
        act: does a batch; gives a result for each item in order. What it raises, everybody of the batch gets.
        most: weight of a batch; an item that is heavier goes alone.
        under_way: batches at a time.
    """

    def __init__(self, act: Callable[[Sequence[T]], Sequence[R]], *, most: int, under_way: int = 2) -> None:
        self._act = act
        self._most = most
        self._under_way = under_way
        self._lock = threading.Lock()
        self._waiting: deque[_Waiter[T, R]] = deque()
        self._running = 0

    def do(self, item: T, weight: int = 1) -> R:
        """Do one item, with whatever waits; returns its result."""
        mine: _Waiter[T, R] = _Waiter(item, weight)
        with self._lock:
            self._waiting.append(mine)
            leads = self._running < self._under_way
            self._running += leads
        if not leads:
            mine.event.wait()
        if mine.result is None and mine.error is None:
            self._lead()
        if mine.error is not None:
            raise mine.error
        assert mine.result is not None
        return mine.result

    def _lead(self) -> None:
        """Do the batch at the head, which holds the leader's own item; then let the next one lead."""
        batch: list[_Waiter[T, R]] = []
        with self._lock:
            weight = 0
            while self._waiting and (not batch or weight + self._waiting[0].weight <= self._most):
                weight += self._waiting[0].weight
                batch.append(self._waiting.popleft())
        try:
            results = self._act([one.item for one in batch])
            for one, result in zip(batch, results, strict=True):
                one.result = result
        except BaseException as error:
            for one in batch:
                one.error = error
        with self._lock:
            if self._waiting:
                self._waiting[0].event.set()
            else:
                self._running -= 1
        for one in batch:
            one.event.set()
