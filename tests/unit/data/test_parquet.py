"""Reading Parquet: types, bounds, and what each refusal says."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from fedchain.data import parquet as reading
from fedchain.data import records as bounds
from fedchain.data.schema import Schema
from fedchain.data.selection import Selection
from fedchain.data.source import TableSource, table_file
from fedchain.data.table import Table
from fedchain.errors import ConfigError, DataError


def written(folder: Path, columns: dict[str, Any], name: str = "mine.parquet") -> Path:
    parquet.write_table(pa.table(columns), folder / name)
    return folder / name


def read(path: Path, **options: Any) -> Table:
    return TableSource(path).read(Selection("id", **options))


@pytest.mark.parametrize("name", ["mine.parquet", "mine.pq", "MINE.PARQUET"])
def test_the_suffix_makes_a_file_parquet(tmp_path: Path, name: str) -> None:
    assert read(written(tmp_path, {"id": [1, 2]}, name)).ids == ("1", "2")


def test_types_are_read_as_a_csv_file_would_say_them(tmp_path: Path) -> None:
    moment = datetime.datetime(2024, 1, 31, 10, 30, 0, 250_000)
    zone = datetime.timezone(datetime.timedelta(hours=2))
    columns = {
        "id": pa.array([1.0, 2.0]),
        "small": pa.array([0.1, None], pa.float32()),
        "half": pa.array([np.float16(0.5), np.float16(2)], pa.float16()),
        "big": pa.array([2**63, 0], pa.uint64()),
        "word": pa.array(["a", None]).dictionary_encode(),
        "flag": pa.array([True, False]),
        "nothing": pa.nulls(2),
        "nanos": pa.array([moment, None], pa.timestamp("ns")),
        "zoned": pa.array([moment.replace(tzinfo=zone), None], pa.timestamp("ns", tz="Europe/Zurich")),
        "day": pa.array([moment.date(), None]),
        "time": pa.array([moment.time(), None], pa.time64("ns")),
    }
    table = read(written(tmp_path, columns))
    cells = {column.name: column.values[0] for column in table.columns}
    assert table.ids == ("1", "2")
    assert np.isnan(cells.pop("nothing"))
    assert cells == {
        "small": 0.1,
        "half": 0.5,
        "big": 2.0**63,
        "word": "a",
        "flag": "true",
        "nanos": "2024-01-31 10:30:00.250000",
        "zoned": "2024-01-31 08:30:00.250000+00:00",
        "day": "2024-01-31",
        "time": "10:30:00.250000",
    }


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        ([b"x"], pa.binary(), "type bytes"),
        ([[1]], pa.list_(pa.int64()), "type list"),
        ([{"a": 1}], pa.struct({"a": pa.int64()}), "type dict"),
        ([datetime.timedelta(1)], pa.duration("ns"), "type timedelta"),
        (["a\0b"], pa.string(), "a text with a NUL character"),
        (["x" * (bounds.MAX_CELL + 1)], pa.string(), "a text of 131073 characters, at most 131072"),
    ],
)
def test_a_value_that_is_no_cell_is_named_by_row_and_column(
    tmp_path: Path, values: list[Any], kind: Any, found: str
) -> None:
    path = written(tmp_path, {"id": [1, 2], "odd": pa.array([None, *values], kind)})
    with pytest.raises(DataError, match=f"row 2: column 'odd' holds .*{found}"):
        read(path)
    assert read(path, features=()).ids == ("1", "2")


def test_an_infinite_number_is_an_error_with_its_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 2: column 'a' holds an infinite"):
        read(written(tmp_path, {"id": [1, 2], "a": [0.0, float("-inf")]}))


def test_only_the_columns_that_are_asked_for_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    decode = reading._values

    def counted(arrow: Any, column: Any) -> list[object]:
        seen.append(len(column))
        return decode(arrow, column)

    monkeypatch.setattr(reading, "_values", counted)
    monkeypatch.setattr(reading, "BATCH_ROWS", 2)
    path = written(tmp_path, {"a": [1, 2, 3], "id": [1, 2, 3], "secret": [b"x"] * 3})
    table = TableSource(path, Schema({"id": "id", "a": "numeric"})).read(Selection("id"))
    assert [column.name for column in table.columns] == ["a"]
    assert sum(seen) == 6
    assert max(seen) == 2


def test_lengths_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, {"id": [1, 2, 3], "a": [1, 2, 3]})
    monkeypatch.setattr(bounds, "MAX_ROWS", 2)
    with pytest.raises(DataError, match="row 3: more than 2 rows"):
        read(path)
    monkeypatch.setattr(bounds, "MAX_FIELDS", 1)
    with pytest.raises(DataError, match="2 columns, at most 1"):
        read(path)


def test_files_that_are_no_parquet_are_errors_of_one_line(tmp_path: Path) -> None:
    good = written(tmp_path, {"id": list(range(1000))}).read_bytes()
    path = tmp_path / "bad.parquet"
    with pytest.raises(DataError, match="no such file"):
        read(path)
    for content in (b"", b"id,a\n1,2\n", good[:-9], good[:4] + b"\xff" * 200 + good[204:]):
        path.write_bytes(content)
        with pytest.raises(DataError) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match="not a Parquet file"):
        read(path)


def test_a_missing_library_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, {"id": [1]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install 'fedchain\[parquet\]'"):
        read(path)


def test_a_folder_of_tables_holds_one_per_party(tmp_path: Path) -> None:
    assert table_file(tmp_path, "bank") == tmp_path / "bank.csv"
    (tmp_path / "bank.pq").touch()
    assert table_file(tmp_path, "bank") == tmp_path / "bank.pq"
    (tmp_path / "bank.csv").touch()
    with pytest.raises(ConfigError, match=r"bank\.csv: there is bank\.pq too"):
        table_file(tmp_path, "bank")
