"""One party's own table in memory. It never leaves the party; nothing here is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fedchain.data.idarray import Ids
from fedchain.errors import DataError

ColumnKind = Literal["numeric", "categorical"]


@dataclass(frozen=True, eq=False)
class Column:
    """One feature column.

    Attributes:
        name: as in the header.
        kind: ``numeric`` or ``categorical``.
        values: (rows,); numeric: float64, finite, NaN where missing; categorical: object array of str, None where
            missing.
    """

    name: str
    kind: ColumnKind
    values: NDArray[Any]

    @cached_property
    def missing(self) -> NDArray[np.bool_]:
        """(rows,) bool: where the cell is missing."""
        if self.kind == "numeric":
            unset: NDArray[np.bool_] = np.isnan(self.values)
            return unset
        return np.fromiter((value is None for value in self.values), dtype=np.bool_, count=len(self.values))

    def take(self, rows: NDArray[np.int64]) -> Column:
        """The column at these rows, in their order."""
        return Column(self.name, self.kind, self.values[rows])

    def __repr__(self) -> str:
        """Name, kind and length; never values."""
        return f"Column({self.name!r}, {self.kind}, rows={len(self.values)})"


@dataclass(frozen=True, eq=False)
class Table:
    """Ids, feature columns and, at the active party, labels and weights.

    Attributes:
        ids: canonical ids (`fedchain.data.ids`), distinct, in file order; given as any sequence of texts.
        columns: feature columns, in file order or in the order that the job names them.
        label: (rows,) float64, or None: 0.0 and 1.0, class numbers, counts or numbers (`fedchain.data.label`).
        blank_ids: number of rows that were dropped because their id, or a part of it, was blank.
        source: where the table came from, for error messages.
        classes: names of the classes that labels number, sorted, where labels are classes; else None.
        weight: (rows,) float64 row weights, finite, at least 0, or None for all 1.
        unreadable_ids: number of rows that were dropped because the job's rules can make nothing of their id.
        repeated_ids: number of rows that were dropped, or merged into an earlier one, because they repeat its id.
    """

    ids: Sequence[str]
    columns: tuple[Column, ...]
    label: NDArray[np.float64] | None = None
    blank_ids: int = 0
    source: str = "table"
    classes: tuple[str, ...] | None = None
    weight: NDArray[np.float64] | None = None
    unreadable_ids: int = 0
    repeated_ids: int = 0

    def __post_init__(self) -> None:
        """Check that all parts have one length and that ids are distinct.

        Raises:
            DataError: they do not.
        """
        object.__setattr__(self, "ids", Ids.of(self.ids))
        for column in self.columns:
            if column.values.shape != (len(self.ids),):
                raise DataError(
                    f"{self.source}: column '{column.name}' has shape {column.values.shape}, "
                    f"expected ({len(self.ids)},)"
                )
        for what, values in (("label", self.label), ("weight", self.weight)):
            if values is not None and values.shape != (len(self.ids),):
                raise DataError(f"{self.source}: {what} has shape {values.shape}, expected ({len(self.ids)},)")
        repeated = int(np.count_nonzero(self._own_ids.repeats() != np.arange(len(self.ids))))
        if repeated:
            raise DataError(f"{self.source}: {repeated} ids repeat; ids must be distinct")

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.ids)

    def __repr__(self) -> str:
        """Counts only; never ids or values."""
        label = "no" if self.label is None else "yes"
        return f"Table({self.source!r}, rows={len(self)}, columns={len(self.columns)}, label={label})"

    @property
    def _own_ids(self) -> Ids:
        assert isinstance(self.ids, Ids)
        return self.ids

    def column(self, name: str) -> Column:
        """The feature column of this name.

        Raises:
            DataError: there is none; lists those that are there.
        """
        for column in self.columns:
            if column.name == name:
                return column
        present = ", ".join(column.name for column in self.columns) or "none"
        raise DataError(f"{self.source}: no feature column '{name}'; columns present: {present}")

    def rows_of(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Row numbers of canonical ids, in the order asked for.

        Returns:
            (len(ids),) int64.

        Raises:
            DataError: some ids are not in the table. Names how many and their positions in `ids`, not the ids.
        """
        found = self._own_ids.find(ids)
        absent = np.flatnonzero(found < 0)
        if len(absent):
            places = ", ".join(str(place) for place in absent[:3]) + (", …" if len(absent) > 3 else "")
            raise DataError(
                f"{self.source}: {len(absent)} of {len(ids)} ids asked for are not in the table (positions {places}); "
                "was the file changed after alignment?"
            )
        return found

    def take(self, ids: Sequence[str]) -> Table:
        """The rows of these ids, in their order, as a new table.

        Raises:
            DataError: as `rows_of`, or an id is asked for twice.
        """
        return self.at(self.rows_of(ids))

    def at(self, rows: NDArray[np.int64]) -> Table:
        """These rows, in their order, as a new table.

        Raises:
            DataError: a row is asked for twice.
        """
        label = None if self.label is None else self.label[rows]
        weight = None if self.weight is None else self.weight[rows]
        columns = tuple(column.take(rows) for column in self.columns)
        return Table(self._own_ids.take(rows), columns, label, 0, self.source, self.classes, weight)
