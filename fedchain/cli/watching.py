"""Live view of a job: bars and waits on a terminal, a line per change elsewhere (JSON if wanted); all on stderr."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from fedchain.cli.output import console, note
from fedchain.cli.waiting import WaitLine, deadline_in_words, in_words
from fedchain.types import Phase

if TYPE_CHECKING:
    from fedchain.chain import JobView

SHOWN_AFTER_SECONDS = 2.0
"""Elsewhere than on a terminal, shorter waits than this are not told."""


class JobBars:
    """Shows phase, trees, blocks, uplinks, and who is waited for.

    Args:
        view: the job when watching begins.
        as_json: changes as JSON lines, also on a terminal.
    """

    def __init__(self, view: JobView, *, as_json: bool = False) -> None:
        terminal = console(stderr=True)
        self._as_json = as_json
        self._is_live = terminal.is_terminal and not as_json
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<11}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}", style="dim"),
            console=terminal,
            disable=not self._is_live,
        )
        self._live = Live(Group(self._progress), console=terminal, refresh_per_second=4) if self._is_live else None
        self._trees = self._progress.add_task("trees", total=view.policy.max_rounds, detail="")
        self._blocks = self._progress.add_task("blocks", total=None, detail="")
        self._said: tuple[Phase, int, int, bool] | None = None
        self._waits_said: set[tuple[object, ...]] = set()

    def __enter__(self) -> JobBars:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.update(self._progress, refresh=True)
            self._live.stop()

    def show(self, view: JobView, head: int, accepted: int, rejected: int, waits: Sequence[WaitLine] = ()) -> None:
        """Bring the view up to date."""
        done = max(0, view.round - 1)
        uplinks = f"{accepted} uplinks accepted, {rejected} rejected"
        phase = view.phase.name.lower()
        if self._live is not None:
            deadline = deadline_in_words(view, time.time())
            until = f", until {deadline}" if deadline else ""
            self._progress.update(self._trees, completed=done, detail=phase + until)
            self._progress.update(self._blocks, completed=head, detail=uplinks)
            self._live.update(Group(self._progress, *(Text(in_words(one), style=_style(one)) for one in waits)))
            return
        now = (view.phase, view.round, view.attempt, view.closed)
        if now != self._said:
            self._said = now
            if self._as_json:
                self._print(
                    event="job",
                    job=view.job_id,
                    phase=phase,
                    round=view.round,
                    attempt=view.attempt,
                    trees_done=done,
                    max_rounds=view.policy.max_rounds,
                    deadline=view.deadline or None,
                    closed=view.closed,
                    block=head,
                    uplinks={"accepted": accepted, "rejected": rejected},
                )
            else:
                rows = f", {view.aligned_rows} aligned rows" if view.aligned_rows else ""
                deadline = deadline_in_words(view, time.time())
                until = f", deadline {deadline}" if deadline else ""
                note(f"{phase}: {done} of {view.policy.max_rounds} trees{rows}, block {head}, {uplinks}{until}")
        self._tell(waits)

    def _tell(self, waits: Sequence[WaitLine]) -> None:
        lasting = {(tuple(one["who"]), one["what"], one["since"], one["status"]): one for one in waits}
        lasting = {key: one for key, one in lasting.items() if one["seconds"] >= SHOWN_AFTER_SECONDS}
        for key, line in lasting.items():
            if key not in self._waits_said:
                if self._as_json:
                    self._print(**line)
                else:
                    note(in_words(line))
        self._waits_said = set(lasting)

    @staticmethod
    def _print(**line: Any) -> None:
        note(json.dumps(line, ensure_ascii=False, allow_nan=False))


def _style(line: WaitLine) -> str:
    return {"late": "yellow", "overdue": "red"}.get(line["status"], "dim")
