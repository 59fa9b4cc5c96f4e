from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedchain.compute.executor import Executor
from fedchain.crypto.ciphertexts import CipherSums
from fedchain.crypto.dlog import DlogTable
from fedchain.crypto.elgamal import KeyPair, PublicKey, histogram, public_encrypt
from fedchain.errors import CryptoError


def _plain_histogram(values: Any, rows: Any, bins: Any, n_bins: list[int]) -> Any:
    sums = np.zeros((sum(n_bins), values.shape[1]), np.int64)
    for feature in range(bins.shape[1]):
        np.add.at(sums, sum(n_bins[:feature]) + bins[rows, feature].astype(np.int64), values[rows])
    return sums


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_histogram_decrypts_to_the_plaintext_sums(keys: KeyPair, dlog: DlogTable, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 12))
    n_bins = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    cell = st.integers(-300, 300)
    values = np.array(data.draw(st.lists(st.tuples(cell, cell), min_size=n, max_size=n)), np.int64)
    bins = np.array(
        [[data.draw(st.integers(0, b - 1)) for b in n_bins] for _ in range(n)],
        data.draw(st.sampled_from([np.uint8, np.int16, np.int64])),
    )
    rows = np.array(data.draw(st.lists(st.integers(0, n - 1), unique=True, max_size=n)), np.int64)
    sums = histogram(keys.encrypt_rows(values), rows, bins, n_bins, keys.public)
    received = CipherSums.from_bytes(sums.to_bytes(), sum(n_bins), 2, "partner")
    expected = _plain_histogram(values, rows, bins, n_bins)
    assert (keys.decrypt_sums(received, 300 * 12, dlog) == expected).all()


def test_many_rows_and_features_in_parallel(keys: KeyPair, dlog: DlogTable) -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(-50, 50, (600, 2))
    bins = rng.integers(0, 32, (600, 4)).astype(np.uint8)
    rows = rng.permutation(600)[:350]
    cipher_rows = public_encrypt(keys.public, values)
    expected = _plain_histogram(values, rows, bins, [32] * 4)
    for executor in (Executor(1), Executor(2)):
        sums = histogram(cipher_rows, rows, bins, [32] * 4, keys.public, executor)
        assert (keys.decrypt_sums(sums, 50 * 350, dlog) == expected).all()


def test_a_sum_of_exactly_zero_decrypts_to_zero(keys: KeyPair, dlog: DlogTable) -> None:
    values = np.array([[5, 0], [-5, 0]])
    sums = histogram(keys.encrypt_rows(values), np.arange(2), np.zeros((2, 1), np.uint8), [1], keys.public)
    assert keys.decrypt_sums(sums, 10, dlog).tolist() == [[0, 0]]


def test_empty_bins_and_empty_nodes_are_fresh_encryptions_of_zero(keys: KeyPair, dlog: DlogTable) -> None:
    rows = keys.encrypt_rows(np.array([[5, 6]]))
    none = np.zeros(0, np.int64)
    first, second = (histogram(rows, none, np.zeros((1, 1), np.uint8), [3], keys.public) for _ in range(2))
    assert (keys.decrypt_sums(first, 10, dlog) == 0).all()
    structs = np.concatenate([a.structs for s in (first, second) for a in (s.c1, *s.c2)])
    assert len(np.unique(structs, axis=0)) == 18


def test_a_one_row_bin_equals_neither_that_rows_ciphertext_nor_itself_again(keys: KeyPair) -> None:
    """Without the mask, the sum of first components would be the fingerprint of a bin's rows."""
    rows = keys.encrypt_rows(np.array([[5, 6]]))
    bins = np.zeros((1, 1), np.uint8)
    first, second = (histogram(rows, np.array([0]), bins, [1], keys.public) for _ in range(2))
    for components in zip((rows.c1, *rows.c2), (first.c1, *first.c2), (second.c1, *second.c2), strict=True):
        assert len({bytes(c.structs[0]) for c in components}) == 3


def test_the_same_mask_is_never_shared_between_bins(keys: KeyPair) -> None:
    rows = keys.encrypt_rows(np.zeros((1, 2), np.int64))
    sums = histogram(rows, np.zeros(0, np.int64), np.zeros((1, 5), np.uint8), [32] * 5, keys.public)
    assert len(np.unique(sums.c1.structs, axis=0)) == 160


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bin_matrix": np.zeros((3, 2), np.uint8)}, "bins have shape"),
        ({"bin_matrix": np.zeros((2, 1), np.uint8)}, "bins have shape"),
        ({"bin_matrix": np.full((3, 1), 2, np.uint8)}, "outside 0 … 1"),
        ({"bin_matrix": np.full((3, 1), -1)}, "outside 0 … 1"),
        ({"n_bins": []}, "bins have shape"),
        ({"n_bins": [0]}, "at least one bin"),
        ({"row_index": np.array([0, 3])}, "row positions"),
        ({"row_index": np.array([-1])}, "row positions"),
        ({"row_index": np.array([[0]])}, "row positions"),
    ],
)
def test_indices_that_would_read_foreign_memory_are_refused(
    keys: KeyPair, change: dict[str, Any], message: str
) -> None:
    arguments: dict[str, Any] = {
        "cipher_rows": keys.encrypt_rows(np.zeros((3, 2), np.int64)),
        "row_index": np.arange(3),
        "bin_matrix": np.zeros((3, 1), np.uint8),
        "n_bins": [2],
        "public_key": keys.public,
    }
    with pytest.raises(CryptoError, match=message):
        histogram(**(arguments | change))


def test_a_key_with_other_columns_is_refused(keys: KeyPair) -> None:
    rows = keys.encrypt_rows(np.zeros((1, 2), np.int64))
    other: PublicKey = KeyPair.generate(1).public
    with pytest.raises(CryptoError, match="the key has 1"):
        histogram(rows, np.array([0]), np.zeros((1, 1), np.uint8), [1], other)
