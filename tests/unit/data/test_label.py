"""Labels: which columns are taken, and what each refusal says is to be done."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.data.label import MAX_CLASSES, Labels, LabelType, parse_label_column, parse_labels, parse_weights
from fedchain.errors import ConfigError, DataError


def parse(cells: Sequence[str | None], positive: str | None = None) -> list[float]:
    return list(parse_labels(cells, range(2, 2 + len(cells)), column="y", positive=positive, source="mine.csv"))


@pytest.mark.parametrize(
    ("cells", "positive"),
    [
        (["1", "0", "1"], None),
        (["1.0", "0", "1"], None),
        (["1", "0", "1"], "1.0"),
        (["Yes", "no", "yes"], None),
        (["TRUE", "False", "true"], None),
        (["left", "stayed", "left"], "left"),
        (["left", "stayed", "left"], " left "),
        (["-1", "1", "-1.0"], "-1"),
        (["0", "1", "0"], "0"),
        (["No", "Yes", "No"], "No"),
    ],
)
def test_two_classes_become_zero_and_one(cells: list[str], positive: str | None) -> None:
    assert parse(cells, positive) == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("cells", "positive", "said"),
    [
        (["a", "b", "c"], None, r"3 distinct values \('a', 'b', 'c'\), expected two"),
        (["0", "1", "2"], "1", "3 distinct values"),
        (["0.5", "1.5", "2.5", "3.5", "4.5", "5.5"], None, r"6 distinct values \(.*…\)"),
        (["left", "stayed"], None, "found 'left', 'stayed', expected 0 and 1; set 'positive'"),
        (["1", "2"], None, "expected 0 and 1; set 'positive'"),
        (["1", "yes"], None, "set 'positive'"),
        (["left", "stayed"], "gone", "positive value 'gone' is not among .*'left', 'stayed'"),
        (["Yes", "No"], "yes", "positive value 'yes' is not among"),
        (["1", "1.0", "1"], None, "only one class"),
        (["yes", "Yes"], None, "only one class"),
        (["1", None, "0", None], None, r"2 of 4 labels are missing \(lines 3, 5\)"),
        ([], None, "no rows"),
    ],
)
def test_other_labels_are_refused_with_what_was_found_and_what_to_do(
    cells: list[str | None], positive: str | None, said: str
) -> None:
    with pytest.raises(DataError, match=r"mine\.csv: label column 'y'.*" + said):
        parse(cells, positive)


def test_long_values_are_cut_in_the_message() -> None:
    with pytest.raises(DataError) as caught:
        parse(["x" * 500, "y" * 500])
    assert len(str(caught.value)) < 250


def typed(cells: Sequence[str | None], label_type: LabelType, positive: str | None = None) -> Labels:
    lines = range(2, 2 + len(cells))
    return parse_label_column(cells, lines, column="y", source="mine.csv", label_type=label_type, positive=positive)


@pytest.mark.parametrize(
    ("cells", "classes", "values"),
    [
        (["b", "a", "c", "a"], ("a", "b", "c"), [1, 0, 2, 0]),
        (["10", "9", "10.0", "-1"], ("-1", "9", "10"), [2, 1, 2, 0]),
        (["10.0", "9", "10"], ("9", "10"), [1, 0, 1]),
        (["10", "9", "x"], ("10", "9", "x"), [0, 1, 2]),
        (["Yes", "no", "yes"], ("Yes", "no", "yes"), [0, 1, 2]),
    ],
)
def test_classes_are_numbered_in_the_order_of_their_sorted_names(
    cells: list[str], classes: tuple[str, ...], values: list[int]
) -> None:
    labels = typed(cells, "classes")
    assert labels.classes == classes
    assert labels.values.tolist() == values


@given(st.lists(st.sampled_from("abcdef"), min_size=2).filter(lambda cells: len(set(cells)) > 1))
def test_class_names_give_the_cells_back(cells: list[str]) -> None:
    labels = typed(cells, "classes")
    assert labels.classes is not None
    assert [labels.classes[int(value)] for value in labels.values] == cells
    assert list(labels.classes) == sorted(set(cells))


def test_numbers_counts_and_binary_labels_have_no_classes() -> None:
    assert typed(["1.5", "-2e3", "0"], "number").values.tolist() == [1.5, -2000.0, 0.0]
    assert typed(["3", "0", "1.0"], "count").values.tolist() == [3.0, 0.0, 1.0]
    assert typed(["left", "stayed"], "binary", "left").values.tolist() == [1.0, 0.0]
    assert typed(["3", "0"], "count").classes is typed(["0", "1"], "binary").classes is None


@pytest.mark.parametrize(
    ("cells", "label_type", "said"),
    [
        (["a", "a"], "classes", r"only one class \('a'\)"),
        (["1", "1.0"], "classes", "only one class"),
        ([str(each) for each in range(MAX_CLASSES + 1)], "classes", "65 classes .* set objective = .squared_error."),
        ([f"k{each}" for each in range(MAX_CLASSES + 1)], "classes", "65 classes .* choose another label column"),
        (["a", None], "classes", r"1 of 2 labels are missing \(lines 3\)"),
        ([], "classes", "no rows"),
        (["1", "x"], "number", "line 3: 'x' is no finite number; .* objective = .multiclass."),
        (["1", "1e999"], "number", "line 3: '1e999' is no finite number"),
        (["1", None, "2"], "number", "1 of 3 labels are missing"),
        (["4", "4.0"], "number", "all labels are '4'"),
        (["1", "-1"], "count", r"1 labels are no counts \(line 3: '-1'\).* objective = .squared_error."),
        (["0.5", "1.5"], "count", "2 labels are no counts"),
        (["1", "1e17"], "count", "1 labels are no counts"),
        (["0", "0"], "count", "all counts are 0"),
    ],
)
def test_labels_not_of_their_type_are_refused_with_what_to_set(
    cells: list[str | None], label_type: LabelType, said: str
) -> None:
    with pytest.raises(DataError, match=r"mine\.csv: label column 'y'.*" + said):
        typed(cells, label_type)


def test_a_positive_value_is_for_binary_labels_alone() -> None:
    with pytest.raises(DataError, match="'positive' is for binary labels, these are of type classes"):
        typed(["a", "b"], "classes", "a")


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ConfigError, match="'real' is unknown; there are binary, classes, number, count"):
        typed(["1", "2"], "real")  # type: ignore[arg-type]


def weights_of(cells: Sequence[str | None]) -> list[float]:
    return list(parse_weights(cells, range(2, 2 + len(cells)), column="w", source="mine.csv"))


def test_weights_are_numbers_of_at_least_zero() -> None:
    assert weights_of(["1", "0", "2.5"]) == [1.0, 0.0, 2.5]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["1", None], r"1 of 2 weights are missing \(lines 3\)"),
        (["1", "-0.5"], "line 3: '-0.5' is out of range; weights are 0 to 1e"),
        (["1", "1e13"], "line 3: '1e13' is out of range"),
        (["1", "inf"], "line 3: 'inf' is no finite number"),
        (["heavy"], "line 2: 'heavy' is no finite number; set a finite number of at least 0"),
        (["0", "0.0"], "all weights are 0"),
    ],
)
def test_other_weights_are_refused_by_line(cells: list[str | None], said: str) -> None:
    with pytest.raises(DataError, match=r"mine\.csv: weight column 'w'.*" + said):
        weights_of(cells)
