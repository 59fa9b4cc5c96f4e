from __future__ import annotations

import copy
import gc
import itertools
import os
import pickle
import threading
import time
import traceback
from collections.abc import Callable

import numpy as np
import pytest

from fedchain.compute.pool import BackgroundPool, Block
from fedchain.errors import ConfigError


def _counting(first: int = 1) -> Callable[[int], Block]:
    """A maker whose items are 1, 2, 3 … in two columns of 8 bytes."""
    numbers = itertools.count(first)

    def make(count: int) -> Block:
        items = np.array([next(numbers) for _ in range(count)], np.uint64)
        return items.view(np.uint8).reshape(count, 8), items.view(np.uint8).reshape(count, 8).copy()

    return make


def _numbers(block: Block | None) -> list[int]:
    if block is None:
        return []
    first, second = (np.ascontiguousarray(column).view(np.uint64).reshape(-1).tolist() for column in block)
    assert first == second
    return list(first)


def test_every_item_is_handed_out_once_and_in_order_while_the_ring_goes_round() -> None:
    with BackgroundPool(_counting(), 10, batch=3) as pool:
        seen: list[int] = []
        for wanted in (4, 7, 1, 10, 3, 9, 2):
            assert pool.wait(wanted, 10)
            seen += _numbers(pool.draw(wanted))
        assert seen == list(range(1, 37))
        assert pool.drawn == 36


def test_the_stock_stops_at_the_capacity() -> None:
    with BackgroundPool(_counting(), 10, batch=4) as pool:
        assert pool.wait(10_000, 10)
        assert pool.stock == 10
        assert len(_numbers(pool.draw(50))) == 10


def test_threads_that_draw_at_once_never_share_an_item() -> None:
    seen: list[int] = []
    with BackgroundPool(_counting(), 64, batch=8) as pool:

        def drain() -> None:
            mine: list[int] = []
            while len(mine) < 300:
                mine += _numbers(pool.draw(7))
            seen.extend(mine)

        threads = [threading.Thread(target=drain) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(seen) == len(set(seen)) == pool.drawn >= 1200


def test_nothing_is_made_while_the_pool_is_paused_and_pauses_nest() -> None:
    with BackgroundPool(_counting(), 1000, batch=1) as pool:
        with pool.paused():
            with pool.paused():
                pass
            time.sleep(0.02)  # a batch that had begun
            before = pool.stock
            time.sleep(0.05)
            assert pool.stock == before
        assert pool.wait(1000, 10)


def test_what_the_stock_lacks_is_made_in_the_foreground() -> None:
    with BackgroundPool(_counting(), 5) as pool:
        assert pool.wait(5, 10)
        with pool.paused():
            block = pool.draw_or_make(8, _counting(1000))
            assert _numbers(block) == [1, 2, 3, 4, 5, 1000, 1001, 1002]
            assert pool.drawn == 8


def test_items_are_gone_when_making_the_rest_fails() -> None:
    def fail(_: int) -> Block:
        raise OSError("no more")

    with BackgroundPool(_counting(), 5) as pool:
        assert pool.wait(5, 10)
        with pool.paused():
            with pytest.raises(OSError, match="no more"):
                pool.draw_or_make(8, fail)
            assert pool.stock == 0
        assert pool.wait(1, 10)
        assert min(_numbers(pool.draw(5))) == 6


def test_what_was_drawn_is_wiped_from_the_ring() -> None:
    with BackgroundPool(_counting(), 5) as pool:
        assert pool.wait(5, 10)
        with pool.paused():
            pool.draw(3)
            ring = pool._stock._ring[0].view(np.uint64).reshape(-1).tolist()
            assert ring == [0, 0, 0, 4, 5]


def test_a_capacity_of_zero_makes_nothing_ahead() -> None:
    with BackgroundPool(_counting(), 0) as pool:
        assert pool.draw(3) is None
        assert _numbers(pool.draw_or_make(2, _counting())) == [1, 2]


def test_a_failure_in_the_background_is_raised_at_the_next_draw() -> None:
    def fail(_: int) -> Block:
        raise RuntimeError("no entropy")

    with BackgroundPool(fail, 5) as pool:
        assert not pool.wait(1, 10)
        with pytest.raises(RuntimeError, match="no entropy"):
            pool.draw(1)


def test_a_closed_pool_ends_its_thread_and_gives_nothing() -> None:
    pool = BackgroundPool(_counting(), 5)
    assert pool.wait(5, 10)
    thread = pool._stock._thread
    pool.close()
    pool.close()
    assert thread is not None
    assert not thread.is_alive()
    assert pool.draw(1) is None
    assert _numbers(pool.draw_or_make(1, _counting(7))) == [7]


def test_a_pool_that_is_dropped_ends_its_thread() -> None:
    pool = BackgroundPool(_counting(), 5)
    thread = pool._stock._thread
    del pool
    gc.collect()
    assert thread is not None
    thread.join(5)
    assert not thread.is_alive()


def test_a_pool_is_neither_pickled_nor_copied() -> None:
    with BackgroundPool(_counting(), 5) as pool:
        for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="stays in the process"):
                attempt(pool)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("hooks", [True, False])
def test_a_fork_begins_with_an_empty_pool_of_its_own(hooks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hooks:  # a fork by C code, which runs no hooks of Python's
        monkeypatch.setattr("fedchain.compute.pool._pools", set())
    made_by: list[int] = []

    def make(count: int) -> Block:
        made_by.append(os.getpid())
        return _counting()(count)

    with BackgroundPool(make, 5) as pool:
        assert pool.wait(5, 10)
        with pool.paused():
            child = os.fork()
            if child == 0:
                try:
                    made_by.clear()
                    assert pool.drawn == 0
                    assert pool.wait(5, 10)
                    assert set(made_by) == {os.getpid()}
                    os._exit(0)
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(1)
            _, status = os.waitpid(child, 0)
        assert status == 0
        assert pool.stock == 5


@pytest.mark.parametrize(("capacity", "batch"), [(-1, 1), (5, 0)])
def test_nonsense_is_refused(capacity: int, batch: int) -> None:
    with pytest.raises(ConfigError, match="need 0 or more"):
        BackgroundPool(_counting(), capacity, batch)
    with BackgroundPool(_counting(), 1) as pool, pytest.raises(ValueError, match="cannot draw -1"):
        pool.draw(-1)
