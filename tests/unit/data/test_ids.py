"""Ids: one spelling and one order at every party."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.data.idarray import Ids
from fedchain.data.ids import normalize_id, sort_ids, sorted_rows


@pytest.mark.parametrize("text", ["12", " 12 ", "12.0", "12.000", "\t12\n"])
def test_spellings_of_one_whole_number_are_one_id(text: str) -> None:
    assert normalize_id(text) == "12"


@pytest.mark.parametrize("text", ["0012", "0012.0", "12.5", "12.", "-12.0", "+12", "1e3", "A-12.0", "١٢", "aB"])
def test_other_ids_stay_as_written(text: str) -> None:
    assert normalize_id(text) == text


@pytest.mark.parametrize("text", ["", "   ", "\t", "NaN", "none", "NULL", " n/a "])
def test_blank_ids_are_no_ids(text: str) -> None:
    assert normalize_id(text) is None


@given(st.text())
def test_normalizing_twice_changes_nothing(text: str) -> None:
    once = normalize_id(text)
    assert once is None or normalize_id(once) == once


@given(st.integers(min_value=0, max_value=10**38 - 1))
def test_a_float_spelling_matches_the_integer_however_large(number: int) -> None:
    assert normalize_id(f"{number}.0") == str(number)


def test_canonical_integers_are_sorted_by_value() -> None:
    assert sort_ids(["10", "9", "0", "100"]) == ["0", "9", "10", "100"]


@pytest.mark.parametrize("odd_one", ["09", "x", "-1", "1.5", "9" * 39])
def test_one_id_that_is_no_canonical_integer_makes_the_order_bytewise(odd_one: str) -> None:
    ids = ["10", "9", odd_one]
    assert sort_ids(ids) == sorted(ids, key=lambda each: each.encode())


@given(st.sets(st.text(alphabet=st.characters(exclude_categories=["Cs"]))), st.randoms())
def test_the_order_is_bytewise_by_utf8_and_depends_on_the_set_alone(ids: set[str], shuffler: random.Random) -> None:
    ids = ids | {"x"}
    listed = list(ids)
    shuffler.shuffle(listed)
    assert sort_ids(listed) == sorted(ids, key=lambda each: each.encode("utf-8"))


WIDE = st.one_of(
    st.integers(0, 10**40).map(str),
    st.integers(0, 30).map(str),
    st.text(max_size=4),
    st.text("019", max_size=3),
    st.text("0123456789a\0", max_size=70),
)


@given(st.one_of(st.lists(WIDE, unique=True), st.lists(st.integers(0, 10**38 - 1).map(str), unique=True)))
def test_the_order_of_many_is_that_of_their_texts(ids: list[str]) -> None:
    assert [ids[row] for row in sorted_rows(Ids.of(ids))] == sort_ids(ids)
