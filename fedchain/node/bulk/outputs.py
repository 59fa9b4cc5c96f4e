"""Scores as files: CSV or Parquet, made chunk by chunk.

Both hold the id's columns as texts, named and spelled as in the input; a column `score`, or `score_0`, `score_1`, …
with several classes, empty where there is no score; and a column `flags`: names joined with `+`, empty for a plain
score. Rows are in the input's order. The file depends on these alone: the same scores give the same bytes.
"""

from __future__ import annotations

import csv
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fedchain.data.source import PARQUET_SUFFIXES
from fedchain.errors import ConfigError

FLAGS = "flags"


@dataclass(frozen=True)
class ScoredChunk:
    """A chunk with its scores.

    Attributes:
        cells: a column of texts for each part of the id.
        scores: shape (rows, outputs), float64; NaN where there is no score.
        flags: one text per row.
    """

    cells: tuple[Sequence[str], ...]
    scores: NDArray[np.float64]
    flags: Sequence[str]


class Output(ABC):
    """How an output file is made.

    Args:
        id_columns: names of the id's columns.
        outputs: scores per row.

    Raises:
        ConfigError: an id column has the name of a column that the output adds.
    """

    def __init__(self, id_columns: Sequence[str], outputs: int) -> None:
        scores = ["score"] if outputs == 1 else [f"score_{number}" for number in range(outputs)]
        self.columns = [*id_columns, *scores, FLAGS]
        self._ids, self._outputs = len(id_columns), outputs
        twice = set(id_columns) & {*scores, FLAGS}
        if twice:
            raise ConfigError(
                f"the id column '{sorted(twice)[0]}' has the name of a column of the output; rename it in the file"
            )

    @abstractmethod
    def encode(self, chunk: ScoredChunk) -> bytes:
        """A chunk as the partial file keeps it."""

    @abstractmethod
    def assemble(self, payloads: Iterable[bytes], file: BinaryIO) -> None:
        """Write the output from its chunks."""

    def finish(self, payloads: Iterable[bytes], out: Path) -> None:
        """Write the output in one step: it is there as a whole, or as it was before.

        Raises:
            ConfigError: it cannot be written.
        """
        temporary = out.with_name(out.name + ".tmp")
        try:
            with temporary.open("wb") as file:
                self.assemble(payloads, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, out)
        except OSError as error:
            raise ConfigError(f"--out {out}: cannot be written: {error.strerror or error}") from error


class CsvOutput(Output):
    """CSV with a header; a score is the shortest text that reads back as the same number."""

    def encode(self, chunk: ScoredChunk) -> bytes:
        """Lines."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        columns: list[Sequence[object]] = [*chunk.cells]
        for number in range(self._outputs):
            scores: list[object] = chunk.scores[:, number].tolist()
            for row in np.flatnonzero(np.isnan(chunk.scores[:, number])).tolist():
                scores[row] = ""
            columns.append(scores)
        writer.writerows(zip(*columns, chunk.flags, strict=True))
        return text.getvalue().encode()

    def assemble(self, payloads: Iterable[bytes], file: BinaryIO) -> None:
        """Header and lines."""
        header = io.StringIO(newline="")
        csv.writer(header, lineterminator="\n").writerow(self.columns)
        file.write(header.getvalue().encode())
        for payload in payloads:
            file.write(payload)


class ParquetOutput(Output):
    """Parquet, a row group per chunk.

    Raises:
        ConfigError: the library is not installed; names the extra.
    """

    def __init__(self, id_columns: Sequence[str], outputs: int) -> None:
        super().__init__(id_columns, outputs)
        try:
            import pyarrow as pa
            import pyarrow.ipc
            import pyarrow.parquet
        except ImportError:
            raise ConfigError(
                "writing Parquet needs pyarrow; install it with `pip install 'fedchain[parquet]'`, or write CSV"
            ) from None
        self._pa: Any = pa
        kinds = [pa.string()] * self._ids + [pa.float64()] * outputs + [pa.string()]
        self._schema = pa.schema(list(zip(self.columns, kinds, strict=True)))

    def encode(self, chunk: ScoredChunk) -> bytes:
        """An Arrow stream of one batch."""
        pa = self._pa
        arrays = [pa.array(column, pa.string()) for column in chunk.cells]
        arrays += [pa.array(chunk.scores[:, number], pa.float64(), from_pandas=True) for number in range(self._outputs)]
        arrays.append(pa.array(chunk.flags, pa.string()))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self._schema) as stream:
            stream.write_batch(pa.record_batch(arrays, schema=self._schema))
        return bytes(sink.getvalue())

    def assemble(self, payloads: Iterable[bytes], file: BinaryIO) -> None:
        """A row group for each batch."""
        pa = self._pa
        with pa.parquet.ParquetWriter(file, self._schema, compression="zstd") as writer:
            for payload in payloads:
                with pa.ipc.open_stream(payload) as stream:
                    writer.write_table(stream.read_all())


def output_of(out: Path, id_columns: Sequence[str], outputs: int) -> Output:
    """Parquet by the suffix of the output, else CSV.

    Raises:
        ConfigError: see `Output`, `ParquetOutput`.
    """
    kind = ParquetOutput if out.suffix.lower() in PARQUET_SUFFIXES else CsvOutput
    return kind(id_columns, outputs)
