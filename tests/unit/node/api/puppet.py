"""A node that does what the test says, behind the real API."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchain.data.description import TableDescription, describe
from fedchain.data.schema import Schema
from fedchain.data.source import TableSource
from fedchain.errors import UnknownJobError, UnknownModelError
from fedchain.exchange.records import JobRecord, RequestRecord
from fedchain.federation.spec import JobSpec
from fedchain.node.anomalies import Anomaly
from fedchain.node.modelstate import ModelUse
from fedchain.node.online.predictions import Id, Predictions
from fedchain.node.progress import ProgressBoard
from fedchain.node.settlements import JobSettlement, PointsLine
from fedchain.types import JobId

JOB = JobId("0x" + "5c" * 32)
OTHER = JobId("0x" + "00" * 32)
JOB_TOML = """\
name = "telco-churn"

[[parties]]
name = "operator"
role = "active"
id = "customer"
label = "left"

[[parties]]
name = "partner"
role = "passive"
id = "customer"
"""
SECRET_CELL = "cell-4711"


class Puppet:
    """One completed job, `JOB`; `error` is raised by whatever would ask the chain or read the table."""

    def __init__(self, table: Path) -> None:
        self.name = "operator"
        self.board = ProgressBoard()
        self.ready = True
        self.error: Exception | None = None
        self.before: Callable[[], None] = lambda: None
        self.table = table
        self.submitted: list[JobSpec] = []
        self.aborted: list[tuple[JobId, str]] = []
        self.changed: list[tuple[str, str, int]] = []
        self.use: ModelUse | None = None
        self.record = JobRecord(JOB, 7, "0xaa", JobSpec.from_toml_text(JOB_TOML).to_bytes(), "completed", "")

    def _work(self) -> None:
        self.before()
        if self.error is not None:
            raise self.error

    def _known(self, job_id: JobId) -> None:
        self._work()
        if job_id != JOB:
            raise UnknownJobError(f"no job {job_id} in this consortium")

    def is_ready(self) -> bool:
        return self.ready

    def status(self) -> dict[str, Any]:
        self._work()
        chain = {"chain_id": 1337, "head": 12, "height": 11}
        return {
            "name": self.name, "address": "0xaa", "endpoint": "127.0.0.1:1", "fingerprint": "0x00", "version": "0",
            "status": "accredited", "ready": self.ready, "chain": chain, "jobs": {"completed": 1},
        }  # fmt: skip

    def participants(self) -> list[dict[str, Any]]:
        self._work()
        one = {"name": "operator", "address": "0xaa", "endpoint": "", "status": "accredited", "strikes": 0}
        return [one | {"fingerprint": "0x00"}]

    def jobs(self) -> list[JobRecord]:
        return [self.record]

    def job(self, job_id: JobId) -> JobRecord | None:
        return self.record if job_id == JOB else None

    def name_of(self, address: str) -> str:
        return {"0xaa": "operator"}.get(address, address)

    def job_state(self, job_id: JobId) -> dict[str, Any]:
        self._known(job_id)
        return {
            "job_id": job_id, "phase": "completed", "round": 3, "attempt": 0, "max_rounds": 3, "trees_done": 2,
            "aligned_rows": 10, "uplinks": {"accepted": 5, "rejected": 0}, "parties": [], "model_digest": "00" * 32,
            "abort_reason": None, "proposer": "0xaa", "spec_digest": "00" * 32, "block": 12,
            "deadline": None, "seconds_left": None, "closed": False,
        }  # fmt: skip

    def submit(self, spec: JobSpec) -> JobId:
        self._work()
        self.submitted.append(spec)
        return JOB

    def abort(self, job_id: JobId, reason: str) -> None:
        self._known(job_id)
        self.aborted.append((job_id, reason))

    def contributions(self, job_id: JobId) -> dict[str, Any]:
        self._known(job_id)
        return {
            "job_id": job_id, "method": "leaf-mask", "contributions": {"operator": 1.0},
            "contributions_e6": {"operator": 5},
            "recorded_e6": {"operator": 5},
            "utility_full_e6": 5, "utility_empty_e6": 0, "block": 9,
            "measured": {
                "rows": 3, "running_e6": {"operator": [2, 5]}, "split_gain_e6": {"operator": 1_000_000},
                "p_values_e6": {"operator": 0}, "powers_e6": {"operator": 0},
            },
            "audit": {
                "outcome": "verified", "rows": 3, "opened_rows": 2, "budget": 7, "shares_840e6": {"operator": 4200},
                "weak": [], "votes": {"partner": "sound"}, "silent": {}, "losses_root": "00", "seed": "01",
            },
            "settlement": JobSettlement(
                "final", 7, (PointsLine("operator", 7, ""),), 1_790_000_000, 1_790_000_000
            ).as_dict(),
        }  # fmt: skip

    def audit(self, job_id: JobId, *, with_own_files: bool) -> dict[str, Any]:
        self._known(job_id)
        return {
            "job_id": job_id, "job_name": "telco-churn", "phase": "completed", "aborted": None, "block": 12,
            "model_digest": None, "verdict": "sound", "parties": [], "rounds": [], "story": [],
            "checks": {"own files": {"checked": int(with_own_files), "failed": 0, "unreachable": 0}}, "mismatches": [],
        }  # fmt: skip

    def anomalies(self, job_id: JobId) -> list[Anomaly]:
        self._known(job_id)
        return [Anomaly("strike", "standing", "partner", "SLOT_TAKEN", "1 in all", 8, 1_790_000_000, "0x00")]

    def report(self, job_id: JobId) -> str:
        self._known(job_id)
        return "<!DOCTYPE html><title>report</title>"

    def model(self, job_id: JobId, tree: int | None) -> dict[str, Any]:
        self._known(job_id)
        return {
            "party": "operator", "role": "active", "roster": ["operator", "partner"], "mode": "layered",
            "objective": "binary", "trees": 2, "outputs": 1, "splits": {"operator": 3, "partner": None},
            "features_held": 2, "features_used": [], "shard_digest": "00", "base_margins": [0.5],
        } | ({} if tree is None else {"tree": {"number": tree}})  # fmt: skip

    def predict_ids(self, target: str, ids: Sequence[Id], *, explain: bool) -> Predictions:
        self._work()
        if target.startswith("0x") and target != JOB:
            raise UnknownJobError(f"job {target} is unknown to this node")
        rows = len(ids)
        unknown = np.asarray([one == "nobody" for one in ids])
        return Predictions(
            JOB, self.use, np.where(unknown, -1, np.arange(rows)), np.where(unknown, np.nan, 0.25),
            np.where(unknown, 4, 0).astype(np.uint8), ("operator", "partner"),
            np.asarray([0.5]) if explain else None, np.full((rows, 2, 1), 0.125) if explain else None,
        )  # fmt: skip

    def requests(self, job_id: JobId) -> list[RequestRecord]:
        return [RequestRecord(JOB, 2**31 + 1, 10, "0xaa", "served")]

    def predict(
        self, job_id: JobId, positions: NDArray[np.int64] | None
    ) -> tuple[int, NDArray[np.int64], NDArray[np.float64]]:
        self._known(job_id)
        asked = np.arange(3) if positions is None else positions
        return 2**31 + 5, asked, asked / 10

    def models(self) -> list[dict[str, Any]]:
        self._work()
        return [{"name": "arrears", "holder": "operator", "versions": 2, "in_use": 2, "job_id": JOB}]

    def model_versions(self, name: str) -> list[dict[str, Any]]:
        return [self._version(name, version) for version in (1, 2)]

    def model_use(self, job_id: JobId) -> ModelUse | None:
        return self.use

    def resolve(self, target: str) -> JobId:
        self._version(target, 1)
        return JOB

    def propose_model(self, name: str, job_id: JobId) -> dict[str, Any]:
        return self._changed("propose", name, 2)

    def approve_model(self, name: str, version: int) -> dict[str, Any]:
        return self._changed("approve", name, version)

    def activate_model(self, name: str, version: int) -> dict[str, Any]:
        return self._changed("activate", name, version)

    def roll_back_model(self, name: str) -> dict[str, Any]:
        return self._changed("rollback", name, 1)

    def _changed(self, what: str, name: str, version: int) -> dict[str, Any]:
        found = self._version(name, version)
        self.changed.append((what, name, version))
        return found

    def _version(self, name: str, version: int) -> dict[str, Any]:
        self._work()
        if name != "arrears" or version > 2:
            raise UnknownModelError(f"no model '{name}' in this consortium; there is arrears")
        party = {"name": "operator", "address": "0xaa", "shard_digest": "00" * 32, "approved": True}
        return {
            "name": name, "version": version, "state": "active", "job_id": JOB, "model_digest": "00" * 32,
            "proposer": "operator", "parties": [party], "frozen_block": 9, "activated_block": 10,
        }  # fmt: skip

    def describe_table(self) -> TableDescription:
        self._work()
        return describe(TableSource(self.table, Schema({"customer": "id", "age": "numeric"})))

    def table_kind(self) -> str:
        return "csv"

    def new_table_file(self) -> Path:
        self._work()
        part = self.table.with_name(f".{secrets.token_hex(4)}.csv")
        part.touch()
        return part

    def replace_table(self, part: Path, id_column: str | None) -> TableDescription:
        self._work()
        found = describe(TableSource(part, Schema({"customer": "id", "age": "numeric"})))
        part.replace(self.table)
        return found
