"""From rows of texts to a table: the one place that says what a cell means, whatever the source.

- Cells are trimmed. Blank cells and ``NA``, ``N/A``, ``#N/A``, ``<NA>``, ``NaN``, ``null``, ``None`` in any case are
  missing. So a category that is really called "None" needs another name.
- A column is numeric if every non-missing cell is a decimal number, categorical otherwise or if the job or the schema
  says so. An infinite or overflowing number in a numeric column is an error, for no bin could hold it honestly.
- Rows with a blank id are dropped and counted (`Table.blank_ids`); they never match anybody's.
- With a schema, columns that it does not declare are not read.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedchain.data import records as bounds
from fedchain.data.ids import is_missing, normalize_id
from fedchain.data.label import parse_label_column, parse_weights
from fedchain.data.number import parse_number
from fedchain.data.records import Records
from fedchain.data.schema import Schema
from fedchain.data.selection import Selection
from fedchain.data.table import Column, Table
from fedchain.errors import DataError

_SHARED_CELLS = 2**16

_Cells = list[list[str | None]]


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
    kept = [*chosen, *(name for name in (selection.label, selection.weight) if name is not None)]
    if schema is not None:
        kept += [name for name in schema.columns if name not in kept and name != selection.id]
    ids, blank_ids, lines, cells = _read(records, selection.id, kept)
    if not ids:
        raise DataError(f"{source}: no rows with an id ({blank_ids} rows with a blank id)")
    _check_distinct(ids, lines, records)
    cells_of = dict(zip(kept, cells, strict=True))
    if schema is not None:
        for name in schema.columns:
            if name != selection.id:
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
    return Table(tuple(ids), columns, label, blank_ids, source, classes, weight)


def _read(records: Records, id_column: str, kept: Sequence[str]) -> tuple[list[str], int, list[int], _Cells]:
    """Canonical ids, number of rows without one, numbers of the others' rows, and cells by column of `kept`."""
    place_of = {name: place for place, name in enumerate(records.names)}
    cells: _Cells = [[] for _ in kept]
    shared: dict[str, str | None] = {}
    ids: list[str] = []
    lines: list[int] = []
    blank_ids = 0
    for line, (identity, *fields) in records.read([place_of[id_column], *(place_of[name] for name in kept)]):
        canonical = normalize_id(identity)
        if canonical is None:
            blank_ids += 1
            continue
        if len(ids) >= bounds.MAX_ROWS:
            raise DataError(f"{records.source}, {records.noun} {line}: more than {bounds.MAX_ROWS} rows")
        ids.append(canonical)
        lines.append(line)
        for text, column in zip(fields, cells, strict=True):
            cell = shared.get(text, "")
            if cell == "":
                cell = text.strip()
                if is_missing(cell):
                    cell = None
                if len(shared) < _SHARED_CELLS:
                    shared[text] = cell
            column.append(cell)
    return ids, blank_ids, lines, cells


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
    texts = np.empty(len(cells), dtype=object)
    texts[:] = cells
    return Column(name, "categorical", texts)


def _check_distinct(ids: Sequence[str], lines: Sequence[int], records: Records) -> None:
    """Raise where two rows have one id, naming rows, not ids."""
    first: dict[str, int] = {}
    pairs: list[str] = []
    for each, line in zip(ids, lines, strict=True):
        if each in first:
            pairs.append(f"{records.noun}s {first[each]} and {line}")
        else:
            first[each] = line
    if pairs:
        shown = "; ".join(pairs[:3]) + ("; …" if len(pairs) > 3 else "")
        raise DataError(
            f"{records.source}: {len(pairs)} rows repeat an earlier row's id ({shown}); keep one row per id "
            "(ids are compared after trimming, and 12.0 is 12)"
        )
