"""The draw of opened rows: by definition, without bias, the same everywhere."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.contribution.sampling import sample_rows


@settings(deadline=None)
@given(st.binary(min_size=32, max_size=32), st.integers(1, 10**9), st.data())
def test_as_many_distinct_rows_as_wanted_in_order(seed: bytes, rows: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, min(rows, 300)))
    found = sample_rows(seed, rows, count)
    assert len(found) == count
    assert found.dtype == np.int64
    assert (np.diff(found) > 0).all()
    assert 0 <= found[0] <= found[-1] < rows
    np.testing.assert_array_equal(found, sample_rows(seed, rows, count))


def test_the_draw_is_the_one_that_is_written_down() -> None:
    """Recomputed number by number; the values themselves are fixed, so that no later version draws others."""
    seed, rows, drawn, block = b"\x07" * 32, 1000, list[int](), 0
    while len(set(drawn)) < 10:
        digest = hashlib.sha256(b"fedchain-sample-1" + seed + block.to_bytes(4, "big")).digest()
        drawn += [int.from_bytes(digest[i : i + 8], "big") % rows for i in range(0, 32, 8)]
        block += 1
    firsts = list(dict.fromkeys(drawn))[:10]
    assert sample_rows(seed, rows, 10).tolist() == sorted(firsts)


def test_all_rows_can_be_drawn_and_every_row_is_as_likely() -> None:
    assert sample_rows(bytes(32), 2000, 2000).tolist() == list(range(2000))
    counts = np.zeros(40)
    trials = 3000
    for trial in range(trials):
        counts[sample_rows(trial.to_bytes(32, "big"), 40, 10)] += 1
    expected = trials * 10 / 40
    spread = np.sqrt(trials * 0.25 * 0.75)
    assert np.abs(counts - expected).max() < 4.5 * spread


@pytest.mark.parametrize(("seed", "rows", "count"), [(b"x", 9, 1), (bytes(32), 9, 0), (bytes(32), 9, 10)])
def test_draws_that_cannot_be_are_refused(seed: bytes, rows: int, count: int) -> None:
    with pytest.raises(ValueError, match="cannot be drawn"):
        sample_rows(seed, rows, count)
