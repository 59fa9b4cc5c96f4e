"""A file of ids, CSV or Parquet: read in chunks, spelled by a job's rules. What else the file holds is left alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from fedchain.data.idrules import IdRules
from fedchain.data.records import Records
from fedchain.data.source import TableSource
from fedchain.errors import DataError

CHUNK_ROWS = 2**16
"""Rows of a chunk; the last one may have fewer."""

_READ_BYTES = 2**20


@dataclass(frozen=True)
class IdChunk:
    """Some rows of the file, in its order.

    Attributes:
        cells: a column of texts for each part of the id, as the file holds them.
        ids: as the rules spell them, one per row; empty where a part is blank or unreadable: nobody has such a row.
    """

    cells: tuple[tuple[str, ...], ...]
    ids: list[str]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class IdFile:
    """A file of ids.

    Attributes:
        path: CSV, or Parquet by its suffix (`fedchain.data.source.PARQUET_SUFFIXES`).
        columns: the column of each part of the id, in the rules' order.
        rules: how ids are spelled.
    """

    path: Path
    columns: tuple[str, ...]
    rules: IdRules

    @classmethod
    def open(cls, path: Path, rules: IdRules, columns: Sequence[str], usual: Sequence[str]) -> IdFile:
        """Find the columns of the id's parts.

        Args:
            path: of the file.
            rules: of the job.
            columns: as the user names them, one per part in the rules' order; none: those of `usual` if the file has
                them, else those named as the parts are, else the file's only column.
            usual: what the columns are called in the party's own table.

        Raises:
            DataError: the file cannot be read, or does not hold the columns.
            ConfigError: Parquet without its library.
        """
        names = [part.name for part in rules.parts]
        if columns and len(columns) != len(names):
            raise DataError(
                f"{path}: the job's ids have {len(names)} parts ({', '.join(names)}), {len(columns)} columns are "
                "named for them; give --id-column once for each, in this order"
            )
        with TableSource(path).records() as records:
            wanted = next((list(some) for some in (columns, usual, names) if some and _has(records, some)), None)
            if wanted is None and not columns and len(names) == len(records.names) == 1:
                wanted = list(records.names)
        if wanted is None:
            missing = [name for name in (columns or usual) if name not in records.names]
            raise DataError(
                f"{path}: no id column {', '.join(map(repr, missing))}; columns present: {records.present()}; name "
                f"the column with --id-column{records.hint if len(records.names) == 1 else ''}"
            )
        return cls(path, tuple(wanted), rules)

    def measure(self) -> tuple[int, str]:
        """Rows in the file, and the SHA-256 of its bytes in hex.

        Raises:
            DataError: it cannot be read to its end.
        """
        digest = self.digest()
        with TableSource(self.path).records() as records:
            rows = sum(1 for _ in records.read(self._places(records)))
        return rows, digest

    def digest(self) -> str:
        """The SHA-256 of the file's bytes in hex.

        Raises:
            DataError: it cannot be read.
        """
        digest = hashlib.sha256()
        try:
            with self.path.open("rb") as file:
                while piece := file.read(_READ_BYTES):
                    digest.update(piece)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror or error}") from error
        return digest.hexdigest()

    def chunks(self, first: int = 0) -> Iterator[IdChunk]:
        """The rows, `CHUNK_ROWS` at a time, from chunk number `first` on.

        Raises:
            DataError: the file is broken; names the line.
        """
        with TableSource(self.path).records() as records:
            rows = islice(records.read(self._places(records)), first * CHUNK_ROWS, None)
            while chunk := [cells for _, cells in islice(rows, CHUNK_ROWS)]:
                columns = tuple(tuple(column) for column in zip(*chunk, strict=True))
                yield IdChunk(columns, [spelled or "" for spelled in self.rules.spell(columns)])

    def _places(self, records: Records) -> list[int]:
        try:
            return [records.names.index(name) for name in self.columns]
        except ValueError:
            raise DataError(f"{self.path}: changed while it was read") from None


def _has(records: Records, names: Sequence[str]) -> bool:
    return all(name in records.names for name in names) and len(set(names)) == len(names)
