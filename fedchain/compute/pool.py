"""A stock of costly one-time items, made in the background and handed out at most once each.

One thread fills the stock in small batches at low priority and stops while the foreground works. Items are rows of
numpy arrays. They live in memory alone: never pickled, never inherited by a fork, wiped as they are handed out.

Source: Goetz et al., "Java Concurrency in Practice" (2006) chapter 14 for the bounded buffer.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from fedchain.errors import ConfigError

Block = tuple[npt.NDArray[np.uint8], ...]
"""Arrays of one length: item i is row i of each."""

BATCH = 128
NICENESS = 10
_log = logging.getLogger(__name__)


class BackgroundPool:
    """At most `capacity` items in stock, made by one thread.

    Safe for use by several threads. In a forked child the stock is empty and filling begins anew with the first use.
    """

    def __init__(self, make: Callable[[int], Block], capacity: int, batch: int = BATCH) -> None:
        """Start filling.

        Args:
            make: gives a block of so many fresh items; runs in the background thread, and must not refer to the pool.
            capacity: most items in stock; 0 makes nothing ahead.
            batch: items per call of `make`: how long the thread takes to notice a pause.

        Raises:
            ConfigError: a negative capacity or an empty batch.
        """
        if capacity < 0 or batch < 1:
            raise ConfigError(f"a pool of {capacity} items in batches of {batch}: need 0 or more, and 1 or more")
        self.capacity = capacity
        self._make, self._batch = make, batch
        self._closed = False
        self._finalizer: weakref.finalize[..., BackgroundPool] | None = None
        self._renew()
        self._current()
        _pools.add(self)

    @property
    def stock(self) -> int:
        """How many items are ready."""
        return self._current().count

    @property
    def drawn(self) -> int:
        """How many items this process was given, whether from the stock or made for want of them."""
        return self._current().drawn

    def draw(self, wanted: int) -> Block | None:
        """Take up to `wanted` items out; they are gone whatever the caller does with them.

        Returns:
            Fresh contiguous arrays of at most `wanted` rows, or None when there is nothing in stock.

        Raises:
            ValueError: a negative number.
            Exception: what `make` raised in the background, if it failed.
        """
        return self._current().draw(wanted)

    def draw_or_make(self, wanted: int, make: Callable[[int], Block]) -> Block:
        """Exactly `wanted` items: what is in stock, and the rest by `make`, now, while the thread pauses."""
        drawn = self.draw(wanted)
        missing = wanted - (len(drawn[0]) if drawn else 0)
        if drawn is not None and not missing:
            return drawn
        with self.paused():
            rest = make(missing)
        self._current().count_drawn(missing)
        if drawn is None:
            return rest
        return tuple(np.concatenate(halves) for halves in zip(drawn, rest, strict=True))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keep the thread from beginning another batch; may be nested, and held by several threads."""
        stock = self._current()
        stock.pause(1)
        try:
            yield
        finally:
            if stock is self._current():  # else this is a forked child, where the old lock may never be released
                stock.pause(-1)

    def wait(self, items: int, timeout_seconds: float) -> bool:
        """Wait until so many items are in stock (or as many as fit); whether they are."""
        return self._current().wait(min(items, self.capacity), timeout_seconds)

    def close(self) -> None:
        """End the thread and wipe the stock; nothing can be drawn any more. May be called twice."""
        self._closed = True
        if self._finalizer is not None:
            self._finalizer()

    def _current(self) -> _Stock:
        if self._process != os.getpid():  # a fork that ran no hooks of Python's
            self._renew()
        if not self._closed:
            self._stock.start()
        return self._stock

    def _renew(self) -> None:
        """An empty stock of this process's own; a parent's lock might never be released here."""
        if self._finalizer is not None:
            self._finalizer.detach()
        self._process = os.getpid()
        self._stock = _Stock(self._make, self.capacity, self._batch)
        self._finalizer = weakref.finalize(self, self._stock.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} stays in the process that made it")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(capacity={self.capacity})"


class _Stock:
    """The ring of items and its thread; holds no reference to the pool, so that a dropped pool ends it."""

    def __init__(self, make: Callable[[int], Block], capacity: int, batch: int) -> None:
        self.count = self.drawn = 0
        self._make, self._capacity, self._batch = make, capacity, batch
        self._ring: Block = ()
        self._first = self._pauses = 0
        self._closed = False
        self._failure: Exception | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to fill, once."""
        with self._changed:
            if self._capacity and self._thread is None:
                self._thread = threading.Thread(target=self._fill, name="fedchain-pool", daemon=True)
                self._thread.start()

    def draw(self, wanted: int) -> Block | None:
        if wanted < 0:
            raise ValueError(f"cannot draw {wanted} items")
        with self._changed:
            if self._failure is not None:
                raise self._failure
            number = min(wanted, self.count)
            if not number:
                return None
            places = (self._first + np.arange(number)) % self._capacity
            block = tuple(column[places] for column in self._ring)
            for column in self._ring:
                column[places] = 0
            self._first = (self._first + number) % self._capacity
            self.count -= number
            self.drawn += number
            self._changed.notify_all()
            return block

    def count_drawn(self, number: int) -> None:
        with self._changed:
            self.drawn += number

    def pause(self, change: int) -> None:
        with self._changed:
            self._pauses += change
            self._changed.notify_all()

    def wait(self, items: int, timeout_seconds: float) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self.count >= items or self._closed or bool(self._failure), timeout_seconds)
            return self.count >= items

    def close(self) -> None:
        with self._changed:
            self._closed = True
            for column in self._ring:
                column[(self._first + np.arange(self.count)) % self._capacity] = 0
            self.count, self._ring = 0, ()
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(5)

    def _fill(self) -> None:
        _lower_priority()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or (not self._pauses and self.count < self._capacity))
                if self._closed:
                    return
                wanted = min(self._batch, self._capacity - self.count)
            try:
                block = self._make(wanted)
            except Exception as error:
                _log.exception("a background pool stops")
                with self._changed:
                    self._failure = error
                    self._changed.notify_all()
                return
            with self._changed:
                if self._closed:
                    return
                self._store(block)

    def _store(self, block: Block) -> None:
        if not self._ring:
            self._ring = tuple(np.zeros((self._capacity, *column.shape[1:]), column.dtype) for column in block)
        number = len(block[0])
        places = (self._first + self.count + np.arange(number)) % self._capacity
        for target, column in zip(self._ring, block, strict=True):
            target[places] = column
        self.count += number
        self._changed.notify_all()


def _lower_priority() -> None:
    """On Linux a thread has a priority of its own; elsewhere the calling thread keeps the process's."""
    if sys.platform == "linux":
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        except OSError as error:
            _log.debug("the pool's thread keeps its priority: %s", error)


_pools: weakref.WeakSet[BackgroundPool] = weakref.WeakSet()


def _renew_all() -> None:
    for pool in list(_pools):
        pool._renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
