"""Closed and open loops: what counts as a latency, and that failures are told."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from fedchain.bench.inference import InferenceBench
from fedchain.bench.inference_load import Load, _arrivals, closed_loop, open_loop
from fedchain.errors import ConfigError


def test_percentiles_and_what_went_through() -> None:
    found = Load([float(one) for one in range(1, 101)], 10.0, 0).as_dict()
    assert found["p50_ms"] == pytest.approx(50.5)
    assert found["p99_ms"] == pytest.approx(99.01)
    assert found["requests_per_second"] == 10.0


def test_so_many_clients_call_at_a_time_and_failures_are_counted() -> None:
    together = threading.Barrier(4, timeout=30)
    calls = itertools.count()

    def call() -> None:
        if next(calls) < 4:
            together.wait()  # breaks unless all four clients are there
        else:
            raise ValueError("no more")

    load = closed_loop(call, 4, 0.05)
    assert len(load.latencies_ms) == 4
    assert load.failed > 0
    assert load.error == "ValueError: no more"


def test_arrivals_do_not_wait_for_answers_and_latency_counts_from_when_a_call_was_due() -> None:
    with ThreadPoolExecutor(1) as pool:  # answers one after the other: what is due meanwhile waits
        load = open_loop(lambda: pool.submit(time.sleep, 0.01), 500.0, 0.2, 7)
    arrivals = _arrivals(500.0, 0.2, 7)
    assert len(load.latencies_ms) == len(arrivals) > 50
    assert load.failed == 0
    assert max(load.latencies_ms) > 1000 * (0.01 * len(arrivals) - arrivals[-1]) * 0.9


def test_calls_that_fail_are_told_with_the_first_ones_words() -> None:
    def begin() -> Future[None]:
        future: Future[None] = Future()
        future.set_exception(ValueError("refused"))
        return future

    load = open_loop(begin, 100.0, 0.1, 7)
    assert (load.latencies_ms, load.error) == ([], "refused")
    assert load.failed == len(_arrivals(100.0, 0.1, 7))


@pytest.mark.parametrize(
    ("bench", "says"),
    [
        (InferenceBench(mode="offline"), "--mode offline: choose one of online, strict, batch"),
        (InferenceBench(chain="embedded"), "--block-time 1: choose anvil, or 0"),
        (InferenceBench(mode="batch", rate=5.0), "--rate: an open loop is for --mode online"),
        (InferenceBench(clients=0), "--clients 1 to 64"),
    ],
)
def test_settings_out_of_range_are_told(bench: InferenceBench, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        bench.spec()


def test_the_job_is_of_three_parties_with_room_for_all_requests() -> None:
    spec = InferenceBench().spec()
    assert len(spec.names) == 3
    assert (spec.algorithm.trees, spec.algorithm.depth) == (50, 5)
    assert spec.inference.quota == 10**9
