"""What every source of a table gives: names of columns, and rows of texts. `fedchain.data.assembly` makes the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from fedchain.errors import DataError

MAX_FIELDS = 10_000
"""Columns of a source."""

MAX_ROWS = 2**24
"""Rows of a source."""

MAX_CELL = 2**17
"""Characters in a cell."""

Rows = Iterator[tuple[int, Sequence[str]]]
"""Number of each row in its source, for messages, and its cells; a blank cell is a missing one."""


@dataclass(frozen=True)
class Records:
    """A source that was opened.

    Attributes:
        source: what messages call it; holds no secret.
        names: of the columns, trimmed, distinct, in the source's order.
        read: the rows' cells at these places of `names`, in this order; read once. Raises DataError.
        noun: what a row's number counts: lines of a file, or rows.
        hint: what to check where the source has a single column.
    """

    source: str
    names: tuple[str, ...]
    read: Callable[[Sequence[int]], Rows] = field(repr=False)
    noun: str = "row"
    hint: str = ""

    def present(self) -> str:
        """The columns, up to 50, for a message to the table's owner."""
        return ", ".join(self.names[:50]) + (", …" if len(self.names) > 50 else "")


def checked_names(names: Sequence[str], where: str) -> tuple[str, ...]:
    """Trimmed column names.

    Raises:
        DataError: too many columns, none, a column without a name, or two of one name.
    """
    trimmed = tuple(name.strip() for name in names)
    if len(trimmed) > MAX_FIELDS:
        raise DataError(f"{where}: {len(trimmed)} columns, at most {MAX_FIELDS} are supported")
    if not any(trimmed):
        raise DataError(f"{where}: no header; the first line must name the columns")
    if "" in trimmed:
        raise DataError(f"{where}: column {trimmed.index('') + 1} has no name in the header; name it")
    twice = [name for name, times in Counter(trimmed).items() if times > 1]
    if twice:
        raise DataError(f"{where}: header names repeat: {', '.join(map(repr, twice[:5]))}; rename them")
    return trimmed
