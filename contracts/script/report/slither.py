"""slither, and the triage of what it finds: `triage.toml` says of each finding of high or medium impact why it is none.

A finding that is not explained there is an error, and so is an explanation of something that slither finds no more.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.script.report.part import Part
from contracts.script.report.workspace import ROOT, ReportError, Workspace, last_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

VENV = ROOT / "build" / "slither"
"""An environment of its own: slither needs an older web3 than the tests."""
TRIAGE = Path(__file__).with_name("triage.toml")

_SERIOUS = ("High", "Medium")
_FIELDS = {"check", "contract", "function", "why"}
_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True, order=True)
class Spot:
    """What a finding is about; line numbers would change with every edit.

    Attributes:
        check: slither's name of the detector.
        contract: contract or library.
        function: function, or the variable of a contract.
    """

    check: str
    contract: str
    function: str

    def __str__(self) -> str:
        return f"{self.check} in {self.contract}.{self.function}"


@dataclass(frozen=True)
class Finding:
    """One finding of high or medium impact."""

    spot: Spot
    impact: str
    words: str


def is_installed() -> bool:
    """Whether `make contracts-slither` has made slither's environment."""
    return _program().is_file()


def run_slither() -> Part:
    """Run slither and hold its findings against the triage.

    Raises:
        ReportError: it cannot be run, or does not end well; the triage is not readable.
    """
    explained = load_triage()
    with Workspace() as workspace:
        findings = _findings(workspace)
    table = [f"{one.impact}: {one.spot}: {explained.get(one.spot, (0, 'NOT EXPLAINED'))[1]}" for one in findings]
    details = [{**vars(one.spot), "impact": one.impact, "words": one.words} for one in findings]
    faults = compare(findings, explained)
    return Part({"slither_unexplained": len(faults)}, tuple(table), details, faults=tuple(faults))


def load_triage(path: Path = TRIAGE) -> dict[Spot, tuple[int, str]]:
    """How many findings a spot has, and why they are none.

    Raises:
        ReportError: the file is not a list of explained findings, or explains one twice.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ReportError(f"{path.name}: {error}") from None
    found: dict[Spot, tuple[int, str]] = {}
    for number, entry in enumerate(document.get("finding", []), 1):
        where = f"{path.name}: finding {number}"
        if not isinstance(entry, dict) or not _FIELDS <= set(entry) <= _FIELDS | {"count"}:
            raise ReportError(f"{where}: expected {', '.join(sorted(_FIELDS))} and perhaps count")
        spot, count = Spot(entry["check"], entry["contract"], entry["function"]), entry.get("count", 1)
        if spot in found:
            raise ReportError(f"{where}: {spot} is explained twice")
        if not isinstance(count, int) or count < 1 or not str(entry["why"]).strip():
            raise ReportError(f"{where}: {spot} needs a reason, and a count from 1")
        found[spot] = (count, str(entry["why"]))
    return found


def compare(findings: Iterable[Finding], explained: Mapping[Spot, tuple[int, str]]) -> list[str]:
    """A line for each spot where findings and explanations differ in number."""
    counted = Counter(one.spot for one in findings)
    words = {one.spot: f"{one.impact}: {one.words}" for one in findings}
    lines = []
    for spot in sorted({*counted, *explained}):
        found, known = counted[spot], explained.get(spot, (0, ""))[0]
        if found > known:
            lines.append(f"slither: {spot}: {found} found, {known} explained in {TRIAGE.name}: {words[spot]}")
        elif found < known:
            lines.append(f"slither: {spot}: {known} explained in {TRIAGE.name}, {found} found: remove the explanation")
    return lines


def read_findings(document: Any) -> list[Finding]:
    """The findings of high and medium impact in slither's JSON, in order.

    Raises:
        ReportError: slither did not finish.
    """
    if not isinstance(document, dict) or document.get("success") is not True:
        said = document.get("error") if isinstance(document, dict) else None
        raise ReportError(f"slither did not finish: {last_line(str(said or 'no result'))}")
    found = []
    for one in document["results"].get("detectors", []):
        if one["impact"] in _SERIOUS:
            contract, function = _place(one["elements"])
            words = " ".join(str(one["description"]).split())
            found.append(Finding(Spot(one["check"], contract, function), one["impact"], words[:300]))
    return sorted(found, key=lambda one: (one.spot, one.words))


def _place(elements: list[dict[str, Any]]) -> tuple[str, str]:
    """Contract and function of a finding's first element; a variable of a contract stands for a function."""
    contract, function = "", ""
    element: dict[str, Any] | None = elements[0] if elements else None
    while element is not None:
        if element["type"] == "contract":
            contract = contract or element["name"]
        elif element["type"] == "function" or not function:
            function = element["name"]
        element = element.get("type_specific_fields", {}).get("parent")
    return contract, function


def _findings(workspace: Workspace) -> list[Finding]:
    shutil.rmtree(workspace.path / "contracts" / "test")
    tools = workspace.path / "bin"
    tools.mkdir()
    forge = tools / "forge"  # slither looks for it on PATH
    forge.write_text(f'#!/bin/sh\nexec bash "{workspace.path}/contracts/script/forge.sh" "$@"\n', encoding="utf-8")
    forge.chmod(0o755)
    file = workspace.path / "slither.json"
    environment = workspace.environment()
    environment["PATH"] = f"{tools}{os.pathsep}{_program().parent}{os.pathsep}{environment.get('PATH', '')}"
    command = [str(_program()), ".", "--filter-paths", "node_modules|test", "--exclude-informational", "--exclude-low"]
    try:
        done = subprocess.run(
            [*command, "--exclude-optimization", "--json", str(file)],
            cwd=workspace.path,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ReportError(f"slither: {error}") from None
    if not file.is_file():
        raise ReportError(f"slither wrote nothing: {last_line(done.stderr)}")
    return read_findings(json.loads(file.read_text(encoding="utf-8")))


def _program() -> Path:
    return VENV / "bin" / "slither"
