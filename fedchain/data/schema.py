"""What the table's own people declare of it in `[data.columns]`: which columns there are, and what each may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from fedchain.data.label import MAX_WEIGHT
from fedchain.data.number import parse_number
from fedchain.data.records import Records
from fedchain.errors import DataError

ColumnType = Literal["id", "label", "weight", "numeric", "categorical"]
COLUMN_TYPES: tuple[ColumnType, ...] = get_args(ColumnType)

_EXPECTED: Mapping[str, str] = {
    "numeric": "a finite number",
    "weight": f"a number from 0 to {MAX_WEIGHT:g}",
}


@dataclass(frozen=True)
class Schema:
    """Declared columns; a job gets no others.

    Attributes:
        columns: type by column name.
    """

    columns: Mapping[str, ColumnType]

    def require_in(self, records: Records) -> None:
        """All declared columns are there.

        Raises:
            DataError: one is not; names it, and those that are there.
        """
        for name, kind in self.columns.items():
            if name not in records.names:
                raise DataError(
                    f"{records.source}: no column '{name}', which [data.columns] declares as {kind}; "
                    f"columns present: {records.present()}{records.hint if len(records.names) == 1 else ''}"
                )

    def require_role(self, source: str, name: str, role: str) -> None:
        """A job may use the column in that role.

        Args:
            source: for the message.
            name: the column's.
            role: ``id``, ``label``, ``weight`` or ``feature``.

        Raises:
            DataError: the column is not declared, or as something else.
        """
        found = self.columns.get(name)
        if found is None:
            raise DataError(
                f"{source}: the job's {role} column '{name}' is not declared; declare it in [data.columns], "
                "or change the job"
            )
        if found != role and (role != "feature" or not self.is_feature(name)):
            raise DataError(
                f"{source}: the job's {role} column '{name}' is declared as {found}; change [data.columns] or the job"
            )

    def is_feature(self, name: str) -> bool:
        """Whether the column is declared numeric or categorical."""
        return self.columns.get(name) in ("numeric", "categorical")

    def check(self, records: Records, name: str, cells: Sequence[str | None], lines: Sequence[int]) -> None:
        """The column's cells are what is declared; missing ones are.

        Ids, labels and categories are texts of any kind; a job's objective says more about its labels.

        Raises:
            DataError: a cell is not; names the column and the first such row.
        """
        kind = self.columns[name]
        if kind not in _EXPECTED:
            return
        most = MAX_WEIGHT if kind == "weight" else float("inf")
        for cell, line in zip(cells, lines, strict=True):
            if cell is None:
                continue
            number = parse_number(cell)
            if number is None or abs(number) == float("inf") or number > most or (kind == "weight" and number < 0):
                shown = cell if len(cell) <= 30 else cell[:29] + "…"
                raise DataError(
                    f"{records.source}, {records.noun} {line}: column '{name}' is declared {kind}, expected "
                    f"{_EXPECTED[kind]}, found {shown!r}; mend the cell, or [data.columns]"
                )
