"""What crosses the control socket for a batch."""

from __future__ import annotations

from typing import Annotated

import msgspec

from fedchain.node.control_wire import MAX_SPEC_TOML_BYTES, ControlMessage

MAX_CHUNK_ROWS = 2**16
MAX_BATCH_ROWS = 2**40

OPEN, START, SCORE, END = "OpenBatch", "StartBatch", "ScoreBatch", "EndBatch"
"""Methods."""

JobText = Annotated[str, msgspec.Meta(max_length=66)]
BatchText = Annotated[str, msgspec.Meta(max_length=64)]
IdText = Annotated[str, msgspec.Meta(max_length=2**17)]


class OpenBatch(ControlMessage, frozen=True):
    """Which job answers a batch? `target` is a completed job, or a model's name."""

    target: JobText


class BatchOpened(ControlMessage, frozen=True):
    """What answers.

    Attributes:
        job_id: the job.
        model: as what it is registered: name, version, and the version in use; None if it is not.
        spec: the job as proposed (`JobSpec.to_bytes`), which says how ids are spelled.
        columns: of the id's parts in the node's own table.
        outputs: scores per row.
    """

    job_id: str
    model: tuple[str, int, int] | None
    spec: Annotated[bytes, msgspec.Meta(max_length=MAX_SPEC_TOML_BYTES)]
    columns: tuple[str, ...]
    outputs: int


class StartBatch(ControlMessage, frozen=True):
    """Reserve serials for as many rows."""

    job_id: JobText
    rows: Annotated[int, msgspec.Meta(ge=1, le=MAX_BATCH_ROWS)]


class BatchStarted(ControlMessage, frozen=True):
    """The batch's id, by which its chunks are asked for."""

    batch: str


class ScoreBatch(ControlMessage, frozen=True):
    """Ask for a chunk.

    Attributes:
        batch: its id.
        offset: number of the chunk's first row among the rows reserved.
        ids: as the job's rules spell them; empty for a row that nobody has.
    """

    batch: BatchText
    offset: Annotated[int, msgspec.Meta(ge=0, le=MAX_BATCH_ROWS)]
    ids: Annotated[list[IdText], msgspec.Meta(min_length=1, max_length=MAX_CHUNK_ROWS)]


class BatchScored(ControlMessage, frozen=True):
    """A chunk's scores.

    Attributes:
        scores: little-endian float64, row after row; not-a-number where there is none.
        flags: a byte per row (`fedchain.inference.asking.Flag`).
    """

    scores: bytes
    flags: bytes


class EndBatch(ControlMessage, frozen=True):
    """No more of a batch will be asked for."""

    batch: BatchText
