"""Calls that go together: while one is under way, others wait, and the next takes all of them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from fedchain.errors import StoppingError

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Carries out items in batches, in the order in which they came. Nothing waits while nothing is under way.

    Args:
        act: takes some items, returns a result for each; what it raises, all of them raise.
        most: items in one batch.
        waiting: items that may wait; who brings more waits until there is room.
        name: of the thread.
    """

    def __init__(self, act: Callable[[Sequence[T]], Sequence[R]], *, most: int, waiting: int = 4096, name: str) -> None:
        self._act, self._most = act, most
        self._room = threading.BoundedSemaphore(waiting)
        self._items: deque[tuple[T, Future[R]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, item: T) -> Future[R]:
        """The item's result, when it is there.

        Raises:
            StoppingError: this was closed.
        """
        return self.submit_all([item])[0]

    def submit_all(self, items: Sequence[T]) -> list[Future[R]]:
        """Several items, next to each other."""
        futures: list[Future[R]] = [Future() for _ in items]
        for _ in items:
            self._room.acquire()
        with self._changed:
            if self._closed:
                raise StoppingError("this node is stopping")
            self._items.extend(zip(items, futures, strict=True))
            self._changed.notify()
        return futures

    def close(self, seconds: float = 0.0) -> None:
        """Take no more; what waits fails unless it is done in so many seconds."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(seconds)
        with self._changed:
            left, self._items = list(self._items), deque()
        for _, future in left:
            future.set_exception(StoppingError("this node is stopping"))

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._closed)
                if not self._items:
                    return
                batch = [self._items.popleft() for _ in range(min(self._most, len(self._items)))]
            self._room.release(len(batch))
            try:
                results = self._act([item for item, _ in batch])
                for (_, future), result in zip(batch, results, strict=True):
                    future.set_result(result)
            except BaseException as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
