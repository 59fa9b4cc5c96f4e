"""A batch, seen from whoever asks for it: a file of ids in, a file of scores out, through a running node.

1. the node says which job answers, how its ids are spelled, and how many scores a row has;
2. the file is read once, to count its rows and to tell it from any other;
3. the node reserves a serial for each row that is still to be asked for;
4. chunks are read, asked for two at a time, and added to the partial file in the file's order;
5. the output is written from the partial file, in one step.

Killed at any moment, a run of the same command goes on at 2 with the chunks it has. Rows that were being asked for
count against the quota again: an answerer takes no serial twice.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedchain.data import idfile
from fedchain.data.idfile import IdChunk, IdFile
from fedchain.data.idrules import IdRules
from fedchain.errors import ConfigError, DataError, MessageError
from fedchain.inference.asking import Flag
from fedchain.node.bulk.outputs import ScoredChunk, output_of
from fedchain.node.bulk.partial import PartialFile
from fedchain.node.modelstate import ModelUse
from fedchain.types import JobId

IN_FLIGHT = 2
"""Chunks that are asked for at a time."""

_AHEAD = 1
"""Chunks that are read while so many are asked for."""

_COUNTS = struct.Struct("<9I")
"""Of a chunk, before what the output makes of it: rows without a score, and rows with each of eight flags."""

Scores = NDArray[np.float64]
Flags = NDArray[np.uint8]


@dataclass(frozen=True)
class OpenedBatch:
    """What answers a batch.

    Attributes:
        job_id: the job, whatever name it was asked for by.
        model: as what it is registered, None if it is not.
        rules: how its ids are spelled.
        columns: what the id's columns are called in the node's own table.
        outputs: scores per row.
    """

    job_id: JobId
    model: ModelUse | None
    rules: IdRules
    columns: tuple[str, ...]
    outputs: int


class BatchNode(Protocol):
    """The node that asks."""

    def open_batch(self, target: str) -> OpenedBatch:
        """Which job answers."""

    def start_batch(self, job_id: JobId, rows: int) -> str:
        """Reserve serials for as many rows; returns the batch's id."""

    def score_batch(self, batch: str, offset: int, ids: Sequence[str]) -> tuple[Scores, Flags]:
        """Scores, shape (rows, outputs), and flags of rows number `offset` on of the batch."""

    def end_batch(self, batch: str) -> None:
        """No more of it will be asked for."""


@dataclass(frozen=True)
class BatchProgress:
    """How far a batch is.

    Attributes:
        rows: of the file.
        done: rows whose scores are kept.
        resumed: of these, those of an earlier run.
        partial: where they are kept.
    """

    rows: int
    done: int
    resumed: int
    partial: Path


@dataclass(frozen=True)
class BatchSummary:
    """A batch that is done.

    Attributes:
        opened: what answered.
        rows: in the output.
        asked: of these, by this run.
        unscored: rows without a score.
        flagged: rows with each flag, by name.
    """

    opened: OpenedBatch
    rows: int
    asked: int
    unscored: int
    flagged: dict[str, int]


def run_batch(
    node: BatchNode,
    target: str,
    path: Path,
    out: Path,
    columns: Sequence[str] = (),
    on_progress: Callable[[BatchProgress], None] = lambda progress: None,
) -> BatchSummary:
    """Score a file of ids.

    Reveals to each passive party which of its rows are asked for, and how many rows in all; to the active party, their
    decisions on them; to the chain, how many rows are asked for.

    Args:
        node: asks the parties.
        target: a completed job's id, or a model's name, which stands for the job of its version in use.
        path: CSV or Parquet with a row per id.
        out: CSV, or Parquet by its suffix.
        columns: of the id's parts in the file; see `IdFile.open`.
        on_progress: called before the first chunk and after each.

    Raises:
        DataError: the file is not what it should be.
        ConfigError: the output cannot be written, or its partial file is of another run.
        FedchainError: whatever keeps the parties from answering; what was answered stays in the partial file.
    """
    if out.resolve() == path.resolve():
        raise ConfigError(f"--out {out}: is the file of ids; choose another name")
    opened = node.open_batch(target)
    file = IdFile.open(path, opened.rules, columns, opened.columns)
    output = output_of(out, file.columns, opened.outputs)
    rows, digest = file.measure()
    if rows == 0:
        raise DataError(f"{path}: holds no rows")
    chunk_rows = idfile.CHUNK_ROWS
    run = {
        "input": digest,
        "columns": list(file.columns),
        "output": type(output).__name__,
        "job": opened.job_id,
        "rows": rows,
        "chunk_rows": chunk_rows,
    }
    with PartialFile(out, run) as partial:
        if partial.chunks > -(-rows // chunk_rows):
            raise ConfigError(f"{partial.path}: holds more chunks than the file of ids; remove it to begin anew")
        resumed = min(rows, partial.chunks * chunk_rows)
        on_progress(BatchProgress(rows, resumed, resumed, partial.path))
        if resumed < rows:
            batch = node.start_batch(opened.job_id, rows - resumed)
            try:
                done = resumed
                for chunk in _scored(node, batch, file, partial.chunks):
                    partial.append(_counts(chunk) + output.encode(_named(chunk)))
                    done += len(chunk.ids)
                    on_progress(BatchProgress(rows, done, resumed, partial.path))
            finally:
                node.end_batch(batch)
            if done != rows or file.digest() != digest:
                raise DataError(f"{path}: changed while it was read; remove {partial.path} and run again")
        totals = [0] * (_COUNTS.size // 4)

        def counted(payload: bytes) -> bytes:
            for place, count in enumerate(_COUNTS.unpack_from(payload)):
                totals[place] += count
            return payload[_COUNTS.size :]

        output.finish(map(counted, partial.payloads()), out)
        partial.remove()
    flagged = {name: totals[1 + bit] for bit, name in _NAMES.items() if totals[1 + bit]}
    return BatchSummary(opened, rows, rows - resumed, totals[0], flagged)


@dataclass(frozen=True)
class _Chunk:
    read: IdChunk
    scores: Scores
    flags: Flags

    @property
    def ids(self) -> list[str]:
        return self.read.ids


def _scored(node: BatchNode, batch: str, file: IdFile, first: int) -> Iterator[_Chunk]:
    """Chunks from number `first` on, in the file's order; while one is asked for, others are read and asked for."""
    offset = 0
    waiting: deque[tuple[IdChunk, Future[tuple[Scores, Flags]]]] = deque()
    with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="batch") as pool:
        try:
            for chunk in file.chunks(first):
                waiting.append((chunk, pool.submit(node.score_batch, batch, offset, chunk.ids)))
                offset += len(chunk)
                if len(waiting) == IN_FLIGHT + _AHEAD:
                    yield _result(*waiting.popleft())
            while waiting:
                yield _result(*waiting.popleft())
        finally:
            for _, future in waiting:
                future.cancel()


def _result(chunk: IdChunk, future: Future[tuple[Scores, Flags]]) -> _Chunk:
    scores, flags = future.result()
    if len(scores) != len(chunk) or len(flags) != len(chunk):
        raise MessageError(f"the node returned {len(scores)} scores for {len(chunk)} ids")
    return _Chunk(chunk, scores, flags)


_NAMES = {flag.value.bit_length() - 1: str(flag.name).lower() for flag in Flag}
"""By bit."""


def flags_text(flags: int) -> str:
    """Names of the flags that are set, joined with `+`."""
    return "+".join(name for bit, name in _NAMES.items() if flags >> bit & 1)


_TEXTS = [flags_text(flags) for flags in range(256)]


def _named(chunk: _Chunk) -> ScoredChunk:
    return ScoredChunk(chunk.read.cells, chunk.scores, [_TEXTS[flags] for flags in chunk.flags.tolist()])


def _counts(chunk: _Chunk) -> bytes:
    by_bit = np.unpackbits(chunk.flags[:, np.newaxis], axis=1, bitorder="little").sum(axis=0)
    return _COUNTS.pack(int(np.isnan(chunk.scores).any(axis=1).sum()), *by_bit.tolist())
