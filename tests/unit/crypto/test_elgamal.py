from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedchain.compute.executor import Executor
from fedchain.crypto import elgamal
from fedchain.crypto.ciphertexts import MAX_COLUMNS, CipherRows, CipherSums, Ciphertexts
from fedchain.crypto.curve import ORDER
from fedchain.crypto.dlog import DlogTable
from fedchain.crypto.elgamal import KeyPair, PublicKey, public_encrypt
from fedchain.crypto.points import PointArray, concat, generator
from fedchain.crypto.tables import generator_table
from fedchain.errors import CryptoError, DecryptionRangeError, InvalidPointError

values_of_two_columns = st.lists(st.tuples(st.integers(-4096, 4096), st.integers(0, 4096)), min_size=1, max_size=8)


def _components(ciphertexts: Ciphertexts) -> list[bytes]:
    return [bytes(struct) for array in (ciphertexts.c1, *ciphertexts.c2) for struct in array.structs]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=values_of_two_columns)
def test_rows_decrypt_to_what_was_encrypted(keys: KeyPair, dlog: DlogTable, values: list[tuple[int, int]]) -> None:
    plain = np.array(values, np.int64)
    assert (keys.decrypt_sums(keys.encrypt_rows(plain), 4096, dlog) == plain).all()
    assert (keys.decrypt_sums(public_encrypt(keys.public, plain), 4096, dlog) == plain).all()


@pytest.mark.parametrize("columns", [1, 3])
def test_any_number_of_columns_shares_one_mask_per_row(columns: int, dlog: DlogTable) -> None:
    keys = KeyPair.generate(columns)
    plain = np.arange(5 * columns).reshape(5, columns) - 6
    rows = keys.encrypt_rows(plain)
    assert len(rows.c2) == columns
    assert (keys.decrypt_sums(rows, 100, dlog) == plain).all()


def test_equal_plaintexts_encrypt_differently_in_every_component(keys: KeyPair) -> None:
    rows = keys.encrypt_rows(np.full((2000, 2), 7))
    again = keys.encrypt_rows(np.full((2000, 2), 7))
    everything = _components(rows) + _components(again)
    assert len(set(everything)) == len(everything) == 12000


def test_no_component_is_a_bare_plaintext_times_g(keys: KeyPair) -> None:
    plain = np.stack([np.arange(-100, 100), np.zeros(200)], axis=1).astype(np.int64)
    bare = generator_table().multiply_base([m for m in range(-200, 201) if m])
    seen = {bytes(struct) for struct in bare.structs}
    for rows in (keys.encrypt_rows(plain), public_encrypt(keys.public, plain)):
        assert not seen & set(_components(rows))


def test_rows_split_over_chunks_and_workers_keep_their_order(
    keys: KeyPair, dlog: DlogTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elgamal, "ENCRYPT_CHUNK", 7)
    plain = np.stack([np.arange(50), -np.arange(50)], axis=1)
    for executor in (Executor(1), Executor(3)):
        assert (keys.decrypt_sums(keys.encrypt_rows(plain, executor), 50, dlog, executor) == plain).all()


def test_processes_encrypt_with_their_own_randomness(keys: KeyPair, dlog: DlogTable) -> None:
    plain = np.full((1100, 2), 3)
    rows = keys.encrypt_rows(plain, Executor(2, "loky"))
    assert len(set(_components(rows))) == 3300
    assert (keys.decrypt_sums(rows[::100], 5, dlog) == 3).all()


def test_a_key_pair_shows_no_secret_and_draws_new_ones_each_time() -> None:
    first, second = KeyPair.generate(2), KeyPair.generate(2)
    assert repr(first) == "KeyPair(columns=2)"
    assert len({bytes(s) for s in concat([first.public.points, second.public.points]).structs}) == 4


@pytest.mark.parametrize("secrets", [(0,), (ORDER,), (-1,), (5, 5), (5, ORDER - 5), (1,), (ORDER - 1,), ()])
def test_unsafe_secrets_are_refused(secrets: tuple[int, ...]) -> None:
    with pytest.raises(CryptoError):
        KeyPair(secrets)


@pytest.mark.parametrize("columns", [0, -1, MAX_COLUMNS + 1])
def test_a_number_of_columns_out_of_bounds_is_refused(columns: int) -> None:
    with pytest.raises(CryptoError, match="columns"):
        KeyPair.generate(columns)


def test_a_public_key_survives_its_bytes(keys: KeyPair) -> None:
    encoded = keys.public.to_bytes()
    assert len(encoded) == 66
    assert PublicKey.from_bytes(encoded, 2, "op").to_bytes() == encoded


def test_a_malformed_public_key_is_refused_with_its_sender(keys: KeyPair) -> None:
    good = keys.public.to_bytes()
    negated = bytes([good[0] ^ 1]) + good[1:33]
    g = generator().to_sec1(compressed=True)
    for data in (good[:-1], good + b"\x00", good[:33] * 2, good[:33] + negated, good[:33] + g, b"\x02" * 66, bytes(66)):
        with pytest.raises(InvalidPointError, match="mallory"):
            PublicKey.from_bytes(data, 2, "mallory")
    with pytest.raises(InvalidPointError, match="mallory"):
        PublicKey.from_bytes(b"", 0, "mallory")


@pytest.mark.parametrize("kind", [CipherRows, CipherSums])
def test_ciphertexts_survive_their_bytes(kind: type[Ciphertexts], keys: KeyPair, dlog: DlogTable) -> None:
    plain = np.array([[1, -2], [3, 4], [0, 0]])
    rows = keys.encrypt_rows(plain)
    encoded = kind(rows.c1, rows.c2).to_bytes()
    assert len(encoded) == kind.byte_size(3, 2) == 9 * (33 if kind is CipherSums else 65)
    again = kind.from_bytes(encoded, 3, 2, "op")
    assert _components(again) == _components(rows)
    assert isinstance(again, (CipherRows, CipherSums))
    assert (keys.decrypt_sums(again, 5, dlog) == plain).all()


@pytest.mark.parametrize(("count", "columns"), [(2, 2), (4, 2), (3, 1), (3, 0), (-1, 2), (3, MAX_COLUMNS + 1)])
def test_ciphertexts_of_another_size_are_refused(keys: KeyPair, count: int, columns: int) -> None:
    encoded = keys.encrypt_rows(np.zeros((3, 2), np.int64)).to_bytes()
    with pytest.raises(InvalidPointError, match="mallory"):
        CipherRows.from_bytes(encoded, count, columns, "mallory")


def test_unequal_components_are_refused(keys: KeyPair) -> None:
    rows = keys.encrypt_rows(np.zeros((3, 2), np.int64))
    with pytest.raises(CryptoError, match="one length"):
        CipherRows(rows.c1, (rows.c2[0], rows.c2[1][:2]))
    with pytest.raises(CryptoError, match="columns"):
        CipherRows(rows.c1, ())
    with pytest.raises(InvalidPointError, match="infinity"):
        CipherRows(PointArray(np.zeros((1, 64), np.uint8), np.array([True])), (rows.c2[0][:1],))


@pytest.mark.parametrize("values", [np.zeros(3, int), np.zeros((3, 1), int), np.zeros((3, 2))])
def test_plaintexts_of_another_shape_or_dtype_are_refused(keys: KeyPair, values: np.ndarray) -> None:
    with pytest.raises(CryptoError, match="plaintexts must be integers"):
        keys.encrypt_rows(values)
    with pytest.raises(CryptoError, match="plaintexts must be integers"):
        public_encrypt(keys.public, values)


def test_a_plaintext_beyond_the_bound_is_an_error_and_not_a_guess(keys: KeyPair, dlog: DlogTable) -> None:
    rows = keys.encrypt_rows(np.array([[0, 1001]]))
    assert keys.decrypt_sums(rows, 1001, dlog).tolist() == [[0, 1001]]
    with pytest.raises(DecryptionRangeError):
        keys.decrypt_sums(rows, 1000, dlog)


def test_another_key_does_not_decrypt(keys: KeyPair, dlog: DlogTable) -> None:
    rows = keys.encrypt_rows(np.array([[1, 2]]))
    with pytest.raises(DecryptionRangeError):
        KeyPair.generate(2).decrypt_sums(rows, 4096, dlog)
    with pytest.raises(CryptoError, match="columns"):
        KeyPair.generate(1).decrypt_sums(rows, 4096, dlog)


def test_no_rows_are_fine(keys: KeyPair, dlog: DlogTable) -> None:
    rows = keys.encrypt_rows(np.zeros((0, 2), np.int64))
    assert rows.to_bytes() == b""
    assert keys.decrypt_sums(CipherRows.from_bytes(b"", 0, 2, "op"), 10, dlog).shape == (0, 2)
    assert len(public_encrypt(keys.public, np.zeros((0, 2), np.int64))) == 0


def test_a_pair_is_the_same_again_from_its_secret_bytes(keys: KeyPair, dlog: DlogTable) -> None:
    again = KeyPair.from_secret_bytes(keys.secret_bytes())
    assert again.public.to_bytes() == keys.public.to_bytes()
    assert len(keys.secret_bytes()) == 32 * keys.columns
    plain = np.array([[-3, 5]])
    assert (again.decrypt_sums(keys.encrypt_rows(plain), 100, dlog) == plain).all()


@pytest.mark.parametrize(
    "raw", [b"", bytes(31), b"\x01" * 33, bytes(32), b"\xff" * 32, b"\x01" * 32 * (MAX_COLUMNS + 1)], ids=len
)
def test_secret_bytes_that_are_none_are_refused(raw: bytes) -> None:
    with pytest.raises(CryptoError):
        KeyPair.from_secret_bytes(raw)
