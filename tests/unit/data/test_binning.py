"""Binning tables, and binning later rows the same way."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.data.binning import BinMapper, bin_table
from fedchain.data.table import Column, Table
from fedchain.errors import ConfigError, DataError, ModelFormatError


def numeric(name: str, values: list[float]) -> Column:
    return Column(name, "numeric", np.array(values, dtype=np.float64))


def categorical(name: str, values: list[str | None]) -> Column:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return Column(name, "categorical", array)


def table_of(*columns: Column) -> Table:
    return Table(tuple(str(row) for row in range(len(columns[0].values))), columns)


def all_rows(table: Table) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.arange(len(table), dtype=np.int64)


def fit(table: Table, max_bins: int = 32) -> BinMapper:
    return BinMapper.from_table(table, all_rows(table), max_bins)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    rows = draw(st.integers(1, 25))
    number = st.one_of(st.just(np.nan), st.integers(-3, 3).map(float), st.floats(allow_nan=False, allow_infinity=False))
    text = st.one_of(st.none(), st.sampled_from("abc"), st.text(max_size=3))
    return table_of(
        numeric("x", draw(st.lists(number, min_size=rows, max_size=rows))),
        categorical("c", draw(st.lists(text, min_size=rows, max_size=rows))),
        numeric("z", draw(st.lists(number, min_size=rows, max_size=rows))),
    )


@settings(deadline=None, max_examples=60)
@given(tables(), st.integers(2, 127), st.data())
def test_bins_stay_in_range_and_a_reloaded_mapper_bins_the_same(
    table: Table, max_bins: int, data: st.DataObject
) -> None:
    rows = np.array(data.draw(st.lists(st.integers(0, len(table) - 1), min_size=1, unique=True)), dtype=np.int64)
    mapper = BinMapper.from_table(table, rows, max_bins)
    bins = mapper.transform(table, all_rows(table))
    assert bins.dtype == np.uint8
    assert bins.flags.f_contiguous
    assert bins.shape == (len(table), len(mapper.features))
    for place, feature in enumerate(mapper.features):
        assert 1 <= feature.n_bins <= max_bins
        missing = table.column(feature.column).missing
        assert (bins[missing, place] == feature.n_bins).all()
        assert (bins[~missing, place] < feature.n_bins).all()
        assert feature.has_missing == missing.any()
        assert len(np.unique(bins[rows, place])) > 1
    reloaded = BinMapper.from_json(json.loads(json.dumps(mapper.to_json(), sort_keys=True)))
    assert reloaded == mapper
    np.testing.assert_array_equal(reloaded.transform(table, all_rows(table)), bins)
    shuffled = BinMapper.from_table(table, rows[::-1], max_bins)
    assert shuffled == mapper


def test_rows_are_binned_in_the_order_asked_for() -> None:
    table = table_of(numeric("x", [1.0, 2.0, 3.0]))
    assert fit(table).transform(table, np.array([2, 0], dtype=np.int64)).tolist() == [[2], [0]]


def test_cuts_come_from_the_fitted_rows_alone() -> None:
    table = table_of(numeric("x", [1.0, 3.0, 100.0, 200.0]), categorical("c", ["a", "b", "z", "y"]))
    mapper = BinMapper.from_table(table, np.array([0, 1], dtype=np.int64), 32)
    assert mapper.features[0].cuts == (2.0,)
    assert [feature.category for feature in mapper.features[1:]] == ["b"]


def test_a_missing_cell_outside_the_fitted_rows_still_gives_the_column_a_missing_bin() -> None:
    table = table_of(numeric("x", [1.0, 3.0, np.nan]))
    mapper = BinMapper.from_table(table, np.array([0, 1], dtype=np.int64), 32)
    assert mapper.features[0].has_missing
    assert mapper.transform(table, all_rows(table)).tolist() == [[0], [1], [2]]


def test_categories_are_sorted_one_feature_each() -> None:
    table = table_of(categorical("c", ["n", "m", "k", "m"]))
    mapper = fit(table)
    assert [feature.name for feature in mapper.features] == ["c=k", "c=m", "c=n"]
    assert mapper.transform(table, all_rows(table)).tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 1, 0]]
    assert mapper.categorical_columns == ("c",)


def test_two_categories_need_one_feature() -> None:
    table = table_of(categorical("c", ["yes", "no", None]))
    mapper = fit(table)
    assert [feature.name for feature in mapper.features] == ["c=yes"]
    assert mapper.transform(table, all_rows(table)).tolist() == [[1], [0], [2]]


def test_a_missing_category_is_missing_in_all_features_of_its_column_and_an_unseen_one_in_none() -> None:
    mapper = fit(table_of(categorical("c", ["a", "b", "d"])))
    later = table_of(categorical("c", [None, "new"]))
    assert mapper.transform(later, all_rows(later)).tolist() == [[2, 2, 2], [0, 0, 0]]


def test_nan_on_a_feature_without_missing_bin_has_the_missing_bins_index() -> None:
    mapper = fit(table_of(numeric("x", [1.0, 2.0])))
    assert not mapper.features[0].has_missing
    later = table_of(numeric("x", [np.nan]))
    assert mapper.transform(later, all_rows(later)).tolist() == [[2]]


def test_many_categories_keep_the_most_frequent_and_share_other() -> None:
    values: list[str | None] = [f"k{place:03}" for place in range(70)]
    values += ["k069", "k068"]
    table = table_of(categorical("c", values))
    mapper = fit(table)
    assert len(mapper.features) == 64
    kept = {feature.category for feature in mapper.features if feature.kind == "category"}
    assert kept == {f"k{place:03}" for place in range(61)} | {"k068", "k069"}
    assert mapper.features[-1].name == "c=(other)"
    later = table_of(categorical("c", ["k065", "unseen", "k000", None]))
    assert mapper.transform(later, all_rows(later))[:, -1].tolist() == [1, 1, 0, 2]
    assert (mapper.transform(table, all_rows(table)).sum(axis=1) == 1).all()


@pytest.mark.parametrize("count", [64, 65])
def test_the_number_of_features_of_a_categorical_column_is_bounded(count: int) -> None:
    mapper = fit(table_of(categorical("c", [f"k{place}" for place in range(count)])))
    assert len(mapper.features) == 64
    assert (mapper.features[-1].kind == "other") == (count > 64)


def test_columns_that_cannot_split_are_dropped() -> None:
    table = table_of(
        numeric("constant", [7.0, 7.0]),
        numeric("empty", [np.nan, np.nan]),
        categorical("same", ["a", "a"]),
        categorical("void", [None, None]),
    )
    mapper = fit(table)
    assert mapper.features == ()
    assert mapper.transform(table, all_rows(table)).shape == (2, 0)


def test_a_constant_column_with_gaps_is_kept_for_its_gaps() -> None:
    table = table_of(numeric("x", [7.0, np.nan]), categorical("c", ["a", None]))
    mapper = fit(table)
    assert [(feature.name, feature.n_bins) for feature in mapper.features] == [("x", 1), ("c=a", 2)]
    assert mapper.transform(table, all_rows(table)).tolist() == [[0, 1], [1, 2]]


def test_a_later_table_may_have_its_columns_in_another_order_and_more_of_them() -> None:
    table = table_of(numeric("x", [1.0, 2.0]), categorical("c", ["a", "b"]))
    later = table_of(numeric("w", [0.0]), categorical("c", ["b"]), numeric("x", [2.0]))
    assert fit(table).transform(later, all_rows(later)).tolist() == [[1, 1]]


def test_a_later_column_without_any_value_is_missing_whatever_its_kind() -> None:
    mapper = fit(table_of(categorical("c", ["a", "b", "d"]), numeric("x", [1.0, 2.0, 3.0])))
    later = table_of(numeric("c", [np.nan]), categorical("x", [None]))
    assert mapper.transform(later, all_rows(later)).tolist() == [[2, 2, 2, 3]]


def test_a_later_column_of_another_kind_or_absent_is_an_error() -> None:
    mapper = fit(table_of(categorical("c", ["a", "5"])))
    later = table_of(numeric("c", [5.0]))
    with pytest.raises(DataError, match=r"'c' is numeric but was categorical .* name it in 'categorical'"):
        mapper.transform(later, all_rows(later))
    other = table_of(numeric("d", [5.0]))
    with pytest.raises(DataError, match="no feature column 'c'"):
        mapper.transform(other, all_rows(other))


@pytest.mark.parametrize("max_bins", [1, 128])
def test_the_number_of_bins_is_bounded(max_bins: int) -> None:
    with pytest.raises(ConfigError, match="expected 2 to 127"):
        fit(table_of(numeric("x", [1.0, 2.0])), max_bins)


def test_fitting_on_no_rows_is_an_error() -> None:
    with pytest.raises(DataError, match="no rows"):
        BinMapper.from_table(table_of(numeric("x", [1.0])), np.array([], dtype=np.int64), 8)


def test_bin_table_fits_and_bins_the_rows_given() -> None:
    table = table_of(numeric("x", [5.0, 1.0, 3.0]))
    binned = bin_table(table, np.array([0, 2], dtype=np.int64), 8)
    assert binned.bins.tolist() == [[1], [0]]
    assert binned.features[0].cuts == (4.0,)


NUMERIC: dict[str, Any] = {"column": "x", "kind": "numeric", "has_missing": False, "cuts": [1.0, 2.0]}
CATEGORY: dict[str, Any] = {"column": "c", "kind": "category", "has_missing": False, "category": "a"}


def test_whole_cuts_may_come_back_as_integers() -> None:
    mapper = BinMapper.from_json({"features": [{**NUMERIC, "cuts": [1, 2]}]})
    assert mapper == BinMapper.from_json({"features": [NUMERIC]})


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"features": {}},
        {"features": [], "more": 1},
        {"features": [None]},
        {"features": [{**NUMERIC, "kind": "other"}]},
        {"features": [{**NUMERIC, "kind": ["numeric"]}]},
        {"features": [{**NUMERIC, "more": 1}]},
        {"features": [{**NUMERIC, "column": 1}]},
        {"features": [{**NUMERIC, "has_missing": 1}]},
        {"features": [{**NUMERIC, "cuts": [2.0, 1.0]}]},
        {"features": [{**NUMERIC, "cuts": [1.0, 1.0]}]},
        {"features": [{**NUMERIC, "cuts": [float("nan")]}]},
        {"features": [{**NUMERIC, "cuts": [float("inf")]}]},
        {"features": [{**NUMERIC, "cuts": ["1.0"]}]},
        {"features": [{**NUMERIC, "cuts": [True]}]},
        {"features": [{**NUMERIC, "cuts": [10**400]}]},
        {"features": [{**NUMERIC, "cuts": [float(cut) for cut in range(127)]}]},
        {"features": [{**CATEGORY, "category": None}]},
        {"features": [NUMERIC, NUMERIC]},
        {"features": [CATEGORY, CATEGORY]},
        {"features": [NUMERIC, {**CATEGORY, "column": "x"}]},
    ],
)
def test_a_damaged_mapper_is_refused(document: Any) -> None:
    with pytest.raises(ModelFormatError):
        BinMapper.from_json(document)
