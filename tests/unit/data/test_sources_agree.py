"""The same table as CSV, Parquet, SQLite and DuckDB is the same table, bit for bit."""

from __future__ import annotations

import datetime
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.data.digest import table_digest
from fedchain.data.ids import sort_ids
from fedchain.data.selection import Selection
from fedchain.data.source import TableSource
from fedchain.data.table import Table
from fedchain.errors import DataError
from tests.unit.data.sources import WRITERS, as_csv, as_duckdb, as_sqlite

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "VARCHAR": st.one_of(TEXT, st.sampled_from(["", " NA ", "None", "nan", "1", " 1.0", "-2e3", "a,b", 'x"y', "z\nw"])),
    "BIGINT": st.integers(-(2**63), 2**63 - 1),
    "DOUBLE": st.one_of(st.floats(allow_infinity=False), st.sampled_from([0.1, -0.0, 1e22, 5e-324, 12.0])),
    "BOOLEAN": st.booleans(),
    "DATE": st.dates(),
    "TIMESTAMP": st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1)),
    "DECIMAL(18,3)": st.integers(-(10**17), 10**17).map(lambda number: Decimal(number) / 1000),
}
IDS = {"VARCHAR": st.text("abcXYZ019 é", min_size=1, max_size=4), "BIGINT": st.integers(-5, 10**15)}


@st.composite
def tables(draw: st.DrawFn) -> tuple[dict[str, str], list[list[Any]]]:
    """Types by column and rows; the first column is the id."""
    kinds = draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=5))
    id_kind = draw(st.sampled_from(sorted(IDS)))
    ids = draw(st.lists(st.none() | IDS[id_kind], min_size=1, max_size=7))
    rows = [[each, *(draw(st.none() | VALUES[kind]) for kind in kinds)] for each in ids]
    if any(kind == "DECIMAL(18,3)" for kind in kinds):
        rows = [[round(one, 3) if isinstance(one, Decimal) else one for one in row] for row in rows]
    return {"id": id_kind, **{f"c{place}": kind for place, kind in enumerate(kinds)}}, rows


def in_id_order(table: Table) -> Table:
    return table.take(sort_ids(table.ids))


def read(source: TableSource, selection: Selection) -> tuple[bytes, int, list[str]] | str:
    try:
        table = source.read(selection)
    except DataError as error:
        return next(kind for kind in ("no rows with an id", "repeat an earlier row's id") if kind in str(error))
    return table_digest(in_id_order(table)), table.blank_ids, [column.kind for column in table.columns]


@settings(max_examples=40, deadline=None)
@given(data=tables())
def test_the_same_table_from_every_source_is_equal_bit_for_bit(data: tuple[dict[str, str], list[list[Any]]]) -> None:
    types, rows = data
    with tempfile.TemporaryDirectory() as folder:
        found = {name: read(write(Path(folder), types, rows), Selection("id")) for name, write in WRITERS.items()}
    assert all(one == found["csv"] for one in found.values()), found


def test_labels_weights_and_classes_are_equal_too(tmp_path: Path) -> None:
    types = {"id": "BIGINT", "y": "BOOLEAN", "w": "DOUBLE", "k": "VARCHAR", "a": "DECIMAL(18,3)"}
    rows: list[list[Any]] = [
        [3, True, 0.5, "late", Decimal("1.500")],
        [1, False, 2.0, "early", None],
        [None, None, None, None, None],
        [2, True, 0.0, "late", Decimal("-0.125")],
    ]
    for selection in (Selection("id", "y", weight="w"), Selection("id", "k", label_type="classes", features=("a",))):
        tables = [in_id_order(write(tmp_path, types, rows).read(selection)) for write in WRITERS.values()]
        assert len({table_digest(table) for table in tables}) == 1
        assert tables[0].label is not None
        assert [table.classes for table in tables] == [tables[0].classes] * 4


def test_a_query_gives_rows_in_the_order_of_their_ids_whatever_the_database_does(tmp_path: Path) -> None:
    types = {"id": "BIGINT", "a": "DOUBLE"}
    rows: list[list[Any]] = [[10, 1.0], [9, 2.0], [None, 0.0], [100, 3.0]]
    for write in (as_sqlite, as_duckdb):
        one = write(tmp_path, types, rows).read(Selection("id"))
        other = write(tmp_path, types, rows[::-1]).read(Selection("id"))
        assert one.ids == other.ids == ("9", "10", "100")
        assert list(one.columns[0].values) == list(other.columns[0].values) == [2.0, 1.0, 3.0]
        assert one.blank_ids == other.blank_ids == 1
    assert as_csv(tmp_path, types, rows).read(Selection("id")).ids == ("10", "9", "100")


def test_a_digest_tells_tables_apart_that_differ_in_anything(tmp_path: Path) -> None:
    types = {"id": "VARCHAR", "a": "VARCHAR", "b": "VARCHAR", "y": "BIGINT"}
    rows: list[list[Any]] = [["1", "x", "", 0], ["2", "", "z", 1]]
    others: list[tuple[dict[str, str], list[list[Any]]]] = [
        (types, [["1", "x", "", 0], ["3", "", "z", 1]]),
        (types, [["1", "x", "", 1], ["2", "", "z", 0]]),
        (types, [["1", "", "x", 0], ["2", "", "z", 1]]),
        (types, [["1", "xz", "", 0], ["2", "", "z", 1]]),
        (types, [["2", "", "z", 1], ["1", "x", "", 0]]),
        ({"id": "", "a": "", "c": "", "y": ""}, rows),
    ]
    digests = [
        table_digest(as_csv(tmp_path, names, cells).read(Selection("id", "y")))
        for names, cells in [(types, rows), *others]
    ]
    assert len(set(digests)) == 7
    assert table_digest(as_csv(tmp_path, types, rows).read(Selection("id", "y"))) == digests[0]


@pytest.mark.parametrize("name", ["parquet", "sqlite", "duckdb"])
def test_messages_count_rows_where_there_are_no_lines(tmp_path: Path, name: str) -> None:
    types = {"id": "BIGINT", "y": "VARCHAR", "w": "DOUBLE"}
    source = WRITERS[name](tmp_path, types, [[1, "0", 1.0], [2, None, -1.0], [2, "1", 1.0]])
    with pytest.raises(DataError, match=r"1 rows repeat an earlier row's id \(rows 2 and 3\)"):
        source.read(Selection("id"))
    source = WRITERS[name](tmp_path, types, [[1, "0", 1.0], [2, None, -1.0], [3, "1", 1.0]])
    with pytest.raises(DataError, match=r"1 of 3 labels are missing \(rows 2\)"):
        source.read(Selection("id", "y"))
    with pytest.raises(DataError, match=r"weight column 'w', row 2: '-1.0' is out of range"):
        source.read(Selection("id", weight="w"))
