from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.crypto import scalars
from fedchain.crypto.curve import ORDER
from fedchain.crypto.scalars import affine, digits, random_limbs, to_ints, to_limbs

EDGES = [0, 1, 2, 0xFFFF, 0x10000, 2**128 - 1, 2**128, ORDER - 1, ORDER - 2, (ORDER + 1) // 2, 2**255]
any_scalar = st.one_of(st.sampled_from(EDGES), st.integers(0, ORDER - 1))
any_int64 = st.one_of(
    st.sampled_from([0, -1, 1, 2**63 - 1, -(2**63), -(2**16), 2**48]), st.integers(-(2**63), 2**63 - 1)
)


@given(st.lists(any_scalar, max_size=5))
def test_limbs_stand_for_the_integers(values: list[int]) -> None:
    assert to_ints(to_limbs(values)) == values


@given(st.lists(st.tuples(any_scalar, any_int64), min_size=1, max_size=5), any_scalar, st.integers(-(2**260), 2**260))
def test_affine_equals_python_integers_modulo_the_order(
    rows: list[tuple[int, int]], factor: int, constant: int
) -> None:
    found = affine(to_limbs([k for k, _ in rows]), factor, constant, np.array([m for _, m in rows], np.int64))
    assert [v % ORDER for v in to_ints(found)] == [(k * factor + constant + m) % ORDER for k, m in rows]


def test_affine_holds_over_several_products_and_for_the_largest_limbs() -> None:
    rows = np.full((2 * scalars._PRODUCT_ROWS + 1, 16), 0xFFFF, np.uint16)
    found = to_ints(affine(rows, ORDER - 1, -1))
    assert {v % ORDER for v in found} == {((2**256 - 1) * (ORDER - 1) - 1) % ORDER}


@given(st.lists(st.integers(0, 2**256 - 1), min_size=1, max_size=4), st.integers(1, 16))
def test_digits_rebuild_the_integer(values: list[int], bits: int) -> None:
    limbs = np.frombuffer(b"".join(v.to_bytes(32, "little") for v in values), "<u2").reshape(-1, 16)
    found = digits(limbs, bits, -(-256 // bits))
    assert found.min() >= 0
    assert found.max() < 1 << bits
    assert [sum(int(d) << (bits * i) for i, d in enumerate(row)) for row in found] == values


def test_random_limbs_are_fresh_and_spread_over_all_bits() -> None:
    drawn = np.concatenate([random_limbs(1000), random_limbs(1000)])
    assert len({row.tobytes() for row in drawn}) == 2000
    ones = np.unpackbits(drawn.view(np.uint8).reshape(2000, 32), axis=1).mean(axis=0)
    assert ones.min() > 0.4  # 9 standard deviations
    assert ones.max() < 0.6


def test_values_from_the_order_up_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = [ORDER, 5, 2**256 - 1, ORDER - 1]  # the first and third are refused, then
    again = [ORDER + 7, 6]  # the first is refused once more
    supply = [b"".join(v.to_bytes(32, "little") for v in part) for part in (drawn, again, [8])]
    monkeypatch.setattr("os.urandom", lambda size: supply.pop(0) if size else b"")
    assert to_ints(random_limbs(4)) == [8, 5, 6, ORDER - 1]
    assert not supply


def test_no_scalars_are_fine() -> None:
    assert random_limbs(0).shape == (0, 16)
    assert affine(random_limbs(0), 3, 4).shape == (0, 16)
