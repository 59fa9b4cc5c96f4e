"""Requests that come while others are under way go together: nobody waits for company, but whoever waits has some."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class _Waiter(Generic[T, R]):
    """An item, and what came of it; `batch` is what its thread is to lead, itself first."""

    __slots__ = ("batch", "error", "event", "item", "result", "weight")

    def __init__(self, item: T, weight: int) -> None:
        self.item, self.weight = item, weight
        self.event = threading.Event()
        self.batch: list[_Waiter[T, R]] | None = None
        self.result: R | None = None
        self.error: BaseException | None = None


class Coalescer(Generic[T, R]):
    """Does items one batch after the other in the threads of those who bring them. There is no thread of its own.

    Args:
        act: does a batch; gives for each item in order a result, or what is raised to whoever brought it. What it
            raises itself, everybody of the batch gets.
        most: weight of a batch; an item that is heavier goes alone.
        under_way: batches at a time.
    """

    def __init__(
        self, act: Callable[[Sequence[T]], Sequence[R | BaseException]], *, most: int, under_way: int = 2
    ) -> None:
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
            if self._running < self._under_way:  # then nobody else waits
                self._running += 1
                mine.batch = self._take()
        if mine.batch is None:
            mine.event.wait()
        if mine.batch is not None:
            self._lead(mine.batch)
        if mine.error is not None:
            raise mine.error
        assert mine.result is not None
        return mine.result

    def _take(self) -> list[_Waiter[T, R]]:
        batch = [self._waiting.popleft()]
        weight = batch[0].weight
        while self._waiting and weight + self._waiting[0].weight <= self._most:
            weight += self._waiting[0].weight
            batch.append(self._waiting.popleft())
        return batch

    def _lead(self, batch: list[_Waiter[T, R]]) -> None:
        """Do a batch; then hand the turn to whoever has waited longest, with what it is to do."""
        try:
            results = self._act([one.item for one in batch])
            for one, result in zip(batch, results, strict=True):
                if isinstance(result, BaseException):
                    one.error = result
                else:
                    one.result = result
        except BaseException as error:
            for one in batch:
                one.error = error
        with self._lock:
            if self._waiting:
                batch_of_next = self._take()
                batch_of_next[0].batch = batch_of_next
                batch_of_next[0].event.set()
            else:
                self._running -= 1
        for one in batch[1:]:
            one.event.set()
