"""Rows that repeat an id: refused, left out, or merged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.data.duplicates import Groups
from fedchain.data.records import Records
from fedchain.data.selection import Selection
from fedchain.data.source import TableSource
from fedchain.data.table import Column, Table
from fedchain.errors import DataError

ROWS = "id,y,age,plan\n7,1,30,\n8,0,50,gold\n 7 ,1,,basic\n,1,1,x\n7.0,1.0,33,gold\n9,0,,\n"


def read(folder: Path, text: str, **options: Any) -> Table:
    path = folder / "t.csv"
    path.write_text(text, encoding="utf-8")
    return TableSource(path).read(Selection("id", **options))


def columns(table: Table) -> dict[str, list[object]]:
    return {
        column.name: [None if gone else value for value, gone in zip(column.values, column.missing, strict=True)]
        for column in table.columns
    }


def test_repeated_ids_are_refused_by_default_and_rows_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"2 rows repeat an earlier row's id \(lines 2 and 4; lines 2 and 6\).*duplicates"
    ) as caught:
        read(tmp_path, ROWS)
    assert "7.0" not in str(caught.value)


def test_the_first_row_counts(tmp_path: Path) -> None:
    table = read(tmp_path, ROWS, label="y", duplicates="first")
    assert table.ids == ("7", "8", "9")
    assert columns(table) == {"age": [30.0, 50.0, None], "plan": [None, "gold", None]}
    assert (table.label.tolist() if table.label is not None else None) == [1.0, 0.0, 0.0]
    assert (table.blank_ids, table.repeated_ids) == (1, 2)


def test_rows_are_merged(tmp_path: Path) -> None:
    table = read(tmp_path, ROWS, label="y", duplicates="aggregate")
    assert table.ids == ("7", "8", "9")
    assert columns(table) == {"age": [31.5, 50.0, None], "plan": ["basic", "gold", None]}
    assert (table.label.tolist() if table.label is not None else None) == [1.0, 0.0, 0.0]
    assert (table.blank_ids, table.repeated_ids) == (1, 2)


def test_numbers_that_are_categories_are_not_averaged(tmp_path: Path) -> None:
    table = read(tmp_path, ROWS, label="y", duplicates="aggregate", categorical=("age",))
    assert columns(table)["age"] == ["30", "50", None]


@pytest.mark.parametrize("role", ["label", "weight"])
def test_labels_and_weights_of_one_id_must_agree(tmp_path: Path, role: str) -> None:
    rows = ROWS.replace(" 7 ,1,", " 7 ,0,")
    with pytest.raises(DataError, match=rf"1 rows have an earlier row's id but another {role} \(lines 2 and 4\)"):
        read(tmp_path, rows, duplicates="aggregate", **{role: "y"})
    assert read(tmp_path, rows, duplicates="first", **{role: "y"}).ids == ("7", "8", "9")


def test_numbers_too_large_to_average_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too large to take their mean"):
        read(tmp_path, "id,a\n1,1e308\n1,-1.7e308\n2,0\n", duplicates="aggregate")


def test_without_repeats_all_policies_give_the_same_table(tmp_path: Path) -> None:
    rows = "id,y,a\n1,1,2\n2,0,\n"
    tables = [read(tmp_path, rows, label="y", duplicates=policy) for policy in ("error", "first", "aggregate")]
    assert all(columns(table) == columns(tables[0]) and table.repeated_ids == 0 for table in tables)


NUMBERS = st.one_of(st.just(float("nan")), st.floats(-1e6, 1e6))


@given(st.lists(st.tuples(st.integers(0, 3), NUMBERS), min_size=1, max_size=12))
def test_merged_numbers_are_the_mean_of_those_that_are_there(rows: list[tuple[int, float]]) -> None:
    ids = [one for one, _ in rows]
    first = np.asarray([ids.index(one) for one in ids])
    groups = Groups(first, range(len(rows)), Records("t", ("a",), lambda _: iter(())))
    values = np.asarray([value for _, value in rows])
    merged = groups.merged(Column("a", "numeric", values)).values
    for one, found in zip(dict.fromkeys(ids), merged, strict=True):
        there = [value for other, value in rows if other == one and value == value]
        if not there:
            assert np.isnan(found)
        elif len(set(there)) == 1:
            assert found == there[0], "equal values stay what they are"
        else:
            assert found == pytest.approx(np.mean(there), abs=1e-6)
