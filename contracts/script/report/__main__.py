"""Measure the contracts and print `name value` lines.

Examples, from the repository's root after `make tools venv-test`::

    python -m contracts.script.report                     # all figures; some minutes
    python -m contracts.script.report --only gas -v       # gas alone, with every call that was measured
    python -m contracts.script.report --only mutants --rule JobManager
    python -m contracts.script.report --check             # exit 1 where an aim is missed
    python -m contracts.script.report --json > report.json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence

from contracts.script.report.aims import missed, shown
from contracts.script.report.coverage import Coverage, measure_coverage
from contracts.script.report.gas import measure_gas
from contracts.script.report.mutants import load_mutants
from contracts.script.report.mutation import run_mutants
from contracts.script.report.part import Part
from contracts.script.report.sizes import MAX_RUNTIME_BYTES, runtime_sizes
from contracts.script.report.slither import is_installed, run_slither
from contracts.script.report.workspace import ReportError, Workspace


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point.

    Returns:
        0 when everything was measured and nothing is wrong; 1 when something is wrong, or with --check an aim is
        missed; 2 when something cannot be measured.
    """
    options = _parser().parse_args(arguments)
    parts: dict[str, Part] = {}
    try:
        for name, measure in PARTS.items():
            if options.only is None or name in options.only:
                parts[name] = measure(options)
    except ReportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    figures = {name: value for part in parts.values() for name, value in part.figures.items()}
    if options.json:
        details = {name: part.details for name, part in parts.items()}
        print(json.dumps({"figures": figures, "details": details}, indent=1))
    else:
        for name, value in figures.items():
            print(name, shown(value))
    for part in parts.values():
        if options.verbose:
            _say("\n".join(part.table))
        for note in part.notes:
            _say(f"note: {note}")
    wrong = [fault for part in parts.values() for fault in part.faults]
    if options.check:
        wrong += missed(figures)
    for line in wrong:
        _say(f"error: {line}")
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m contracts.script.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", choices=list(PARTS), help="measure this part; may be repeated")
    parser.add_argument("--rule", action="append", help="only mutants of rules with this in their name; repeatable")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="forge processes of the mutation run")
    parser.add_argument("--check", action="store_true", help="exit 1 and name each aim that is missed")
    parser.add_argument("--json", action="store_true", help="one JSON document with all details instead of lines")
    parser.add_argument("-v", "--verbose", action="store_true", help="details and progress, on stderr")
    return parser


def _coverage(options: argparse.Namespace) -> Part:
    with Workspace() as workspace:
        coverage = measure_coverage(workspace)
    figures = {"line_coverage_percent": coverage.line_percent, "branch_coverage_percent": coverage.branch_percent}
    details = [vars(one) for one in coverage.files]
    return Part(figures, tuple(_coverage_table(coverage)), details, coverage.notes)


def _coverage_table(coverage: Coverage) -> list[str]:
    lines = []
    for one in coverage.files:
        missing = f"  lines {_some(one.missed_lines)}" if one.missed_lines else ""
        missing += f"  branches at {_some(one.missed_branches)}" if one.missed_branches else ""
        lines.append(
            f"{one.name:<40} lines {one.lines_hit}/{one.lines}  branches {one.branches_hit}/{one.branches}{missing}"
        )
    return lines


def _some(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:12])) + (f" and {len(numbers) - 12} more" if len(numbers) > 12 else "")


def _mutants(options: argparse.Namespace) -> Part:
    wanted = options.rule or [""]
    chosen = [mutant for mutant in load_mutants() if any(text in mutant.rule for text in wanted)]
    if not chosen:
        raise ReportError(f"no mutant's rule contains {' or '.join(wanted)}")
    run = run_mutants(chosen, max(1, options.jobs), _say if options.verbose else _quiet)
    table = [f"{fate.mutant.name}: {fate.killed_by or 'SURVIVED'}" for fate in run.fates]
    details = [
        {"rule": fate.mutant.rule, "find": fate.mutant.find, "killed_by": fate.killed_by, "by_filter": fate.by_filter}
        for fate in run.fates
    ]
    faults = tuple(f"no test notices the mutant {mutant.name}" for mutant in run.survivors)
    return Part({"mutants_killed_percent": run.killed_percent}, tuple(table), details, run.notes, faults)


def _gas(options: argparse.Namespace) -> Part:
    report = measure_gas(_say if options.verbose else _quiet)
    table = [f"{gas:>12,} {what}" for what, gas in report.further.items()]
    return Part(dict(report.figures), tuple(table), {"figures": report.figures, "further": report.further})


def _sizes(options: argparse.Namespace) -> Part:
    sizes = runtime_sizes()
    table = [f"{size:>12,} bytes of {MAX_RUNTIME_BYTES:,}: {name}" for name, size in sizes.items()]
    return Part({}, tuple(table), sizes)


def _slither(options: argparse.Namespace) -> Part:
    if not is_installed():
        if options.only is not None:
            raise ReportError("slither is not installed: run 'make contracts-slither'")
        return Part(notes=("slither is not installed, so that it was not run: 'make contracts-slither' does both",))
    return run_slither()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _quiet(line: str) -> None:
    """Nobody listens."""


PARTS: dict[str, Callable[[argparse.Namespace], Part]] = {
    "coverage": _coverage,
    "mutants": _mutants,
    "gas": _gas,
    "sizes": _sizes,
    "slither": _slither,
}

if __name__ == "__main__":
    sys.exit(main())
