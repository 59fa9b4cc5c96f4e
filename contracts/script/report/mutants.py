"""The deliberate mutations of the contracts, as declared in `mutants.toml`.

Each breaks one rule. Its text must be found exactly once, so that a rewritten rule is noticed and its mutant rewritten.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.script.report.workspace import ROOT, ReportError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SOURCES = ROOT / "contracts" / "src"
DECLARED = Path(__file__).with_name("mutants.toml")
_FIELDS = ("rule", "file", "find", "replace")
_OPTIONAL = ("tests",)


@dataclass(frozen=True)
class Mutant:
    """One mutation.

    Attributes:
        rule: what it breaks: `UplinkLedger.WrongRound`, `JobManager.closeRound`; several mutants may break one rule.
        file: source below contracts/src.
        find: exact text, which occurs once.
        replace: what stands there instead.
        tests: regular expression for the names of test contracts that should notice; empty for all.
    """

    rule: str
    file: str
    find: str
    replace: str
    tests: str = ""

    @property
    def name(self) -> str:
        """For messages: the rule and the text that is replaced, on one line."""
        text = " ".join(self.find.split())
        return f"{self.rule}: {text if len(text) <= 80 else text[:77] + '...'}"

    def apply(self, sources: Path) -> str:
        """Write the mutation into the sources; returns the file's text as it was.

        Raises:
            ReportError: the text is not there, or more than once.
        """
        path = sources / self.file
        original = read_source(path)
        problem = self.problem(original)
        if problem:
            raise ReportError(f"mutant {self.name}: {problem}")
        path.write_text(original.replace(self.find, self.replace), encoding="utf-8")
        return original

    def problem(self, source: str) -> str:
        """Why it cannot be applied to the source, or nothing."""
        count = source.count(self.find)
        if count != 1:
            return f"its text occurs {count} times in {self.file}, not once: write it anew in {DECLARED.name}"
        return "it changes nothing" if self.find == self.replace else ""


def require_applicable(mutants: Iterable[Mutant], sources: Path = SOURCES) -> None:
    """Check that each mutant's text stands in its source, once.

    Raises:
        ReportError: one does not, or its source is missing.
    """
    for mutant in mutants:
        problem = mutant.problem(read_source(sources / mutant.file))
        if problem:
            raise ReportError(f"mutant {mutant.name}: {problem}")


def load_mutants(path: Path = DECLARED) -> list[Mutant]:
    """All declared mutants, in the file's order.

    Raises:
        ReportError: the file is no list of mutants.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ReportError(f"{path.name}: {error}") from None
    entries = document.get("mutant")
    if not isinstance(entries, list) or not entries or set(document) != {"mutant"}:
        raise ReportError(f"{path.name}: expected [[mutant]] entries and nothing else")
    return [_mutant(path.name, number, entry) for number, entry in enumerate(entries, 1)]


def _mutant(where: str, number: int, entry: dict[str, Any]) -> Mutant:
    if not set(_FIELDS) <= set(entry) <= {*_FIELDS, *_OPTIONAL} or not all(isinstance(v, str) for v in entry.values()):
        raise ReportError(f"{where}: mutant {number}: expected the texts {', '.join(_FIELDS)} and perhaps tests")
    if not entry["find"]:
        raise ReportError(f"{where}: mutant {number}: nothing to find")
    return Mutant(**entry)


def read_source(path: Path) -> str:
    """A source file's text.

    Raises:
        ReportError: it is not there.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ReportError(f"source {path.name}: {error.strerror}") from None


def enum_members(source: str, name: str) -> list[str]:
    """The members of a Solidity enum, in order; comments are left out.

    Raises:
        ReportError: the source declares no such enum.
    """
    body = re.search(rf"\benum\s+{re.escape(name)}\s*\{{(.*?)\}}", without_comments(source), re.DOTALL)
    if body is None:
        raise ReportError(f"no enum {name} in the source")
    return [member.strip() for member in body[1].split(",") if member.strip()]


def without_comments(source: str) -> str:
    """Solidity without comments; a comment mark inside of a string would be taken for one, and none has any."""
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", source, flags=re.DOTALL)
