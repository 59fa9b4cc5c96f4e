"""The fast ways of answering and scoring against the plain ones: the same bits, the same margins, the same errors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedchain.errors import ProtocolViolationError
from fedchain.inference.bitplanes import BLOCK_ROWS, answer_planes, as_planes, planes_of_rows, rows_of_planes
from fedchain.inference.fast_scoring import FEW, Scorer
from fedchain.inference.scoring import margins
from fedchain.model.leaf_mask import leaf_bits, pack_bits, whole_bits
from fedchain.model.shard import Shard
from tests.strategies import shards
from tests.unit.inference.models import BINS, FEATURES, N_BINS, Bins, full_model, some_bins


@st.composite
def models(draw: st.DrawFn, max_rows: int = 20) -> tuple[list[Shard], list[Bins]]:
    """A model of three parties and everybody's bins of some rows; bin 4 is missing."""
    model = draw(shards(parties=3, features=FEATURES, bins=BINS))
    rows, seed = draw(st.integers(0, max_rows)), draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    return model, [some_bins(random, rows) for _ in model]


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


@pytest.mark.parametrize("rows", [1, 7, 8, FEW + 1, BLOCK_ROWS, BLOCK_ROWS + 13])
def test_blocks_of_rows_leave_no_seam(rows: int) -> None:
    random = np.random.default_rng(rows)
    model = full_model(random, 3, 4)
    bins = [some_bins(random, rows) for _ in model]
    scorer, expected = Scorer(model[0]), plain(model, bins).tobytes()
    planes = [answer_planes(shard, own, N_BINS) for shard, own in zip(model, bins, strict=True)]
    assert scorer.score_planes(planes, rows).tobytes() == expected
    packed = [rows_of_planes(one, rows).tobytes() for one in planes]
    assert scorer.score_rows(packed, rows).tobytes() == expected


def test_trees_of_256_leaves_are_numbered_to_the_last() -> None:
    random = np.random.default_rng(8)
    model, rows = full_model(random, 2, 8), 600
    bins = [some_bins(random, rows) for _ in model]
    planes = [answer_planes(shard, own, N_BINS) for shard, own in zip(model, bins, strict=True)]
    assert Scorer(model[0]).score_planes(planes, rows).tobytes() == plain(model, bins).tobytes()


@settings(max_examples=80, deadline=None)
@given(models(), st.data())
def test_any_bit_that_is_false_is_refused_or_changes_nothing(
    case: tuple[list[Shard], list[Bins]], data: st.DataObject
) -> None:
    """Both fast ways refuse exactly what the plain one refuses, and name the same parties."""
    model, bins = case
    rows, scorer = len(bins[0]), Scorer(model[0])
    culprits = ", ".join(model[0].roster[1:])
    bits = [leaf_bits(shard, own, N_BINS) for shard, own in zip(model, bins, strict=True)]
    able = [index for index, one in enumerate(bits) if one.size]
    if not able:
        return
    party = data.draw(st.sampled_from(able))
    place = data.draw(st.integers(0, bits[party].size - 1))
    bits[party].flat[place] ^= True
    ways: tuple[Callable[[], NDArray[np.float64]], ...] = (
        lambda: margins(model[0], [whole_bits(model[0], i, one) for i, one in enumerate(bits)], culprits),
        lambda: scorer.score_rows([pack_bits(one) for one in bits], rows),
        lambda: scorer.score_planes([np.packbits(one.T, axis=1, bitorder="little") for one in bits], rows),
    )
    outcomes = []
    for way in ways:
        try:
            outcomes.append(way().tobytes())
        except ProtocolViolationError as error:
            outcomes.append(str(error).encode())
    assert len(set(outcomes)) == 1


@pytest.mark.parametrize("fill", [0, 255])
def test_all_bits_set_or_none_name_the_passive_parties_both_ways(fill: int) -> None:
    random = np.random.default_rng(3)
    model, rows = full_model(random, 2, 3), 11
    bins = [some_bins(random, rows) for _ in model]
    scorer = Scorer(model[0])
    planes = [answer_planes(shard, own, N_BINS) for shard, own in zip(model, bins, strict=True)]
    packed = [rows_of_planes(one, rows).tobytes() for one in planes]
    planes[1] = np.full_like(planes[1], fill)
    packed[1] = bytes([fill]) * len(packed[1])
    with pytest.raises(ProtocolViolationError, match="exactly one leaf") as by_rows:
        scorer.score_rows(packed, rows)
    with pytest.raises(ProtocolViolationError, match="exactly one leaf") as by_planes:
        scorer.score_planes(planes, rows)
    assert by_rows.value.culprit == by_planes.value.culprit == "b, c"


@pytest.mark.parametrize("cut", [-1, 1])
def test_bits_of_the_wrong_length_name_their_sender(cut: int) -> None:
    random = np.random.default_rng(3)
    model, rows = full_model(random, 2, 3), 11
    bins = [some_bins(random, rows) for _ in model]
    planes = [answer_planes(shard, own, N_BINS) for shard, own in zip(model, bins, strict=True)]
    packed = [rows_of_planes(one, rows).tobytes() for one in planes]
    packed[2] = packed[2][:-1] if cut < 0 else packed[2] + b"\0"
    with pytest.raises(ProtocolViolationError, match=r"bytes, .* expected") as caught:
        Scorer(model[0]).score_rows(packed, rows)
    assert caught.value.culprit == "c"
    raw = planes[1].tobytes()
    with pytest.raises(ProtocolViolationError, match=r"bytes, .* expected") as caught:
        as_planes(raw[:-1] if cut < 0 else raw + b"\0", rows, len(planes[1]), "b")
    assert caught.value.culprit == "b"
    with pytest.raises(ProtocolViolationError, match=r"bytes, .* expected") as caught:
        planes_of_rows(packed[2], rows, len(planes[2]), "c")
    assert caught.value.culprit == "c"
    with pytest.raises(ProtocolViolationError, match="planes have shape") as caught:
        Scorer(model[0]).score_planes([planes[0], planes[1][:, :-1], planes[2]], rows)
    assert caught.value.culprit == "b"


def test_planes_with_a_bit_beyond_the_last_row_are_refused() -> None:
    planes = np.zeros((2, 2), np.uint8)
    planes[1, 1] = 0b0000_1000
    assert as_planes(planes.tobytes(), 12, 2, "b").tobytes() == planes.tobytes()
    with pytest.raises(ProtocolViolationError, match="beyond its last row") as caught:
        as_planes(planes.tobytes(), 11, 2, "b")
    assert caught.value.culprit == "b"


def test_a_model_without_trees_scores_the_base_margins() -> None:
    shard = Shard(
        party="a",
        roster=("a", "b"),
        mode="layered",
        objective="multiclass",
        base_margins=(0.25, -1.0),
        binning={},
        trees=(),
    )
    scorer, none = Scorer(shard), np.zeros((0, 1), np.uint8)
    assert scorer.score_rows([b"", b""], 3).tolist() == [[0.25, -1.0]] * 3
    assert scorer.score_planes([none, none], 3).tolist() == [[0.25, -1.0]] * 3
    assert scorer.score_rows([b"", b""], 0).shape == (0, 2)
