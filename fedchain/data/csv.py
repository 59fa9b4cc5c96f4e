"""Reading one party's table from a CSV file (RFC 4180: commas, double quotes, a header, UTF-8).

What counts as what:

- Cells are trimmed. Blank cells and ``NA``, ``N/A``, ``#N/A``, ``<NA>``, ``NaN``, ``null``, ``None`` in any case are
  missing. So a category that is really called "None" needs another name.
- A column is numeric if every non-missing cell is a decimal number, categorical otherwise or if the job says so. An
  infinite or overflowing number in a numeric column is an error, for no bin could hold it honestly.
- Rows with a blank id are dropped and counted (`Table.blank_ids`); they never match anybody's.
- Blank lines are skipped. Every other line must have as many fields as the header.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from fedchain.data.ids import is_missing, normalize_id
from fedchain.data.label import LabelType, parse_label_column, parse_weights
from fedchain.data.number import parse_number
from fedchain.data.table import Column, Table
from fedchain.errors import DataError

MAX_LINE = 2**20
"""Characters in a line of the file."""

MAX_FIELDS = 10_000
"""Columns in a file."""

MAX_ROWS = 2**24
"""Rows in a file."""


def _lines(handle: TextIO, source: str) -> Iterator[str]:
    """The file's lines, each bounded and free of NUL bytes."""
    number = 0
    while line := handle.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise DataError(f"{source}, line {number}: longer than {MAX_LINE} characters; is this a CSV file?")
        if "\0" in line:
            raise DataError(f"{source}, line {number}: contains a NUL byte; is this a CSV file in UTF-8?")
        yield line


def _records(path: Path, source: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of every record that is not blank, header first.

    Raises:
        DataError: the file cannot be opened, decoded or parsed.
    """
    line = 0
    try:
        with path.open(encoding="utf-8-sig", errors="strict", newline="") as handle:
            reader = csv.reader(_lines(handle, source), strict=True)
            try:
                for fields in reader:
                    line = reader.line_num
                    if fields:
                        yield line, fields
            except csv.Error as error:
                raise DataError(f"{source}, line {reader.line_num}: not valid CSV: {error}") from error
    except FileNotFoundError as error:
        raise DataError(f"{source}: no such file") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{source}, after line {line}: not UTF-8 ({error.reason}); save the file as CSV in UTF-8"
        ) from error
    except OSError as error:
        raise DataError(f"{source}: cannot be read: {error.strerror or error}") from error


def _parse_header(fields: list[str], source: str, line: int) -> dict[str, int]:
    """Position of each column by name.

    Raises:
        DataError: too many columns, a column without a name, or two of one name.
    """
    names = [field.strip() for field in fields]
    if len(names) > MAX_FIELDS:
        raise DataError(f"{source}, line {line}: {len(names)} columns, at most {MAX_FIELDS} are supported")
    if not any(names):
        raise DataError(f"{source}, line {line}: no header; the first line must name the columns")
    if "" in names:
        raise DataError(f"{source}, line {line}: column {names.index('') + 1} has no name in the header; name it")
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise DataError(f"{source}, line {line}: header names repeat: {', '.join(map(repr, twice[:5]))}; rename them")
    return {name: place for place, name in enumerate(names)}


def _check_columns(
    place_of: dict[str, int],
    source: str,
    id_column: str,
    label_column: str | None,
    weight_column: str | None,
    features: Sequence[str] | None,
    categorical: Sequence[str],
) -> list[str]:
    """Names of the feature columns, after checking that all that is asked for is there and asked for once."""
    roles = [("id column", id_column)]
    if label_column is not None:
        roles.append(("label column", label_column))
    if weight_column is not None:
        roles.append(("weight column", weight_column))
    roles += [("feature column", name) for name in features or ()]
    for role, name in roles:
        if name not in place_of:
            present = ", ".join(list(place_of)[:50]) + (", …" if len(place_of) > 50 else "")
            hint = "; is the separator a comma?" if len(place_of) == 1 else ""
            raise DataError(f"{source}: no {role} '{name}'; columns present: {present}{hint}")
    named = Counter(name for _, name in roles)
    twice = [name for name, times in named.items() if times > 1]
    if twice:
        raise DataError(
            f"{source}: column '{twice[0]}' is asked for more than once; "
            "id, label, weight and features must be different columns"
        )
    if features is None:
        chosen = [name for name in place_of if name not in (id_column, label_column, weight_column)]
    else:
        chosen = list(features)
    for name in categorical:
        if name not in chosen:
            raise DataError(
                f"{source}: column '{name}' is named categorical but is no feature; features: {', '.join(chosen[:50])}"
            )
    return chosen


def _parse_column(
    name: str, cells: Sequence[str | None], lines: Sequence[int], categorical: bool, source: str
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
                    f"{source}, line {lines[endless[0]]}: column '{name}' holds an infinite or too large number; "
                    "leave the cell blank, clip it, or name the column categorical"
                )
            return Column(name, "numeric", values)
    texts = np.empty(len(cells), dtype=object)
    texts[:] = cells
    return Column(name, "categorical", texts)


def _check_distinct(ids: Sequence[str], lines: Sequence[int], source: str) -> None:
    """Raise where two rows have one id, naming lines, not ids."""
    first: dict[str, int] = {}
    pairs: list[str] = []
    for each, line in zip(ids, lines, strict=True):
        if each in first:
            pairs.append(f"lines {first[each]} and {line}")
        else:
            first[each] = line
    if pairs:
        shown = "; ".join(pairs[:3]) + ("; …" if len(pairs) > 3 else "")
        raise DataError(
            f"{source}: {len(pairs)} rows repeat an earlier row's id ({shown}); keep one row per id "
            "(ids are compared after trimming, and 12.0 is 12)"
        )


def read_table(
    path: str | Path,
    *,
    id_column: str,
    label_column: str | None = None,
    positive: str | None = None,
    label_type: LabelType = "binary",
    weight_column: str | None = None,
    features: Sequence[str] | None = None,
    categorical: Sequence[str] = (),
) -> Table:
    """Read a party's own table. Nothing of it leaves the party.

    Args:
        path: a CSV file as this module's docstring describes it.
        id_column: name of the column with ids.
        label_column: name of the label column, at the active party.
        positive: the label value that means 1, where labels are binary and not 0/1, yes/no or true/false.
        label_type: ``binary``, ``classes`` (any texts or whole numbers; their sorted names become `Table.classes`),
            ``number`` or ``count``; see `fedchain.data.label.parse_label_column`.
        weight_column: name of the column with row weights, 0 .. 1e12; 0 leaves a row out.
        features: names of the feature columns, in this order; by default all but id, label and weight, in file order.
        categorical: names of feature columns that are categorical even if all their cells are numbers.

    Returns:
        The table, in file order, without the rows whose id is blank.

    Raises:
        DataError: anything wrong with the file or what is asked of it; names file, and line or column. Duplicate ids
            are named by their lines. Column names and label values may appear in the message: it is for the data's
            owner, not for peers.
    """
    if label_column is None and positive is not None:
        raise DataError(f"{path}: 'positive' is set but no label column; set the label column as well")
    path = Path(path)
    source = str(path)
    records = _records(path, source)
    header = next(records, None)
    if header is None:
        raise DataError(f"{source}: empty file; expected a header that names the columns")
    place_of = _parse_header(header[1], source, header[0])
    chosen = _check_columns(place_of, source, id_column, label_column, weight_column, features, categorical)
    kept = [*chosen, *(name for name in (label_column, weight_column) if name is not None)]
    places = [place_of[name] for name in kept]
    cells: list[list[str | None]] = [[] for _ in kept]
    shared: dict[str, str | None] = {}
    ids: list[str] = []
    lines: list[int] = []
    blank_ids = 0
    for line, fields in records:
        if len(fields) != len(place_of):
            raise DataError(f"{source}, line {line}: expected {len(place_of)} fields, found {len(fields)}")
        identity = normalize_id(fields[place_of[id_column]])
        if identity is None:
            blank_ids += 1
            continue
        if len(ids) >= MAX_ROWS:
            raise DataError(f"{source}, line {line}: more than {MAX_ROWS} rows")
        ids.append(identity)
        lines.append(line)
        for place, column in zip(places, cells, strict=True):
            text = fields[place]
            cell = shared.get(text, "")
            if cell == "":
                cell = text.strip()
                if is_missing(cell):
                    cell = None
                if len(shared) < 2**16:
                    shared[text] = cell
            column.append(cell)
    if not ids:
        raise DataError(f"{source}: no rows with an id below the header ({blank_ids} rows with a blank id)")
    _check_distinct(ids, lines, source)
    weight, labels = None, None
    if weight_column is not None:
        weight = parse_weights(cells.pop(), lines, column=weight_column, source=source)
    if label_column is not None:
        labels = parse_label_column(
            cells.pop(), lines, column=label_column, source=source, label_type=label_type, positive=positive
        )
    columns = tuple(
        _parse_column(name, column, lines, name in categorical, source)
        for name, column in zip(chosen, cells, strict=True)
    )
    label, classes = (None, None) if labels is None else (labels.values, labels.classes)
    return Table(tuple(ids), columns, label, blank_ids, source, classes, weight)
