from __future__ import annotations

import copy
import os
import pickle
import traceback
from collections.abc import Iterator

import numpy as np
import pytest

from fedchain.compute.executor import Executor
from fedchain.compute.pool import Block
from fedchain.crypto import elgamal, masks
from fedchain.crypto.ciphertexts import CipherRows
from fedchain.crypto.dlog import DlogTable
from fedchain.crypto.elgamal import KeyPair
from fedchain.crypto.masks import SHIFT, SMALL_LIMIT, MaskPool, ZeroPool, small_multiples
from fedchain.crypto.points import PointArray
from fedchain.crypto.scalars import affine
from fedchain.crypto.tables import generator_table, offset_of
from fedchain.errors import CryptoError


@pytest.fixture
def pool(keys: KeyPair) -> Iterator[MaskPool]:
    with MaskPool(keys, 200, batch=50) as one:
        assert one.wait(200, 30)
        yield one


@pytest.fixture
def zeros(keys: KeyPair) -> Iterator[ZeroPool]:
    with ZeroPool(keys.public, 100, batch=50) as one:
        assert one.wait(100, 30)
        yield one


def _firsts(rows: CipherRows) -> list[bytes]:
    return [bytes(struct) for struct in rows.c1.structs]


def _as_rows(block: Block) -> CipherRows:
    return CipherRows(PointArray(block[0]), tuple(PointArray(column) for column in block[1:]))


def test_small_multiples_are_the_shifted_plaintexts() -> None:
    table = small_multiples()
    assert table.shape == (8193, 64)
    expected = generator_table().multiply_base([1, SHIFT, SHIFT + SMALL_LIMIT])
    assert (table[[0, SMALL_LIMIT, 2 * SMALL_LIMIT]] == expected.structs).all()


def test_rows_under_pooled_masks_decrypt_at_the_edges_of_the_small_table(
    keys: KeyPair, pool: MaskPool, dlog: DlogTable
) -> None:
    plain = np.array([[-SMALL_LIMIT, SMALL_LIMIT], [0, 0], [1, -1], [SMALL_LIMIT, -SMALL_LIMIT]])
    rows = keys.encrypt_rows(plain, masks=pool)
    assert pool.drawn == 4
    assert (keys.decrypt_sums(rows, SMALL_LIMIT, dlog) == plain).all()


def test_rows_beyond_the_stock_are_encrypted_in_order(keys: KeyPair, pool: MaskPool, dlog: DlogTable) -> None:
    plain = np.stack([np.arange(333), -np.arange(333)], axis=1)
    with pool.paused():
        rows = keys.encrypt_rows(plain, Executor(2), pool)
        assert pool.drawn == 200
        assert pool.stock == 0
    assert (keys.decrypt_sums(rows, 400, dlog) == plain).all()


def test_rows_in_batches_keep_their_order(
    keys: KeyPair, pool: MaskPool, dlog: DlogTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("BATCH_ROWS", 90), ("ADD_CHUNK", 20), ("ENCRYPT_CHUNK", 17)):
        monkeypatch.setattr(elgamal, name, size)
    plain = np.stack([np.arange(300), 7 - np.arange(300)], axis=1)
    rows = keys.encrypt_rows(plain, Executor(2), pool)
    assert (keys.decrypt_sums(rows, 400, dlog) == plain).all()


def test_plaintexts_beyond_the_small_table_take_no_mask(keys: KeyPair, pool: MaskPool, dlog: DlogTable) -> None:
    plain = np.array([[SMALL_LIMIT + 1, 0], [-SMALL_LIMIT - 1, 5]])
    rows = keys.encrypt_rows(plain, masks=pool)
    assert (keys.decrypt_sums(rows, SMALL_LIMIT + 1, dlog) == plain).all()
    assert pool.drawn == 0
    extreme = np.array([[-(2**63), 2**63 - 1]])  # no overflow lets them pass for small ones
    keys.encrypt_rows(extreme, masks=pool)
    assert pool.drawn == 0


def test_no_mask_is_ever_used_twice_over_retries_failures_and_new_pools(
    keys: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, seen, drawn, taken = np.full((40, 2), 3), [], 0, 0

    def fail(*_: object) -> Block:
        raise MemoryError("in the middle of a round")

    for _ in range(3):  # three restarts
        with MaskPool(keys, 60, batch=20) as pool:
            for attempt in range(4):
                assert pool.wait(40, 30)
                if attempt == 1:  # a failed attempt: its masks are gone
                    before = pool.drawn
                    with monkeypatch.context() as broken:
                        broken.setattr(elgamal, "encrypt_masked", fail)
                        with pytest.raises(MemoryError):
                            keys.encrypt_rows(plain, masks=pool)
                    assert pool.drawn == before + 40
                    continue
                seen += _firsts(keys.encrypt_rows(plain, masks=pool))
                block = pool.take(70)
                seen += [bytes(struct) for struct in block[0]]
                taken += 70
            drawn += pool.drawn
    assert len(seen) == len(set(seen)) == 3 * 3 * 110
    assert drawn == 3 * 4 * 40 + taken


def test_masks_taken_are_shifted_encryptions_of_nothing(keys: KeyPair, pool: MaskPool, dlog: DlogTable) -> None:
    found = keys.decrypt_sums(_as_rows(pool.take(230, Executor(2))), SHIFT, dlog)
    assert (found == -SHIFT).all()
    assert pool.drawn == 230


def test_zeros_decrypt_to_zero_and_never_repeat(keys: KeyPair, zeros: ZeroPool, dlog: DlogTable) -> None:
    blocks = [zeros.take(60), zeros.take(60, Executor(2))]
    assert all((keys.decrypt_sums(_as_rows(block), 0, dlog) == 0).all() for block in blocks)
    assert len({bytes(struct) for block in blocks for column in block for struct in column}) == 3 * 120
    assert zeros.drawn == 120


def test_a_pool_of_another_key_is_refused(keys: KeyPair, pool: MaskPool) -> None:
    with pytest.raises(CryptoError, match="another key"):
        KeyPair.generate(2).encrypt_rows(np.zeros((3, 2), np.int64), masks=pool)
    assert pool.drawn == 0


def test_neither_pools_nor_key_pairs_are_pickled_or_copied(keys: KeyPair, pool: MaskPool, zeros: ZeroPool) -> None:
    for secret in (keys, pool, zeros):
        for attempt in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError):
                attempt(secret)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_parent_and_forked_child_never_use_the_same_mask(keys: KeyPair, pool: MaskPool) -> None:
    plain, alone = np.zeros((50, 2), np.int64), Executor(1)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with os.fdopen(writing, "wb") as out:
                assert pool.wait(50, 30)
                out.write(b"".join(_firsts(keys.encrypt_rows(plain, alone, pool))))
            os._exit(0 if pool.drawn == 50 else 2)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as source:
        data = source.read()
    assert os.waitpid(child, 0)[1] == 0
    theirs = {data[i : i + 64] for i in range(0, len(data), 64)}
    mine = set(_firsts(keys.encrypt_rows(plain, alone, pool)))
    assert len(mine | theirs) == 100


def test_pools_of_many_columns(dlog: DlogTable) -> None:
    keys = KeyPair.generate(5)
    plain = np.arange(35).reshape(7, 5) - 17
    with MaskPool(keys, 7) as pool:
        assert pool.wait(7, 30)
        assert (keys.decrypt_sums(keys.encrypt_rows(plain, masks=pool), 20, dlog) == plain).all()
        assert pool.drawn == 7


def test_an_infinite_mask_is_an_error_and_not_a_plaintext_in_the_clear(
    keys: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    zero = np.zeros((3, 16), np.uint16)  # r = the table's offset, lowered to zero; then r = 0
    monkeypatch.setattr(masks, "random_limbs", lambda count: zero[:count])
    minus_offset = affine(zero, 0, -offset_of(generator_table().window_bits))
    keys.encrypt_rows(np.zeros((3, 2), np.int64))
    monkeypatch.setattr(masks, "random_limbs", lambda count: minus_offset[:count])
    with pytest.raises(CryptoError, match="infinity"):
        keys.encrypt_rows(np.zeros((3, 2), np.int64), Executor(1))
