"""Rows that repeat an id: named in an error, or merged into one row.

| policy | what becomes of them |
|---|---|
| ``error`` | the table is refused |
| ``first`` | the first row in the source's order counts, the others are left out |
| ``aggregate`` | one row: the mean of the numbers that are there, the first category; labels and weights must agree |
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedchain.data.records import Records
from fedchain.data.table import Column
from fedchain.errors import DataError


def repeated_ids(first: NDArray[np.int64], lines: Sequence[int], records: Records) -> DataError:
    """The error for a table with repeated ids: names rows, not ids.

    Args:
        first: (rows,) the first row of each row's id, as `Ids.repeats` gives it.
        lines: numbers of the rows in the source.
        records: the source.
    """
    again = np.flatnonzero(first != np.arange(len(first)))
    pairs = [f"{records.noun}s {lines[first[row]]} and {lines[row]}" for row in again[:3].tolist()]
    shown = "; ".join(pairs) + ("; …" if len(again) > 3 else "")
    return DataError(
        f"{records.source}: {len(again)} rows repeat an earlier row's id ({shown}); keep one row per id, or let the "
        'job say [alignment] duplicates = "first" or "aggregate" (ids are compared as the job\'s rules spell them; '
        "without rules trimmed, and 12.0 is 12)"
    )


class Groups:
    """Rows of one id each.

    Args:
        first, lines, records: as in `repeated_ids`.

    Attributes:
        firsts: (groups,) int64: the first row of each group, ascending.
    """

    def __init__(self, first: NDArray[np.int64], lines: Sequence[int], records: Records) -> None:
        self.firsts = np.flatnonzero(first == np.arange(len(first)))
        self._first = first
        self._group = np.searchsorted(self.firsts, first)
        self._lines = lines
        self._records = records

    def merged(self, column: Column) -> Column:
        """One value per group: the mean of numbers, the first category; missing ones do not count.

        Raises:
            DataError: numbers too large to add.
        """
        values, place = column.values, np.full(len(self.firsts), -1, np.int64)
        there = np.flatnonzero(~column.missing)
        place[self._group[there[::-1]]] = there[::-1]  # the last one written is the first one there
        some = np.flatnonzero(place >= 0)
        if column.kind == "categorical":
            texts = np.empty(len(self.firsts), dtype=object)
            texts[some] = values[place[some]]
            return Column(column.name, column.kind, texts)
        means = np.full(len(self.firsts), np.nan)
        means[some] = values[place[some]]
        groups = self._group[there]
        with np.errstate(over="ignore", invalid="ignore"):
            beyond = np.bincount(groups, values[there] - means[groups], len(self.firsts))
            means[some] += beyond[some] / np.bincount(groups, minlength=len(self.firsts))[some]
        if not np.isfinite(means[some]).all():
            raise DataError(
                f"{self._records.source}: column '{column.name}' holds numbers too large to take their mean over rows "
                "of one id; clip them, or name the column categorical"
            )
        return Column(column.name, column.kind, means)

    def agreed(self, values: NDArray[np.float64], what: str) -> NDArray[np.float64]:
        """One label or weight per group.

        Raises:
            DataError: rows of one id have different ones; names the rows.
        """
        differing = np.flatnonzero(values != values[self._first])
        if len(differing):
            row = int(differing[0])
            raise DataError(
                f"{self._records.source}: {len(differing)} rows have an earlier row's id but another {what} "
                f"({self._records.noun}s {self._lines[self._first[row]]} and {self._lines[row]}); a customer has one "
                f'{what}: mend the rows, or let the job say [alignment] duplicates = "first"'
            )
        return values[self.firsts]
