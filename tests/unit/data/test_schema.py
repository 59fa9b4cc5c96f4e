"""Declared columns: all are there, all are what is declared, and no others are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedchain.data.schema import ColumnType, Schema
from fedchain.data.selection import Selection
from fedchain.data.source import TableSource
from fedchain.data.table import Table
from fedchain.errors import DataError

COLUMNS: dict[str, ColumnType] = {"id": "id", "y": "label", "w": "weight", "age": "numeric", "code": "categorical"}
TEXT = "phone,id,y,w,age,code\n077,1,0,1,30,5\n078,2,1,0.5,NA,05\n"


def read(folder: Path, text: str = TEXT, columns: dict[str, ColumnType] | None = None, **options: Any) -> Table:
    path = folder / "mine.csv"
    path.write_text(text)
    selection = Selection(**{"id": "id", "label": "y", "weight": "w", **options})
    return TableSource(path, Schema(columns or COLUMNS)).read(selection)


def refusal(folder: Path, *args: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(folder, *args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{folder}/", "")


def test_declared_columns_have_their_kind_and_others_are_left_out(tmp_path: Path) -> None:
    table = read(tmp_path)
    assert [(column.name, column.kind) for column in table.columns] == [("age", "numeric"), ("code", "categorical")]
    assert list(table.column("code").values) == ["5", "05"]


def test_labels_and_weights_that_a_job_does_not_use_are_no_features(tmp_path: Path) -> None:
    table = read(tmp_path, label=None, weight=None)
    assert [column.name for column in table.columns] == ["age", "code"]
    assert table.label is None


def test_a_job_may_take_fewer_columns_but_no_undeclared_one(tmp_path: Path) -> None:
    assert [column.name for column in read(tmp_path, features=("code",)).columns] == ["code"]
    said = refusal(tmp_path, features=("phone",))
    assert said == (
        "mine.csv: the job's feature column 'phone' is not declared; declare it in [data.columns], or change the job"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"label": "age"}, "label column 'age' is declared as numeric"),
        ({"weight": None, "features": ("w",)}, "feature column 'w' is declared as weight"),
        ({"label": None, "features": ("y", "age")}, "feature column 'y' is declared as label"),
        ({"id": "code"}, "id column 'code' is declared as categorical"),
    ],
)
def test_a_job_may_use_a_column_only_as_what_it_is_declared(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    assert said in refusal(tmp_path, **options)


def test_a_declared_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    said = refusal(tmp_path, columns={**COLUMNS, "town": "categorical"})
    assert said == (
        "mine.csv: no column 'town', which [data.columns] declares as categorical; "
        "columns present: phone, id, y, w, age, code"
    )


@pytest.mark.parametrize("cell", ["old", "inf", "1e999", "true", "1_0"])
def test_a_numeric_column_with_another_cell_is_named_with_the_first_such_row(tmp_path: Path, cell: str) -> None:
    said = refusal(tmp_path, f"id,y,w,age,code\n1,0,1,3,a\n,,,bad,\n2,1,1,{cell},b\n3,1,1,worse,c\n")
    assert said == (
        f"mine.csv, line 4: column 'age' is declared numeric, expected a finite number, found '{cell}'; "
        "mend the cell, or [data.columns]"
    )


def test_columns_are_checked_even_if_the_job_does_not_ask_for_them(tmp_path: Path) -> None:
    text = "id,y,w,age,code\n1,0,1,old,a\n2,1,1,3,b\n"
    assert "line 2: column 'age' is declared numeric" in refusal(tmp_path, text, weight=None, features=("code",))
    text = text.replace("2,1,1,", "2,1,-1,")
    assert "line 3: column 'w' is declared weight, expected a number from 0 to 1e+12, found '-1'" in refusal(
        tmp_path, text, weight=None, features=("code",)
    )


def test_a_job_may_take_a_numeric_column_as_categories(tmp_path: Path) -> None:
    table = read(tmp_path, categorical=("age",))
    assert [(column.name, column.kind) for column in table.columns] == [("age", "categorical"), ("code", "categorical")]
