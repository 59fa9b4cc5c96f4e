"""A CSV file as records (RFC 4180: commas, double quotes, a header, UTF-8).

Blank lines are skipped. Every other line must have as many fields as the header. What cells mean is said in
`fedchain.data.assembly`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import TextIO

from fedchain.data.assembly import assemble
from fedchain.data.label import LabelType
from fedchain.data.records import Records, Rows, checked_names
from fedchain.data.selection import Selection
from fedchain.data.table import Table
from fedchain.errors import DataError

MAX_LINE = 2**20
"""Characters in a line of the file."""


def csv_records(path: Path) -> Records:
    """Open a CSV file.

    Raises:
        DataError: no such file, not readable, or no proper header; so does reading the rows of a broken file.
    """
    source = str(path)
    lines = _records(path, source)
    header = next(lines, None)
    if header is None:
        raise DataError(f"{source}: empty file; expected a header that names the columns")
    names = checked_names(header[1], f"{source}, line {header[0]}")

    def read(places: Sequence[int]) -> Rows:
        pick = itemgetter(*places) if len(places) > 1 else None
        for line, fields in lines:
            if len(fields) != len(names):
                raise DataError(f"{source}, line {line}: expected {len(names)} fields, found {len(fields)}")
            yield line, pick(fields) if pick else [fields[places[0]]]

    return Records(source, names, read, noun="line", hint="; is the separator a comma?")


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
    """Read a table from a CSV file, whatever its name; `fedchain.data.source.TableSource` reads other sources too.

    Args:
        path: a CSV file as this module's docstring describes it.
        id_column, label_column, positive, label_type, weight_column, features, categorical: as in
            `fedchain.data.selection.Selection`.

    Returns:
        The table, in file order, without the rows whose id is blank.

    Raises:
        DataError: anything wrong with the file or what is asked of it; see `fedchain.data.assembly.assemble`.
    """
    selection = Selection(
        id_column,
        label_column,
        positive,
        label_type,
        weight_column,
        None if features is None else tuple(features),
        tuple(categorical),
    )
    selection.check(str(path))
    return assemble(csv_records(Path(path)), selection)


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
