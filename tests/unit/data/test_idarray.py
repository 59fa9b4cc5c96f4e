"""Ids in little memory behave like a tuple of texts."""

from __future__ import annotations

import pickle
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.data import idarray
from fedchain.data.idarray import Cells, Ids, IdsBuilder
from fedchain.data.selection import Selection
from fedchain.data.source import TableSource

TEXTS = st.lists(st.text(max_size=4), max_size=12)


@pytest.fixture(autouse=True, scope="module")
def _tiny_chunks() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(idarray, "_CHUNK", 3)
        yield


@given(TEXTS)
def test_they_are_the_texts(texts: list[str]) -> None:
    ids = Ids.of(texts)
    assert (list(ids), len(ids)) == (texts, len(texts))
    assert ids == texts
    assert ids == tuple(texts)
    assert [ids[place] for place in range(-len(texts), len(texts))] == texts * 2
    assert (list(ids[1:]), list(ids[::-2])) == (texts[1:], texts[::-2])
    assert pickle.loads(pickle.dumps(ids)) == ids
    assert list(Cells(ids)) == [text or None for text in texts]


@given(TEXTS, TEXTS)
def test_they_are_found_as_in_a_dictionary(texts: list[str], wanted: list[str]) -> None:
    ids = Ids.of(texts)
    assert ids.find(wanted).tolist() == [texts.index(one) if one in texts else -1 for one in wanted]
    assert ids.repeats().tolist() == [texts.index(one) for one in texts]


@given(st.lists(st.text(max_size=3), min_size=1, max_size=9), st.data())
def test_taking_keeps_the_order_asked_for(texts: list[str], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=9))
    assert Ids.of(texts).take(np.asarray(rows, np.int64)) == [texts[row] for row in rows]


@given(TEXTS, TEXTS)
def test_equal_hashes_are_not_equal_ids(texts: list[str], wanted: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ids, "_hashes", property(lambda self: np.zeros(len(self), np.int64)))
        ids = Ids.of(texts)
        assert ids.repeats().tolist() == [texts.index(one) for one in texts]
        assert ids.find(wanted).tolist() == [texts.index(one) if one in texts else -1 for one in wanted]


@given(st.lists(TEXTS, max_size=4))
def test_a_builder_takes_them_in_pieces(pieces: list[list[str]]) -> None:
    builder = IdsBuilder()
    for piece in pieces:
        builder.extend(piece)
    assert builder.build() == [text for piece in pieces for text in piece]


@pytest.mark.parametrize("other", [["a"], ["a", "c"], ("ab",), "ab", Ids.of(["ab", ""]), None])
def test_others_are_unequal(other: Sequence[str]) -> None:
    assert Ids.of(["a", "b"]) != other


def test_out_of_range_is_an_index_error_and_no_id_is_shown() -> None:
    with pytest.raises(IndexError):
        Ids.of(["secret"])[1]
    assert repr(Ids.of(["secret"])) == "Ids(1)"


def test_reading_ids_keeps_no_text_of_each_row(tmp_path: Path) -> None:
    """A text alone takes 61 bytes here, and a dictionary over texts as much again."""
    rows, size = 60_000, 12
    path = tmp_path / "ids.csv"
    path.write_text("id\n" + "".join(f"{row:0{size}d}\n" for row in range(1, rows + 1)))
    source = TableSource(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(idarray, "_CHUNK", 2**16)
        tracemalloc.start()
        try:
            table = source.read(Selection("id"))
            kept, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert len(table) == rows
    assert kept < rows * (size + 8 + 8 + 8 + 8) + 500_000, "bytes, offset, row number, hash, order"
    assert peak < rows * 80 + 4_000_000
