from __future__ import annotations

import threading
import time

import joblib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.compute.executor import Executor, chunks, default_executor
from fedchain.errors import ConfigError


def _square(x: int) -> int:
    return x * x


@given(st.integers(0, 500), st.integers(1, 60))
def test_chunks_cover_the_range_once_and_in_order(n: int, size: int) -> None:
    cuts = chunks(n, size)
    assert [i for cut in cuts for i in range(n)[cut]] == list(range(n))
    assert all(0 < cut.stop - cut.start <= size for cut in cuts)


@pytest.mark.parametrize(("n", "size"), [(-1, 2), (3, 0)])
def test_chunks_refuse_nonsense(n: int, size: int) -> None:
    with pytest.raises(ValueError, match="need n >= 0"):
        chunks(n, size)


@pytest.mark.parametrize(("n_jobs", "backend"), [(1, "threading"), (3, "threading"), (2, "sequential"), (2, "loky")])
def test_results_come_back_in_order_on_every_backend(n_jobs: int, backend: str) -> None:
    assert Executor(n_jobs, backend).map(_square, range(50)) == [i * i for i in range(50)]


def test_order_holds_when_the_first_chunk_is_the_slowest() -> None:
    def wait(i: int) -> int:
        time.sleep(0.03 if i == 0 else 0)
        return i

    assert Executor(4).map(wait, range(8)) == list(range(8))


def test_one_job_runs_in_the_calling_thread() -> None:
    names = Executor(1).map(lambda _: threading.current_thread().name, range(4))
    assert set(names) == {threading.current_thread().name}


def test_threads_are_kept_between_calls() -> None:
    executor = Executor(2)
    barrier = threading.Barrier(2)

    def who(_: int) -> int:
        barrier.wait(5)
        return threading.get_ident()

    assert set(executor.map(who, range(2))) == set(executor.map(who, range(2)))


def test_the_first_error_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        Executor(2).map(lambda x: 1 // x, [1, 0, 2])


def test_no_items_give_no_results() -> None:
    assert default_executor().map(_square, []) == []


def test_an_unknown_backend_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="abacus"):
        Executor(2, "abacus")


def test_fewer_than_one_worker_is_refused() -> None:
    with pytest.raises(ConfigError, match="n_jobs is 0"):
        Executor(0)


def test_a_backend_registered_with_joblib_is_used_by_its_name() -> None:
    used = []

    class Recording(joblib.parallel.SequentialBackend):  # type: ignore[misc]
        def configure(self, *args: object, **kwargs: object) -> int:
            used.append(True)
            return int(super().configure(*args, **kwargs))

    joblib.register_parallel_backend("recording", Recording)
    assert Executor(2, "recording").map(_square, range(3)) == [0, 1, 4]
    assert used
