"""Live view of a job on chain: bars on a terminal, a line per change elsewhere; all on stderr."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from fedchain.cli.output import console, note
from fedchain.types import Phase

if TYPE_CHECKING:
    from fedchain.chain import JobView


class JobBars:
    """Shows phase, trees, blocks and uplinks.

    Args:
        view: the job when watching begins.
    """

    def __init__(self, view: JobView) -> None:
        terminal = console(stderr=True)
        self._is_live = terminal.is_terminal
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
        self._trees = self._progress.add_task("trees", total=view.policy.max_rounds, detail="")
        self._blocks = self._progress.add_task("blocks", total=None, detail="")
        self._said: tuple[Phase, int, int] | None = None

    def __enter__(self) -> JobBars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, view: JobView, head: int, accepted: int, rejected: int) -> None:
        """Bring the view up to date."""
        done = max(0, view.round - 1)
        uplinks = f"{accepted} uplinks accepted, {rejected} rejected"
        phase = view.phase.name.lower()
        self._progress.update(self._trees, completed=done, detail=phase)
        self._progress.update(self._blocks, completed=head, detail=uplinks)
        now = (view.phase, view.round, view.attempt)
        if not self._is_live and now != self._said:
            self._said = now
            rows = f", {view.aligned_rows} aligned rows" if view.aligned_rows else ""
            note(f"{phase}: {done} of {view.policy.max_rounds} trees{rows}, block {head}, {uplinks}")
