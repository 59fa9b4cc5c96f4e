"""Labels: which columns are taken, and what each refusal says is to be done."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fedchain.data.label import parse_labels
from fedchain.errors import DataError


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
