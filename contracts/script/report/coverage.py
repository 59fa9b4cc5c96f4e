"""How much of the contracts their tests execute: `forge coverage`, read from its LCOV file.

Forge measures code that the optimiser has not touched; else lines would be merged and lost. A branch is one way out of
an `if`, as forge counts them; a line of `if (…) revert …;` has one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from contracts.script.report.mutants import read_source, without_comments
from contracts.script.report.workspace import ReportError, Workspace, last_line

_SOURCES = PurePosixPath("contracts/src")


@dataclass(frozen=True)
class FileCoverage:
    """Counts of one source file, `contracts/src/`… left off its name."""

    name: str
    lines: int
    lines_hit: int
    branches: int
    branches_hit: int
    missed_lines: tuple[int, ...]
    """Line numbers that no test reached."""
    missed_branches: tuple[int, ...]
    """Line numbers of branches that no test took."""


@dataclass(frozen=True)
class Coverage:
    """All files, and how they were measured."""

    files: tuple[FileCoverage, ...]
    notes: tuple[str, ...] = ()

    @property
    def line_percent(self) -> float:
        """Lines executed, of all lines with code, 0 to 100."""
        return _percent(sum(one.lines_hit for one in self.files), sum(one.lines for one in self.files))

    @property
    def branch_percent(self) -> float:
        """Branches taken, of all branches, 0 to 100."""
        return _percent(sum(one.branches_hit for one in self.files), sum(one.branches for one in self.files))


def measure_coverage(workspace: Workspace) -> Coverage:
    """Run all tests with coverage; through the compiler's IR where the code is too deep for its stack otherwise.

    Raises:
        ReportError: the sources do not compile, or forge writes no coverage.
    """
    file = workspace.path / "lcov.info"
    arguments = ["coverage", "--report", "lcov", "--report-file", str(file)]
    notes = []
    done = workspace.forge(*arguments)
    if not file.is_file() and "tack too deep" in done.stdout + done.stderr:
        notes.append("coverage: measured with --ir-minimum, as the code without it is too deep for the stack")
        done = workspace.forge(*arguments, "--ir-minimum")
    if not file.is_file():
        raise ReportError(f"forge coverage wrote nothing: {last_line(done.stdout + done.stderr)}")
    failing = [line.partition("]")[2].strip() for line in done.stdout.splitlines() if line.startswith("[FAIL")]
    for name in sorted({line.partition("(")[0].strip() for line in failing}):
        notes.append(f"coverage: {name} fails in code that the optimiser has not touched")
    files = read_lcov(file.read_text(encoding="utf-8").splitlines())
    measured = {one.name for one in files}
    for source in sorted(workspace.sources.glob("*.sol")):
        if source.name not in measured and "function " in without_comments(read_source(source)):
            notes.append(f"coverage: {source.name} is not measured: forge leaves out functions outside of contracts")
    return Coverage(tuple(files), tuple(notes))


def read_lcov(lines: Iterable[str]) -> list[FileCoverage]:
    """The files below contracts/src in an LCOV file, by name; tests and libraries are left out.

    Raises:
        ReportError: there is none, or a line is not LCOV's.
    """
    found: list[FileCoverage] = []
    name = ""
    hits: dict[int, int] = {}
    branches: dict[tuple[int, str, str], int] = {}
    for line in lines:
        key, _, value = line.strip().partition(":")
        try:
            if key == "SF":
                name, hits, branches = value, {}, {}
            elif key == "DA":
                number, count = value.split(",")[:2]
                hits[int(number)] = hits.get(int(number), 0) + int(count)
            elif key == "BRDA":
                number, block, branch, count = value.split(",")
                spot = (int(number), block, branch)
                branches[spot] = branches.get(spot, 0) + (0 if count == "-" else int(count))
            elif key == "end_of_record" and _SOURCES in PurePosixPath(name).parents:
                found.append(_file(name, hits, branches))
        except ValueError:
            raise ReportError(f"coverage: not a line of LCOV: {line[:80]!r}") from None
    if not found:
        raise ReportError("coverage: no file below contracts/src was measured")
    return sorted(found, key=lambda one: one.name)


def _file(name: str, hits: dict[int, int], branches: dict[tuple[int, str, str], int]) -> FileCoverage:
    return FileCoverage(
        PurePosixPath(name).relative_to(_SOURCES).as_posix(),
        len(hits),
        sum(count > 0 for count in hits.values()),
        len(branches),
        sum(count > 0 for count in branches.values()),
        tuple(sorted(number for number, count in hits.items() if not count)),
        tuple(sorted({number for (number, *_), count in branches.items() if not count})),
    )


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 100.0
