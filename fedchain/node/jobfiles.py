"""What a node keeps of a finished job, under `<state>/jobs/<job id>/` (mode 0700).

Shard, session, report, spec; and, where its contributions were audited, what was opened.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

from fedchain.errors import ConfigError, ModelFormatError, UnknownJobError
from fedchain.federation.kept import KeptAudit
from fedchain.federation.party import JobOutcome
from fedchain.federation.session import Session
from fedchain.federation.spec import JobSpec
from fedchain.model.shard import Shard
from fedchain.node.journal import Journal
from fedchain.types import JobId

SHARD, SESSION, REPORT, SPEC, AUDIT = "shard", "session", "report.json", "job.json", "audit"


class JobFiles:
    """One job's folder.

    Args:
        state_folder: the node's.
        job_id: the job.

    Raises:
        ConfigError: not a job id.
    """

    def __init__(self, state_folder: Path, job_id: JobId) -> None:
        digits = job_id.removeprefix("0x")
        if len(digits) != 64 or not all(digit in "0123456789abcdef" for digit in digits):
            raise ConfigError(f"job id {job_id!r} is not 0x and 64 lower-case hex digits")
        self.folder = state_folder / "jobs" / job_id

    def save(self, spec: JobSpec, outcome: JobOutcome, extra: dict[str, Any]) -> None:
        """Keep a job's outcome; the report comes last, so a folder with a report is whole.

        The session and, at the active party, the held-out scores are private to this party; every file has mode 0600.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        outcome.shard.save(self.folder / SHARD)
        (self.folder / SHARD).chmod(0o600)
        outcome.session.save(self.folder / SESSION)
        write_private(self.folder / SPEC, spec.to_bytes())
        if outcome.audit is not None:
            write_private(self.folder / AUDIT, outcome.audit.to_bytes())
        write_private(
            self.folder / REPORT, json.dumps(report_of(outcome) | extra, indent=1, sort_keys=True).encode() + b"\n"
        )

    @property
    def journal(self) -> Journal:
        """What the party needs to go on with the job after a restart; gone when the job has ended."""
        return Journal(self.folder / "journal")

    @property
    def complete(self) -> bool:
        """Whether a job's outcome was saved here."""
        return (self.folder / REPORT).is_file()

    def load(self) -> tuple[JobSpec, Shard, Session]:
        """Read a finished job.

        Raises:
            ModelFormatError: missing or damaged files.
        """
        try:
            spec = JobSpec.from_bytes((self.folder / SPEC).read_bytes())
        except (OSError, ConfigError) as error:
            raise ModelFormatError(f"{self.folder}: no readable finished job ({error})") from error
        return spec, Shard.load(self.folder / SHARD), Session.load(self.folder / SESSION)

    def load_audit(self) -> KeptAudit | None:
        """What was kept of the audit of its contributions; None where the job had none.

        Raises:
            ModelFormatError: the file is damaged.
        """
        path = self.folder / AUDIT
        return KeptAudit.load(path) if path.is_file() else None

    def name_model(self, model_digest: str) -> None:
        """Add the model's digest to a report that was saved before all parties' shard digests were known.

        Raises:
            ModelFormatError: there is no report.
        """
        report = self.report() | {"model_digest": model_digest}
        write_private(self.folder / REPORT, json.dumps(report, indent=1, sort_keys=True).encode() + b"\n")

    def report(self) -> dict[str, Any]:
        """The report as saved.

        Raises:
            ModelFormatError: missing or damaged.
        """
        try:
            report: dict[str, Any] = json.loads((self.folder / REPORT).read_bytes())
        except (OSError, ValueError) as error:
            raise ModelFormatError(f"{self.folder / REPORT}: cannot be read ({error})") from error
        return report


def finished_shard(state_folder: Path, job_id: JobId) -> Shard:
    """This party's own shard of a job that the node has finished.

    Raises:
        ConfigError: not a job id.
        UnknownJobError: no finished job of this node; names some that are.
        ModelFormatError: the file is missing or damaged.
    """
    files = JobFiles(state_folder, job_id)
    if not files.complete:
        finished = sorted(path.parent.name for path in (state_folder / "jobs").glob(f"0x*/{REPORT}"))
        has = f"it has {', '.join(finished[:3])}" if finished else "it has none yet"
        raise UnknownJobError(f"this node has no finished job {job_id}; {has}")
    return Shard.load(files.folder / SHARD)


def report_of(outcome: JobOutcome) -> dict[str, Any]:
    """A job's outcome as JSON values; holds no ids. Held-out scores are there at the active party only."""
    report: dict[str, Any] = {
        "party": outcome.shard.party,
        "roster": list(outcome.shard.roster),
        "model_digest": outcome.model_digest,
        "shard_digest": outcome.shard.digest().hex(),
        "aligned_rows": outcome.aligned_rows,
        "trees": len(outcome.shard.trees),
    }
    if outcome.shares is not None:
        report["shares_e6"] = list(outcome.shares.shares_e6)
        report["utilities_e6"] = list(outcome.shares.utilities_e6)
    if outcome.audit is not None:
        report["audit"] = {"outcome": outcome.audit.outcome, "finding": outcome.audit.finding}
    if outcome.holdout_scores is not None:
        report["holdout_positions"] = list(outcome.session.holdout)
        report["holdout_scores"] = outcome.holdout_scores.tolist()
    return report


def write_private(path: Path, content: bytes) -> None:
    """Write a file in one step, synced, with mode 0600."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
