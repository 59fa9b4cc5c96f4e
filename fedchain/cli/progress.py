"""Progress bars on stderr."""

from __future__ import annotations

from types import TracebackType

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from fedchain.cli.output import console, note
from fedchain.protocol import Stage
from fedchain.types import PartyId

LABELS = {
    "align": "alignment",
    "train": "trees",
    "contribution": "contribution",
    "shard": "shards",
    "predict": "prediction",
}


class StageBars:
    """One bar per stage of a job on a terminal, a line per finished stage elsewhere. Bars only grow: the first party
    that gets somewhere moves them."""

    def __init__(self) -> None:
        terminal = console(stderr=True)
        self._is_live = terminal.is_terminal
        self._progress = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}", style="dim"),
            console=terminal,
            disable=not self._is_live,
        )
        self._tasks: dict[str, TaskID] = {}
        self._done: dict[str, int] = {}

    def __enter__(self) -> StageBars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def on_stage(self, party: PartyId, stage: Stage) -> None:
        """Take note of a party's progress."""
        label = LABELS.get(stage.name, stage.name)
        if stage.name not in self._tasks:
            self._tasks[stage.name] = self._progress.add_task(label, total=stage.total or None, detail=stage.detail)
        if stage.done <= self._done.get(stage.name, -1):
            return
        self._done[stage.name] = stage.done
        self._progress.update(
            self._tasks[stage.name], completed=stage.done, total=stage.total or None, detail=stage.detail
        )
        if not self._is_live and stage.done == stage.total:
            note(f"{label}: {stage.done} of {stage.total}" + (f", {stage.detail}" if stage.detail else ""))
