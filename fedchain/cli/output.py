"""Results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fedchain.printable import escaped, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


_WIDE = 200
"""Columns of a table that goes to a file or a pipe."""


def console(*, stderr: bool) -> Console:
    """The terminal, through rich; what goes elsewhere than to a terminal is not cut to a terminal's width."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else _WIDE)


def note(line: str) -> None:
    """One line about what is going on, on stderr."""
    print(printable(line), file=sys.stderr, flush=True)


def print_json(value: Mapping[str, Any]) -> None:
    """Exactly one JSON object, on stdout; control characters in its texts are escaped."""
    print(escaped(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)), flush=True)


def print_pairs(title: str, pairs: Iterable[tuple[str, object]]) -> None:
    """A table of names and values on stdout."""
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(_shown(name), _shown(value))
    _print_under(title, table)


def print_rows(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table with a header on stdout."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(_shown(column), overflow="fold")
    for row in rows:
        table.add_row(*(_shown(value) for value in row))
    _print_under(title, table)


def _shown(value: object) -> str:
    """A cell: what peers wrote is neither markup nor an order to the terminal."""
    from rich.markup import escape

    return escape(printable(str(value)))


def _print_under(title: str, table: Table) -> None:
    """A table below its title; rich's own titles are wrapped to the width of the table."""
    out = console(stderr=False)
    if title:
        out.print(printable(title), style="italic", markup=False, soft_wrap=True)
    out.print(table)


def short(text: str | None, length: int = 12) -> str:
    """The first characters of a hex text; `-` for nothing."""
    if not text:
        return "-"
    return text if len(text) <= length else text[:length] + "…"


def size_text(count: int) -> str:
    """Bytes for people: 1.5 MB."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")
