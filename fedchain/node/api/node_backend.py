"""The API's view of a real node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedchain.chain import JobView
from fedchain.data.description import TableDescription
from fedchain.errors import UnknownJobError
from fedchain.exchange.records import JobRecord, RequestRecord
from fedchain.federation.spec import JobSpec
from fedchain.model.shardview import ShardView
from fedchain.node.anomalies import Anomaly, read_anomalies
from fedchain.node.audit import StateFolder, audit_job
from fedchain.node.config import NodeConfig
from fedchain.node.contributions import read_contributions
from fedchain.node.jobfiles import finished_shard
from fedchain.node.jobstate import read_state
from fedchain.node.modelstate import ModelUse, read_models, read_versions
from fedchain.node.online.predictions import Id, Predictions
from fedchain.node.owntable import OwnTable
from fedchain.node.progress import Line, ProgressBoard
from fedchain.node.reporting.page import render
from fedchain.node.reporting.reading import read_report
from fedchain.types import JobId, Phase

if TYPE_CHECKING:
    from fedchain.node.runtime import Node


class NodeBackend:
    """A running node as `fedchain.node.api.backend.Backend`; the methods are described there.

    Args:
        node: it.
        config: its own.
        table: its table.
    """

    def __init__(self, node: Node, config: NodeConfig, table: OwnTable) -> None:
        self._node = node
        self._config = config
        self._table = table

    @property
    def name(self) -> str:
        """Of the node."""
        return self._node.name

    @property
    def board(self) -> ProgressBoard:
        """Its progress."""
        return self._node.board

    def is_ready(self) -> bool:
        """Whether it takes jobs."""
        return self._node.is_ready()

    def status(self) -> dict[str, Any]:
        """Of the node."""
        exchange = self._node.exchange
        subscriber = exchange.subscriber
        shown: Line = next((line for line in self.board.snapshot() if line["event"] == "node"), {})
        return {
            "name": self.name,
            "address": self._node.address,
            "endpoint": exchange.endpoint,
            "fingerprint": "0x" + self._node.identity.fingerprint.hex(),
            "version": version("fedchain"),
            "status": shown.get("status", "starting"),
            "ready": self.is_ready(),
            "chain": {
                "chain_id": exchange.client.chain_id,
                "head": max(0, subscriber.head),
                "height": max(0, subscriber.height),
            },
            "jobs": dict(Counter(record.status for record in exchange.state.jobs())),
        }

    def participants(self) -> list[dict[str, Any]]:
        """The registry."""
        return [
            {
                "name": one.name,
                "address": one.address,
                "endpoint": one.endpoint,
                "status": one.status.name.lower(),
                "strikes": one.strikes,
                "fingerprint": "0x" + one.fingerprint.hex(),
            }
            for one in self._node.exchange.consortium.participants()
        ]

    def jobs(self) -> list[JobRecord]:
        """Of this node."""
        return self._node.exchange.state.jobs()

    def job(self, job_id: JobId) -> JobRecord | None:
        """Of this node."""
        return self._node.exchange.state.job(job_id)

    def name_of(self, address: str) -> str:
        """A participant's."""
        return self._node.exchange.directory.name_of(address)

    def job_state(self, job_id: JobId) -> dict[str, Any]:
        """From the contracts."""
        return read_state(self._node.exchange.consortium, self._view(job_id)).as_dict()

    def submit(self, spec: JobSpec) -> JobId:
        """A job."""
        return self._node.propose(spec, "job file")

    def abort(self, job_id: JobId, reason: str) -> None:
        """A job of this node."""
        self._node.abort(job_id, reason)

    def contributions(self, job_id: JobId) -> dict[str, Any]:
        """The recorded shares."""
        own = self._node.exchange.state.job(job_id)
        spec = b"" if own is None else own.spec
        return read_contributions(self._node.exchange.consortium, self._view(job_id), spec).as_dict()

    def audit(self, job_id: JobId, *, with_own_files: bool) -> dict[str, Any]:
        """A job's."""
        folders = [StateFolder(self._config.state.folder)] if with_own_files else []
        return audit_job(self._node.exchange.consortium, self._view(job_id).job_id, folders).as_dict()

    def anomalies(self, job_id: JobId) -> list[Anomaly]:
        """A job's."""
        return read_anomalies(self._node.exchange.consortium, self._view(job_id).job_id)

    def report(self, job_id: JobId) -> str:
        """A job's."""
        return render(read_report(self._node.exchange.consortium, self._view(job_id)))

    def model(self, job_id: JobId, tree: int | None) -> dict[str, Any]:
        """This node's own shard."""
        view = ShardView(finished_shard(self._config.state.folder, job_id))
        return view.as_dict() | ({} if tree is None else {"tree": view.tree_as_dict(tree)})

    def requests(self, job_id: JobId) -> list[RequestRecord]:
        """Of a job of this node."""
        return self._node.exchange.state.requests(job_id)

    def predict(
        self, job_id: JobId, positions: NDArray[np.int64] | None
    ) -> tuple[int, NDArray[np.int64], NDArray[np.float64]]:
        """Scores."""
        return self._node.predict(job_id, positions)

    def predict_ids(self, target: str, ids: Sequence[Id], *, explain: bool) -> Predictions:
        """Scores by id."""
        return self._node.predict_ids(target, ids, explain=explain)

    def models(self) -> list[dict[str, Any]]:
        """From the contracts."""
        return [one.as_dict() for one in read_models(self._node.exchange.consortium)]

    def model_versions(self, name: str) -> list[dict[str, Any]]:
        """From the contracts."""
        return [one.as_dict() for one in read_versions(self._node.exchange.consortium, name)]

    def model_use(self, job_id: JobId) -> ModelUse | None:
        """From the contracts."""
        return self._node.model_use(job_id)

    def resolve(self, target: str) -> JobId:
        """From the contracts."""
        return self._node.resolve(target)

    def propose_model(self, name: str, job_id: JobId) -> dict[str, Any]:
        """Of a job of this node."""
        return self._node.propose_model(name, job_id).as_dict()

    def approve_model(self, name: str, version: int) -> dict[str, Any]:
        """For this party."""
        return self._node.approve_model(name, version).as_dict()

    def activate_model(self, name: str, version: int) -> dict[str, Any]:
        """As the active party."""
        return self._node.activate_model(name, version).as_dict()

    def roll_back_model(self, name: str) -> dict[str, Any]:
        """As the active party."""
        return self._node.roll_back_model(name).as_dict()

    def describe_table(self) -> TableDescription:
        """Of this node."""
        return self._table.describe()

    def table_kind(self) -> str:
        """Of this node's table."""
        return self._config.table.kind

    def new_table_file(self) -> Path:
        """For another table."""
        return self._table.new_file()

    def replace_table(self, part: Path, id_column: str | None) -> TableDescription:
        """By a complete file."""
        return self._table.replace(part, id_column)

    def _view(self, job_id: JobId) -> JobView:
        view = self._node.exchange.consortium.job(job_id)
        if view.phase is Phase.NONE:
            raise UnknownJobError(f"no job {job_id} in this consortium; GET /v1/jobs lists those of this node")
        return view
