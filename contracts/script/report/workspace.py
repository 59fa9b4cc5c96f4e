"""A copy of the contracts in a temporary folder, and forge in it: nothing of a run is left in the repository."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[3]

_COPIED = ("foundry.toml", "contracts/src", "contracts/test", "contracts/script/forge.sh")
_WRAPPER = "contracts/script/solc-wrapper.js"
_COMPILER = "contracts/script/solc.js"
_TIMEOUT_SECONDS = 900.0
_QUICK = {
    "FOUNDRY_LINT_LINT_ON_BUILD": "false",
    "FOUNDRY_DENY": "never",  # a mutant may leave a name unused
    "FOUNDRY_FUZZ_RUNS": "16",
    "FOUNDRY_INVARIANT_RUNS": "4",
    "FOUNDRY_INVARIANT_DEPTH": "25",
}
"""Fewer runs of fuzz and invariant tests than `forge test` in `make test`."""


class ReportError(Exception):
    """Something cannot be measured: a tool is missing, a file is not what it should be. One line."""


class Workspace:
    """The contracts, their tests and forge in a folder of their own; a context manager that removes it.

    Args:
        root: the repository, or another workspace's folder, of which built artifacts are taken over, too.
        settings: environment of forge beside the quick one.

    Raises:
        ReportError: `make tools` has not run.
    """

    def __init__(self, root: Path = ROOT, settings: Mapping[str, str] | None = None) -> None:
        if not (root / "node_modules" / "solc").is_dir():
            raise ReportError("node_modules is missing the compiler: run 'make tools' first (it needs Node)")
        if shutil.which("node") is None:
            raise ReportError("node is not on PATH: install Node.js (https://nodejs.org)")
        self._folder = tempfile.TemporaryDirectory(prefix="fedchain-contracts-")
        self.path = Path(self._folder.name)
        self._settings = dict(settings or {})
        built = ("contracts/out", "contracts/cache", _COMPILER) if root != ROOT else ()
        for name in (*_COPIED, _WRAPPER, *built):
            source, target = root / name, self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            elif source.is_file():
                shutil.copy2(source, target)
        (self.path / "node_modules").symlink_to((root / "node_modules").resolve())
        if root == ROOT:
            self._wrap_compiler()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    @property
    def sources(self) -> Path:
        """The folder of the contracts' sources."""
        return self.path / "contracts" / "src"

    def _wrap_compiler(self) -> None:
        """Let the compiler tell its version from memory: forge asks twice a run, and loading it takes half a second."""
        wrapper = self.path / _WRAPPER
        real = wrapper.rename(self.path / _COMPILER)
        version = subprocess.run([str(real), "--version"], capture_output=True, text=True, check=False)
        if version.returncode:
            raise ReportError(f"the compiler does not run: {last_line(version.stderr)}")
        said = "\n".join(version.stdout.splitlines())
        script = f"""#!/bin/sh
if [ "$1" = --version ]; then
    echo '{said}'
else
    exec node "${{0%/*}}/{real.name}" "$@"
fi
"""
        wrapper.write_text(script, encoding="utf-8")
        wrapper.chmod(0o755)

    def clone(self) -> Workspace:
        """Another workspace with the same sources, settings and built artifacts."""
        return Workspace(self.path, self._settings)

    def environment(self) -> dict[str, str]:
        """What forge runs with: no setting of the caller's shell, fewer fuzz runs."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("FOUNDRY_", "DAPP_"))}
        return {**inherited, **_QUICK, **self._settings}

    def forge(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run forge to its end, whatever comes out.

        Raises:
            ReportError: there is no forge, or it does not end.
        """
        command = ["bash", str(self.path / "contracts" / "script" / "forge.sh"), *arguments]
        try:
            done = subprocess.run(
                command,
                cwd=self.path,
                env={**self.environment(), **settings},
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ReportError(f"forge {arguments[0]} did not end within {_TIMEOUT_SECONDS:.0f} seconds") from None
        except OSError as error:
            raise ReportError(f"bash cannot be run: {error.strerror}") from error
        if "forge.sh: no forge" in done.stderr:
            raise ReportError(done.stderr.strip().splitlines()[-1].removeprefix("forge.sh: "))
        return done

    def test(self, contracts: str = "", *, fail_fast: bool = False) -> dict[str, bool] | None:
        """Run forge's tests.

        Args:
            contracts: regular expression for names of test contracts; empty for all.
            fail_fast: end with the first test that fails.

        Returns:
            Whether each test passed, by `Contract.test`; None when the sources do not compile.

        Raises:
            ReportError: forge gives no readable answer.
        """
        for kept in ("fuzz", "invariant"):  # counterexamples of another run
            shutil.rmtree(self.path / "contracts" / "cache" / kept, ignore_errors=True)
        folder = self._tests(contracts) if contracts else "contracts/test"
        if folder is None:
            return {}
        arguments = ("test", "--json", "--fail-fast") if fail_fast else ("test", "--json")
        done = self.forge(*arguments, FOUNDRY_TEST=folder)
        return read_tests(done.stdout, done.stderr)

    def _tests(self, contracts: str) -> str | None:
        """A folder with the test contracts of these names alone, or None when there are none.

        With a filter of forge's own all sources are compiled once more in each run, to learn what it matches.
        """
        name = f"contracts/test-{hashlib.sha256(contracts.encode()).hexdigest()[:12]}"
        folder, everything = self.path / name, self.path / "contracts" / "test"
        if folder.is_dir():
            return name
        chosen = [
            path
            for path in sorted(everything.glob("*.t.sol"))
            if any(re.search(contracts, found) for found in contracts_of(path.read_text(encoding="utf-8")))
        ]
        if not chosen:
            return None
        shutil.copytree(everything / "utils", folder / "utils")
        for path in chosen:
            shutil.copy2(path, folder / path.name)
        return name


def contracts_of(source: str) -> list[str]:
    """Names of the contracts in a test's source."""
    return re.findall(r"^contract\s+(\w+)", source, re.MULTILINE)


def read_tests(stdout: str, stderr: str) -> dict[str, bool] | None:
    """Results by `Contract.test` out of what `forge test --json` printed; None when it could not compile.

    Raises:
        ReportError: neither results nor a compiler's complaint.
    """
    results: Any = None
    for line in stdout.splitlines():
        if line.startswith("{"):
            try:
                results = json.loads(line)
            except ValueError:
                continue
    if not isinstance(results, dict):
        said = f"{stdout}\n{stderr}"
        if "No tests" in said:
            return {}
        if "Compiler run failed" in said or "Compilation failed" in said:
            return None
        raise ReportError(f"forge test gave no results: {last_line(said)}")
    found: dict[str, bool] = {}
    for suite, content in results.items():
        contract = suite.rpartition(":")[2]
        for name, test in content["test_results"].items():
            found[f"{contract}.{name.partition('(')[0]}"] = test["status"] != "Failure"
    return found


def last_line(text: str) -> str:
    """The last line that says something, shortened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def failed(results: Mapping[str, bool]) -> Sequence[str]:
    """The tests that did not pass, in order."""
    return sorted(name for name, passed in results.items() if not passed)
