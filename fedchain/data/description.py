"""What a table looks like, for its own people: columns, their kinds, counts. No cell of it."""

from __future__ import annotations

from dataclasses import dataclass

from fedchain.data import records as bounds
from fedchain.data.ids import is_missing
from fedchain.data.number import parse_number
from fedchain.data.schema import ColumnType
from fedchain.data.source import SourceKind, TableSource
from fedchain.data.table import ColumnKind
from fedchain.errors import DataError

_SHARED_CELLS = 2**16
_MISSING, _NUMBER, _TEXT = range(3)


@dataclass(frozen=True)
class ColumnDescription:
    """One column.

    Attributes:
        name: as in the header.
        kind: `numeric` if every cell that is there is a finite number and it is not declared categorical.
        declared: what `[data.columns]` says it is, None where it says nothing.
        missing: rows without a value.
    """

    name: str
    kind: ColumnKind
    declared: ColumnType | None
    missing: int


@dataclass(frozen=True)
class TableDescription:
    """A table.

    Attributes:
        kind: of its source.
        rows: of the source, those with a blank id included.
        columns: all of the source, in its order; jobs get the declared ones alone where columns are declared.
    """

    kind: SourceKind
    rows: int
    columns: tuple[ColumnDescription, ...]


def describe(source: TableSource) -> TableDescription:
    """Read a table once, row by row, and keep counts alone.

    Raises:
        ConfigError, DataError: as `TableSource.read`; declared columns are there, what is in them is not checked.
    """
    declared = {} if source.schema is None else source.schema.columns
    with source.records() as records:
        if source.schema is not None:
            source.schema.require_in(records)
        missing = [0] * len(records.names)
        texts = [False] * len(records.names)
        kinds: dict[str, int] = {}
        rows = 0
        for line, cells in records.read(range(len(records.names))):
            rows += 1
            if rows > bounds.MAX_ROWS:
                raise DataError(f"{records.source}, {records.noun} {line}: more than {bounds.MAX_ROWS} rows")
            for place, text in enumerate(cells):
                kind = kinds.get(text)
                if kind is None:
                    kind = _kind_of(text)
                    if len(kinds) < _SHARED_CELLS:
                        kinds[text] = kind
                if kind == _MISSING:
                    missing[place] += 1
                elif kind == _TEXT:
                    texts[place] = True
    columns = tuple(
        ColumnDescription(
            name,
            "categorical" if text or declared.get(name) == "categorical" else "numeric",
            declared.get(name),
            count,
        )
        for name, text, count in zip(records.names, texts, missing, strict=True)
    )
    return TableDescription(source.kind, rows, columns)


def _kind_of(text: str) -> int:
    cell = text.strip()
    if is_missing(cell):
        return _MISSING
    number = parse_number(cell)
    return _TEXT if number is None or abs(number) == float("inf") else _NUMBER
