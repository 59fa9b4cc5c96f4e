"""The mutation run: each mutant is put into a copy of the contracts, and a test must fail there.

Mutants are compiled without the optimiser and tests get the contracts by name rather than built in (forge's dynamic
linking), so that a mutant costs seconds: only what it changed is compiled. Tests that fail so without any mutant, such
as bounds of gas, do not count.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue

from contracts.script.report.mutants import Mutant, require_applicable
from contracts.script.report.workspace import ROOT, ReportError, Workspace, failed

_FAST = {"FOUNDRY_OPTIMIZER": "false", "FOUNDRY_DYNAMIC_TEST_LINKING": "true", "FOUNDRY_CODE_SIZE_LIMIT": "1000000"}
_SMALL = {"FOUNDRY_OPTIMIZER": "true", "FOUNDRY_DYNAMIC_TEST_LINKING": "true"}


@dataclass(frozen=True)
class Fate:
    """What became of a mutant.

    Attributes:
        mutant: which.
        killed_by: the first test that failed, `Contract.test`; empty when it survived.
        by_filter: whether its own tests sufficed.
    """

    mutant: Mutant
    killed_by: str
    by_filter: bool


@dataclass(frozen=True)
class MutationRun:
    """All fates, in the order of the mutants."""

    fates: tuple[Fate, ...]
    notes: tuple[str, ...] = ()

    @property
    def killed_percent(self) -> float:
        """Mutants that a test noticed, of all, 0 to 100."""
        return 100.0 * sum(bool(fate.killed_by) for fate in self.fates) / len(self.fates)

    @property
    def survivors(self) -> list[Mutant]:
        """The mutants that no test noticed."""
        return [fate.mutant for fate in self.fates if not fate.killed_by]


def run_mutants(mutants: Sequence[Mutant], workers: int, progress: Callable[[str], None]) -> MutationRun:
    """Try all mutants.

    Args:
        mutants: at least one.
        workers: how many forge processes run at the same time, each in a workspace of its own.
        progress: told one line per mutant.

    Raises:
        ReportError: a tool is missing, the sources do not compile as they are, a mutant's text is not found once, a
            mutant does not compile, or its filter matches no test.
    """
    require_applicable(mutants)  # before minutes are spent
    first, untouched = _baseline()
    ignored = frozenset(failed(untouched))
    notes = [
        f"mutants: {name} fails without any mutant in the mode of this run, and is not counted"
        for name in sorted(ignored)
    ]
    spaces: SimpleQueue[Workspace] = SimpleQueue()
    opened = [first, *(first.clone() for _ in range(min(workers, len(mutants)) - 1))]
    for space in opened:
        spaces.put(space)
    done = 0
    lock = threading.Lock()

    def attempt(mutant: Mutant) -> Fate:
        nonlocal done
        space = spaces.get()
        try:
            fate = try_mutant(mutant, space, ignored)
        finally:
            spaces.put(space)
        with lock:
            done += 1
            progress(f"mutants: {done}/{len(mutants)} {'killed' if fate.killed_by else 'SURVIVED'} {mutant.name}")
        return fate

    pool = ThreadPoolExecutor(len(opened))
    try:
        return MutationRun(tuple(pool.map(attempt, mutants)), tuple(notes))
    finally:
        pool.shutdown(cancel_futures=True)
        for space in opened:
            space.__exit__(None, None, None)


def _baseline() -> tuple[Workspace, dict[str, bool]]:
    """A built workspace and its tests' results without any mutant."""
    for settings in (_FAST, _SMALL):  # the optimiser also makes room on the stack
        space = Workspace(ROOT, settings)
        try:
            results = space.test()
        except BaseException:
            space.__exit__(None, None, None)
            raise
        if results:
            return space, results
        space.__exit__(None, None, None)
    raise ReportError("the contracts do not compile, or have no tests: run contracts/script/forge.sh test")


def try_mutant(mutant: Mutant, space: Workspace, ignored: frozenset[str]) -> Fate:
    """Put a mutant into a workspace's sources, run tests, and take it out again.

    Args:
        mutant: which.
        space: built, and used by nobody else meanwhile.
        ignored: tests that fail without a mutant, too.

    Raises:
        ReportError: it cannot be applied or compiled, or its filter matches no test.
    """
    path = space.sources / mutant.file
    original = mutant.apply(space.sources)
    try:
        for contracts in dict.fromkeys((mutant.tests, "")):
            results = space.test(contracts, fail_fast=not ignored)
            if results is None:
                raise ReportError(f"mutant {mutant.name}: does not compile")
            if not results:
                raise ReportError(f"mutant {mutant.name}: no test contract matches {mutant.tests!r}")
            noticed = [name for name in failed(results) if name not in ignored]
            if noticed:
                return Fate(mutant, noticed[0], bool(contracts))
        return Fate(mutant, "", False)
    finally:
        path.write_text(original, encoding="utf-8")
