"""Live progress of the demo on the terminal: alignment, trees, blocks."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from fedchain.chain import JobView
from fedchain.federation.spec import JobSpec
from fedchain.types import Phase


class DemoProgress:
    """Three bars and a line of the chain's figures; plain lines where the output is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._align = self._bars.add_task("alignment", total=None, note="", start=False)
        self._trees = self._bars.add_task("trees", total=None, note="", start=False)
        self._chain = self._bars.add_task("blocks", total=None, note="")
        self._phase = Phase.NONE

    def __enter__(self) -> DemoProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def expect(self, spec: JobSpec) -> None:
        """Size the bars for a job."""
        parties = len(spec.parties)
        self._bars.update(
            self._align, total=2 * parties + parties * parties
        )  # keys, commitments, then each set by each party
        self._bars.update(self._trees, total=spec.algorithm.trees)

    def say(self, what: str) -> None:
        """A line of text above the bars."""
        self._console.print(f"• {what}", highlight=False)

    def show(self, view: JobView, head: int, accepted: int, rejected: int) -> None:
        """Bring the bars up to date from what the chain says."""
        if view.phase is not self._phase:
            self._phase = view.phase
            if view.phase is Phase.TRAINING:
                self.say(f"aligned: {view.aligned_rows} common rows")
            elif view.phase is Phase.EVALUATING:
                self.say(f"trained: {view.round - 1} trees")
            elif view.phase is Phase.COMPLETED:
                self.say("completed: contribution recorded, every party's shard digest is on chain")
        if view.phase is Phase.ALIGNING:
            self._bars.start_task(self._align)
            self._bars.update(self._align, completed=accepted)
        elif view.phase >= Phase.TRAINING:
            total = self._bars.tasks[self._align].total
            self._bars.update(self._align, completed=total, note=f"{view.aligned_rows} common rows")
            self._bars.start_task(self._trees)
            done = view.round - 1 if view.phase is Phase.TRAINING else self._bars.tasks[self._trees].total or 0
            self._bars.update(self._trees, completed=max(0, done))
        rejections = f", {rejected} rejected" if rejected else ""
        self._bars.update(self._chain, completed=head, note=f"{accepted} uplinks accepted{rejections}")

    def finish(self) -> None:
        """End all bars."""
        self._bars.stop()
