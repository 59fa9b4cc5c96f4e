"""Serials are reserved ahead, in ranges that grow, and never beyond the quota."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fedchain.chain.inference import Reservation, Usage
from fedchain.errors import ChainUnreachableError, QuotaExceededError
from fedchain.node.online.reserving import FIRST_RANGE, LARGEST_RANGE, Reservations
from fedchain.types import JobId

JOB = JobId("0x" + "5c" * 32)


class Router:
    """The contract's count of one requester."""

    def __init__(self, quota: int) -> None:
        self.quota, self.next, self.used, self.window = quota, 0, 0, 3
        self.counts: list[int] = []
        self.lock = threading.Lock()

    def reserved(self, job_id: JobId, address: str) -> Usage:
        return Usage(self.next, self.used, self.window)

    def reserve(self, job_id: JobId, count: int) -> Reservation:
        with self.lock:
            if self.used + count > self.quota:
                raise QuotaExceededError(job_id, self.quota - self.used, 400)
            first, self.next, self.used = self.next, self.next + count, self.used + count
            self.counts.append(count)
            return Reservation(first, count, self.window)


def reservations(router: Router, now: list[float] | None = None) -> Reservations:
    times = [0.0] if now is None else now
    consortium: Any = SimpleNamespace(inference=router)
    return Reservations(consortium, JOB, "0xaa", quota=router.quota, window_seconds=100, clock=lambda: times[0])


def test_serials_are_handed_out_once_by_many_threads() -> None:
    router = Router(10**6)
    mine = reservations(router)
    with ThreadPoolExecutor(16) as pool:
        firsts = list(pool.map(lambda place: (mine.take(1 + place % 3), 1 + place % 3), range(3000)))
    mine.close()
    taken = [serial for first, rows in firsts for serial in range(first, first + rows)]
    assert len(set(taken)) == len(taken) == 6000
    assert max(taken) < router.next
    assert router.counts[0] == FIRST_RANGE
    assert max(router.counts) <= LARGEST_RANGE
    assert len(router.counts) < 20, "ranges grow while they are used up quickly"


def test_slow_use_reserves_little() -> None:
    router, now = Router(10**6), [0.0]
    mine = reservations(router, now)
    for _ in range(3 * FIRST_RANGE):
        now[0] += 100
        mine.take(1)
    mine.close()
    assert set(router.counts) == {FIRST_RANGE}


def test_the_quota_is_used_up_to_its_end_and_then_says_until_when() -> None:
    router, now = Router(40), [0.0]
    mine = reservations(router, now)
    assert sorted(mine.take(1) for _ in range(40)) == list(range(40))
    with pytest.raises(QuotaExceededError, match="leaves 0 rows until 1970-01-01 00:06:40 UTC") as refused:
        mine.take(1)
    assert (refused.value.left, refused.value.window_ends) == (0, 400)
    router.used, router.window = 0, 4
    with pytest.raises(QuotaExceededError):
        mine.take(1)  # not asked for again so soon
    now[0] += 2
    assert mine.take(1) == 40
    mine.close()


def test_more_rows_than_are_left_are_refused_and_fewer_are_not() -> None:
    mine = reservations(Router(10))
    with pytest.raises(QuotaExceededError, match="leaves 10 rows"):
        mine.take(11)
    assert mine.take(10) == 0
    mine.close()


def test_serials_below_a_floor_are_given_up() -> None:
    router = Router(10**6)
    mine = reservations(router)
    assert mine.take(3) == 0
    mine.drop_below(10)
    assert mine.take(3) == 10
    mine.drop_below(router.next)
    assert mine.take(1) >= FIRST_RANGE
    mine.close()


def test_a_batch_reserves_all_its_rows_at_once_and_nobody_else_takes_them() -> None:
    router = Router(300_000)
    mine = reservations(router)
    mine.take(1)  # leaves a short range, in which no chunk has room
    batch = mine.set_apart(200_000)
    before = list(router.counts)
    assert before[-1] == 200_000
    other = mine.set_apart(50_000)  # a second batch, and rows asked for one by one
    singles = [mine.take(1) for _ in range(100)]
    firsts = [batch.take(65_536) for _ in range(3)] + [batch.take(200_000 - 3 * 65_536)]
    assert np.diff(firsts).tolist() == [65_536] * 3
    others = other.take(50_000)
    mine.close()
    taken = [*range(firsts[0], firsts[0] + 200_000), *range(others, others + 50_000), *singles]
    assert len(set(taken)) == len(taken)
    assert router.counts.count(200_000) == router.counts.count(50_000) == 1


def test_what_a_batch_did_not_use_is_for_the_next() -> None:
    router = Router(200_000)
    mine = reservations(router)
    batch = mine.set_apart(200_000)
    assert batch.take(65_536) == 0
    batch.give_back()
    again = mine.set_apart(200_000 - 65_536)
    assert again.take(65_536) == 65_536
    assert router.counts == [200_000]
    with pytest.raises(QuotaExceededError):
        batch.take(1)  # nothing is left to it, nor to anybody
    mine.close()


def test_a_chunk_that_is_asked_for_again_counts_again_and_dropped_serials_are_not_taken() -> None:
    router = Router(10**6)
    mine = reservations(router)
    batch = mine.set_apart(1000)
    assert batch.take(1000) == 0
    assert batch.take(1000) == 1000
    assert batch.next_on_chain() == mine.next_on_chain() == router.next
    batch = mine.set_apart(1000)
    batch.drop_below(router.next - 10)
    assert batch.take(10) == router.next - 10
    mine.close()


def test_a_batch_beyond_the_quota_reserves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedchain.node.online.reserving.MOST", 100)
    router = Router(350)
    mine = reservations(router)
    with pytest.raises(QuotaExceededError, match="leaves 350 rows"):
        mine.set_apart(351)
    assert router.counts == []
    batch = mine.set_apart(350)
    assert router.counts == [100, 100, 100, 50]
    assert batch.take(170) == 0  # across reservations that follow each other
    mine.close()


def test_what_was_reserved_before_the_chain_went_away_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedchain.node.online.reserving.MOST", 100)
    router = Router(1000)
    mine = reservations(router)
    reserve = router.reserve

    def once(job_id: JobId, count: int) -> Reservation:
        if router.counts:
            raise ChainUnreachableError("cannot reach the chain")
        return reserve(job_id, count)

    monkeypatch.setattr(router, "reserve", once)
    with pytest.raises(ChainUnreachableError):
        mine.set_apart(200)
    assert mine.take(100) == 0
    mine.close()
