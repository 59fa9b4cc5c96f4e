"""The draw of opened rows: by definition, without bias, the same everywhere."""

from __future__ import annotations

import hashlib
import math

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


def test_numbers_beyond_the_last_whole_multiple_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """2^64 = 6 * 3074457345618258602 + 4: the last four numbers would make the first four rows likelier."""

    class Digest:
        def __init__(self, _: bytes) -> None:
            self.numbers = [2**64 - 1, 2**64 - 4, 2**64 - 5, 7]

        def digest(self) -> bytes:
            return b"".join(one.to_bytes(8, "big") for one in self.numbers)

    monkeypatch.setattr(f"{sample_rows.__module__}.hashlib.sha256", Digest)
    assert sample_rows(bytes(32), 6, 2).tolist() == [1, 5]


def test_all_rows_can_be_drawn_and_every_row_is_as_likely() -> None:
    assert sample_rows(bytes(32), 2000, 2000).tolist() == list(range(2000))
    counts = np.zeros(40)
    trials = 3000
    for trial in range(trials):
        counts[sample_rows(trial.to_bytes(32, "big"), 40, 10)] += 1
    expected = trials * 10 / 40
    spread = np.sqrt(trials * 0.25 * 0.75)
    assert np.abs(counts - expected).max() < 4.5 * spread


@pytest.mark.parametrize(("opened", "stated"), [(299, 0.95), (459, 0.99)])
def test_draws_meet_one_tampered_row_of_a_hundred_as_often_as_stated(opened: int, stated: float) -> None:
    """Of 3,000 audits of 6,000 rows; 1 - C(n - t, k) / C(n, k) is what drawing without replacement gives."""
    rows, tampered, trials = 6000, 60, 3000
    expected = 1 - math.comb(rows - tampered, opened) / math.comb(rows, opened)
    assert stated <= expected < stated + 0.005
    hit = np.zeros(rows, dtype=bool)
    hit[np.random.default_rng(opened).permutation(rows)[:tampered]] = True
    found = sum(hit[sample_rows(trial.to_bytes(32, "big"), rows, opened)].any() for trial in range(trials)) / trials
    assert abs(found - expected) < 4 * (expected * (1 - expected) / trials) ** 0.5


@pytest.mark.parametrize(("seed", "rows", "count"), [(b"x", 9, 1), (bytes(32), 9, 0), (bytes(32), 9, 10)])
def test_draws_that_cannot_be_are_refused(seed: bytes, rows: int, count: int) -> None:
    with pytest.raises(ValueError, match="cannot be drawn"):
        sample_rows(seed, rows, count)
