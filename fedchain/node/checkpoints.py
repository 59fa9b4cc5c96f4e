"""Where a node finds the checkpoint of a warm start: among the jobs that it finished itself."""

from __future__ import annotations

from pathlib import Path

import structlog

from fedchain.errors import CheckpointError, ConfigError, ModelFormatError
from fedchain.federation.spec import JobSpec
from fedchain.model.shard import Shard
from fedchain.node.jobfiles import REPORT, SHARD, JobFiles
from fedchain.types import JobId

log = structlog.get_logger(__name__)


def find_checkpoint(state_folder: Path, spec: JobSpec) -> Shard | None:
    """This node's shard of the model that a job continues; None for a job that starts from nothing.

    Raises:
        CheckpointError: this node has finished no job that ended with that model.
        ModelFormatError: it has, and the shard is damaged.
    """
    model = spec.warm_start.model
    if model is None:
        return None
    folder = state_folder / "jobs"
    for path in sorted(folder.glob(f"0x*/{REPORT}")):
        try:
            files = JobFiles(state_folder, JobId(path.parent.name))
            report = files.report()
        except (ConfigError, ModelFormatError) as error:
            log.warning("not looked at for a checkpoint", folder=str(path.parent), error=str(error))
            continue
        if report.get("model_digest") != model:
            continue
        shard = Shard.load(files.folder / SHARD)
        if shard.digest().hex() != report.get("shard_digest"):
            raise ModelFormatError(
                f"{files.folder / SHARD}: is not the shard that the job ended with; restore the file"
            )
        return shard
    raise CheckpointError(
        f"job '{spec.name}' continues model {model}, and no finished job under {folder} ended with it; "
        "put that job's folder back, or start without [warm_start]"
    )
