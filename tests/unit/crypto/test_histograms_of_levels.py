from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedchain.compute.executor import Executor
from fedchain.crypto import histograms as module
from fedchain.crypto import pairs
from fedchain.crypto.ciphertexts import CipherRows, CipherSums, Ciphertexts
from fedchain.crypto.curve import ORDER
from fedchain.crypto.dlog import DlogTable
from fedchain.crypto.elgamal import KeyPair, ZeroPool, histogram, histograms
from fedchain.crypto.points import concat
from fedchain.errors import CryptoError

N_BINS = [3, 7, 1]
quick = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _plain(values: Any, nodes: list[Any], bins: Any, n_bins: list[int]) -> Any:
    return np.array(
        [
            values[rows][bins[rows, j] == b].sum(axis=0)
            for rows in nodes
            for j, count in enumerate(n_bins)
            for b in range(count)
        ]
    )


def _case(rows: int, columns: int = 2, seed: int = 1) -> tuple[Any, Any, list[Any]]:
    """Values, bins, and three nodes: one of half the rows, one of a few, one of none."""
    rng = np.random.default_rng(seed)
    bins = np.stack([rng.integers(0, count, rows) for count in N_BINS], axis=1).astype(np.uint8)
    order = rng.permutation(rows)
    return rng.integers(-60, 60, (rows, columns)), bins, [order[: rows // 2], order[rows // 2 :][:5], order[:0]]


def _structs(ciphertexts: Ciphertexts) -> set[bytes]:
    return {bytes(struct) for array in (ciphertexts.c1, *ciphertexts.c2) for struct in array.structs}


@quick
@given(data=st.data(), rows=st.integers(1, 14))
def test_a_level_equals_its_nodes_plaintext_sums(
    keys: KeyPair, dlog: DlogTable, data: st.DataObject, rows: int
) -> None:
    values, bins, _ = _case(rows, seed=rows)
    owner = np.array(data.draw(st.lists(st.integers(-1, 2), min_size=rows, max_size=rows)))
    nodes = [np.flatnonzero(owner == node) for node in range(3)]
    sums = histograms(keys.encrypt_rows(values), nodes, bins, N_BINS, keys.public)
    assert (keys.decrypt_sums(sums, 2000, dlog) == _plain(values, nodes, bins, N_BINS)).all()


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("sums_of_pairs", [True, False])
def test_row_chunks_and_tasks_of_any_size_give_the_same_sums(
    keys: KeyPair, dlog: DlogTable, monkeypatch: pytest.MonkeyPatch, jobs: int, sums_of_pairs: bool
) -> None:
    for name, size in (("CHUNK_ROWS", 37), ("MIN_CHUNK_ROWS", 10), ("TASK_MEMBERS", 9), ("MIN_TASK_MEMBERS", 4)):
        monkeypatch.setattr(module, name, size)
    if not sums_of_pairs:
        monkeypatch.setattr(pairs, "mark", lambda: None)
    values, bins, nodes = _case(200)
    sums = histograms(keys.encrypt_rows(values), nodes, bins, N_BINS, keys.public, Executor(jobs))
    assert (keys.decrypt_sums(sums, 60 * 200, dlog) == _plain(values, nodes, bins, N_BINS)).all()


def test_repeated_and_opposite_rows_add_up(keys: KeyPair, dlog: DlogTable) -> None:
    row = keys.encrypt_rows(np.array([[5, -7]]))
    negated = [concat([part, part.multiply(ORDER - 1)]) for part in (row.c1, *row.c2)]
    rows = CipherRows(negated[0], tuple(negated[1:]))  # r and -r: sums without a mask would be infinity
    bins = np.zeros((2, 1), np.uint8)
    for index, expected in (([0, 1], [0, 0]), ([0, 0, 0], [15, -21]), ([0, 0, 1], [5, -7])):
        sums = histogram(rows, np.array(index), bins, [1], keys.public)
        assert keys.decrypt_sums(sums, 30, dlog).tolist() == [expected]


@pytest.mark.parametrize("columns", [1, 2, 3, 6])
def test_any_number_of_columns_is_summed(columns: int, dlog: DlogTable) -> None:
    keys = KeyPair.generate(columns)
    values, bins, nodes = _case(40, columns)
    sums = histograms(keys.encrypt_rows(values), nodes, bins, N_BINS, keys.public)
    assert (keys.decrypt_sums(sums, 2000, dlog) == _plain(values, nodes, bins, N_BINS)).all()


def test_the_columns_of_one_class_are_summed_and_decrypted_alone(dlog: DlogTable) -> None:
    keys = KeyPair.generate(6)
    values, bins, nodes = _case(40, 6)
    rows = keys.encrypt_rows(values)
    with ZeroPool(keys.public, 10) as zeros:
        for chosen in ((2, 3), (5, 0), (4,)):
            sums = histograms(rows, nodes, bins, N_BINS, keys.public, zeros=zeros, columns=chosen)
            assert sums.columns == len(chosen)
            received = CipherSums.from_bytes(sums.to_bytes(), len(sums), len(chosen), "partner")
            found = keys.decrypt_sums(received, 2000, dlog, columns=chosen)
            assert (found == _plain(values[:, list(chosen)], nodes, bins, N_BINS)).all()


@pytest.mark.parametrize("columns", [(), (2,), (-1,), (0, 0)])
def test_columns_that_the_key_lacks_are_refused(keys: KeyPair, dlog: DlogTable, columns: tuple[int, ...]) -> None:
    values, bins, nodes = _case(10)
    rows = keys.encrypt_rows(values)
    with pytest.raises(CryptoError, match="columns"):
        histograms(rows, nodes, bins, N_BINS, keys.public, columns=columns)
    with pytest.raises(CryptoError, match="columns"):
        keys.decrypt_sums(rows, 100, dlog, columns=columns)


def test_the_wrong_number_of_columns_is_not_decrypted(keys: KeyPair, dlog: DlogTable) -> None:
    rows = keys.encrypt_rows(np.array([[1, 2]]))
    with pytest.raises(CryptoError, match="2 columns, the key has 1"):
        keys.decrypt_sums(rows, 100, dlog, columns=(1,))


def test_each_sum_takes_one_zero_from_the_pool_and_shows_no_row(keys: KeyPair, dlog: DlogTable) -> None:
    values, bins, _ = _case(12)
    rows, nodes = keys.encrypt_rows(values), [np.array([4]), np.array([], np.int64)]
    with ZeroPool(keys.public, 30, batch=10) as zeros:
        assert zeros.wait(30, 30)
        results = []
        for _ in range(3):
            with zeros.paused():
                results.append(histograms(rows, nodes, bins, N_BINS, keys.public, Executor(2), zeros))
        assert zeros.drawn == 3 * 2 * sum(N_BINS)
        for sums in results:
            assert (keys.decrypt_sums(sums, 60, dlog) == _plain(values, nodes, bins, N_BINS)).all()
    everything = [_structs(sums) for sums in results]
    assert len(set().union(*everything)) == 3 * 3 * 2 * sum(N_BINS)
    assert not _structs(rows) & set().union(*everything)


def test_zeros_are_spent_when_the_sums_fail(keys: KeyPair) -> None:
    values, bins, nodes = _case(12)
    with ZeroPool(keys.public, 40) as zeros:
        assert zeros.wait(40, 30)
        with zeros.paused():
            with pytest.raises(CryptoError, match="feature 1 has a bin outside 0 … 1"):
                histograms(keys.encrypt_rows(values), nodes, bins, [3, 2, 1], keys.public, zeros=zeros)
            assert zeros.stock == 40 - 3 * 6


def test_zeros_of_another_key_are_refused(keys: KeyPair) -> None:
    values, bins, nodes = _case(12)
    with ZeroPool(KeyPair.generate(2).public, 0) as zeros, pytest.raises(CryptoError, match="another key"):
        histograms(keys.encrypt_rows(values), nodes, bins, N_BINS, keys.public, zeros=zeros)


def test_no_nodes_give_no_sums(keys: KeyPair) -> None:
    values, bins, _ = _case(12)
    assert len(histograms(keys.encrypt_rows(values), [], bins, N_BINS, keys.public)) == 0
