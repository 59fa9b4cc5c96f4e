"""`make audit`: known vulnerabilities in what fedchain installs, and in the npm side.

Fails when there is one, and when the advisory databases cannot be asked: an audit that could not ask is no audit.
Exit codes: 0 nothing known, 1 something is known, 2 it could not be found out.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NOT_RUNTIME = {"test", "docs", "audit"}
"""Extras of fedchain that nobody installs to run a node."""


class UnansweredError(Exception):
    """The advisory database did not answer for all that was asked."""


def installed(name: str, extras: Iterable[str]) -> dict[str, str]:
    """Name and version of all distributions in this environment that a distribution with extras needs.

    Raises:
        UnansweredError: one of them is not installed.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    done: set[tuple[str, str]] = set()
    queue = [(name, extra) for extra in ("", *extras)]
    while queue:
        one, extra = queue.pop()
        if (one, extra) in done:
            continue
        done.add((one, extra))
        try:
            distribution = importlib.metadata.distribution(one)
        except importlib.metadata.PackageNotFoundError:
            raise UnansweredError(f"{one} is not installed: make venv-test brings all extras") from None
        found[canonicalize_name(distribution.metadata["Name"])] = distribution.version
        for line in distribution.requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                queue += [(requirement.name, further) for further in ("", *requirement.extras)]
    return found


def audit_python(pinned: dict[str, str]) -> list[str]:
    """A line for each known vulnerability, by pip-audit.

    Raises:
        UnansweredError: the database did not answer, or does not know some of them.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text("".join(f"{name}=={version}\n" for name, version in sorted(pinned.items())))
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip_audit", "--requirement", str(file), "--no-deps", "--disable-pip"),
                *("--format", "json", "--progress-spinner", "off"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    try:
        answers = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        raise UnansweredError(_last_line(done.stderr)) from None
    return read_python(answers, pinned)


def read_python(answers: list[dict[str, Any]], pinned: dict[str, str]) -> list[str]:
    """Lines out of pip-audit's answers.

    Raises:
        UnansweredError: some were not answered.
    """
    asked = {one["name"].lower() for one in answers if "vulns" in one}
    missing = sorted(set(pinned) - asked)
    if missing:
        why = next((one["skip_reason"] for one in answers if "skip_reason" in one), "no answer")
        raise UnansweredError(
            f"{len(missing)} of {len(pinned)} packages, such as {missing[0]}, were not audited: {why}"
        )
    return [
        f"{one['name']} {one['version']}: {fault['id']}, fixed in {', '.join(fault['fix_versions']) or 'no version'}"
        for one in answers
        for fault in one["vulns"]
    ]


def audit_npm() -> list[str]:
    """A line for each package of the npm side with a known vulnerability, by npm.

    Raises:
        UnansweredError: npm is missing, or the database did not answer.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise UnansweredError("npm is not on PATH")
    done = subprocess.run([npm, "audit", "--json"], cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        raise UnansweredError(_last_line(done.stderr)) from None
    return read_npm(answer)


def read_npm(answer: dict[str, Any]) -> list[str]:
    """Lines out of npm's answer.

    Raises:
        UnansweredError: it is an error message.
    """
    if "vulnerabilities" not in answer:
        said = answer.get("message") or answer.get("error") or "no answer"
        raise UnansweredError(str(said).partition(" http")[0].removesuffix(" - POST"))
    return [f"{name}: {one['severity']}" for name, one in sorted(answer["vulnerabilities"].items())]


def main() -> int:
    """Audit both sides and tell what came out."""
    code = 0
    extras = set(importlib.metadata.metadata("fedchain").get_all("Provides-Extra") or ()) - NOT_RUNTIME

    def python() -> list[str]:
        pinned = installed("fedchain", extras)
        pinned.pop("fedchain")
        return audit_python(pinned)

    for side, audit in (("python", python), ("npm", audit_npm)):
        try:
            known = audit()
        except UnansweredError as error:
            print(f"error: {side}: the advisory database could not be asked: {error}", file=sys.stderr)
            code = 2
            continue
        print(f"{side}: {len(known)} known vulnerabilities")
        for line in known:
            print(f"  {line}")
        code = max(code, 1 if known else 0)
    return code


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


if __name__ == "__main__":
    sys.exit(main())
