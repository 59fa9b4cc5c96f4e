"""The node's side of a batch: reserves serials, and asks the parties for chunk after chunk."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from fedchain.errors import ConfigError, DeadlineError
from fedchain.federation.spec import JobSpec
from fedchain.node.bulk.runner import Flags, Scores
from fedchain.node.bulk.wire import (
    END,
    OPEN,
    SCORE,
    START,
    BatchOpened,
    BatchScored,
    BatchStarted,
    EndBatch,
    OpenBatch,
    ScoreBatch,
    StartBatch,
)
from fedchain.node.control_wire import pack, unpack
from fedchain.node.modelstate import ModelUse
from fedchain.node.online.reserving import BatchSerials
from fedchain.types import JobId

log = structlog.get_logger(__name__)

MAX_BATCHES = 16
IDLE_SECONDS = 3600.0
"""A batch that nobody asks for any more is forgotten."""

TRIES = 3
FIRST_PAUSE_SECONDS = 1.0
"""Before a chunk is asked for again; twice as long each time. The rows count again: each serial is taken once."""


class BulkAsking(Protocol):
    """What asks the parties."""

    def describe(self, job_id: JobId) -> tuple[JobSpec, tuple[str, ...], int]:
        """A completed job's spec, the id columns of the own table, and scores per row."""

    def reserve(self, job_id: JobId, rows: int) -> BatchSerials:
        """Serials for as many rows, which only this batch takes."""

    def score(self, job_id: JobId, ids: Sequence[str], serials: BatchSerials) -> tuple[Scores, Flags]:
        """Scores, shape (rows, outputs), and flags."""


@dataclass
class _Batch:
    job_id: JobId
    rows: int
    serials: BatchSerials
    used_at: float = field(default_factory=time.monotonic)


class BatchDesk:
    """Batches of this node; safe to use from several threads.

    Args:
        asking: asks the parties.
        resolve: the job that a job id, or a model's name, stands for.
        model_use: as what a job's model is registered.
        pause: waits so many seconds, or raises because the node stops.
    """

    def __init__(
        self,
        asking: BulkAsking,
        resolve: Callable[[str], JobId],
        model_use: Callable[[JobId], ModelUse | None],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._asking, self._resolve, self._model_use, self._pause = asking, resolve, model_use, pause
        self._lock = threading.Lock()
        self._batches: dict[str, _Batch] = {}

    def methods(self) -> Mapping[str, Callable[[bytes], bytes]]:
        """What the control socket offers."""
        return {OPEN: self._open, START: self._start, SCORE: self._score, END: self._end}

    def _open(self, raw: bytes) -> bytes:
        job_id = self._resolve(unpack(raw, OpenBatch).target)
        spec, columns, outputs = self._asking.describe(job_id)
        use = self._model_use(job_id)
        model = None if use is None else (use.name, use.version, use.in_use)
        return pack(BatchOpened(job_id, model, spec.to_bytes(), columns, outputs))

    def _start(self, raw: bytes) -> bytes:
        request = unpack(raw, StartBatch)
        job_id = JobId(request.job_id)
        self._asking.describe(job_id)  # raises before anything is reserved
        now = time.monotonic()
        with self._lock:
            for one, idle in list(self._batches.items()):
                if now - idle.used_at >= IDLE_SECONDS:
                    self._batches.pop(one).serials.give_back()
            if len(self._batches) >= MAX_BATCHES:
                raise ConfigError(f"{MAX_BATCHES} batches are under way at this node; wait until one has ended")
        serials = self._asking.reserve(job_id, request.rows)
        batch, name = _Batch(job_id, request.rows, serials), secrets.token_hex(16)
        with self._lock:
            self._batches[name] = batch
        log.info("a batch begins", job=job_id, rows=request.rows)
        return pack(BatchStarted(name))

    def _score(self, raw: bytes) -> bytes:
        request = unpack(raw, ScoreBatch)
        with self._lock:
            batch = self._batches.get(request.batch)
            if batch is None:
                raise ConfigError("the node does not know this batch: it was started again; run the command again")
            batch.used_at = time.monotonic()
        if request.offset + len(request.ids) > batch.rows:
            raise ConfigError("the batch asks for more rows than it reserved: the file changed; run the command again")
        scores, flags = self._ask(batch, request.ids)
        return pack(BatchScored(scores.astype("<f8").tobytes(), flags.tobytes()))

    def _end(self, raw: bytes) -> bytes:
        with self._lock:
            batch = self._batches.pop(unpack(raw, EndBatch).batch, None)
        if batch is not None:
            batch.serials.give_back()
        return b""

    def _ask(self, batch: _Batch, ids: Sequence[str]) -> tuple[Scores, Flags]:
        """One chunk; again, with other serials, where parties kept silent."""
        pause = FIRST_PAUSE_SECONDS
        for _ in range(TRIES - 1):
            try:
                return self._asking.score(batch.job_id, ids, batch.serials)
            except DeadlineError as error:
                log.warning("a chunk was not answered, asking again", job=batch.job_id, rows=len(ids), error=str(error))
            self._pause(pause)
            pause *= 2
        return self._asking.score(batch.job_id, ids, batch.serials)
