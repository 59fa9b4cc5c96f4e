"""A batch over a node's control socket."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedchain.errors import MessageError
from fedchain.federation.spec import JobSpec
from fedchain.node.bulk.runner import Flags, OpenedBatch, Scores
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
from fedchain.node.control_client import ControlClient
from fedchain.node.control_wire import pack, unpack
from fedchain.node.modelstate import ModelUse
from fedchain.types import JobId


class BatchClient:
    """What `run_batch` asks, of the node behind a control connection."""

    def __init__(self, control: ControlClient) -> None:
        self._control = control

    def open_batch(self, target: str) -> OpenedBatch:
        """Which job answers.

        Raises:
            ConfigError: not a completed job of the node, or a name without a version in use.
        """
        opened = unpack(self._control.call(OPEN, pack(OpenBatch(target))), BatchOpened)
        model = None if opened.model is None else ModelUse(*opened.model)
        rules = JobSpec.from_bytes(opened.spec).alignment.rules
        return OpenedBatch(JobId(opened.job_id), model, rules, opened.columns, opened.outputs)

    def start_batch(self, job_id: JobId, rows: int) -> str:
        """Reserve serials for as many rows.

        Raises:
            QuotaExceededError: the quota of this window does not hold so many.
        """
        return unpack(self._control.call(START, pack(StartBatch(job_id, rows))), BatchStarted).batch

    def score_batch(self, batch: str, offset: int, ids: Sequence[str]) -> tuple[Scores, Flags]:
        """Scores, shape (rows, outputs), and flags of rows number `offset` on of the batch.

        Raises:
            FedchainError: whatever keeps the parties from answering.
        """
        raw = self._control.call(SCORE, pack(ScoreBatch(batch, offset, list(ids))), None)
        scored = unpack(raw, BatchScored)
        if len(scored.flags) != len(ids) or not scored.scores or len(scored.scores) % (8 * len(ids)):
            raise MessageError(f"the node returned {len(scored.scores)} bytes of scores for {len(ids)} ids")
        scores = np.frombuffer(scored.scores, "<f8").astype(np.float64).reshape(len(ids), -1)
        return scores, np.frombuffer(scored.flags, np.uint8)

    def end_batch(self, batch: str) -> None:
        """No more of it will be asked for."""
        self._control.call(END, pack(EndBatch(batch)))
