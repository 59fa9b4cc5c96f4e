"""A table described: names, kinds, counts, never a cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedchain.data.description import describe
from fedchain.data.schema import Schema
from fedchain.data.selection import Selection
from fedchain.data.source import TableSource
from fedchain.errors import DataError

CSV = "id,age,plan,zip,odd\n1,30,a,1000,inf\n2, NA ,,2000,1\n3,-1e3,b,,2\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "t.csv").write_text(CSV)
    return tmp_path / "t.csv"


def test_kinds_and_missing_cells_are_those_that_a_job_would_find(path: Path) -> None:
    found = describe(TableSource(path))
    table = TableSource(path).read(Selection(id="id", features=("age", "plan", "zip")))

    assert (found.kind, found.rows) == ("csv", 3)
    assert [(one.name, one.kind, one.missing) for one in found.columns] == [
        ("id", "numeric", 0), ("age", "numeric", 1), ("plan", "categorical", 1), ("zip", "numeric", 1),
        ("odd", "categorical", 0),
    ]  # fmt: skip
    for column in table.columns:
        described = next(one for one in found.columns if one.name == column.name)
        assert (described.kind, described.missing) == (column.kind, int(column.missing.sum()))


def test_declared_columns_are_named_and_must_be_there(path: Path) -> None:
    found = describe(TableSource(path, Schema({"id": "id", "zip": "categorical"})))
    assert [(one.name, one.declared) for one in found.columns if one.declared] == [("id", "id"), ("zip", "categorical")]
    assert next(one.kind for one in found.columns if one.name == "zip") == "categorical"
    with pytest.raises(DataError, match="'income'"):
        describe(TableSource(path, Schema({"income": "numeric"})))


def test_a_description_holds_no_cell(path: Path) -> None:
    assert not {"1000", "2000", "-1e3", "inf"} & set(str(describe(TableSource(path))).split("'"))


def test_a_parquet_file_is_described_alike(path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    columns = {"id": [1, 2, 3], "age": [30.0, None, -1000.0], "plan": ["a", None, "b"]}
    parquet.write_table(pa.table(columns), path.with_suffix(".parquet"))

    found = describe(TableSource(path.with_suffix(".parquet")))

    assert found.kind == "parquet"
    assert found.columns == describe(TableSource(path)).columns[:3]
