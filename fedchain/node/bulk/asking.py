"""How a batch asks: whole chunks, leaf after leaf, of everybody at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fedchain.federation.spec import JobSpec
from fedchain.messages.online import rows_within
from fedchain.node.bulk.runner import Flags, Scores
from fedchain.node.config import NodeConfig
from fedchain.node.online.asking import Asker
from fedchain.node.online.reserving import BatchSerials
from fedchain.types import JobId

LEAST_SECONDS = 60.0
"""For the answers to a chunk: a job's deadline is meant for a single row."""

DEADLINES = 30
"""As many of the job's deadlines, if that is longer."""


class RoundsOfChunks:
    """Asks for chunks by the rounds of online requests, with serials that were reserved for the whole batch before.

    Ids that this party does not know are asked for as well, by decoys: an answerer does not see how many there are.

    Args:
        config: the node's.
        asker: makes rounds.
    """

    def __init__(self, config: NodeConfig, asker: Asker) -> None:
        self._config, self._asker = config, asker

    def describe(self, job_id: JobId) -> tuple[JobSpec, tuple[str, ...], int]:
        """A completed job's spec, the id columns of the own table, and scores per row.

        Raises:
            ConfigError: this node has not completed it.
            ProtocolViolationError: its terms on the chain are not its spec's; names the active party.
        """
        job = self._asker.desk(job_id).job
        return job.spec, job.spec.id_columns(job.me, self._config.table.id_columns), job.outputs

    def reserve(self, job_id: JobId, rows: int) -> BatchSerials:
        """Serials for as many rows, which only this batch takes.

        Raises:
            QuotaExceededError: the job allows less in this window.
            ChainError: they cannot be reserved.
        """
        return self._asker.set_apart(job_id, rows)

    def score(self, job_id: JobId, ids: Sequence[str], serials: BatchSerials) -> tuple[Scores, Flags]:
        """Scores, shape (rows, outputs), and flags; not-a-number where an id is unknown.

        Args:
            job_id: a completed job.
            ids: as the job's rules spell them; empty for none.
            serials: to take.

        Raises:
            As `Rounds.begin`.
        """
        desk = self._asker.desk(job_id)
        job, rounds = desk.job, replace(desk.rounds, reservations=serials)
        positions = job.asking.positions(ids)
        step = rows_within(max(job.bit_count(party) for party in (job.addresses if job.is_active else (job.me,))))
        seconds = max(LEAST_SECONDS, DEADLINES * job.spec.inference.deadline_ms / 1000)
        scores, flags = [], []
        for first in range(0, len(positions), step):
            part = rounds.begin(positions[first : first + step], planes=True, deadline_seconds=seconds).finish()
            scores.append(part.scores.reshape(len(part.flags), job.outputs))
            flags.append(part.flags)
        return np.concatenate(scores), np.concatenate(flags)
