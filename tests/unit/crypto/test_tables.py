from __future__ import annotations

import pickle

import coincurve
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.crypto import tables
from fedchain.crypto.curve import ORDER, random_scalars
from fedchain.crypto.points import PointArray, generator
from fedchain.crypto.tables import (
    FixedBaseTable,
    generator_table,
    offset_of,
    window_members,
    windows_of,
)
from fedchain.errors import InvalidPointError

OFFSET = offset_of(12)
EDGES = [1, 2, 4095, 4096, 4097, OFFSET, OFFSET - 1, OFFSET + 1, ORDER - 1, ORDER + 1, -1, 2**252, 2**256 - 1]


@pytest.fixture(scope="module", params=[12, 8])
def table(request: pytest.FixtureRequest) -> FixedBaseTable:
    return generator_table() if request.param == 12 else FixedBaseTable(generator(), window_bits=request.param)


@pytest.mark.parametrize("scalar", [*EDGES, offset_of(8), offset_of(8) - 1, offset_of(8) + 1, 255, 256, 2**248])
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
        assert (members >> bits == np.arange(windows_of(bits))).all()


def test_every_table_has_its_size_and_no_entry_is_infinity(table: FixedBaseTable) -> None:
    assert len(table.entries) == {12: 21 * 4096 + 16, 8: 32 * 256}[table.window_bits]
    assert not table.entries.infinity.any()


@pytest.mark.parametrize("bits", [4, 7, 10, 11])
def test_a_table_of_any_width_multiplies(bits: int) -> None:
    table, scalars = FixedBaseTable(generator(), window_bits=bits), [*random_scalars(20), *EDGES]
    assert table.multiply_base(scalars).to_sec1() == generator_table().multiply_base(scalars).to_sec1()


@pytest.mark.parametrize("bits", [3, 17])
def test_a_width_out_of_range_is_refused(bits: int) -> None:
    with pytest.raises(ValueError, match=f"asked for {bits}"):
        FixedBaseTable(generator(), window_bits=bits)


def test_tables_reach_other_processes_whole_and_that_of_g_by_its_width() -> None:
    scalars = random_scalars(5)
    for table, bytes_at_most in (
        (generator_table(), 300),
        (FixedBaseTable(generator().multiply(7), window_bits=5), 10**6),
    ):
        encoded = pickle.dumps(table)
        assert len(encoded) < bytes_at_most
        again = pickle.loads(encoded)
        assert again.multiply_base(scalars).to_sec1() == table.multiply_base(scalars).to_sec1()


def test_a_table_needs_exactly_one_finite_point() -> None:
    with pytest.raises(InvalidPointError, match="one point"):
        FixedBaseTable(generator_table().multiply_base([1, 2]))
    with pytest.raises(InvalidPointError, match="infinity"):
        FixedBaseTable(PointArray(np.zeros((1, 64), np.uint8), np.array([True])))
