from __future__ import annotations

import coincurve
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.crypto import tables
from fedchain.crypto.curve import ORDER, random_scalars
from fedchain.crypto.points import PointArray, generator
from fedchain.crypto.tables import OFFSETS, WINDOWS, FixedBaseTable, generator_table, window_members
from fedchain.errors import InvalidPointError

OFFSET = OFFSETS[12]
EDGES = [1, 2, 4095, 4096, 4097, OFFSET, OFFSET - 1, OFFSET + 1, ORDER - 1, ORDER + 1, -1, 2**252, 2**256 - 1]


@pytest.fixture(scope="module", params=[12, 8])
def table(request: pytest.FixtureRequest) -> FixedBaseTable:
    return generator_table() if request.param == 12 else FixedBaseTable(generator(), window_bits=request.param)


@pytest.mark.parametrize("scalar", [*EDGES, OFFSETS[8], OFFSETS[8] - 1, OFFSETS[8] + 1, 255, 256, 2**248])
def test_windowed_multiply_equals_coincurve_at_the_edges(table: FixedBaseTable, scalar: int) -> None:
    expected = coincurve.PrivateKey((scalar % ORDER).to_bytes(32, "big")).public_key.format(False)
    assert table.multiply_base([scalar]).to_sec1() == expected


def test_windowed_multiply_equals_coincurve_on_random_scalars_over_several_chunks(table: FixedBaseTable) -> None:
    scalars = random_scalars(2 * tables.MULTIPLY_CHUNK + 3)
    found = table.multiply_base(scalars).to_sec1()
    expected = [coincurve.PrivateKey(k.to_bytes(32, "big")).public_key.format(False) for k in scalars]
    assert found == b"".join(expected)


@pytest.mark.parametrize("scalar", [0, ORDER, -ORDER])
def test_zero_gives_infinity(table: FixedBaseTable, scalar: int) -> None:
    assert table.multiply_base([scalar, 1]).infinity.tolist() == [True, False]


def test_the_table_of_another_point_multiplies_that_point() -> None:
    point = generator().multiply(0xABCDEF)
    table = FixedBaseTable(point)
    scalars = random_scalars(20)
    assert table.multiply_base(scalars).equals(generator_table().multiply_base([k * 0xABCDEF for k in scalars])).all()


@settings(max_examples=200)
@given(st.integers(-(2**256), 2**256))
def test_the_digits_stand_for_the_scalar_and_stay_inside_the_table(scalar: int) -> None:
    for bits, entries in ((12, 21 * 4096 + 16), (8, 32 * 256)):
        members = window_members([scalar], bits)[0]
        assert members.min() >= 0
        assert members.max() < entries
        value = sum((int(m) - (i << bits) + 1) << (bits * i) for i, m in enumerate(members))
        assert (value - scalar) % ORDER == 0
        assert (members >> bits == np.arange(WINDOWS[bits])).all()


def test_every_table_has_its_size_and_no_entry_is_infinity(table: FixedBaseTable) -> None:
    assert len(table.entries) == {12: 21 * 4096 + 16, 8: 32 * 256}[table.window_bits]
    assert not table.entries.infinity.any()


def test_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="asked for 9"):
        FixedBaseTable(generator(), window_bits=9)


def test_a_table_needs_exactly_one_finite_point() -> None:
    with pytest.raises(InvalidPointError, match="one point"):
        FixedBaseTable(generator_table().multiply_base([1, 2]))
    with pytest.raises(InvalidPointError, match="infinity"):
        FixedBaseTable(PointArray(np.zeros((1, 64), np.uint8), np.array([True])))
