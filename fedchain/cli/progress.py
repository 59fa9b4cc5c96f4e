"""Progress bars on stderr."""

from __future__ import annotations

import time
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
    "audit": "audit",
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


class RowBar:
    """One bar that counts rows, with rate and time left, on a terminal; elsewhere a line now and then.

    Args:
        label: what is counted.
        every_seconds: between lines elsewhere.
    """

    def __init__(self, label: str, every_seconds: float = 10.0) -> None:
        terminal = console(stderr=True)
        self._is_live = terminal.is_terminal
        self._label, self._every = label, every_seconds
        self._progress = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", style="dim"),
            console=terminal,
            disable=not self._is_live,
        )
        self._task: TaskID | None = None
        self._began = self._told = time.monotonic()

    def __enter__(self) -> RowBar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, done: int, total: int, before: int = 0) -> None:
        """Take note of progress.

        Args:
            done: rows so far.
            total: all rows.
            before: of those done, rows of an earlier run: they say nothing about the rate.
        """
        now = time.monotonic()
        if self._task is None:
            self._task = self._progress.add_task(self._label, total=total, rate="", left="")
            self._began = self._told = now
        rate, left = _pace(done - before, total - done, now - self._began)
        self._progress.update(self._task, completed=done, total=total, rate=rate, left=left)
        if not self._is_live and done < total and now - self._told >= self._every:
            self._told = now
            note(f"{self._label}: {done} of {total} rows, {rate}, {left}")


def _pace(done: int, left: int, seconds: float) -> tuple[str, str]:
    """Rows per second, and how long the others take; empty before anything is known."""
    if done <= 0 or seconds <= 0:
        return "", ""
    rest = round(left * seconds / done)
    return f"{done / seconds:,.0f} rows/s", f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02} left"
