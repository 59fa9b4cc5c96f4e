"""From rows of texts to a table: the one place that says what a cell means, whatever the source.

- Cells are trimmed. Blank cells and ``NA``, ``N/A``, ``#N/A``, ``<NA>``, ``NaN``, ``null``, ``None`` in any case are
  missing. So a category that is really called "None" needs another name.
- A column is numeric if every non-missing cell is a decimal number, categorical otherwise or if the job or the schema
  says so. An infinite or overflowing number in a numeric column is an error, for no bin could hold it honestly.
- Rows with a blank id, or a blank part of it, are dropped and counted (`Table.blank_ids`); they never match anybody's.
  So are those whose id the job's rules cannot read, such as letters for a telephone number (`Table.unreadable_ids`).
- What becomes of rows that repeat an id the job says (`fedchain.data.duplicates`).
- With a schema, columns that it does not declare are not read.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from fedchain.data import records as bounds
from fedchain.data.duplicates import Groups, repeated_ids
from fedchain.data.idarray import Cells, Ids, IdsBuilder
from fedchain.data.ids import is_missing
from fedchain.data.label import parse_label_column, parse_weights
from fedchain.data.number import parse_number
from fedchain.data.records import Records
from fedchain.data.schema import Schema
from fedchain.data.selection import Selection
from fedchain.data.table import Column, Table
from fedchain.errors import DataError

_SHARED_CELLS = 2**16
_CHUNK_CELLS = 2**18
_CHUNK_ROWS = 2**13


def assemble(records: Records, selection: Selection, schema: Schema | None = None) -> Table:
    """Read all rows into a party's own table. Nothing of it leaves the party.

    Args:
        records: the opened source.
        selection: what the job asks for.
        schema: what the table's people declare, or None if they declare nothing.

    Returns:
        The table, in the source's order, without the rows whose id is blank.

    Raises:
        DataError: anything wrong with the source or what is asked of it; names source, and row or column. Duplicate
            ids are named by their rows. Column names and values may appear in the message: it is for the data's
            owner, not for peers.
    """
    source, noun = records.source, records.noun
    selection.check(source)
    if schema is not None:
        schema.require_in(records)
    chosen = selection.features_in(records, schema)
    own = selection.id_columns
    kept = [*chosen, *(name for name in (selection.label, selection.weight) if name is not None)]
    if schema is not None:
        kept += [name for name in schema.columns if name not in kept and name not in own]
    rows = _read(records, selection, kept)
    if not len(rows.ids):
        unreadable = f", {rows.unreadable} with one that cannot be read" if rows.unreadable else ""
        raise DataError(f"{source}: no rows with an id ({rows.blank} rows with a blank id{unreadable})")
    first = rows.ids.repeats()
    repeated = int(np.count_nonzero(first != np.arange(len(first))))
    if repeated and selection.duplicates == "error":
        raise repeated_ids(first, rows.lines, records)
    if repeated and selection.duplicates == "first":
        rows = rows.take(np.flatnonzero(first == np.arange(len(first))))
    lines, cells_of = rows.lines, dict(zip(kept, rows.cells, strict=True))
    if schema is not None:
        for name in schema.columns:
            if name not in own:
                schema.check(records, name, cells_of[name], lines)
    weight, labels = None, None
    if selection.weight is not None:
        weight = parse_weights(cells_of[selection.weight], lines, column=selection.weight, source=source, noun=noun)
    if selection.label is not None:
        labels = parse_label_column(
            cells_of[selection.label],
            lines,
            column=selection.label,
            source=source,
            label_type=selection.label_type,
            positive=selection.positive,
            noun=noun,
        )
    declared = {} if schema is None else schema.columns
    columns = tuple(
        _parse_column(
            name, cells_of[name], lines, name in selection.categorical or declared.get(name) == "categorical", records
        )
        for name in chosen
    )
    label, classes = (None, None) if labels is None else (labels.values, labels.classes)
    ids = rows.ids
    if repeated and selection.duplicates == "aggregate":
        groups = Groups(first, lines, records)
        ids = ids.take(groups.firsts)
        columns = tuple(groups.merged(column) for column in columns)
        label = None if label is None else groups.agreed(label, "label")
        weight = None if weight is None else groups.agreed(weight, "weight")
    return Table(ids, columns, label, rows.blank, source, classes, weight, rows.unreadable, repeated)


@dataclass(frozen=True)
class _Rows:
    """All rows with an id.

    Attributes:
        ids: canonical ones.
        lines: numbers of the rows in the source.
        cells: trimmed cells by column of what was asked for.
        blank, unreadable: how many rows had a blank id, or one that the rules cannot read.
    """

    ids: Ids
    lines: Sequence[int]
    cells: list[Cells]
    blank: int
    unreadable: int

    def take(self, rows: NDArray[np.int64]) -> _Rows:
        """Some of them."""
        lines = array("q", np.asarray(self.lines, np.int64)[rows].tobytes())
        return replace(self, ids=self.ids.take(rows), lines=lines, cells=[cells.take(rows) for cells in self.cells])


class _Trimmed(dict[str, str]):
    """Cells, trimmed, missing ones empty; remembers the first ones, for most cells come again."""

    def __missing__(self, text: str) -> str:
        cell = text.strip()
        if is_missing(cell):
            cell = ""
        if len(self) < _SHARED_CELLS:
            self[text] = cell
        return cell


def _read(records: Records, selection: Selection, kept: Sequence[str]) -> _Rows:
    """All rows, a chunk at a time: the texts of one chunk alone are Python objects.

    Raises:
        DataError: more rows than are supported, or as the source says.
    """
    place_of = {name: place for place, name in enumerate(records.names)}
    own, rules = selection.id_columns, selection.rules
    places = [place_of[name] for name in (*own, *kept)]
    trimmed = _Trimmed()
    ids, lines, builders = IdsBuilder(), array("q"), [IdsBuilder() for _ in kept]
    blank, unreadable = 0, 0
    left = records.read(places)
    size = min(_CHUNK_ROWS, max(1, _CHUNK_CELLS // len(places)))
    while chunk := list(islice(left, size)):
        columns: list[Sequence[str]] = list(zip(*(cells for _, cells in chunk), strict=True))
        spelled = rules.spell(columns[: len(own)])
        numbers = [line for line, _ in chunk]
        if None in spelled:
            usable = [row for row, one in enumerate(spelled) if one is not None]
            for row, one in enumerate(spelled):
                if one is None:
                    is_blank = any(is_missing(column[row].strip()) for column in columns[: len(own)])
                    blank, unreadable = blank + is_blank, unreadable + (not is_blank)
            numbers = [numbers[row] for row in usable]
            columns = [[column[row] for row in usable] for column in columns]
        if len(ids) + len(numbers) > bounds.MAX_ROWS:
            line = numbers[bounds.MAX_ROWS - len(ids)]
            raise DataError(f"{records.source}, {records.noun} {line}: more than {bounds.MAX_ROWS} rows")
        ids.extend([one for one in spelled if one is not None])
        lines.extend(numbers)
        for builder, column in zip(builders, columns[len(own) :], strict=True):
            builder.extend([trimmed[text] for text in column])
    return _Rows(ids.build(), lines, [Cells(builder.build()) for builder in builders], blank, unreadable)


def _parse_column(
    name: str, cells: Sequence[str | None], lines: Sequence[int], categorical: bool, records: Records
) -> Column:
    """A numeric column if every cell that is there is a number, else a categorical one."""
    if not categorical:
        values = np.full(len(cells), np.nan, dtype=np.float64)
        for row, cell in enumerate(cells):
            if cell is None:
                continue
            number = parse_number(cell)
            if number is None:
                break
            values[row] = number
        else:
            endless = np.flatnonzero(np.isinf(values))
            if len(endless):
                raise DataError(
                    f"{records.source}, {records.noun} {lines[endless[0]]}: column '{name}' holds an infinite or too "
                    "large number; leave the cell blank, clip it, or name the column categorical"
                )
            return Column(name, "numeric", values)
    shared: dict[str | None, str | None] = {}
    texts = np.empty(len(cells), dtype=object)
    for row, cell in enumerate(cells):
        texts[row] = shared.setdefault(cell, cell)
    return Column(name, "categorical", texts)
