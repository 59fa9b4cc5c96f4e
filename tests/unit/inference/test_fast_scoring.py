"""The fast ways of answering and scoring against the plain ones: the same bits, the same margins, the same errors."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedchain.inference.bitplanes import answer_planes, planes_of_rows, rows_of_planes
from fedchain.inference.fast_scoring import Scorer
from fedchain.inference.scoring import margins
from fedchain.model.leaf_mask import leaf_bits, pack_bits, whole_bits
from fedchain.model.shard import Shard
from tests.strategies import shards

FEATURES, BINS = 3, 4
N_BINS = np.full(FEATURES, BINS)
Bins = NDArray[np.uint8]


@st.composite
def models(draw: st.DrawFn, max_rows: int = 20) -> tuple[list[Shard], list[Bins]]:
    """A model of three parties and everybody's bins of some rows; bin 4 is missing."""
    model = draw(shards(parties=3, features=FEATURES, bins=BINS))
    rows, seed = draw(st.integers(0, max_rows)), draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    return model, [random.integers(0, BINS + 1, (rows, FEATURES)).astype(np.uint8) for _ in model]


def plain(model: list[Shard], bins: list[Bins]) -> NDArray[np.float64]:
    pairs = enumerate(zip(model, bins, strict=True))
    return margins(model[0], [whole_bits(model[0], i, leaf_bits(one, own, N_BINS)) for i, (one, own) in pairs], "b, c")


@settings(max_examples=60, deadline=None)
@given(models())
def test_planes_are_leaf_bits_transposed_and_packed(case: tuple[list[Shard], list[Bins]]) -> None:
    for shard, bins in zip(*case, strict=True):
        bits = leaf_bits(shard, bins, N_BINS)
        planes = answer_planes(shard, bins, N_BINS)
        assert planes.tobytes() == np.packbits(bits.T, axis=1, bitorder="little").tobytes()
        assert rows_of_planes(planes, len(bins)).tobytes() == pack_bits(bits)
        back = planes_of_rows(pack_bits(bits), len(bins), bits.shape[1], "b")
        assert back.tobytes() == planes.tobytes()


@settings(max_examples=60, deadline=None)
@given(models())
def test_both_ways_of_scoring_give_the_margins_bit_for_bit(case: tuple[list[Shard], list[Bins]]) -> None:
    model, bins = case
    rows, scorer, expected = len(bins[0]), Scorer(model[0]), plain(*case).tobytes()
    planes = [answer_planes(shard, own, N_BINS) for shard, own in zip(model, bins, strict=True)]
    packed = [pack_bits(leaf_bits(shard, own, N_BINS)) for shard, own in zip(model, bins, strict=True)]
    assert scorer.score_planes(planes, rows).tobytes() == expected
    assert scorer.score_rows(packed, rows).tobytes() == expected
