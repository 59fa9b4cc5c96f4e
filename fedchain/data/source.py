"""Where a party's table comes from: a CSV file, a Parquet file, or a query. All give the same table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from fedchain.data.assembly import assemble
from fedchain.data.idarray import Ids
from fedchain.data.ids import sorted_rows
from fedchain.data.records import Records
from fedchain.data.schema import Schema
from fedchain.data.selection import Selection
from fedchain.data.sql import Query
from fedchain.data.table import Table
from fedchain.errors import ConfigError

PARQUET_SUFFIXES = (".parquet", ".pq")
"""Of Parquet files, in any case; all other files are CSV."""

SourceKind = Literal["csv", "parquet", "query"]


@dataclass(frozen=True)
class TableSource:
    """A file or a query.

    Attributes:
        origin: path of a file, or a query.
        schema: what its people declare of its columns; None where they declare nothing.
        id_columns: which column holds which part of an id, as its people say; it counts before what a job says.
    """

    origin: Path | Query
    schema: Schema | None = None
    id_columns: Mapping[str, str] = field(default_factory=dict)

    def read(self, selection: Selection) -> Table:
        """The table, now.

        Args:
            selection: what the job asks for.

        Returns:
            Rows in the file's order; those of a query in the order of their ids (`fedchain.data.ids.sorted_rows`), for
            a database may give them in another one each time.

        Raises:
            ConfigError: a library is missing, or the query is no SELECT.
            DataError: as `fedchain.data.assembly.assemble`. The message may name values: it is for the table's owner.
        """
        with self.records() as records:
            table = assemble(records, selection, self.schema)
        if isinstance(self.origin, Query):
            return replace(
                table.at(sorted_rows(Ids.of(table.ids))),
                blank_ids=table.blank_ids,
                unreadable_ids=table.unreadable_ids,
                repeated_ids=table.repeated_ids,
            )
        return table

    @contextmanager
    def records(self) -> Iterator[Records]:
        """The opened source, for as long as the block lasts.

        Raises:
            ConfigError, DataError: as `read`.
        """
        origin = self.origin
        if isinstance(origin, Query):
            with origin.records() as records:
                yield records
        elif self.kind == "parquet":
            from fedchain.data.parquet import parquet_records

            yield parquet_records(origin)
        else:
            from fedchain.data.csv import csv_records

            yield csv_records(origin)

    @property
    def kind(self) -> SourceKind:
        """`parquet` or `csv`, by the file's suffix, or `query`."""
        if isinstance(self.origin, Query):
            return "query"
        return "parquet" if self.origin.suffix.lower() in PARQUET_SUFFIXES else "csv"


def table_file(folder: Path, name: str) -> Path:
    """A party's file in a folder with one per party: ``<name>.csv``, ``<name>.parquet`` or ``<name>.pq``.

    Returns:
        The one that is there, or the CSV file's path if none is.

    Raises:
        ConfigError: there are several.
    """
    candidates = [folder / f"{name}{suffix}" for suffix in (".csv", *PARQUET_SUFFIXES)]
    found = [path for path in candidates if path.is_file()]
    if len(found) > 1:
        raise ConfigError(f"{found[0]}: there is {found[1].name} too; keep one table per party in the folder")
    return found[0] if found else candidates[0]
