"""Reading from a database: one statement that reads, nothing is written, and no message holds a secret."""

from __future__ import annotations

import sqlite3
import sys
import traceback
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlalchemy.dialects import registry

from fedchain.data import records as bounds
from fedchain.data import sql as reading
from fedchain.data.schema import Schema
from fedchain.data.selection import Selection
from fedchain.data.source import TableSource
from fedchain.data.sql import Query
from fedchain.data.statement import MAX_STATEMENT, require_select
from fedchain.data.table import Table
from fedchain.errors import ConfigError, DataError, FedchainError
from tests.unit.data.sources import as_duckdb, as_sqlite

TYPES = {"id": "BIGINT", "a": "DOUBLE", "town": "VARCHAR"}
ROWS = [[3, 0.5, "Bern"], [1, None, ":x %s 'q'"], [2, 1e300, None]]


@pytest.fixture(params=["sqlite", "duckdb"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with a database, and its URL in `url`."""
    writers: dict[str, Any] = {"sqlite": as_sqlite, "duckdb": as_duckdb}
    writers[request.param](tmp_path, TYPES, ROWS)
    (tmp_path / "url").write_text(f"{request.param}:///mine.{request.param}")
    return tmp_path


def read(folder: Path, statement: str, schema: Schema | None = None, **options: Any) -> Table:
    query = Query((folder / "url").read_text(), statement, folder)
    return TableSource(query, schema).read(Selection("id", **options))


def test_relative_files_count_from_the_nodes_folder(folder: Path) -> None:
    table = read(folder, "SELECT * FROM mine")
    assert table.ids == ("1", "2", "3")
    assert list(table.column("town").values) == [":x %s 'q'", None, "Bern"]


@pytest.mark.parametrize(
    "statement",
    [
        "select id, a from mine;",
        "-- note\nSELECT id, a FROM mine -- ; end",
        "/* x; */ WITH m AS (SELECT * FROM mine) SELECT id, a FROM m WHERE town IS NULL OR town <> 'a;:b %s'\n ; ",
        "SELECT id, a FROM mine UNION ALL SELECT 9, 1.5",
    ],
)
def test_select_and_with_statements_are_run(folder: Path, statement: str) -> None:
    assert [column.name for column in read(folder, statement).columns] == ["a"]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("", "is empty"),
        ("-- nothing", "is empty"),
        ("INSERT INTO mine VALUES (4, 1, 'x')", "begins with 'INSERT'"),
        ("DROP TABLE mine", "begins with 'DROP'"),
        ("PRAGMA user_version = 3", "begins with 'PRAGMA'"),
        ("EXPLAIN SELECT 1", "begins with 'EXPLAIN'"),
        ("COPY mine TO 'out.csv'", "begins with 'COPY'"),
        ("WITH x AS (SELECT 1) DELETE FROM mine", "is no SELECT"),
        ("SELECT 1; DROP TABLE mine", "several statements"),
        ("SELECT 1; SELECT 2;", "several statements"),
        (";SELECT 1", "several statements"),
        ("SELECT '" + "x" * MAX_STATEMENT + "'", "at most 65536"),
    ],
)
def test_anything_but_one_statement_that_reads_is_refused(folder: Path, statement: str, said: str) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ConfigError) as caught:
        read(folder, statement)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_files_are_opened_read_only_even_if_a_statement_slips_through(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "require_select", lambda statement: None)
    with pytest.raises(DataError, match=r"read-?only"):
        read(folder, "DELETE FROM mine")
    assert len(read(folder, "SELECT * FROM mine")) == 3


def test_a_database_that_is_not_there_is_not_made(folder: Path) -> None:
    (folder / "url").write_text((folder / "url").read_text().replace("mine.", "other."))
    with pytest.raises(DataError, match="no such database file"):
        read(folder, "SELECT 1 AS id")
    assert not list(folder.glob("other.*"))


def test_rows_come_in_chunks_and_are_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "CHUNK_ROWS", 2)
    assert len(read(folder, "SELECT * FROM mine")) == 3
    monkeypatch.setattr(bounds, "MAX_ROWS", 2)
    with pytest.raises(DataError, match="row 3: more than 2 rows"):
        read(folder, "SELECT * FROM mine")
    monkeypatch.setattr(bounds, "MAX_FIELDS", 2)
    with pytest.raises(DataError, match="3 columns, at most 2"):
        read(folder, "SELECT * FROM mine")


def test_columns_of_one_name_are_an_error(folder: Path) -> None:
    with pytest.raises(DataError, match="header names repeat: 'id'"):
        read(folder, "SELECT id, id FROM mine")


def test_a_schema_holds_for_a_query(folder: Path) -> None:
    schema = Schema({"id": "id", "a": "numeric"})
    assert [column.name for column in read(folder, "SELECT * FROM mine", schema).columns] == ["a"]
    with pytest.raises(DataError, match=r"row 1: column 'town' is declared numeric, .* found 'Bern'"):
        read(folder, "SELECT * FROM mine", Schema({"id": "id", "town": "numeric"}))


def test_a_value_without_a_text_is_named_by_row_and_column(folder: Path) -> None:
    with pytest.raises(DataError, match="row 1: column 'b' holds a value of type bytes; cast it"):
        read(folder, "SELECT id, CAST('x' AS BLOB) AS b FROM mine")


def test_what_a_database_refuses_is_one_line(folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(folder, "SELECT *\nFROM absent")
    assert "absent" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_duckdb_values_with_zones_and_of_odd_types_have_texts(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "d")) as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT 1 AS id, 'NaN'::DOUBLE AS n, 170141183460469231731687303715884105727 AS huge, "
            "TIMESTAMPTZ '2024-01-31 10:30:00+02' AS moment, TIME '10:30:00' AS time, "
            "'0f8fad5b-d9cb-469f-a165-70867728950e'::UUID AS uuid"
        )
    table = TableSource(Query("duckdb:///d", "SELECT * FROM t", tmp_path)).read(Selection("id"))
    assert [str(column.values[0]) for column in table.columns] == [
        "nan",
        "1.7014118346046923e+38",
        "2024-01-31 08:30:00+00:00",
        "10:30:00",
        "0f8fad5b-d9cb-469f-a165-70867728950e",
    ]


SECRET = "s3cret/p@ss word"
QUOTED = "s3cret%2Fp%40ss%20word"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://alice:{QUOTED}@127.0.0.1:1/crm",
        f"postgresql+psycopg://alice@127.0.0.1:1/crm?password={QUOTED}",
        f"postgresql://alice:{QUOTED}@127.0.0.1:1/crm?nonsense={QUOTED}",
        f"nothing://alice:{QUOTED}@host/crm",
        f"alice:{QUOTED}",
        f"postgresql://alice:{QUOTED}@host:port/crm",
        f"telling://alice:{QUOTED}@host/crm",
    ],
)
def test_no_message_and_no_traceback_holds_the_password(url: str) -> None:
    registry.register("telling", __name__, "TellingDialect")
    query = Query(url, "SELECT 1 AS id")
    with pytest.raises(FedchainError) as caught:
        TableSource(query).read(Selection("id"))
    shown = "".join(traceback.format_exception(caught.value)) + repr(query) + repr(TableSource(query))
    shown = shown.replace(f"{Path(__file__)}", "")
    assert [word for word in (SECRET, QUOTED, "s3cret") if word in str(caught.value) + repr(query)] == []
    assert "s3cret" not in shown
    assert "\n" not in str(caught.value)


class TellingDialect:
    """A driver that tells everything it knows."""

    @classmethod
    def get_dialect_cls(cls, url: Any) -> type:
        raise RuntimeError(f"cannot use {url.render_as_string(hide_password=False)} with {url.password}")


def test_missing_libraries_are_named_with_their_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sqlalchemy", "sqlparse"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(ConfigError, match=rf"{'SQLAlchemy|sqlparse'}.*pip install 'fedchain\[sql\]'"):
                read(folder, "SELECT * FROM mine")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match="the database's driver is not installed"):
        TableSource(Query("postgresql://a:b@h/d", "SELECT 1 AS id")).read(Selection("id"))


def test_text_that_is_not_utf_8_is_an_error_and_no_crash(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "d")
    connection.execute("CREATE TABLE t AS SELECT 1 AS id, CAST(x'ff' AS TEXT) AS a")
    connection.commit()
    connection.close()
    with pytest.raises(DataError, match="UTF-8"):
        TableSource(Query("sqlite:///d", "SELECT * FROM t", tmp_path)).read(Selection("id"))


def test_names_of_columns_may_be_keywords_in_the_parser() -> None:
    require_select('SELECT "insert", begin_date, t."end" FROM t WHERE state = \'create; drop\'')
