"""The table of leaf bits: look-ups are the bits of the rows, and a miss is the default row."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.inference.leaf_table import LeafTable, default_bits
from fedchain.model.leaf_mask import leaf_bits, pack_bits
from fedchain.model.shard import Shard
from tests.strategies import shards
from tests.unit.inference.models import BINS, FEATURES, N_BINS, full_model, some_bins


@settings(max_examples=60, deadline=None)
@given(shards(features=FEATURES, bins=BINS), st.integers(0, 20), st.integers(0, 2**32 - 1), st.data())
def test_look_ups_are_the_rows_bits_and_misses_the_default_row(
    model: list[Shard], rows: int, seed: int, data: st.DataObject
) -> None:
    random = np.random.default_rng(seed)
    positions = np.array(data.draw(st.lists(st.integers(-1, rows - 1), max_size=12)), np.int64)
    for shard in model:
        bins = some_bins(random, rows)
        with_default = np.concatenate([bins, np.full((1, FEATURES), BINS, np.uint8)])
        bits = leaf_bits(shard, with_default, N_BINS)[positions]
        for limit in (0, 2**20):
            table = LeafTable(shard, bins, N_BINS, max_bytes=limit)
            assert table.is_whole == (limit > 0 or rows * table.row_bytes == 0)
            assert table.rows_at(positions) == pack_bits(bits)
            planes = table.planes_at(positions)
            assert planes.shape == (table.bit_count, -(-len(positions) // 8))
            assert planes.tobytes() == np.packbits(bits.T, axis=1, bitorder="little").tobytes()
            assert table.default == default_bits(shard, N_BINS) == pack_bits(bits_of_nothing(shard))


def test_many_rows_are_computed_a_few_at_a_time_and_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(4)
    shard, bins = full_model(random, 20, 5)[1], some_bins(random, 500)
    monkeypatch.setattr("fedchain.inference.leaf_table._CELLS", 2**16)
    computed, whole = (LeafTable(shard, bins, N_BINS, max_bytes=limit) for limit in (0, 2**20))
    positions = random.integers(-1, 500, 4096)
    tracemalloc.start()
    try:
        found = computed.rows_at(positions)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == whole.rows_at(positions)
    assert most < 4 * 2**20, "at once it would be a byte for each row, leaf and level"


def bits_of_nothing(shard: Shard) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return leaf_bits(shard, np.full((1, FEATURES), BINS, np.uint8), N_BINS)
