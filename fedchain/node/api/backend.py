"""What the API asks of the node that it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fedchain.data.description import TableDescription
from fedchain.exchange.records import JobRecord, RequestRecord
from fedchain.federation.spec import JobSpec
from fedchain.node.anomalies import Anomaly
from fedchain.node.modelstate import ModelUse
from fedchain.node.online.predictions import Id, Predictions
from fedchain.node.progress import ProgressBoard
from fedchain.types import JobId


class Backend(Protocol):
    """A node, as its API sees it. Methods raise what `fedchain.errors` has, and may wait for the chain.

    Attributes:
        name: of the node.
        board: its progress.
    """

    @property
    def name(self) -> str:
        """Of the node."""

    @property
    def board(self) -> ProgressBoard:
        """Its progress."""

    def is_ready(self) -> bool:
        """Whether it takes jobs."""

    def status(self) -> dict[str, Any]:
        """Name, address, endpoint, certificate, chain and how far it has read it."""

    def participants(self) -> list[dict[str, Any]]:
        """The registry."""

    def jobs(self) -> list[JobRecord]:
        """Jobs of this node in the order of their proposals."""

    def job(self, job_id: JobId) -> JobRecord | None:
        """One of them."""

    def name_of(self, address: str) -> str:
        """A participant's name, its address where there is none."""

    def job_state(self, job_id: JobId) -> dict[str, Any]:
        """What the contracts hold of a job; `UnknownJobError` where there is none."""

    def submit(self, spec: JobSpec) -> JobId:
        """Propose a job."""

    def abort(self, job_id: JobId, reason: str) -> None:
        """Abort a job of this node."""

    def contributions(self, job_id: JobId) -> dict[str, Any]:
        """The recorded shares."""

    def audit(self, job_id: JobId, *, with_own_files: bool) -> dict[str, Any]:
        """Audit a job, with this node's own payload files and outcome where asked for."""

    def anomalies(self, job_id: JobId) -> list[Anomaly]:
        """What the chain holds against anybody in a job."""

    def report(self, job_id: JobId) -> str:
        """A job's report, an HTML page."""

    def model(self, job_id: JobId, tree: int | None) -> dict[str, Any]:
        """This node's own shard, as `fedchain model show --json`."""

    def requests(self, job_id: JobId) -> list[RequestRecord]:
        """Requests for scores of a job of this node."""

    def predict(
        self, job_id: JobId, positions: NDArray[np.int64] | None
    ) -> tuple[int, NDArray[np.int64], NDArray[np.float64]]:
        """Ask for scores; None: of the held-out rows."""

    def predict_ids(self, target: str, ids: Sequence[Id], *, explain: bool) -> Predictions:
        """Ask for scores by id, of a job or of a model's version in use."""

    def models(self) -> list[dict[str, Any]]:
        """The consortium's models."""

    def model_versions(self, name: str) -> list[dict[str, Any]]:
        """A model's versions; `UnknownModelError` where there is none."""

    def model_use(self, job_id: JobId) -> ModelUse | None:
        """As what a job's model is registered."""

    def resolve(self, target: str) -> JobId:
        """The job of a model's version in use."""

    def propose_model(self, name: str, job_id: JobId) -> dict[str, Any]:
        """Propose a finished job's model, and approve it."""

    def approve_model(self, name: str, version: int) -> dict[str, Any]:
        """Approve a version."""

    def activate_model(self, name: str, version: int) -> dict[str, Any]:
        """Put a version into use."""

    def roll_back_model(self, name: str) -> dict[str, Any]:
        """Put the version before into use again."""

    def describe_table(self) -> TableDescription:
        """What the node's table looks like."""

    def table_kind(self) -> str:
        """`csv`, `parquet` or `query`."""

    def new_table_file(self) -> Path:
        """An empty file for another table; `TableInUseError` where it may not be replaced."""

    def replace_table(self, part: Path, id_column: str | None) -> TableDescription:
        """Let a complete file be the table."""
