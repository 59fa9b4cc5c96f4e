from __future__ import annotations

import numpy as np
import pytest
from coincurve._libsecp256k1 import lib
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedchain.crypto import curve, pairs
from fedchain.crypto.curve import ORDER
from fedchain.crypto.pairs import mark
from fedchain.crypto.tables import generator_table

LIMIT = 40
quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=["pairs", "combine"], autouse=True)
def _with_and_without_pairs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "combine":
        monkeypatch.setattr(pairs, "mark", lambda: None)


@pytest.fixture(scope="module")
def multiples() -> np.ndarray:
    """(2 * LIMIT, 64): k·G for k = -LIMIT … -1, 1 … LIMIT."""
    return generator_table().multiply_base([k for k in range(-LIMIT, LIMIT + 1) if k]).structs


def _place(k: int) -> int:
    return k + LIMIT - (k > 0)


def _structs(values: list[int]) -> np.ndarray:
    points = generator_table().multiply_base([v % ORDER for v in values])
    return points.structs


factor = st.integers(1, LIMIT) | st.integers(-LIMIT, -1)


def test_the_pinned_library_sums_pairs() -> None:
    assert len(mark() or b"") == 4


def test_a_library_without_sums_of_pairs_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "lib", object())
    assert mark.__wrapped__() is None


def test_a_library_that_sums_pairs_otherwise_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        secp256k1_musig_pubnonce_parse = staticmethod(lib.secp256k1_musig_pubnonce_parse)

        @staticmethod
        def secp256k1_musig_nonce_agg(context: object, out: object, inputs: object, count: int) -> int:
            return int(lib.secp256k1_musig_nonce_agg(context, out, inputs, count - 1))

    monkeypatch.setattr(pairs, "lib", Other)
    assert mark.__wrapped__() is None


@quick
@given(values=st.lists(st.tuples(factor, factor), max_size=9))
def test_sums_of_two_equal_scalar_arithmetic_with_doublings_and_cancellation(
    values: list[tuple[int, int]], multiples: np.ndarray
) -> None:
    left, right = (multiples[[_place(pair[i]) for pair in values]] for i in (0, 1))
    sums, infinity = pairs.add(left, right)
    assert infinity.tolist() == [a + b == 0 for a, b in values]
    assert (sums == _structs([a + b for a, b in values])).all()


@quick
@given(data=st.data(), count=st.integers(1, 7), width=st.integers(1, 6))
def test_sums_of_rows_equal_scalar_arithmetic(
    data: st.DataObject, count: int, width: int, multiples: np.ndarray
) -> None:
    factors = data.draw(st.lists(st.lists(factor, min_size=width, max_size=width), min_size=count, max_size=count))
    members = np.array([[_place(k) for k in row] for row in factors])
    expected = _structs([sum(row) for row in factors])
    for sources in ([multiples], [multiples[:17], multiples[17:]]):
        sums, infinity = pairs.sum_rows(sources, members)
        assert infinity.tolist() == [sum(row) == 0 for row in factors]
        assert (sums == expected).all()


def test_rows_over_several_buffers_keep_their_order(multiples: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "_GATHER_BYTES", 132 * 3 * 2)  # two rows at a time
    rng = np.random.default_rng(1)
    members = rng.integers(LIMIT, 2 * LIMIT, (11, 3))
    sums, infinity = pairs.sum_rows([multiples], members)
    assert not infinity.any()
    assert (sums == _structs((members - LIMIT + 1).sum(axis=1).tolist())).all()


@quick
@given(groups=st.lists(st.lists(st.tuples(factor, factor), min_size=1, max_size=6), min_size=1, max_size=5))
def test_groups_of_pairs_sum_by_component(groups: list[list[tuple[int, int]]], multiples: np.ndarray) -> None:
    flat = [pair for group in groups for pair in group]
    first, second = (multiples[[_place(pair[i]) for pair in flat]] for i in (0, 1))
    half = len(flat) // 2
    sources = [pairs.make(first[:half], second[:half]), pairs.gather(first, second, np.arange(half, len(flat)))]
    offsets = np.cumsum([0, *(len(group) for group in groups)])
    found = pairs.sum_groups(sources, np.arange(len(flat)), offsets)
    for i in (0, 1):
        totals = [sum(pair[i] for pair in group) for group in groups]
        assert found[2 + i].tolist() == [total == 0 for total in totals]
        assert (found[i] == _structs(totals)).all()


def test_no_groups_and_no_points_are_fine(multiples: np.ndarray) -> None:
    assert pairs.add(multiples[:0], multiples[:0])[0].shape == (0, 64)
    assert pairs.sum_rows([multiples], np.zeros((0, 3), np.int64))[0].shape == (0, 64)


def test_borrowed_items_are_those_asked_for_and_the_buffer_is_this_threads(multiples: np.ndarray) -> None:
    rows = np.array([5, 0, 5, 79], np.uint32)
    joined = pairs.make(multiples, multiples[::-1].copy())
    assert (pairs.borrow(multiples, rows) == multiples[rows]).all()
    assert (pairs.half(pairs.borrow(joined, rows), "second") == multiples[::-1][rows]).all()
    kept = pairs.borrow(multiples, rows[:2])
    assert np.shares_memory(kept, pairs.borrow(multiples, rows))


def test_the_library_zeroes_a_pair_that_cancels(multiples: np.ndarray) -> None:
    pair = pairs.make(multiples[[_place(3), _place(-3)]], multiples[[_place(-7), _place(7)]])
    first, second, *infinity = pairs.sum_groups([pair], np.arange(2), np.array([0, 2]))
    assert all(mask.all() for mask in infinity)
    assert not first.any()
    assert not second.any()
    assert curve.zeroed(first).all()
