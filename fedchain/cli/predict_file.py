"""`fedchain predict … --file`: scores of a whole file of ids."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fedchain.cli.output import note, print_json
from fedchain.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedchain.node.bulk.runner import BatchProgress, BatchSummary


def predict_file(
    target: str, node: Path, path: Path, columns: Sequence[str], out: Path | None, *, as_json: bool
) -> None:
    """Score the ids of a file, with progress on stderr; what is left of a run that was ended is taken up again.

    Raises:
        ConfigError: no output is named, or its folder does not exist.
        FedchainError: see `run_batch`.
    """
    from fedchain.cli.progress import RowBar
    from fedchain.node.bulk.client import BatchClient
    from fedchain.node.bulk.runner import run_batch
    from fedchain.node.config import load_config
    from fedchain.node.control_client import ControlClient

    if out is None:
        raise ConfigError("--file needs --out FILE: scores.csv, or scores.parquet")
    if not out.absolute().parent.is_dir():
        raise ConfigError(f"--out {out}: folder {out.parent} does not exist; create it first")
    last: list[BatchProgress] = []
    with ControlClient(load_config(node / "node.toml").control_socket) as control, RowBar("scores") as bar:

        def on_progress(progress: BatchProgress) -> None:
            if not last and progress.resumed:
                note(
                    f"{progress.resumed} of {progress.rows} rows are in {progress.partial} already; going on from there"
                )
            last[:] = [progress]
            bar.update(progress.done, progress.rows, progress.resumed)

        try:
            summary = run_batch(BatchClient(control), target, path, out, columns, on_progress)
        except BaseException:
            if last and last[0].done:
                left = last[0]
                note(f"{left.done} of {left.rows} rows are kept in {left.partial}; the same command goes on from there")
            raise
    _tell(summary, out, as_json)


def _tell(summary: BatchSummary, out: Path, as_json: bool) -> None:
    opened = summary.opened
    if opened.model is not None and opened.model.note is not None:
        note(opened.model.note)
    flags = "".join(f", {count} {name}" for name, count in summary.flagged.items())
    note(f"wrote {summary.rows} rows to {out}: {summary.rows - summary.unscored} scores{flags}")
    if as_json:
        print_json(
            {
                "job_id": opened.job_id,
                "model": None if opened.model is None else opened.model.as_dict(),
                "rows": summary.rows,
                "asked": summary.asked,
                "scores": summary.rows - summary.unscored,
                "flags": summary.flagged,
                "out": str(out),
            }
        )
