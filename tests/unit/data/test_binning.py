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


@pytest.mark.parametrize("count", [16, 17])
def test_up_to_sixteen_categories_get_a_feature_each_and_more_share_one(count: int) -> None:
    mapper = fit(table_of(categorical("c", [f"k{place}" for place in range(count)])))
    assert [feature.kind for feature in mapper.features] == (["category"] * 16 if count == 16 else ["grouped"])


def many(counts: dict[str, int]) -> Table:
    return table_of(categorical("c", [value for value, times in counts.items() for _ in range(times)]))


def test_many_categories_become_bins_by_descending_frequency() -> None:
    counts = {f"k{place:02}": 3 + place % 3 for place in range(20)}
    table = many(counts)
    mapper = fit(table)
    (feature,) = mapper.features
    assert (feature.name, feature.kind, feature.n_bins) == ("c", "grouped", 20)
    ranked = sorted(counts, key=lambda value: (-counts[value], value))
    assert [group[0] for group in feature.groups] == ranked[:-1]
    later = table_of(categorical("c", [*ranked, "unseen", None]))
    assert mapper.transform(later, all_rows(later))[:, 0].tolist() == [*range(20), 19, 20]
    assert mapper.categorical_columns == ("c",)


def test_a_frequent_category_keeps_its_bin_and_rare_ones_share_theirs_in_equal_parts() -> None:
    mapper = fit(many({"often": 900, "sometimes": 300, **{f"rare{place:02}": 2 for place in range(60)}}), max_bins=8)
    (feature,) = mapper.features
    assert feature.n_bins == 8
    assert feature.groups[:2] == (("often",), ("sometimes",))
    assert [len(group) for group in feature.groups[2:]] == [10] * 5


def test_grouping_hangs_on_the_fitted_rows_and_on_their_weights() -> None:
    names = [f"k{place:02}" for place in range(20)]
    table = table_of(categorical("c", [*names, *["k19"] * 5]))
    rows = np.arange(20, dtype=np.int64)
    assert BinMapper.from_table(table, rows, 32).features[0].groups[0] == ("k00",)
    assert BinMapper.from_table(table, all_rows(table), 32).features[0].groups[0] == ("k19",)
    weights = np.ones(20)
    weights[7] = 2.0
    assert BinMapper.from_table(table, rows, 32, weights).features[0].groups[0] == ("k07",)


def test_a_column_of_countless_categories_stays_one_feature_of_bounded_size() -> None:
    table = table_of(categorical("c", [f"k{place // 2 if place < 2000 else place}" for place in range(7000)]))
    mapper = fit(table, 127)
    (feature,) = mapper.features
    assert feature.n_bins <= 127
    assert sum(map(len, feature.groups)) <= 4096
    bins = mapper.transform(table, all_rows(table))[:, 0]
    assert set(bins) == set(range(feature.n_bins))
    assert BinMapper.from_json(json.loads(json.dumps(mapper.to_json()))) == mapper


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(1, 40), min_size=17, max_size=80), st.integers(2, 127), st.booleans(), st.integers(0, 2**32)
)
def test_grouped_bins_are_ordered_by_frequency_none_empty_and_the_same_in_any_order(
    counts: list[int], max_bins: int, weighted: bool, seed: int
) -> None:
    names = {f"c{place}": times for place, times in enumerate(counts)}
    cells: list[str | None] = [*names, *[None] * 3]
    weights = np.array([*counts, 1, 1, 1], dtype=np.float64)
    if not weighted:
        cells = [value for value, times in zip(cells, weights, strict=True) for _ in range(int(times))]
    table = table_of(categorical("c", cells))
    order = np.random.default_rng(seed).permutation(len(cells))
    used = weights if weighted else None
    mapper = BinMapper.from_table(table, all_rows(table), max_bins, used)
    assert BinMapper.from_table(table, order, max_bins, None if used is None else used[order]) == mapper
    (feature,) = mapper.features
    assert feature.n_bins == min(max_bins, len(names))
    later = table_of(categorical("c", list(names)))
    bins = mapper.transform(later, all_rows(later))[:, 0].astype(int)
    assert set(bins) == set(range(feature.n_bins))
    frequency = np.array(list(names.values()))
    for place in range(feature.n_bins - 1):
        assert frequency[bins == place].min() >= frequency[bins == place + 1].max()
    assert (mapper.transform(table, all_rows(table))[[value is None for value in cells], 0] == feature.n_bins).all()


def test_rows_of_weight_zero_do_not_fit_and_others_count_by_weight() -> None:
    table = table_of(numeric("x", [1.0, 2.0, 3.0, 4.0, np.nan, 9.0]), categorical("c", ["a", "b", "a", "b", "a", "z"]))
    weights = np.array([1.0, 1.0, 1.0, 9.0, 1.0, 0.0])
    mapper = BinMapper.from_table(table, all_rows(table), 2, weights)
    assert mapper.features[0].cuts == (3.5,)
    assert [feature.category for feature in mapper.features[1:]] == ["b"]
    assert bin_table(table, all_rows(table), 2, weights).features == mapper.features


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([1.0], r"shape \(1,\), expected \(2,\)"),
        ([1.0, -1.0], "from 0 to"),
        ([1.0, np.nan], "from 0 to"),
        ([1.0, 1e300], "from 0 to"),
        ([0.0, 0.0], "weights of all rows are 0"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights: list[float], said: str) -> None:
    table = table_of(numeric("x", [1.0, 2.0]))
    with pytest.raises(DataError, match=said):
        BinMapper.from_table(table, all_rows(table), 2, np.array(weights))


def test_a_mapper_of_the_first_version_with_other_still_bins() -> None:
    features = [{**CATEGORY, "category": "a"}, {"column": "c", "kind": "other", "has_missing": True}]
    mapper = BinMapper.from_json({"features": features})
    assert mapper.features[-1].name == "c=(other)"
    later = table_of(categorical("c", ["a", "unseen", None]))
    assert mapper.transform(later, all_rows(later)).tolist() == [[1, 0], [0, 1], [2, 2]]


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


GROUPED: dict[str, Any] = {"column": "c", "kind": "grouped", "has_missing": False, "groups": [["a"], ["b", "c"]]}


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
        {"features": [GROUPED, GROUPED]},
        {"features": [GROUPED, CATEGORY]},
        {"features": [{**GROUPED, "groups": []}]},
        {"features": [{**GROUPED, "groups": None}]},
        {"features": [{**GROUPED, "groups": ["ab"]}]},
        {"features": [{**GROUPED, "groups": [["a"], []]}]},
        {"features": [{**GROUPED, "groups": [["a"], ["a"]]}]},
        {"features": [{**GROUPED, "groups": [["a", 1]]}]},
        {"features": [{**GROUPED, "groups": [[["a"]]]}]},
        {"features": [{**GROUPED, "groups": [[str(each)] for each in range(127)]}]},
        {"features": [{**GROUPED, "groups": [[str(each) for each in range(4097)]]}]},
    ],
)
def test_a_damaged_mapper_is_refused(document: Any) -> None:
    with pytest.raises(ModelFormatError):
        BinMapper.from_json(document)
