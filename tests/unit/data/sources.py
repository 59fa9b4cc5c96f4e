"""One table written as every kind of source."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyarrow import parquet

from fedchain.data.source import TableSource
from fedchain.data.sql import Query

ARROW: Mapping[str, Any] = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
    "DECIMAL(18,3)": pa.decimal128(18, 3),
}
"""SQL type and the Parquet type that means the same."""

STATEMENT = "SELECT * FROM mine"

Row = Sequence[Any]


def as_csv(folder: Path, types: Mapping[str, str], rows: Sequence[Row]) -> TableSource:
    path = folder / "mine.csv"
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, quoting=csv.QUOTE_ALL)
        writer.writerow(types)
        writer.writerows([[_plain(value) for value in row] for row in rows])
    return TableSource(path)


def as_parquet(folder: Path, types: Mapping[str, str], rows: Sequence[Row]) -> TableSource:
    path = folder / "mine.parquet"
    columns = [
        pa.array([row[place] for row in rows], type=ARROW[kind], from_pandas=False)
        for place, kind in enumerate(types.values())
    ]
    parquet.write_table(pa.Table.from_arrays(columns, names=list(types)), path, row_group_size=3)
    return TableSource(path)


def as_sqlite(folder: Path, types: Mapping[str, str], rows: Sequence[Row]) -> TableSource:
    path = folder / "mine.sqlite"
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    try:
        connection.execute(f"CREATE TABLE mine ({', '.join(map(quoted, types))})")
        values = [[value if isinstance(value, int | float | None) else _plain(value) for value in row] for row in rows]
        values = [["true" if v is True else "false" if v is False else v for v in row] for row in values]
        connection.executemany(f"INSERT INTO mine VALUES ({', '.join('?' * len(types))})", values)
        connection.commit()
    finally:
        connection.close()
    return TableSource(Query(f"sqlite:///{path}", STATEMENT))


def as_duckdb(folder: Path, types: Mapping[str, str], rows: Sequence[Row]) -> TableSource:
    path = folder / "mine.duckdb"
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"CREATE TABLE mine ({columns_of(types)})")
        if rows:
            connection.executemany(f"INSERT INTO mine VALUES ({', '.join('?' * len(types))})", [list(r) for r in rows])
    return TableSource(Query("duckdb:///mine.duckdb", STATEMENT, folder))


def columns_of(types: Mapping[str, str]) -> str:
    return ", ".join(f"{quoted(name)} {kind}" for name, kind in types.items())


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _plain(value: Any) -> str:
    """What a person would write into a CSV file."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


WRITERS = {"csv": as_csv, "parquet": as_parquet, "sqlite": as_sqlite, "duckdb": as_duckdb}
