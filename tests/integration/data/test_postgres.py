"""A table in PostgreSQL, in a real server: the same as in a CSV file, read-only, streamed."""

from __future__ import annotations

import datetime
import os
import traceback
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy

from fedchain.data import sql as reading
from fedchain.data.digest import table_digest
from fedchain.data.ids import sort_ids
from fedchain.data.schema import Schema
from fedchain.data.selection import Selection
from fedchain.data.source import TableSource
from fedchain.data.sql import Query
from fedchain.errors import DataError
from tests.integration.data.postgres import PASSWORD, QUOTED, programs, server
from tests.unit.data.sources import as_csv

GIVEN = "FEDCHAIN_TEST_POSTGRES"
TABLE = "fedchain_test_mine"
TYPES = {
    "id": "text",
    "y": "boolean",
    "n": "bigint",
    "x": "double precision",
    "r": "real",
    "m": "numeric(20,3)",
    "d": "date",
    "t": "timestamp",
    "z": "timestamptz",
    "s": "text",
    "u": "uuid",
}
MOMENT = datetime.datetime(2024, 1, 31, 10, 30, 0, 250_000)
ZONED = MOMENT.replace(tzinfo=datetime.timezone.utc)
ROWS: list[list[Any]] = [
    ["10", True, -(2**63), 0.1, 0.1, Decimal("1.500"), MOMENT.date(), MOMENT, ZONED, ' "a",\n:b %s é ', UUID(int=7)],
    ["9", False, None, float("nan"), 5e10, Decimal("-0.125"), None, None, None, "NA", None],
    [None, True, 1, 5e-324, None, None, None, None, None, None, None],
    ["0012", True, 2, -0.0, 0.25, Decimal("NaN"), MOMENT.date(), MOMENT, ZONED, "", UUID(int=8)],
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    given, found = os.environ.get(GIVEN), programs()
    if given:
        yield given
    elif found is None:
        pytest.skip(f"no PostgreSQL: {GIVEN} is not set, and initdb and pg_ctl are not on this machine")
    else:
        with server(found) as started:
            yield started


@pytest.fixture
def engine(url: str) -> Iterator[sqlalchemy.Engine]:
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"DROP TABLE IF EXISTS {TABLE}"))
        connection.execute(
            sqlalchemy.text(f"CREATE TABLE {TABLE} ({', '.join(f'{name} {kind}' for name, kind in TYPES.items())})")
        )
        insert = f"INSERT INTO {TABLE} VALUES ({', '.join('%s' for _ in TYPES)})"
        for row in ROWS:
            connection.exec_driver_sql(insert, tuple(row))
    yield engine
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"DROP TABLE IF EXISTS {TABLE}"))


def source(url: str, statement: str = f"SELECT * FROM {TABLE}", schema: Schema | None = None) -> TableSource:
    return TableSource(Query(url, statement), schema)


def test_a_table_in_postgresql_is_the_table_of_a_csv_file(engine: sqlalchemy.Engine, url: str, tmp_path: Path) -> None:
    selection = Selection("id", "y")
    csv = as_csv(tmp_path, TYPES, ROWS).read(selection)
    table = source(url).read(selection)
    assert table_digest(table) == table_digest(csv.take(sort_ids(csv.ids)))
    assert table.blank_ids == csv.blank_ids == 1
    assert [column.kind for column in table.columns] == ["numeric"] * 4 + ["categorical"] * 5


def test_zones_of_the_session_change_nothing(engine: sqlalchemy.Engine, url: str) -> None:
    separator = "&" if "?" in url else "?"
    moved = f"{url}{separator}options=-c%20timezone%3DAsia/Tokyo"
    selection = Selection("id", features=("z",))
    assert table_digest(source(moved).read(selection)) == table_digest(source(url).read(selection))


@pytest.mark.parametrize(
    "statement",
    [
        f"WITH gone AS (DELETE FROM {TABLE} RETURNING *) SELECT * FROM gone",
        f"SELECT * INTO fedchain_test_copy FROM {TABLE}",
        "SELECT nextval('fedchain_test_sequence') AS id",
    ],
)
def test_a_statement_that_writes_is_refused_by_the_database(
    engine: sqlalchemy.Engine, url: str, statement: str
) -> None:
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE SEQUENCE IF NOT EXISTS fedchain_test_sequence"))
    try:
        with pytest.raises(DataError) as caught:
            source(url, statement).read(Selection("id"))
        assert "\n" not in str(caught.value)
        with engine.connect() as connection:
            assert connection.execute(sqlalchemy.text(f"SELECT count(*) FROM {TABLE}")).scalar() == len(ROWS)
            assert not sqlalchemy.inspect(connection).has_table("fedchain_test_copy")
            assert not connection.execute(sqlalchemy.text("SELECT is_called FROM fedchain_test_sequence")).scalar()
    finally:
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("DROP SEQUENCE fedchain_test_sequence"))


def test_rows_come_in_chunks_from_a_cursor_of_the_server(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks: list[int] = []
    rows = reading._rows

    def counted(result: Any, *rest: Any) -> Any:
        fetch = result.fetchmany
        assert result.cursor.name, "a client-side cursor"

        def fetchmany(size: int) -> Any:
            chunks.append(size)
            return fetch(size)

        monkeypatch.setattr(result, "fetchmany", fetchmany)
        return rows(result, *rest)

    monkeypatch.setattr(reading, "_rows", counted)
    monkeypatch.setattr(reading, "CHUNK_ROWS", 1000)
    table = source(url, "SELECT n AS id, n * 0.5 AS a FROM generate_series(1, 2500) AS n;").read(Selection("id"))
    assert len(table) == 2500
    assert chunks == [1000] * 4


@pytest.mark.parametrize(
    ("expression", "kind"),
    [("'{1}'::int[]", "list"), ("'{}'::jsonb", "dict"), ("'x'::bytea", "bytes"), ("'1 day'::interval", "timedelta")],
)
def test_values_without_a_text_are_named(url: str, expression: str, kind: str) -> None:
    with pytest.raises(DataError, match=f"row 1: column 'odd' holds a value of type {kind}; cast it"):
        source(url, f"SELECT 1 AS id, {expression} AS odd").read(Selection("id"))


def test_a_schema_names_the_first_row_that_does_not_fit(engine: sqlalchemy.Engine, url: str) -> None:
    schema = Schema({"id": "id", "s": "numeric"})
    with pytest.raises(DataError, match="row 1: column 's' is declared numeric"):
        source(url, f"SELECT id, s FROM {TABLE} ORDER BY n", schema).read(Selection("id"))


def test_a_wrong_password_is_an_error_that_holds_none(url: str) -> None:
    if os.environ.get(GIVEN):
        pytest.skip(f"{GIVEN} may let everybody in")
    for wrong, secret in (
        (url.replace(QUOTED, "wr0ng-one"), "wr0ng-one"),
        (url.replace("/postgres", "/absent"), QUOTED),
    ):
        with pytest.raises(DataError) as caught:
            source(wrong, "SELECT 1 AS id").read(Selection("id"))
        shown = "".join(traceback.format_exception(caught.value))
        assert secret not in shown.replace(__file__, "")
        assert PASSWORD not in shown
        assert "\n" not in str(caught.value)
        assert "owner:***@/postgres" in str(caught.value) or "owner:***@/absent" in str(caught.value)
